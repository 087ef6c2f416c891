"""A flavor's ``pyproject.toml``, the only file that a person edits, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from factory.dockerfile.references import parse_requirement
from factory.documents import parse_toml
from factory.errors import NotFoundError, SpecError
from factory.files import read_regular, storage_error
from factory.flavor.spec import Spec, parse_spec

PROJECT_FILE = "pyproject.toml"


@dataclass(frozen=True, kw_only=True)
class Project:
    """The spec and what is resolved: PEP 508 requirements, constraints and overrides, as written."""

    spec: Spec
    dependencies: tuple[str, ...]
    constraints: tuple[str, ...]
    overrides: tuple[str, ...]


def read_project(folder: Path) -> Project:
    """Read the ``pyproject.toml`` of a flavor folder.

    Raises:
        NotFoundError: there is none.
        SpecError: it is not TOML, has no spec, or holds something unacceptable.
        StorageError: it cannot be read.
    """
    return parse_project(read_project_text(folder), where=str(folder / PROJECT_FILE))


def read_project_text(folder: Path) -> str:
    """The text of a flavor's ``pyproject.toml``, with its line endings as they are.

    Raises:
        NotFoundError: there is none.
        SpecError: it is not UTF-8, or begins with a byte order mark, which TOML does not know.
        StorageError: it cannot be read.
    """
    path = folder / PROJECT_FILE
    try:
        text = read_regular(path).decode("utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{folder} has no {PROJECT_FILE}",
            solution="Name a flavor that `factory list` shows, or make one with `factory new-flavor`.",
        ) from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8", solution="Save it as UTF-8; TOML knows no other.") from error
    except OSError as error:
        raise storage_error(path, error) from error
    if text.startswith("\ufeff"):
        raise SpecError(
            f"{path} begins with a byte order mark", solution="Save it as UTF-8 without one (BOM)."
        )
    return text


def parse_project(text: str, *, where: str) -> Project:
    """Read the text of a flavor's ``pyproject.toml``; ``where`` names it in messages.

    Raises:
        SpecError: as for `read_project`.
    """
    document = parse_toml(
        text, dict[str, Any], source=where, error=SpecError, solution="Fix the line that it names."
    )
    tool = _table(document, "tool", where)
    if "factory" not in tool:
        raise SpecError(
            f"{where} has no [tool.factory]: it is not a flavor",
            solution="Make a flavor with `factory new-flavor`, or add the table.",
        )
    if "project" not in document:
        raise SpecError(
            f"{where} has no [project]: nothing says what the image adds to its base",
            solution="Add [project] with name, version, requires-python and dependencies.",
        )
    project = _table(document, "project", where)
    uv = _table(tool, "uv", where)
    return Project(
        spec=parse_spec(_table(tool, "factory", where), where=where),
        dependencies=_requirements(project, "dependencies", where),
        constraints=_requirements(uv, "constraint-dependencies", where),
        overrides=_requirements(uv, "override-dependencies", where),
    )


def _table(parent: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    value = parent.get(key, {})
    if not isinstance(value, dict):
        raise SpecError(f"{where}: {key} is not a table", solution=f"Write [{key}] and its keys below it.")
    return value


def _requirements(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SpecError(f"{where}: {key} is not a list of strings", solution='Write it as ["name>=1.0", …].')
    for item in value:
        try:
            _parse(item)
        except InvalidRequirement as error:
            raise SpecError(
                f"{where}: {key}: {item!r} is not a PEP 508 requirement: {error}",
                solution="Write it as name, name>=1.0 or name[extra]==1.0.",
            ) from error
    return tuple(value)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Requirement:
    """Flavors share most of their requirements, so each is read once a run."""
    return parse_requirement(text)
