"""A hand-made Dockerfile as its steps: each instruction as it is written, its stage, and its block."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from factory.dockerfile.instructions import Instruction, decoded, dockerfile_lines, read_instructions
from factory.dockerfile.shell import exec_form
from factory.dockerfile.stages import FROM, assign, expand
from factory.downstream.blocks import Block, find_blocks
from factory.errors import MarkerError

FLAGS = re.compile(r"^(?:--[a-z]+(?:=\S+)?\s+)*")
"""The flags at the beginning of an instruction's text."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One instruction. ``stage`` counts from 0 and is -1 before the first FROM.

    ``source`` is its lines as they stand, ``comment`` the comment right above them, ``variables`` what
    ARG and ENV have set where it stands (names to values, those without a value left out).
    """

    path: str
    instruction: Instruction
    first_word: str
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
    def normal(self) -> str:
        """The instruction in one line with single blanks, by which two are the same."""
        return f"{self.first_word} {' '.join(self.text.split())}"

    @property
    def shown(self) -> str:
        """The instruction on one line."""
        return f"{self.first_word} {self.text}" if self.first_word == self.name else self.source


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: its name, None without one, and what its FROM builds on, variables put in."""

    name: str | None
    image: str


@dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """The steps and stages of a Dockerfile; ``problem`` says why its MIDSTREAM ONLY blocks cannot be told."""

    path: str
    steps: tuple[Step, ...]
    stages: tuple[Stage, ...]
    problem: str | None

    @property
    def lineage(self) -> tuple[int, ...]:
        """The final stage and those that it builds on, the first of them first: they make the image."""
        found = [len(self.stages) - 1] if self.stages else []
        for number, stage in reversed(list(enumerate(self.stages))):
            if stage.name is not None and stage.name == self.stages[found[0]].image.lower():
                found.insert(0, number)
        return tuple(found)

    @property
    def base_image(self) -> str | None:
        """The image that the final stage comes from, through other stages where it builds on them."""
        return self.stages[self.lineage[0]].image if self.stages else None

    def in_image(self, step: Step) -> bool:
        """Whether an instruction is one of a stage that makes the image."""
        return step.stage in self.lineage


def read_dockerfile(path: str, content: bytes) -> Dockerfile:
    """Read a Dockerfile, whatever is wrong with it; ``path`` is how messages name it."""
    raw = dockerfile_lines(content)
    lines = decoded(raw)
    try:
        blocks, problem = find_blocks(raw), None
    except MarkerError as error:
        blocks, problem = (), error.reason
    steps: list[Step] = []
    stages: list[Stage] = []
    outer: dict[str, str] = {}
    scope = outer
    for instruction in read_instructions(lines):
        if instruction.name == "FROM":
            stages.append(_stage(instruction.text, outer))
            scope = {}
        steps.append(_step(path, instruction, lines, blocks, stage=len(stages) - 1, variables=dict(scope)))
        if instruction.name in {"ARG", "ENV"}:
            assign(instruction, scope, outer)
    return Dockerfile(path=path, steps=tuple(steps), stages=tuple(stages), problem=problem)


def references(text: str) -> frozenset[str]:
    """The names of the variables that a text refers to."""
    return frozenset(re.findall(r"\$\{?([A-Za-z_]\w*)", text))


def shell_text(step: Step) -> str:
    """What the shell is given: exec form as a shell line, without the flags of RUN."""
    text = FLAGS.sub("", step.text)
    words = exec_form(text)
    return text if words is None else shlex.join(words)


def _stage(text: str, outer: dict[str, str]) -> Stage:
    match = FROM.fullmatch(text)
    if match is None:
        return Stage(name=None, image=expand(text, outer))
    return Stage(name=match["stage"].lower() if match["stage"] else None, image=expand(match["image"], outer))


def _step(
    path: str,
    instruction: Instruction,
    lines: Sequence[str],
    blocks: Iterable[Block],
    *,
    stage: int,
    variables: dict[str, str],
) -> Step:
    start, stop = instruction.line - 1, instruction.pieces[-1][0]
    return Step(
        path=path,
        instruction=instruction,
        first_word=instruction.pieces[0][1].split()[0].upper(),
        stage=stage,
        in_block=any(block.start <= start < block.stop for block in blocks),
        source="\n".join(lines[start:stop]).strip(),
        comment=_comment_above(lines, start),
        variables=variables,
    )


def _comment_above(lines: Sequence[str], start: int) -> str:
    """The comment lines right above an instruction, unless they are banners or markers."""
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
