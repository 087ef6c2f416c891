"""A Dockerfile cut into what is built one by one: its stages, and the final stage's segments.

``podman build --timestamp`` holds for a whole call, and an interrupted call begins anew. So every stage
that the final one needs, and every package layer of the final stage, is a build of its own on top of
the image before it. What a Dockerfile says is not changed by that: the segments, one after the other, are the
final stage, and what one build would remember of earlier instructions is said again (`Segment.carried`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from factory.dockerfile.instructions import Instruction, decoded, dockerfile_lines, read_instructions
from factory.dockerfile.stages import FROM, assign, expand

SCRATCH = "scratch"
_DIRECTIVE = re.compile(r"#\s*\w+\s*=.*")
_LAYER = re.compile(r"(?:--\S+\s+)*--from=\S+\s+(?:--\S+\s+)*/layers/(?P<name>[^/\s$*?\[]+)/\s+\S+")
_FLAGS = re.compile(r"(?:--\S+\s+)*")
_FROM_FLAG = re.compile(r"(?:(?<=--from=)|(?<=,from=)|(?<=,\x22from=)|(?<=--mount=from=))[^\s,\x22]+")
_WRITES = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of the final stage that is one build; ``text`` are its lines as they stand in the file.

    The first of them has the number ``first_line`` there. ``layer`` is the name of the package layer that
    it installs, None for any other part. ``carried`` are the instructions of earlier segments that an
    image does not remember: ARG, SHELL, CMD.
    """

    layer: str | None
    first_line: int
    text: str
    carried: tuple[str, ...]
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage: the names that others call it by, what its FROM names, and its lines after the FROM."""

    names: tuple[str, ...]
    image: str
    options: str
    first_line: int
    text: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A Dockerfile, cut. ``preamble`` are the lines before the first FROM that mean something.

    ``stages`` are those before the final one that it needs, in order; ``final`` is whole there, and
    ``segments`` are the same lines in parts.
    """

    preamble: str
    arguments: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    final: Stage
    segments: tuple[Segment, ...]


def cut(text: str) -> Cut:
    """Cut a Dockerfile.

    A segment begins at each ``COPY --from=STAGE /layers/NAME/ …`` of the final stage, and the last one
    behind the RUN that installs the last of them. Where that would change what the file means, the
    final stage is one segment.
    """
    lines = decoded(dockerfile_lines(text.encode()))
    instructions = read_instructions(lines)
    starts = [position for position, found in enumerate(instructions) if found.name == "FROM"]
    if not starts:
        starts, instructions = [0], (_EMPTY_FROM, *instructions)
    bounds = zip(starts, [*starts[1:], len(instructions)], strict=True)
    stages = tuple(
        _stage(number, lines, instructions[start:end], _end_line(lines, instructions, end))
        for number, (start, end) in enumerate(bounds)
    )
    *before, final = stages
    return Cut(
        preamble=_preamble(lines, instructions[: starts[0]]),
        arguments=tuple(found for found in instructions[: starts[0]] if found.name == "ARG"),
        stages=_needed(before, final),
        final=final,
        segments=tuple(_segments(lines, final)),
    )


def base_references(found: Cut, arguments: Mapping[str, str]) -> dict[str, str]:
    """The image that each stage's FROM names with these build arguments, by what stands in the FROM."""
    scope = argument_values(found, arguments)
    return {stage.image: expand(stage.image, scope) for stage in (*found.stages, found.final)}


def argument_values(found: Cut, arguments: Mapping[str, str]) -> dict[str, str]:
    """What the build arguments are that are declared before the first FROM, given these."""
    scope: dict[str, str] = {}
    for instruction in found.arguments:
        declared: dict[str, str] = {}
        assign(instruction, declared, {})
        for name, value in declared.items():
            scope[name] = expand(value, scope)
        scope |= {name: value for name, value in arguments.items() if name in _declared(instruction)}
    return scope


def declared_arguments(instructions: Iterable[Instruction]) -> frozenset[str]:
    """The names of the build arguments that instructions declare."""
    return frozenset(name for found in instructions if found.name == "ARG" for name in _declared(found))


def stage_references(instruction: Instruction) -> tuple[str, ...]:
    """What an instruction copies or mounts from: stages by name or number, or images."""
    if instruction.name not in {"COPY", "ADD", "RUN"}:
        return ()
    return tuple(_FROM_FLAG.findall(_flags(instruction)))


def copied_paths(instruction: Instruction) -> tuple[str, ...]:
    """The sources of a COPY or ADD, as they are written; nothing for another instruction."""
    if instruction.name not in {"COPY", "ADD"}:
        return ()
    rest = instruction.text[len(_flags(instruction)) :]
    if rest.startswith("["):
        return tuple(re.findall(r'"((?:[^"\\]|\\.)*)"', rest)[:-1])
    return tuple(rest.split()[:-1])


def dockerfile_of(
    found: Cut, part: Segment | Stage, *, base: str, images: Mapping[str, str], options: str = ""
) -> str:
    """The Dockerfile that builds a part on the image ``base``; ``images`` are those of the stages by name."""
    carried = part.carried if isinstance(part, Segment) else ()
    lines = [found.preamble, f"FROM {options}{base}", *carried, _with_images(part, images)]
    return "\n".join(line for line in lines if line) + "\n"


_EMPTY_FROM = Instruction(name="FROM", text=SCRATCH, pieces=((1, "FROM scratch"),))


def _declared(instruction: Instruction) -> frozenset[str]:
    return frozenset(re.findall(r"(?:^|\s)(\w+)(?==|\s|$)", re.sub(r"([\"']).*?\1", "", instruction.text)))


