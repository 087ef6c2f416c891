"""What is built one by one of a Dockerfile: its stages, and the steps of the final stage.

``podman build --timestamp`` holds for a whole call, and an interrupted call starts over. So every stage that
the final one needs, and every package layer of the final stage, is a build of its own on top of the image
before it. That does not change what a Dockerfile says: the steps, one after the other, are the final stage,
and what one build would remember of earlier instructions is said again (`BuildStep.carried`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from factory.dockerfile.instructions import Instruction, expand, set_variables
from factory.dockerfile.model import SCRATCH, Dockerfile, Stage, read_dockerfile

_DIRECTIVE = re.compile(r"#\s*\w+\s*=.*")
_LAYER = re.compile(r"/layers/(?P<name>[^/\s$*?\[]+)/")
_ORIGIN = re.compile(r"(?P<before>(?:--from=|,\"?from=|--mount=\"?from=)[\"']?)(?P<name>[^\s,\"']+)")
_WRITES = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})


@dataclass(frozen=True, kw_only=True)
class BuildStep:
    """A part of the final stage that is one build; ``text`` are its lines.

    The first of them has the number ``first_line`` there. ``layer`` is the name of the package layer that
    it installs, None for any other part. ``carried`` are the instructions of earlier steps that an image does
    not remember: ARG, SHELL, CMD.
    """

    layer: str | None
    first_line: int
    text: str
    carried: tuple[str, ...]
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, kw_only=True)
class BuildSteps:
    """What is built of a Dockerfile; ``preamble`` are directives and ARGs before the first FROM.

    ``stages`` are those before the final one that it needs, in order; ``final`` is whole, and ``steps`` are
    the same lines in parts.
    """

    dockerfile: Dockerfile
    preamble: str
    stages: tuple[Stage, ...]
    final: Stage
    steps: tuple[BuildStep, ...]


def parse_steps(text: str) -> BuildSteps:
    """Split a Dockerfile into what is built one by one.

    A step begins at each ``COPY --from=STAGE /layers/NAME/ …`` of the final stage, and the last one behind
    the RUN that installs the last of them. If that would change what the file means, the final stage is one
    step.
    """
    dockerfile = read_dockerfile(text)
    *before, final = dockerfile.stages or (_whole(dockerfile),)
    return BuildSteps(
        dockerfile=dockerfile,
        preamble=_preamble(dockerfile) if dockerfile.stages else "",
        stages=_needed(before, final),
        final=final,
        steps=tuple(_steps(dockerfile, final)),
    )


def base_references(found: BuildSteps, arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the image that each stage's FROM names with these build arguments, by its text."""
    values = found.dockerfile.argument_values(arguments)
    return {stage.image: expand(stage.image, values) for stage in (*found.stages, found.final)}


def dockerfile_of(
    found: BuildSteps, part: BuildStep | Stage, *, base: str, images: Mapping[str, str], options: str = ""
) -> str:
    """Return the Dockerfile of a part on ``base``; ``images`` are the stages' by name."""
    carried = part.carried if isinstance(part, BuildStep) else ()
    lines = [found.preamble, f"FROM {options}{base}", *carried, _with_images(part, images)]
    return "\n".join(line for line in lines if line) + "\n"


def _whole(dockerfile: Dockerfile) -> Stage:
    """Return a Dockerfile without a FROM as a stage on ``scratch``."""
    return Stage(
        number=0,
        name=None,
        image=SCRATCH,
        head=Instruction(name="FROM", text=SCRATCH, pieces=((1, f"FROM {SCRATCH}"),)),
        first_line=1,
        text="\n".join(dockerfile.lines),
        instructions=dockerfile.instructions,
    )


def _preamble(dockerfile: Dockerfile) -> str:
    directives = []
    for line in dockerfile.lines:
        if not _DIRECTIVE.fullmatch(line.strip()):
            break
        directives.append(line)
    return "\n".join((*directives, *map(dockerfile.text_of, dockerfile.arguments)))


def _needed(before: Sequence[Stage], final: Stage) -> tuple[Stage, ...]:
    """Return the stages that the final one needs, directly or through others, in order."""
    needed: list[Stage] = []
    wanted = _wanted(final)
    for stage in reversed(before):
        if wanted.intersection(stage.names):
            needed.append(stage)
            wanted |= _wanted(stage)
    return tuple(reversed(needed))


def _wanted(stage: Stage) -> set[str]:
    copied = (name for found in stage.instructions for name in found.origins)
    return {name.lower() for name in (stage.image, *copied)}


def _steps(dockerfile: Dockerfile, final: Stage) -> Iterator[BuildStep]:
    instructions = final.instructions
    # The position of the stage's first instruction in the file.
    offset = len(dockerfile.instructions) - len(instructions)
    starts = [0, *_starts(instructions)]
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        before = final.first_line - 1 if start == 0 else dockerfile.end_line(offset + start)
        part = instructions[start:end]
        yield BuildStep(
            layer=next((name for found in part if (name := copied_layer(found))), None),
            first_line=before + 1,
            text="\n".join(dockerfile.lines[before : dockerfile.end_line(offset + end)]),
            carried=tuple(map(dockerfile.text_of, _carried(instructions[:start]))),
            instructions=part,
        )


def _starts(instructions: Sequence[Instruction]) -> list[int]:
    """Return where steps begin, the first one left out."""
    layers = [position for position, found in enumerate(instructions) if copied_layer(found)]
    if not layers:
        return []
    behind = (place for place in range(layers[-1], len(instructions)) if instructions[place].name == "RUN")
    starts = [*layers, next(behind, len(instructions)) + 1]
    if not any(found.name in _WRITES for found in instructions[: layers[0]]):
        # Settings alone make no image of their own.
        starts = starts[1:]
    return [place for place in starts if place < len(instructions) and _may_start(instructions[:place])]


def _may_start(before: Sequence[Instruction]) -> bool:
    """Return whether what follows can be a build of its own.

    An ARG's value may depend on what was set when it was declared; an ONBUILD would fire at once.
    """
    return not any(found.onbuild or (found.name == "ARG" and "$" in found.text) for found in before)


def copied_layer(instruction: Instruction) -> str | None:
    """Return the layer of packages whose lock a ``COPY --from=STAGE /layers/NAME/ …`` copies; None else."""
    if instruction.name != "COPY" or not instruction.origins or len(instruction.sources) != 1:
        return None
    match = _LAYER.fullmatch(instruction.sources[0])
    return match["name"] if match else None


def _carried(before: Sequence[Instruction]) -> Iterator[Instruction]:
    """Yield the instructions that an image built by them does not remember."""
    for position, found in enumerate(before):
        later: dict[str, str] = {}
        for other in before[position + 1 :]:
            if other.name == "ENV":
                set_variables(other, later, {})
        # An ENV of the same name, which the image remembers, has taken its place.
        if found.name == "ARG" and later.keys().isdisjoint(found.declared):
            yield found
    for name in ("SHELL", "CMD"):
        # CMD: an ENTRYPOINT that follows would drop the one of the image below.
        last = next((found for found in reversed(before) if found.name == name), None)
        if last is not None:
            yield last


def _with_images(part: BuildStep | Stage, images: Mapping[str, str]) -> str:
    """Return the lines of a part with stages' images in place of their names."""
    lines = part.text.split("\n")
    for found in part.instructions:
        if not {name.lower() for name in found.origins}.isdisjoint(images):
            for number, _ in found.pieces:
                at = number - part.first_line
                lines[at] = _ORIGIN.sub(
                    lambda match: match["before"] + images.get(match["name"].lower(), match["name"]),
                    lines[at],
                )
    return "\n".join(lines)
