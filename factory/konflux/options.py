"""Settings that are given as options: written into ``factory.toml``, so that `factory check` knows them."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tomlkit

from factory.documents import parse_toml_for_edit
from factory.errors import KonfluxError, SpecError
from factory.konflux.settings import (
    DEFAULTS,
    TABLE,
    Settings,
    parse_settings,
    read_document,
    read_settings_text,
)
from factory.konflux.values import check_branch, check_folder, check_image_folder, check_label, check_prefix
from factory.settings import SETTINGS_FILE

_NEW_FILE = """\
# What this repository's flavors have in common. docs/konflux.md of the factory explains every key.

[konflux]
"""
_MISSING = {
    "application": "--application NAME, the Konflux application that the components belong to",
    "output-image": "--output-image PLACE, such as quay.io/ORG/, where the images are in a registry",
}
_CHECKS: Mapping[str, Callable[[str], str]] = {
    "application": partial(check_label, of="application"),
    "service-account": partial(check_label, of="service-account"),
    "output-image": check_image_folder,
    "target-branch": check_branch,
    "component-prefix": partial(check_prefix, of="component-prefix"),
    "out": check_folder,
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
    given = {key: value for key, value in options.items() if value is not None}
    _check(given)
    text = read_settings_text(root)
    old = {} if text is None else read_document(text).get(TABLE, {})
    if not isinstance(old, Mapping):
        raise KonfluxError(f"{SETTINGS_FILE}: {TABLE} is not a table", solution=f"Write it as [{TABLE}].")
    changes = tuple(
        Changed(key=key, old=None if key not in old else str(old[key]), new=value)
        for key, value in given.items()
        if old.get(key, DEFAULTS.get(key)) != value
    )
    _require({*old, *(change.key for change in changes)})
    new = _NEW_FILE if text is None else text
    if changes:
        new = _changed(new, changes)
    settings = parse_settings(new)
    if settings is None:  # what is required is in the table, so the table is there
        raise KonfluxError(f"{SETTINGS_FILE} cannot be written", solution=f"Add [{TABLE}] by hand.")
    return Proposal(settings=settings, changes=changes, text=new if changes else None)


def _check(given: Mapping[str, str]) -> None:
    """An option that is not acceptable is the option's fault, and not the file's."""
    for key, value in given.items():
        if key not in _CHECKS:  # a key without an option: `parse_settings` speaks of it
            continue
        try:
            _CHECKS[key](value)
        except SpecError as error:
            raise KonfluxError(f"--{key}: {error.reason}", solution=error.solution) from error


def _changed(text: str, changes: Iterable[Changed]) -> str:
    """The text with other values in it, in whichever of TOML's ways its table is written."""
    document = parse_toml_for_edit(text, source=SETTINGS_FILE)
    table = document.setdefault(TABLE, tomlkit.table())
    if not isinstance(table, MutableMapping):  # `read_document` has found one there
        raise KonfluxError(f"{SETTINGS_FILE}: {TABLE} is not a table", solution=f"Write it as [{TABLE}].")
    for change in changes:
        table[change.key] = change.new
    new = tomlkit.dumps(document)
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    wanted = read_document(text)
    wanted[TABLE] = wanted.get(TABLE, {}) | {change.key: change.new for change in changes}
    if read_document(new) != wanted:  # never write what says something else
        raise KonfluxError(
            f"{SETTINGS_FILE}: the options cannot be written into [{TABLE}] as it stands there",
            solution=f"Write one table [{TABLE}], its own keys before [{TABLE}.timeouts] and the like.",
        )
    return new


def _require(keys: Iterable[str]) -> None:
    there = frozenset(keys)
    missing = [said for key, said in _MISSING.items() if key not in there]
    if missing:
        raise KonfluxError(
            f"{SETTINGS_FILE} does not say what the PipelineRuns need",
            solution=f"Give {' and '.join(missing)}; it is written into [{TABLE}] of {SETTINGS_FILE}.",
        )
