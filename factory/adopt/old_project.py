"""The ``pyproject.toml`` of a hand-made folder, as far as a spec is read from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from factory.adopt.folder import Folder
from factory.adopt.old_lock import Named
from factory.documents import parse_toml
from factory.errors import SpecError
from factory.flavor.project import PROJECT_FILE

INDEX_KEYS = (
    *("default-index", "extra-index-url", "find-links", "index", "index-strategy", "index-url", "no-index"),
    "sources",
)


@dataclass(frozen=True, kw_only=True)
class OldProject:
    """What a project says.

    ``requirements`` are dependencies, constraints and overrides, each with the key that it stands under;
    ``extras`` are the optional dependencies by their name.
    """

    text: str
    dependencies: tuple[str, ...]
    requirements: tuple[tuple[str, str], ...]
    requires_python: str | None
    index_urls: tuple[Named, ...]
    extras: Mapping[str, tuple[str, ...]]


def read_old_project(folder: Folder) -> OldProject | None:
    """Read a folder's ``pyproject.toml``; None without one.

    Raises:
        SpecError: it is not TOML, or that of a flavor already.
        StorageError: it cannot be read.
    """
    if PROJECT_FILE not in folder.paths:
        return None
    path = folder.root / PROJECT_FILE
    try:
        text = folder.content(PROJECT_FILE).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8: {error}", solution="Save it as UTF-8.") from error
    document = parse_toml(
        text, dict[str, Any], source=str(path), error=SpecError, solution="Fix the line that it names."
    )
    tool = _table(document, "tool")
    if "factory" in tool:
        raise SpecError(
            f"{path} has [tool.factory]: the folder is a flavor already",
            solution="Use `factory new-flavor --from` to make another one of it.",
        )
    project, uv = _table(document, "project"), _table(tool, "uv")
    dependencies = _texts(project, "dependencies")
    extras = {name: _strings(value) for name, value in _table(project, "optional-dependencies").items()}
    keys = (
        ("dependencies", dependencies),
        ("constraint-dependencies", _texts(uv, "constraint-dependencies")),
        ("override-dependencies", _texts(uv, "override-dependencies")),
    )
    requires = project.get("requires-python")
    return OldProject(
        text=text,
        dependencies=dependencies,
        requirements=tuple((key, item) for key, items in keys for item in items),
        requires_python=requires if isinstance(requires, str) else None,
        index_urls=tuple(_index_urls(uv)),
        extras=extras,
    )


def _index_urls(uv: Mapping[str, object]) -> Iterator[Named]:
    for where, table in (("[tool.uv]", uv), ("[tool.uv.pip]", _table(uv, "pip"))):
        url = table.get("index-url")
        if isinstance(url, str):
            yield Named(value=url, where=f"pyproject.toml, {where} index-url")
    entries = uv.get("index")
    tables = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for entry in sorted(tables, key=lambda entry: not entry.get("default", False)):
        if isinstance(entry.get("url"), str):
            yield Named(value=str(entry["url"]), where="pyproject.toml, [[tool.uv.index]]")


def _table(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    return _strings(table.get(key))


def _strings(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
