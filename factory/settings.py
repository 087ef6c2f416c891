"""The text of ``factory.toml`` at a repository's root, and which tables it may hold.

The room that owns a table reads it: ``[konflux]`` is read in `factory.konflux.settings`, ``[registries]`` in
`factory.registry.declared`, ``[flavors]`` and ``[images]`` in `factory.images.definitions`.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from factory.documents import parse_toml
from factory.errors import SpecError
from factory.files import read_regular, storage_error

SETTINGS_FILE = "factory.toml"
FLAVORS_FOLDER = "flavors"
"""What makes a folder a repository: the folder in it that holds the flavors."""
TABLES = ("konflux", "registries", "flavors", "images")


def read_settings_text(root: Path) -> str | None:
    """Return the text of ``factory.toml`` with its line ends as they are; None without such a file.

    Raises:
        SpecError: it is not UTF-8.
        StorageError: the file system refused.
    """
    try:
        return read_regular(root / SETTINGS_FILE).decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise SpecError(f"{SETTINGS_FILE} is not UTF-8", solution="Save it as UTF-8.") from error
    except OSError as error:
        raise storage_error(root / SETTINGS_FILE, error) from error


def read_document(text: str) -> dict[str, Any]:
    """Parse the text of a ``factory.toml``, without a look at its keys.

    Raises:
        SpecError: it is not TOML, or nested too deep.
    """
    return parse_toml(
        text,
        dict[str, Any],
        source=SETTINGS_FILE,
        error=SpecError,
        solution="Fix the line that the message names.",
    )


def unknown_tables(document: Collection[str]) -> tuple[str, ...]:
    """Return the keys of a ``factory.toml`` that no room owns, by name."""
    return tuple(sorted(set(document) - set(TABLES)))


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
            solution=f"Known tables: {', '.join(f'[{table}]' for table in TABLES)}.",
        )
    return document
