"""A whole Dockerfile: its stages, arguments, and what it takes from images and from the build context."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from factory.dockerfile.instructions import (
    Instruction,
    decoded,
    dockerfile_lines,
    escape_character,
    expand,
    read_instructions,
    set_variables,
)

SCRATCH = "scratch"
_RUN = re.compile(r"\s*run(?=\s)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage: ``head`` is its FROM, ``instructions`` are those after it.

    ``name`` is in lower case, as builders compare names, and None if it has none. ``image`` is what the FROM
    names, variables and all. ``text`` are the lines after the FROM, the first of them ``first_line``.
    """

    number: int
    name: str | None
    image: str
    head: Instruction
    first_line: int
    text: str
    instructions: tuple[Instruction, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names by which a ``COPY --from=`` may refer to it."""
        return (str(self.number), *([self.name] if self.name else []))

    @property
    def options(self) -> str:
        """The options of its FROM as they are written."""
        return self.head.flags_text

    @property
    def is_valid(self) -> bool:
        """Return whether its FROM is one image, and perhaps a name."""
        return len(self.image.split()) == 1


@dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """The lines of a Dockerfile, and its instructions."""

    lines: tuple[str, ...]
    instructions: tuple[Instruction, ...]

    @property
    def escape(self) -> str:
        """The character that continues a line."""
        return escape_character(self.lines)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Its stages, in order; none without a FROM."""
        starts = [place for place, found in enumerate(self.instructions) if found.name == "FROM"]
        ends = (*starts[1:], len(self.instructions))
        return tuple(
            self._stage(number, start, end)
            for number, (start, end) in enumerate(zip(starts, ends, strict=False))
        )

    def _stage(self, number: int, start: int, end: int) -> Stage:
        head = self.instructions[start]
        words = head.operands.split()
        named = len(words) == 3 and words[1].upper() == "AS"  # noqa: PLR2004 - IMAGE AS NAME
        return Stage(
            number=number,
            name=words[2].lower() if named else None,
            image=words[0].strip("\"'") if named else head.operands.strip().strip("\"'"),
            head=head,
            first_line=head.last_line + 1,
            text="\n".join(self.lines[head.last_line : self.end_line(end)]),
            instructions=self.instructions[start + 1 : end],
        )

    def end_line(self, position: int) -> int:
        """Return the number of the last line before an instruction, whose comments belong to it.

        A heredoc's body belongs to the instruction that opens it, as do the lines between the two.
        """
        if position >= len(self.instructions):
            return len(self.lines)
        before = self.instructions[position - 1]
        return self.instructions[position].line - 1 if before.heredoc is not None else before.last_line

    def text_of(self, instruction: Instruction) -> str:
        """Return an instruction as it is written, comments between its lines included."""
        return "\n".join(self.lines[instruction.line - 1 : instruction.last_line])

    @property
    def arguments(self) -> tuple[Instruction, ...]:
        """The ARGs before the first FROM, the only ones that a FROM sees."""
        before = self.instructions
        start = next((place for place, found in enumerate(before) if found.name == "FROM"), len(before))
        return tuple(found for found in before[:start] if found.name == "ARG")

    def argument_values(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the values of the ARGs before the first FROM with these build arguments."""
        values: dict[str, str] = {}
        for instruction in self.arguments:
            set_variables(instruction, values, {})
            values |= {name: given[name] for name in instruction.declared if name in given}
        return values

    @cached_property
    def lineage(self) -> tuple[Stage, ...]:
        """The final stage and those that it builds on, the lowest first."""
        values = self.argument_values({})
        found = list(self.stages[-1:])
        for stage in reversed(self.stages[:-1]):
            if stage.name is not None and stage.name == expand(found[0].image, values).lower():
                found.insert(0, stage)
        return tuple(found)

    @property
    def final(self) -> tuple[Instruction, ...]:
        """The instructions of the stages that make the image, their FROMs left out."""
        return tuple(found for stage in self.lineage for found in stage.instructions)

    def outside_images(self) -> Iterator[tuple[Instruction, str]]:
        """Yield the images that instructions take from, as they are written; stages are left out.

        A stage has its name below its end: neither for its own FROM nor for its own instructions. What is
        no valid FROM is left to the engine.
        """
        names: set[str] = set()
        for stage in self.stages:
            if stage.is_valid and stage.image.lower() not in names:
                yield stage.head, stage.image
            for found in stage.instructions:
                yield from ((found, name) for name in found.origins if name.lower() not in names)
            names.update(stage.names)


@dataclass(frozen=True, kw_only=True)
class ContextSource:
    """A path or pattern that a COPY, ADD or bind mount takes from the context.

    ``.`` is the whole context. ``pattern`` may still hold a variable that nothing sets.
    """

    line: int
    pattern: str


def read_dockerfile(content: bytes | str) -> Dockerfile:
    """Read a Dockerfile. What a builder would refuse is kept: the build will say so."""
    raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
    return parse_lines(dockerfile_lines(raw))


def parse_lines(lines: Sequence[bytes]) -> Dockerfile:
    """Read a Dockerfile that is given as `dockerfile_lines`."""
    text = tuple(decoded(lines))
    return Dockerfile(lines=text, instructions=read_instructions(text))


def context_sources(
    instructions: Sequence[Instruction], given: Mapping[str, str]
) -> tuple[ContextSource, ...]:
    """Return what instructions take from the build context, in order; ``given`` are build arguments.

    Sources that are other images, stages, addresses or heredocs are left out.
    """
    found: list[ContextSource] = []
    outer: dict[str, str] = {}
    stages: dict[str, dict[str, str]] = {}
    scope = outer
    for item in instructions:
        if item.name == "FROM":
            image, *rest = item.operands.split() or [""]
            # A stage goes on with the variables of the one that it builds on.
            scope = dict(stages.get(image.lower(), {}))
            if rest:
                stages[rest[-1].lower()] = scope
        elif item.name in {"ARG", "ENV"}:
            set_variables(item, scope, outer)
            scope |= {name: given[name] for name in item.declared if name in given}
        else:
            found += [
                ContextSource(line=item.line, pattern=_in_context(expand(text, scope)))
                for text in _context_paths(item)
            ]
    return tuple(found)


def _context_paths(item: Instruction) -> Iterator[str]:
    if not item.origins:
        yield from (
            word for word in item.sources if "://" not in word and not word.startswith(("<<", "git@"))
        )
    for mount in item.mounts:
        # bind is what a mount without a type is.
        if mount.get("type", "bind") == "bind" and not mount.get("from"):
            yield mount.get("source") or mount.get("src") or "."


def _in_context(path: str) -> str:
    """Return a path relative to the context's root; what leads out of it stays."""
    return posixpath.normpath(path.lstrip("/") or ".")


def mount_in_every_run(text: str, mount: str) -> str:
    """Return a Dockerfile with ``--mount=…`` in every RUN; all else is kept.

    ``docker build`` knows no ``--volume``; BuildKit's bind mount from a named context does the same.
    """
    lines = text.split("\n")
    for instruction in read_dockerfile(text).instructions:
        number = instruction.line - 1
        if instruction.name == "RUN" and (match := _RUN.match(lines[number])):
            lines[number] = f"{match[0]} --mount={mount}{lines[number][match.end() :]}"
    return "\n".join(lines)
