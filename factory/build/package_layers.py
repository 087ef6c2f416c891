"""Split a flavor's Dockerfile at its layers of packages: the part below, the layers, the part above.

The shape is that of ``templates/universal/Dockerfile.j2``: in the final stage, for each layer, a COPY from
the builder stage and one RUN that installs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from factory.dockerfile.instructions import Instruction
from factory.dockerfile.steps import BuildStep, BuildSteps
from factory.errors import ImageError


@dataclass(frozen=True, kw_only=True)
class LayerInstall:
    """One layer of packages: what it copies from the builder stage, and its RUN.

    ``source`` is the folder in the stage and ``target`` the one in the image, both absolute; ``user`` is
    that of the last USER above, None without one; ``run`` is the text of the RUN.
    """

    name: str
    source: str
    target: str
    user: str | None
    run: str


@dataclass(frozen=True, kw_only=True)
class SplitStage:
    """A final stage, split at its layers of packages.

    ``builder`` is the stage that the layers copy from. ``below`` is None if the layers are on the base image
    itself.
    """

    builder: str
    below: BuildStep | None
    layers: tuple[LayerInstall, ...]
    above: BuildStep


def split_layers(found: BuildSteps) -> SplitStage:
    """Split the final stage at its layers of packages.

    Raises:
        ImageError: it has none, something is between them, or a RUN is above them, which would run without
            the packages.
    """
    instructions = found.final.instructions
    layered = [step for step in found.steps if step.layer is not None]
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
    layers = tuple(_layer(step, user, first) for step in layered)
    targets = [layer.target for layer in layers]
    if any(one is not other and one.startswith(other) for one in targets for other in targets):
        _refuse("two layers of packages copy their locks into one folder")
    return SplitStage(
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


def _layer(step: BuildStep, user: str | None, first: Instruction) -> LayerInstall:
    own = [one for one in step.instructions if one.line >= first.line]
    match [one.name for one in own]:
        case ["COPY", "RUN"]:
            copy, install = own
        case _:
            _refuse(f"the layer {step.layer} is more than a COPY and a RUN (line {own[0].line})")
    return LayerInstall(
        name=step.layer or "",
        source=copy.sources[0],
        target=_target(copy.words),
        user=user,
        run=install.text,
    )


def _target(words: Sequence[str]) -> str:
    """Return the folder that a COPY writes to, with a slash at its end."""
    return f"{words[-1].rstrip('/')}/"


def _refuse(why: str) -> NoReturn:
    raise ImageError(why, solution="Build it with the engine: without --layout.")
