"""A hand-made Dockerfile: each instruction as it is written, its stage, and its block."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from factory.dockerfile.instructions import Instruction, assign, dockerfile_lines, expand
from factory.dockerfile.model import Dockerfile, parse_lines
from factory.downstream.blocks import find_blocks
from factory.errors import MarkerError


@dataclass(frozen=True, kw_only=True)
class OldInstruction:
    """One instruction. ``stage`` counts from 0 and is -1 before the first FROM.

    ``source`` is its lines as they are, ``comment`` the comment right above them, ``variables`` what ARG and
    ENV have set above it (names to values, those without a value left out).
    """

    path: str
    instruction: Instruction
    stage: int
    in_block: bool
    source: str
    comment: str
    variables: dict[str, str]

    @property
    def name(self) -> str:
        """The name of the instruction, in capitals."""
        return self.instruction.name

    @property
    def text(self) -> str:
        """What follows the name, on one line."""
        return self.instruction.text

    @property
    def line(self) -> int:
        """The number of its first line."""
        return self.instruction.line

    @property
    def where(self) -> str:
        """The file and the line, for people."""
        return f"{self.path}, line {self.line}"

    @property
    def first_word(self) -> str:
        """``ONBUILD`` of a trigger, else the name."""
        return "ONBUILD" if self.instruction.onbuild else self.name

    @property
    def normal(self) -> str:
        """The instruction on one line with single blanks, by which two are the same."""
        return f"{self.first_word} {' '.join(self.text.split())}"

    @property
    def shown(self) -> str:
        """The instruction on one line."""
        return self.source if self.instruction.onbuild else f"{self.name} {self.text}"


@dataclass(frozen=True, kw_only=True)
class OldDockerfile:
    """A Dockerfile with its instructions in context; ``problem`` says why its blocks cannot be read."""

    path: str
    content: Dockerfile
    steps: tuple[OldInstruction, ...]
    problem: str | None

    @property
    def lineage(self) -> tuple[int, ...]:
        """The numbers of the stages that make the image, the lowest first."""
        return tuple(stage.number for stage in self.content.lineage)

    @property
    def base_image(self) -> str | None:
        """The image that the final stage comes from, through other stages if it builds on them."""
        return self.image(self.lineage[0]) if self.content.stages else None

    def image(self, stage: int) -> str:
        """Return what a stage builds on, variables put in."""
        return expand(self.content.stages[stage].image, self.content.argument_values({}))

    def in_image(self, step: OldInstruction) -> bool:
        """Return whether an instruction is one of a stage that makes the image."""
        return step.stage in self.lineage


def read_old_dockerfile(path: str, content: bytes) -> OldDockerfile:
    """Read a Dockerfile, whatever is wrong with it; ``path`` is how messages name it."""
    raw = dockerfile_lines(content)
    dockerfile = parse_lines(raw)
    try:
        blocks, problem = find_blocks(raw), None
    except MarkerError as error:
        blocks, problem = (), error.reason
    steps: list[OldInstruction] = []
    outer: dict[str, str] = {}
    scope, stage = outer, -1
    for instruction in dockerfile.instructions:
        if instruction.name == "FROM":
            scope, stage = {}, stage + 1
        start = instruction.line - 1
        steps.append(
            OldInstruction(
                path=path,
                instruction=instruction,
                stage=stage,
                in_block=any(block.start <= start < block.stop for block in blocks),
                source=dockerfile.text_of(instruction).strip(),
                comment=_comment_above(dockerfile.lines, start),
                variables=dict(scope),
            )
        )
        if instruction.name in {"ARG", "ENV"}:
            assign(instruction, scope, outer)
    return OldDockerfile(path=path, content=dockerfile, steps=tuple(steps), problem=problem)


def _comment_above(lines: Sequence[str], start: int) -> str:
    """Return the comment lines right above an instruction, unless they are banners or markers."""
    found: list[str] = []
    for line in reversed(lines[:start]):
        text = line.strip()
        if not text.startswith("#") or re.search(
            r"#{8,}|MIDSTREAM|from hooks\.[a-z-]+ in pyproject", text, re.IGNORECASE
        ):
            break
        found.insert(0, text)
    whole = len(found) == start or not lines[start - len(found) - 1].strip().startswith("#")
    return "\n".join(found) if whole else ""
