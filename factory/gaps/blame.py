"""Who requires what, and what is not there, read from uv's explanation of a failed resolution.

uv has no machine-readable form of it. What is read here points at names, and whether the index lacks
one of them is then looked up: a wording that changes costs completeness, never truth.
"""

import re
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from factory.dockerfile.references import parse_requirement

# How the project is called among the owners of requirements.
PROJECT = "pyproject.toml"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_CLAUSE = r"(?:===|==|~=|!=|<=|>=|<|>)[A-Za-z0-9.*+!_-]*[A-Za-z0-9*]"
_REQUIREMENT = rf"{_NAME}(?:\[[A-Za-z0-9,._-]+\])?(?:{_CLAUSE}(?:,{_CLAUSE})*)?"
_DEPENDS = re.compile(
    rf"(?:(?P<by>{_REQUIREMENT}) depends?|(?<!conclude that\s)you require|"
    rf"all versions of (?P<every>{_REQUIREMENT}) depend)"
    rf"(?: on)?(?: one of:\n(?P<choice>(?:[ \t]+{_REQUIREMENT}[ \t]*(?:\n|$))+)| (?P<one>{_REQUIREMENT}))"
)
_ABSENT = re.compile(
    rf"(?P<subject>{_REQUIREMENT}) (?:has no |was not found|was yanked|requires Python)"
    rf"|only (?P<only>{_REQUIREMENT}) is available"
    rf"|no versions? of (?P<version>{_REQUIREMENT})"
    rf"|versions of (?P<listed>{_NAME}) are available"
)
_NEEDS_PYTHON = re.compile(rf"(?P<subject>{_REQUIREMENT}) requires Python (?P<python>[<>=!~0-9.,*]*[0-9*])")


@dataclass(frozen=True, kw_only=True)
class Need:
    """A requirement and who has it: None is the project. Several requirements are a choice."""

    by: str | None
    requirements: tuple[Requirement, ...]

    @property
    def package(self) -> str:
        """The normalized name of what is required."""
        return canonicalize_name(self.requirements[0].name)


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The names that an explanation calls absent, and the requirements that it goes through.

    ``pythons`` are versions that want another Python, and which: not every index's pages tell.
    """

    absent: frozenset[str]
    needs: tuple[Need, ...]
    pythons: tuple[tuple[Requirement, str], ...] = ()


def read_blame(explanation: str) -> Blame:
    """Read uv's explanation (the text under "No solution found when resolving dependencies")."""
    needs = []
    for match in _DEPENDS.finditer(explanation):
        found = _requirements((match["choice"] or match["one"]).split())
        if found:
            needs.append(Need(by=match["by"] or match["every"], requirements=found))
    absent = [word for match in _ABSENT.finditer(explanation) for word in match.groupdict().values() if word]
    names = frozenset(canonicalize_name(requirement.name) for requirement in _requirements(absent))
    pythons = tuple(
        (requirement, match["python"])
        for match in _NEEDS_PYTHON.finditer(explanation)
        for requirement in _requirements([match["subject"]])
    )
    return Blame(absent=names, needs=tuple(dict.fromkeys(needs)), pythons=pythons)


def _requirements(words: list[str]) -> tuple[Requirement, ...]:
    found = []
    for word in words:
        try:
            found.append(parse_requirement(word))
        except InvalidRequirement:
            continue
    return tuple(found)
