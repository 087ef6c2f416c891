"""A hand-made Dockerfile: each instruction as written, its stage, and its block."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from factory.adopt.folder import Evidence
from factory.check.installs import PipCall, pip_call
from factory.dockerfile.instructions import Instruction, dockerfile_lines, expand, set_variables
from factory.dockerfile.model import Dockerfile, parse_lines
from factory.downstream.blocks import find_blocks
from factory.errors import MarkerError, NotFoundError, SpecError


@dataclass(frozen=True, kw_only=True)
class OldInstruction:
    """One instruction. ``stage`` counts from 0 and is -1 before the first FROM.

    ``source`` is its original lines, ``comment`` the comment right above them, ``variables`` the ARG and ENV
    variables set above it (names to values, without those that have none).
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
        """Return the text after the name, on one line."""
        return self.instruction.text

    @property
    def line(self) -> int:
        """The number of its first line."""
        return self.instruction.line

    @property
    def where(self) -> str:
        """Return the file and the line, for people."""
        return f"{self.path}, line {self.line}"

    @property
    def pip_calls(self) -> tuple[PipCall, ...]:
        """The calls of pip in a RUN."""
        return tuple(filter(None, map(pip_call, self.instruction.commands)))

    @property
    def first_word(self) -> str:
        """``ONBUILD`` of a trigger, else the name."""
        return "ONBUILD" if self.instruction.onbuild else self.name

    @property
    def normal(self) -> str:
        """Return the instruction on one line with single blanks, for comparison."""
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
        """The image that the final stage comes from, through the stages below it."""
        return self.image(self.lineage[0]) if self.content.stages else None

    def image(self, stage: int) -> str:
        """Return the image that a stage builds on, variables expanded."""
        return expand(self.content.stages[stage].image, self.content.argument_values({}))

    def in_image(self, step: OldInstruction) -> bool:
        """Return whether an instruction is in a stage that makes the image."""
        return step.stage in self.lineage


def read_old_dockerfile(path: str, content: bytes) -> OldDockerfile:
    """Read a Dockerfile, whatever is wrong with it; messages call it ``path``."""
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
            set_variables(instruction, scope, outer)
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


_KONFLUX = re.compile(
    r"(?:Docker|Container)file(?:[.-]konflux(?:[.-](?P<after>.+))?|[.-](?P<before>.+)[.-]konflux)"
)
_MIDSTREAM = re.compile(r"(?:Docker|Container)file(?:[.-](?P<suffix>.+))?")
_ACCELERATOR = re.compile(r"(?<![a-z])(cuda|rocm|cpu)(?![a-z])")
_LEFT_OVER = re.compile(r"(?:.*[.-])?(?:bak|backup|old|orig|rej|save|swp|tmp|dockerignore)|.*~")


@dataclass(frozen=True, kw_only=True)
class DockerfileVariant:
    """A Dockerfile of a folder, with the suffix and accelerator in its name."""

    path: str
    suffix: str
    accelerator: str | None
    is_downstream: bool


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The Dockerfile that builds the flavor, if any, the reason, and the other candidates."""

    path: str | None
    why: str = ""
    others: tuple[DockerfileVariant, ...] = ()


def variants(paths: Collection[str], *, downstream: bool) -> tuple[DockerfileVariant, ...]:
    """Return the Dockerfiles of one kind at the top of a folder, without editors' copies."""
    found = (_variant(path) for path in paths if "/" not in path)
    return tuple(each for each in found if each is not None and each.is_downstream == downstream)


