"""Settings that are given as options: written into ``factory.toml``, so that `factory check` knows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from factory.errors import KonfluxError
from factory.konflux.settings import (
    DEFAULTS,
    SETTINGS_FILE,
    TABLE,
    Settings,
    parse_settings,
    read_settings_text,
)

_NEW_FILE = """\
# What this repository's flavors have in common. docs/konflux.md of the factory explains every key.

[konflux]
"""
_MISSING = {
    "application": "--application NAME, the Konflux application that the components belong to",
    "output-image": "--output-image PREFIX, such as quay.io/ORG/, what the images' names begin with",
}


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A key of ``[konflux]`` that an option sets to another value; ``old`` is None where it was not there."""

    key: str
    old: str | None
    new: str


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The settings with the options of a run, and the file that says so; ``text`` is None where it does."""

    settings: Settings
    changes: tuple[Changed, ...]
    text: str | None


def settings_with(root: Path, options: Mapping[str, str | None]) -> Proposal:
    """The settings of the repository at root with options in their place; an option is None if not given.

    Nothing is written. Comments, order and line ends of the text are those of the file.

    Raises:
        KonfluxError: the file or an option is not acceptable, or what has to be there is not.
        StorageError: the file system refused.
    """
    old = read_settings_text(root)
    try:
        document = tomlkit.parse(_NEW_FILE if old is None else old)
    except TOMLKitError as error:
        raise KonfluxError(
            f"{SETTINGS_FILE} is not TOML: {error}", solution="Mend the line that the message names."
        ) from error
    table = document.setdefault(TABLE, tomlkit.table())
    if not isinstance(table, Table):
        raise KonfluxError(f"{SETTINGS_FILE}: {TABLE} is not a table", solution=f"Write it as [{TABLE}].")
    changes = tuple(
        Changed(key=key, old=None if key not in table else str(table[key]), new=value)
        for key, value in options.items()
        if value is not None and table.get(key, DEFAULTS.get(key)) != value
    )
    for change in changes:
        table[change.key] = change.new
    _require(table)
    text = tomlkit.dumps(document)
    if old is not None and "\r\n" in old and "\n" not in old.replace("\r\n", ""):
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    settings = parse_settings(text)
    if settings is None:  # the table was there a moment ago
        raise KonfluxError(f"{SETTINGS_FILE} cannot be written", solution=f"Add [{TABLE}] by hand.")
    return Proposal(settings=settings, changes=changes, text=text if changes else None)


def _require(table: Table) -> None:
    missing = [said for key, said in _MISSING.items() if key not in table]
    if missing:
        raise KonfluxError(
            f"{SETTINGS_FILE} does not say what the PipelineRuns need",
            solution=f"Give {' and '.join(missing)}; it is written into [{TABLE}] of {SETTINGS_FILE}.",
        )
