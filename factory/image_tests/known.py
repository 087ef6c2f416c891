"""What the tests know to be missing and why that is well: read from ``known.toml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from factory.documents import parse_toml
from factory.errors import ImageTestError


@dataclass(frozen=True, kw_only=True)
class KnownModule:
    """A module (a pattern) that may fail to import with a message that has ``what`` in it."""

    module: str
    what: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class KnownLibrary:
    """A library that a file may not find; both are patterns."""

    file: str
    library: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Known:
    """The two lists."""

    modules: tuple[KnownModule, ...]
    libraries: tuple[KnownLibrary, ...]

    def module(self, name: str, message: str) -> str | None:
        """Why it is well that a module fails so; None where it is not."""
        return next(
            (
                known.reason
                for known in self.modules
                if fnmatchcase(name, known.module) and known.what in message
            ),
            None,
        )

    def library(self, file: str, library: str) -> str | None:
        """Why it is well that a file does not find a library; None where it is not."""
        return next(
            (
                known.reason
                for known in self.libraries
                if fnmatchcase(file, known.file) and fnmatchcase(library, known.library)
            ),
            None,
        )


@cache
def known() -> Known:
    """The lists that come with the factory."""
    return parse_known((files(__package__) / "known.toml").read_text(encoding="utf-8"))


def parse_known(text: str) -> Known:
    """The lists from TOML.

    Raises:
        ImageTestError: an entry lacks a key, has an unknown one, or gives no reason.
    """
    table = parse_toml(text, dict[str, Any], source="known.toml", error=ImageTestError)
    return Known(
        modules=tuple(
            KnownModule(**_strings(entry, ("module", "what", "reason"))) for entry in table.get("modules", ())
        ),
        libraries=tuple(
            KnownLibrary(**_strings(entry, ("file", "library", "reason")))
            for entry in table.get("libraries", ())
        ),
    )


def _strings(entry: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    if set(entry) != set(keys) or not all(isinstance(value, str) and value for value in entry.values()):
        raise ImageTestError(
            f"known.toml: {dict(entry)} has to have {', '.join(keys)} as texts, and nothing else",
            solution="Mend the entry; the reason is what a reader of the report is told.",
        )
    return dict(entry)