def _flags(instruction: Instruction) -> str:
    match = _FLAGS.match(instruction.text)
    return match[0] if match else ""


def _preamble(lines: Sequence[str], arguments: Sequence[Instruction]) -> str:
    directives = []
    for line in lines:
        if not _DIRECTIVE.fullmatch(line.strip()):
            break
        directives.append(line)
    texts = [_lines_of(lines, found) for found in arguments if found.name == "ARG"]
    return "\n".join((*directives, *texts))


def _lines_of(lines: Sequence[str], instruction: Instruction) -> str:
    """An instruction as it stands in the file, comments between its lines included."""
    return "\n".join(lines[instruction.line - 1 : instruction.pieces[-1][0]])


def _end_line(lines: Sequence[str], instructions: Sequence[Instruction], position: int) -> int:
    """The number of the last line before the instruction at ``position``, whose comments are its own.

    A heredoc's body belongs to the instruction that opens it, and so does what stands between the two.
    """
    if position >= len(instructions):
        return len(lines)
    before = instructions[position - 1]
    return instructions[position].line - 1 if before.heredoc is not None else before.pieces[-1][0]


def _stage(number: int, lines: Sequence[str], instructions: Sequence[Instruction], end: int) -> Stage:
    head, *rest = instructions
    match = FROM.fullmatch(head.text)
    image, name = (match["image"], match["stage"]) if match else (head.text, None)
    start = head.pieces[-1][0] if head is not _EMPTY_FROM else 0
    return Stage(
        names=(str(number), *([name.lower()] if name else [])),
        image=image,
        options=_flags(head),
        first_line=start + 1,
        text="\n".join(lines[start:end]),
        instructions=tuple(rest),
    )


def _needed(before: Sequence[Stage], final: Stage) -> tuple[Stage, ...]:
    """The stages that the final one rests on or copies from, directly or through others, in order."""
    needed: list[Stage] = []
    wanted = _wanted(final)
    for stage in reversed(before):
        if wanted.intersection(stage.names):
            needed.append(stage)
            wanted |= _wanted(stage)
    return tuple(reversed(needed))


def _wanted(stage: Stage) -> set[str]:
    copied = (name for found in stage.instructions for name in stage_references(found))
    return {name.lower() for name in (stage.image, *copied)}


def _segments(lines: Sequence[str], final: Stage) -> Iterator[Segment]:
    instructions = final.instructions
    starts = [0, *_cuts(lines, instructions)]
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        before = final.first_line - 1 if start == 0 else _end_line(lines, instructions, start)
        until = _end_line(lines, instructions, end)
        part = instructions[start:end]
        yield Segment(
            layer=next((name for found in part if (name := _layer(found))), None),
            first_line=before + 1,
            text="\n".join(lines[before:until]),
            carried=tuple(_carried(lines, instructions[:start])),
            instructions=part,
        )


def _cuts(lines: Sequence[str], instructions: Sequence[Instruction]) -> list[int]:
    """Where segments begin, the first one's beginning left out."""
    layers = [position for position, found in enumerate(instructions) if _layer(found)]
    if not layers:
        return []
    behind = (place for place in range(layers[-1], len(instructions)) if instructions[place].name == "RUN")
    cuts = [*layers, next(behind, len(instructions)) + 1]
    if not any(found.name in _WRITES for found in instructions[: layers[0]]):
        # Settings alone make no image of their own.
        cuts = cuts[1:]
    return [place for place in cuts if place < len(instructions) and _may_cut(lines, instructions[:place])]


def _may_cut(lines: Sequence[str], before: Sequence[Instruction]) -> bool:
    """Whether what follows can be a build of its own.

    An ARG's value may hang on what was set when it was declared; an ONBUILD would fire at once.
    """
    texts = (found.text for found in before if found.name == "ARG")
    triggers = (lines[found.line - 1].lstrip()[:7].upper() == "ONBUILD" for found in before)
    return not any("$" in text for text in texts) and not any(triggers)


def _layer(instruction: Instruction) -> str | None:
    if instruction.name != "COPY":
        return None
    match = _LAYER.fullmatch(instruction.text)
    return match["name"] if match else None


def _carried(lines: Sequence[str], before: Sequence[Instruction]) -> Iterator[str]:
    """What an image does not remember of the instructions that it was built by."""
    for position, found in enumerate(before):
        later = [other for other in before[position + 1 :] if other.name == "ENV"]
        # An ENV of the same name, which the image remembers, has taken its place.
        if found.name == "ARG" and not any(
            _sets(other, name) for other in later for name in _declared(found)
        ):
            yield _lines_of(lines, found)
    for name in ("SHELL", "CMD"):
        # CMD: an ENTRYPOINT that follows would drop the one of the image below.
        last = next((found for found in reversed(before) if found.name == name), None)
        if last is not None:
            yield _lines_of(lines, last)


def _sets(instruction: Instruction, name: str) -> bool:
    scope: dict[str, str] = {}
    assign(instruction, scope, {})
    return name in scope


def _with_images(part: Segment | Stage, images: Mapping[str, str]) -> str:
    """The lines of a part with the images of stages in place of their names."""
    lines = part.text.split("\n")
    known = {name.lower() for found in part.instructions for name in stage_references(found)} & set(images)
    if not known:
        return part.text
    for found in part.instructions:
        for number, _ in found.pieces if stage_references(found) else ():
            at = number - part.first_line
            lines[at] = _FROM_FLAG.sub(lambda match: images.get(match[0].lower(), match[0]), lines[at])
    return "\n".join(lines)
