"""Read a hand-made folder's requirements: its ``pyproject.toml`` and ``requirements.in``."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement

from factory.adopt.folder import Evidence, Folder
from factory.adopt.placement import Placement, line_not_kept
from factory.dockerfile.references import parse_requirement
from factory.documents import parse_toml
from factory.errors import SpecError
from factory.flavor.project import PROJECT_FILE

INDEX_KEYS = (
    *("default-index", "extra-index-url", "find-links", "index", "index-strategy", "index-url", "no-index"),
    "sources",
)


@dataclass(frozen=True, kw_only=True)
class OldProject:
    """The content of a project.

    ``requirements`` are dependencies, constraints and overrides, each with its key; ``extras`` are the
    optional dependencies by their name.
    """

    text: str
    dependencies: tuple[str, ...]
    requirements: tuple[tuple[str, str], ...]
    requires_python: str | None
    index_urls: tuple[Evidence, ...]
    extras: Mapping[str, tuple[str, ...]]


def read_old_project(folder: Folder) -> OldProject | None:
    """Read a folder's ``pyproject.toml``; return None without one.

    Raises:
        SpecError: it is not TOML, or is a flavor's already.
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


def _index_urls(uv: Mapping[str, object]) -> Iterator[Evidence]:
    for where, table in (("[tool.uv]", uv), ("[tool.uv.pip]", _table(uv, "pip"))):
        url = table.get("index-url")
        if isinstance(url, str):
            yield Evidence(value=url, where=f"pyproject.toml, {where} index-url")
    entries = uv.get("index")
    tables = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for entry in sorted(tables, key=lambda entry: not entry.get("default", False)):
        if isinstance(entry.get("url"), str):
            yield Evidence(value=str(entry["url"]), where="pyproject.toml, [[tool.uv.index]]")


def _table(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    return _strings(table.get(key))


def _strings(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


REQUIREMENTS_IN = "requirements.in"
_COMMENT = re.compile(r"(?:^|\s+)#(.*)$")
_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z-]*)(?:\s*=\s*|\s*)(.*)")
_AS_PEP_508 = (
    "Write it as PEP 508 has it, such as name[extra]>=1; marker, and name it in [project] dependencies."
)


@dataclass(frozen=True, kw_only=True)
class AskedRequirement:
    """A requirement beside those of the project, with the reason."""

    requirement: str
    why: str


@dataclass(frozen=True, kw_only=True)
class AskedRequirements:
    """The requirements of a file and its included files; ``left`` cannot be taken over."""

    files: tuple[str, ...]
    asked: tuple[AskedRequirement, ...]
    left: tuple[Placement, ...]


def read_asked(folder: Folder, path: str = REQUIREMENTS_IN) -> AskedRequirements:
    """Read a file of requirements, and the folder's files that it includes (``-r``).

    Raises:
        StorageError: one cannot be read.
    """
    files: list[str] = []
    asked: list[AskedRequirement] = []
    left: list[Placement] = []
    waiting = [path]
    while waiting:
        current = waiting.pop(0)
        if current in files:
            continue
        files.append(current)
        for number, text, comment in _lines(folder.text(current)):
            option = _OPTION.fullmatch(text)
            if option is None:
                problem = pep508_problem(text)
                if problem is None:
                    asked.append(AskedRequirement(requirement=text, why=comment or f"from {current}"))
                else:
                    left.append(line_not_kept(current, number, text, problem, _AS_PEP_508))
                continue
            target = included(folder, current, option[2]) if option[1] in {"-r", "--requirement"} else None
            if target is None:
                left.append(line_not_kept(current, number, text, *_option_left(option[1])))
            else:
                waiting.append(target)
    return AskedRequirements(files=tuple(files), asked=tuple(asked), left=tuple(left))


def unreadable_dependencies(project: OldProject) -> Iterator[Placement]:
    """Yield the invalid requirements of a project."""
    for key, text in project.requirements:
        if (problem := pep508_problem(text)) is not None:
            lines = project.text.splitlines()
            number = next((place for place, line in enumerate(lines, start=1) if text in line), 1)
            yield line_not_kept(PROJECT_FILE, number, f"{key}: {text}", problem, _AS_PEP_508)


def pep508_problem(text: str) -> str | None:
    """Return why a text is not a requirement; None if it is."""
    try:
        parse_requirement(text)
    except InvalidRequirement as error:
        return f"it is no requirement as PEP 508 has it: {str(error).splitlines()[0]}"
    return None


def included(folder: Folder, path: str, named: str) -> str | None:
    """Return the file of the folder that a line names; None if it has none."""
    words = PurePosixPath(path).parent / named.strip().strip("\"'")
    parts: list[str] = []
    for part in words.parts:
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    found = "/".join(parts)
    return found if found in folder.paths else None


def _option_left(name: str) -> tuple[str, str]:
    if name in {"-r", "--requirement"}:
        return "the folder has no such file", "Name what it asks for in [project] dependencies."
    if name in {"-c", "--constraint"}:
        return (
            "a file of limits is not taken over",
            "Name them in constraint-dependencies of [tool.uv], or as `factory bump` writes them.",
        )
    if name in {"-e", "--editable"}:
        return (
            "what is installed from a source tree is in no lock (field note 10)",
            "Have it published on the index as a wheel, then name it in [project] dependencies.",
        )
    return "an option is no requirement; indexes are those of the spec", "Look at index-url of the spec."


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield number, text and comment of each line, continued ones joined."""
    start, waiting = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if waiting else number
        if line.rstrip().endswith("\\"):
            waiting += line.rstrip()[:-1] + " "
            continue
        whole, waiting = waiting + line, ""
        match = _COMMENT.search(whole)
        said = whole[: match.start()] if match else whole
        if said.strip():
            yield start, " ".join(said.split()), match[1].strip() if match else ""
    if waiting.strip():
        yield start, " ".join(waiting.split()), ""
