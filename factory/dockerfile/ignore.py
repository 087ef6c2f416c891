"""What a ``.containerignore`` or ``.dockerignore`` keeps out of a build context."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

IGNORE_FILES = (".containerignore", ".dockerignore")
"""Where the patterns are, the first that is there (podman; docker reads the second alone)."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One line: what it matches, and whether that is taken in again (``!``)."""

    expression: re.Pattern[str]
    taken_in: bool


def read_ignored(text: str) -> tuple[Pattern, ...]:
    """The patterns of an ignore file, in their order (the form is that of Docker's ``.dockerignore``)."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return tuple(_pattern(line) for line in lines if line and not line.startswith("#"))


def is_ignored(path: str, patterns: Iterable[Pattern]) -> bool:
    """Whether a file does not go into the context: the last line that matches it, or a folder of it, says."""
    ignored = False
    for pattern in patterns:
        if ignored == pattern.taken_in and pattern.expression.fullmatch(path):
            ignored = not pattern.taken_in
    return ignored


def _pattern(line: str) -> Pattern:
    taken_in = line.startswith("!")
    path = posixpath.normpath(line.removeprefix("!").strip()).lstrip("/")
    # What lies below a folder that is matched is matched as well.
    return Pattern(expression=re.compile(f"{_expression(path)}(?:/.*)?"), taken_in=taken_in)


def _expression(path: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\\.)", path)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(special.get(part) or _part(part) for part in parts)


def _part(part: str) -> str:
    if part.startswith("[") and part.endswith("]"):
        return part.replace("\\", "\\\\") if not part.startswith("[!") else re.escape(part)
    return re.escape(part.removeprefix("\\"))
