"""The text of ``factory.toml`` at a repository's root, and which tables it may hold.

The room that owns a table reads it: ``[konflux]`` is read in `factory.konflux.settings`, ``[registries]`` in
`factory.registry.declared`, ``[flavors]`` and ``[images]`` in `factory.images.catalogue`, ``[mirrors]`` and
``builder`` in `factory.images.mirrors`. ``factory.local.toml`` beside it, which git ignores, may hold the
last two: what is so on this machine alone.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from factory.documents import VERSION_KEY, newer_factory, parse_toml, written_by
from factory.errors import SpecError
from factory.files import read_regular, storage_error

SETTINGS_FILE = "factory.toml"
LOCAL_SETTINGS_FILE = "factory.local.toml"
"""What is so on this machine alone; it takes precedence over ``factory.toml``, and is in no commit."""
FLAVORS_FOLDER = "flavors"
"""What makes a folder a repository: the folder in it that holds the flavors."""
BUILDER_KEY, MIRRORS_TABLE = "builder", "mirrors"
LOCAL_KEYS = (BUILDER_KEY, MIRRORS_TABLE)
TABLES = ("konflux", "registries", "flavors", "images", *LOCAL_KEYS)


def read_settings_text(root: Path, name: str = SETTINGS_FILE) -> str | None:
    """Return the text of ``factory.toml`` with its line ends as they are; None without such a file.

    Raises:
        SpecError: it is not UTF-8.
        StorageError: the file system refused.
    """
    try:
        return read_regular(root / name).decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise SpecError(f"{name} is not UTF-8", solution="Save it as UTF-8.") from error
    except OSError as error:
        raise storage_error(root / name, error) from error


def read_document(text: str, name: str = SETTINGS_FILE) -> dict[str, Any]:
    """Parse the text of a ``factory.toml``, or a file of another name, without a look at its keys.

    Raises:
        SpecError: it is not TOML, or nested too deep.
    """
    return parse_toml(
        text,
        dict[str, Any],
        source=name,
        error=SpecError,
        solution="Fix the line that the message names.",
    )


def unknown_tables(document: Collection[str]) -> tuple[str, ...]:
    """Return the keys of a ``factory.toml`` that no room owns, by name."""
    return tuple(sorted(set(document) - {*TABLES, VERSION_KEY}))


def read_settings(root: Path) -> dict[str, Any]:
    """Read a repository's ``factory.toml``; empty without one.

    Raises:
        SpecError: it is not UTF-8, not TOML, or has an unknown table.
        StorageError: the file system refused.
    """
    document = read_document(read_settings_text(root) or "")
    if unknown := unknown_tables(document):
        raise SpecError(
            f"{SETTINGS_FILE} has unknown tables or keys: {', '.join(unknown)}",
            solution=f"Known: {', '.join(TABLES)}. {newer_factory(written_by(document))}",
        )
    return document


def read_local_settings(root: Path) -> dict[str, Any]:
    """Read a repository's ``factory.local.toml``; empty without one.

    Raises:
        SpecError: it is not UTF-8, not TOML, or has a key that only ``factory.toml`` may have.
        StorageError: the file system refused.
    """
    text = read_settings_text(root, LOCAL_SETTINGS_FILE)
    document = read_document(text or "", LOCAL_SETTINGS_FILE)
    if unknown := sorted(set(document) - set(LOCAL_KEYS)):
        raise SpecError(
            f"{LOCAL_SETTINGS_FILE} has keys that are not settings of one machine: {', '.join(unknown)}",
            solution=f"It may hold {' and '.join(LOCAL_KEYS)}; write the others into {SETTINGS_FILE}, which "
            "is committed.",
        )
    return document
