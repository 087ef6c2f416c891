"""A flavor's Dockerfile taken apart at its layers of packages: below them, they, above them.

The shape is that of ``templates/universal/Dockerfile.j2``: in the final stage, for each layer, a COPY of what
it installs from the builder stage and one RUN that installs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from factory.dockerfile.instructions import Instruction
from factory.dockerfile.steps import BuildStep, BuildSteps
from factory.errors import ImageError


@dataclass(frozen=True, kw_only=True)
class PackageLayer:
    """One layer of packages: what it copies from the builder stage, and the RUN that installs it.

    ``source`` is the folder in the stage and ``target`` the one in the image, both absolute; ``user`` is
    the one of the last USER above, None where there is none; ``run`` the text of the RUN.
    """

    name: str
    source: str
    target: str
    user: str | None
    run: str


@dataclass(frozen=True, kw_only=True)
class TakenApart:
    """The parts of a final stage.

    ``builder`` is the stage that the layers copy from; ``below`` what the layers stand on, None where that is
    the base image itself; ``above`` what stands on them.
    """

    builder: str
    below: BuildStep | None
    layers: tuple[PackageLayer, ...]
    above: BuildStep


def take_apart(found: BuildSteps) -> TakenApart:
    """Take the final stage apart at its layers of packages.

    Raises:
        ImageError: it has none, something stands between them, or a RUN above them, which would run where no
            package is.
    """
    instructions = found.final.instructions
    layered = [segment for segment in found.steps if segment.layer is not None]
    above = found.steps[-1]
    if not layered:
        _refuse("the Dockerfile has no layers of packages")
    if above.layer is not None:
        _refuse("nothing in the Dockerfile follows the layers of packages")
    for instruction in above.instructions:
        if instruction.name == "RUN":
            _refuse(f"line {instruction.line} of the Dockerfile runs a command after the packages")
    if any(line.upper().startswith("SHELL") for line in above.carried):
        _refuse("the Dockerfile has a shell of its own")
    first = next(one for one in layered[0].instructions if one.sources and one.origins)
    below = tuple(one for one in instructions if one.line < first.line)
    user = next((one.text for one in reversed(below) if one.name == "USER"), None)
    layers = tuple(_layer(segment, user, first) for segment in layered)
    targets = [layer.target for layer in layers]
    if any(one is not other and one.startswith(other) for one in targets for other in targets):
        _refuse("two layers of packages copy their locks into one folder")
    return TakenApart(
        builder=first.origins[0].lower(),
        below=_below(found, below, until=first.line),
        layers=layers,
        above=above,
    )


def _below(found: BuildSteps, instructions: tuple[Instruction, ...], *, until: int) -> BuildStep | None:
    if not instructions:
        return None
    lines = found.final.text.split("\n")[: until - found.final.first_line]
    whole = found.steps[0]
    return replace(whole, layer=None, text="\n".join(lines), instructions=instructions)


def _layer(segment: BuildStep, user: str | None, first: Instruction) -> PackageLayer:
    own = [one for one in segment.instructions if one.line >= first.line]
    match [one.name for one in own]:
        case ["COPY", "RUN"]:
            copy, install = own
        case _:
            _refuse(f"the layer {segment.layer} is more than a COPY and a RUN (line {own[0].line})")
    return PackageLayer(
        name=segment.layer or "",
        source=copy.sources[0],
        target=_target(copy.words),
        user=user,
        run=install.text,
    )


def _target(words: Sequence[str]) -> str:
    """Where a COPY puts a folder's content; written as that of a folder."""
    return f"{words[-1].rstrip('/')}/"


def _refuse(why: str) -> NoReturn:
    raise ImageError(why, solution="Build it with the engine: without --layout.")