def choose(
    candidates: Sequence[DockerfileVariant],
    *,
    asked: str | None,
    option: str,
    accelerators: Sequence[Evidence],
    sure: bool,
) -> Chosen:
    """Choose the Dockerfile of the folder's accelerator.

    Args:
        candidates: those of one kind.
        asked: the option's path.
        option: the option's name, for messages.
        accelerators: the evidence of the folder's accelerator, the most reliable first.
        sure: whether the first of them counts even if others differ.

    Raises:
        NotFoundError: the requested one does not exist.
        SpecError: several are possible, or all are for other accelerators.
    """
    if asked is not None:
        found = next((each for each in candidates if each.path == asked), None)
        if found is None:
            named = ", ".join(each.path for each in candidates) or "none"
            raise NotFoundError(
                f"--{option} {asked}: the folder has no such Dockerfile", solution=f"It has: {named}."
            )
        return _chosen(found, candidates, f"--{option}")
    if not candidates:
        return Chosen(path=None)
    values = dict.fromkeys(each.value for each in accelerators)
    is_known = bool(values) and (sure or len(values) == 1)
    if len(candidates) == 1 and (candidates[0].accelerator is None or not is_known):
        return _chosen(candidates[0], (), "the only one" if candidates[0].suffix else "")
    if is_known:
        return _of_accelerator(candidates, accelerators[0], option)
    said = "; ".join(f"{each.where} says {each.value}" for each in accelerators) or "nothing else says which"
    raise SpecError(
        f"the folder has {_named(candidates)}, and {said}",
        solution=f"Give --accelerator {'|'.join(_accelerators(candidates)) or 'NAME'}, or the file itself "
        f"with --{option} FILE.",
    )


def choose_if_clear(candidates: Sequence[DockerfileVariant], accelerators: Sequence[Evidence]) -> Chosen:
    """Choose as `choose` does; return None if several are possible."""
    try:
        return choose(
            candidates, asked=None, option="downstream-dockerfile", accelerators=accelerators, sure=True
        )
    except SpecError:
        return Chosen(path=None, others=tuple(candidates))


def _of_accelerator(candidates: Sequence[DockerfileVariant], accelerator: Evidence, option: str) -> Chosen:
    plain = [each for each in candidates if not each.suffix]
    fitting = [each for each in candidates if each.accelerator == accelerator.value]
    unknown = [each for each in candidates if each.suffix and each.accelerator is None]
    possible = [*plain, *fitting] or unknown
    if len(possible) == 1:
        why = "" if possible[0] in plain else f"for {accelerator.value}, as {accelerator.where} says"
        return _chosen(possible[0], candidates, why)
    where = f"{accelerator.value} ({accelerator.where})"
    instead = " or --downstream-base-image REF" if option.startswith("downstream") else ""
    if possible:
        raise SpecError(
            f"{_named(possible)} could each be the one for {where}",
            solution=f"Give the one that counts: --{option} {possible[0].path}",
        )
    raise SpecError(
        f"the folder is for {where}, and has {_named(candidates)}: none of them is for it",
        solution=f"Give --accelerator {'|'.join(_accelerators(candidates))} if the folder is for another, "
        f"else --{option} FILE{instead}.",
    )


def _chosen(variant: DockerfileVariant, candidates: Sequence[DockerfileVariant], why: str) -> Chosen:
    others = tuple(each for each in candidates if each is not variant)
    return Chosen(path=variant.path, why=why, others=others)


def _variant(path: str) -> DockerfileVariant | None:
    konflux = _KONFLUX.fullmatch(path)
    match = konflux or _MIDSTREAM.fullmatch(path)
    if match is None or _LEFT_OVER.fullmatch(path):
        return None
    groups = match.groupdict()
    suffix = next((text for text in groups.values() if text), "")
    named = _ACCELERATOR.search(suffix.lower())
    return DockerfileVariant(
        path=path,
        suffix=suffix,
        accelerator=named[1] if named else None,
        is_downstream=konflux is not None,
    )


def _accelerators(candidates: Sequence[DockerfileVariant]) -> list[str]:
    return list(dict.fromkeys(each.accelerator for each in candidates if each.accelerator))


def _named(candidates: Sequence[DockerfileVariant]) -> str:
    names = [each.path for each in candidates]
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
