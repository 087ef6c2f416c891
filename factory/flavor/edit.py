"""Edits of a flavor's ``pyproject.toml`` that keep its comments, its order and its layout (tomlkit)."""

import re
from collections.abc import Iterator, Mapping

import tomlkit
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tomlkit.container import OutOfOrderTableProxy
from tomlkit.items import AbstractTable, Array

from factory.documents import parse_toml_for_edit
from factory.errors import SpecError
from factory.flavor.project import PROJECT_FILE
from factory.flavor.spec import Spec

# As the template of a project writes it for the public index.
_UNIX_END = re.compile(r"(?<!\r)\n")
_NO_INDEX = re.compile(r"^# No index-url: [^\r\n]*", re.MULTILINE)


def retarget(text: str, *, old: Spec, new: Spec, old_name: str, name: str) -> str:
    """The ``pyproject.toml`` of a flavor made from another one's: only what the new spec changes.

    Exact pins of torch and Training Hub follow the spec, wherever they stand; ranges stay as they are,
    since somebody had a reason for them. Comments stay, with the old name in them replaced.
    """
    document = parse_toml_for_edit(_with_place_for_index(text, new), source=PROJECT_FILE, error=SpecError)
    project = _table(document["project"])
    project["name"] = name
    if project.get("version") == old.training_hub:
        project["version"] = new.training_hub
    if old.python != new.python:
        project["requires-python"] = f"=={new.python}.*"
    versions = {"torch": new.torch, "training-hub": new.training_hub}
    for array in _requirement_arrays(document):
        _repin(array, versions)
    _write_spec(document, new)
    return _rename_in_comments(tomlkit.dumps(document), old_name, name)


def respec(text: str, spec: Spec) -> str:
    """The ``pyproject.toml`` of a flavor with another spec, and nothing else changed."""
    document = parse_toml_for_edit(_with_place_for_index(text, spec), source=PROJECT_FILE, error=SpecError)
    _write_spec(document, spec)
    urls = {index.name: index.url for index in spec.indexes}
    for further in _table(_table(document["tool"])["factory"]).get("indexes", ()):
        if further["url"] != urls[further["name"]]:
            further["url"] = urls[further["name"]]
    written = tomlkit.dumps(document)
    # What tomlkit adds ends as on Unix; where all lines of the text end as on Windows, so does that.
    return written if _UNIX_END.search(text) else _UNIX_END.sub("\r\n", written)


def _with_place_for_index(text: str, spec: Spec) -> str:
    """The text with an index URL where a comment says that there is none; the value is set afterwards."""
    document = parse_toml_for_edit(text, source=PROJECT_FILE, error=SpecError)
    if spec.index_url is None or "index-url" in _table(_table(document["tool"])["factory"]):
        return text
    return _NO_INDEX.sub('index-url = ""', text, count=1)


def _rename_in_comments(text: str, old_name: str, name: str) -> str:
    whole_name = re.compile(rf"(?<![\w-]){re.escape(old_name)}(?![\w-])")
    lines = text.splitlines(keepends=True)
    return "".join(whole_name.sub(name, line) if line.lstrip().startswith("#") else line for line in lines)


def _requirement_arrays(document: tomlkit.TOMLDocument) -> Iterator[Array]:
    tool = document.get("tool", {})
    uv = tool.get("uv", {}) if isinstance(tool, Mapping) else {}
    for table, key in (
        (document["project"], "dependencies"),
        (uv, "constraint-dependencies"),
        (uv, "override-dependencies"),
    ):
        if isinstance(table, Mapping) and isinstance(array := table.get(key), Array):
            yield array


def _repin(array: Array, versions: Mapping[str, str]) -> None:
    for position, item in enumerate(list(array)):
        requirement = Requirement(str(item))
        version = versions.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier:
            continue
        if all(part.operator in {"==", "==="} for part in requirement.specifier):
            array[position] = _with_pin(requirement, version)


def _with_pin(requirement: Requirement, version: str) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}=={version}{marker}"


def _write_spec(document: tomlkit.TOMLDocument, spec: Spec) -> None:
    table = _table(_table(document["tool"])["factory"])
    values = {
        "accelerator-version": spec.accelerator_version,
        "torch": spec.torch,
        "python": spec.python,
        "training-hub": spec.training_hub,
        "index-url": spec.index_url,
        "base-image": spec.base_image,
        "downstream-base-image": spec.downstream_base_image,
        "name": spec.name,
    }
    for key, value in values.items():
        if value is None:
            table.pop(key, None)
        elif table.get(key) != value:
            table[key] = value
    if tuple(table.get("platforms", ())) != spec.platforms:
        table["platforms"] = list(spec.platforms)


def _table(item: object) -> AbstractTable | OutOfOrderTableProxy:
    """The item as the table that reading the project has shown it to be."""
    if not isinstance(item, AbstractTable | OutOfOrderTableProxy):
        raise TypeError(f"expected a TOML table and found {type(item).__name__}")
    return item
