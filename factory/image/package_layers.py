"""A flavor's Dockerfile taken apart at its layers of packages: what stands below, beside and above them.

The shape is that of ``templates/universal/Dockerfile.j2``: in the final stage, for each layer, a COPY of what
it installs from the builder stage and one RUN that installs it.
"""

import re
from dataclasses import dataclass

from factory.dockerfile.instructions import Instruction, read_instructions
from factory.dockerfile.stages import FROM
from factory.errors import ImageError

_LAYER_COPY = re.compile(
    r"--from=(?P<stage>\S+)\s+(?:--\S+\s+)*(?P<source>/layers/(?P<name>[a-z0-9-]+)/)\s+(?P<target>\S+)"
)
_BY_THE_ENGINE = "Build it with the engine: without --layout."


@dataclass(frozen=True, kw_only=True)
class PackageLayer:
    """One layer of packages: what it copies from the builder stage, and the RUN that installs it.

    ``user`` is the one of the last USER above it, None where there is none; ``run`` the text of the RUN.
    """

    name: str
    source: str
    target: str
    user: str | None
    run: str


@dataclass(frozen=True, kw_only=True)
class TakenApart:
    """The parts of a Dockerfile.

    ``builder`` is the stage that the layers copy from; ``below`` a Dockerfile that ends before the first
    layer, ``without`` one that has all but the layers.
    """

    builder: str
    layers: tuple[PackageLayer, ...]
    below: str
    without: str


def take_apart(text: str) -> TakenApart:
    """Take a Dockerfile apart at its layers of packages.

    Raises:
        ImageError: it has none, or a RUN above them, which would run where no package is.
    """
    lines = text.splitlines()
    instructions = read_instructions(lines)
    final = max((index for index, one in enumerate(instructions) if one.name == "FROM"), default=0)
    layers: list[PackageLayer] = []
    builder, first, user = "", 0, None
    taken: set[int] = set()
    pending: re.Match[str] | None = None
    for instruction in instructions[final + 1 :]:
        if instruction.name == "USER":
            user = instruction.text
        elif instruction.name == "COPY" and (found := _LAYER_COPY.search(instruction.text)):
            pending, builder = found, found["stage"]
            first = first or instruction.line
            taken |= _lines_of(instruction)
        elif instruction.name == "RUN" and first:
            if pending is None:
                raise ImageError(
                    f"line {instruction.line} of the Dockerfile runs a command after the packages",
                    solution=_BY_THE_ENGINE,
                )
            layers.append(_layer(pending, user, instruction))
            taken |= _lines_of(instruction)
            pending = None
    if not layers:
        raise ImageError("the Dockerfile has no layers of packages", solution=_BY_THE_ENGINE)
    return TakenApart(
        builder=_stage(builder, instructions),
        layers=tuple(layers),
        below="\n".join(lines[: first - 1]) + "\n",
        without="\n".join(line for number, line in enumerate(lines, 1) if number not in taken) + "\n",
    )


def _layer(copy: re.Match[str], user: str | None, run: Instruction) -> PackageLayer:
    return PackageLayer(
        name=copy["name"], source=copy["source"], target=copy["target"], user=user, run=run.text
    )


def _lines_of(instruction: Instruction) -> set[int]:
    """The lines from the first to the last of an instruction, and so the comments in between."""
    numbers = [number for number, _ in instruction.pieces]
    return set(range(numbers[0], numbers[-1] + 1))


def _stage(name: str, instructions: tuple[Instruction, ...]) -> str:
    stages = [
        match["stage"]
        for one in instructions
        if one.name == "FROM" and (match := FROM.fullmatch(one.text)) and match["stage"]
    ]
    if name not in stages:
        raise ImageError(
            f"the layers of packages copy from {name}, which is no stage of the Dockerfile",
            solution=_BY_THE_ENGINE,
        )
    return name
