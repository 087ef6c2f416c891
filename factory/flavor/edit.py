"""Edit a flavor's ``pyproject.toml`` and keep its comments, its order and its layout.

Values are set by tomlkit. Arrays of requirements are edited as text where tomlkit finds them (`replace_item`,
`add_item`): its interface reaches no comment in an array, and a floor changes the comment of its line.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import tomlkit
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tomlkit.container import OutOfOrderTableProxy
from tomlkit.items import AbstractTable, Array

from factory import __version__
from factory.documents import VERSION_KEY, parse_toml, parse_toml_for_edit
from factory.errors import DocumentError, SpecError
from factory.flavor.project import PROJECT_FILE
from factory.flavor.spec import Spec

# As the template of a project writes it for the public index.
_UNIX_END = re.compile(r"(?<!\r)\n")


_NO_INDEX = re.compile(r"^# No index-url: [^\r\n]*", re.MULTILINE)


def retarget(text: str, *, old: Spec, new: Spec, old_name: str, name: str) -> str:
    """Return another flavor's ``pyproject.toml`` with only what the new spec changes.

    Exact pins of torch and Training Hub follow the spec; ranges stay, since somebody had a reason for them.
    Comments stay, with the old name in them replaced.
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
    return rename_in_comments(tomlkit.dumps(document), old_name, name)


def respec(text: str, spec: Spec) -> str:
    """Return a ``pyproject.toml`` with another spec, and nothing else changed."""
    document = parse_toml_for_edit(_with_place_for_index(text, spec), source=PROJECT_FILE, error=SpecError)
    _write_spec(document, spec)
    urls = {index.name: index.url for index in spec.indexes}
    for further in _table(_table(document["tool"])["factory"]).get("indexes", ()):
        if further["url"] != urls[further["name"]]:
            further["url"] = urls[further["name"]]
    written = tomlkit.dumps(document)
    # tomlkit adds Unix line ends; in a text with Windows line ends alone they become those.
    return written if _UNIX_END.search(text) else _UNIX_END.sub("\r\n", written)


def renamed(text: str, *, old_name: str, name: str) -> str:
    """Return the ``pyproject.toml`` of an image that is no flavor with another name, in comments too."""
    document = parse_toml_for_edit(text, source=PROJECT_FILE, error=SpecError)
    if "project" in document and _table(document["project"]).get("name") == old_name:
        _table(document["project"])["name"] = name
    return rename_in_comments(tomlkit.dumps(document), old_name, name)


def _with_place_for_index(text: str, spec: Spec) -> str:
    """Replace the comment that there is no index by an empty ``index-url``, which is set afterwards."""
    document = parse_toml_for_edit(text, source=PROJECT_FILE, error=SpecError)
    if spec.index_url is None or "index-url" in _table(_table(document["tool"])["factory"]):
        return text
    return _NO_INDEX.sub('index-url = ""', text, count=1)


def rename_in_comments(text: str, old_name: str, name: str) -> str:
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
    if VERSION_KEY in table:
        table[VERSION_KEY] = __version__
    if tuple(table.get("platforms", ())) != spec.platforms:
        table["platforms"] = list(spec.platforms)


def _table(item: object) -> AbstractTable | OutOfOrderTableProxy:
    """Return the item as a table; reading the project has shown that it is one."""
    if not isinstance(item, AbstractTable | OutOfOrderTableProxy):
        raise TypeError(f"expected a TOML table and found {type(item).__name__}")
    return item


_TOKEN = re.compile(
    r'(?P<string>"""(?:[^"\\]|\\.|"(?!""))*"""'
    r"|'''(?:[^']|'(?!''))*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*')"
    r"|(?P<comment>#[^\r\n]*)"
    r"|(?P<newline>\r?\n)"
    r"|(?P<other>.)",
    re.DOTALL,
)


_INDENT = "    "


# Not in any file, and its first character is not an array's.
_PLACEHOLDER = "the array that is looked for"


Comment = Callable[[str], str]
"""Maps the comment at the end of a line, without its ``#`` ("" for none), to the new one."""


@dataclass(frozen=True, kw_only=True)
class StringArray:
    """The place of an array in a text, from its opening bracket to after its closing one.

    ``items`` are the places of its strings, quotes included.
    """

    start: int
    end: int
    items: tuple[tuple[int, int], ...]


def replace_item(text: str, path: tuple[str, ...], position: int, value: str, comment: Comment) -> str:
    """Replace one item of an array, and the comment at the end of its line.

    Raises:
        SpecError: the text cannot be edited without changing more than that.
    """
    start, end = _find(text, path).items[position]
    written = text[start:end]
    if parse_toml(f"item = {written}", dict[str, str], source="an item")["item"] != value:
        literal = text[start] == "'" and "'" not in value
        written = f"'{value}'" if literal else json.dumps(value, ensure_ascii=False)
    edited = _with_comment(f"{text[:start]}{written}{text[end:]}", start + len(written), comment)
    return _checked(text, edited, path, lambda items: [*items[:position], value, *items[position + 1 :]])


def add_item(text: str, path: tuple[str, ...], value: str, comment: Comment) -> str:
    """Add an item to an array, on its own line unless the array is on one line.

    A missing array or table is added.

    Raises:
        SpecError: the text cannot be edited without changing more than that.
    """
    whole = _with_array(text, path)
    array = _find(whole, path)
    written = json.dumps(value, ensure_ascii=False)
    last = array.items[-1][1] if array.items else array.start + 1
    tail = [match for match in _tokens(whole, last) if match.end() < array.end]
    if array.items and not any(match["newline"] for match in tail):
        edited, end = _beside(whole, written, last, tail)
    else:
        edited, end = _below(whole, written, array, tail)
    return _checked(text, _with_comment(edited, end, comment), path, lambda items: [*items, value])


def _beside(text: str, written: str, last: int, tail: list[re.Match[str]]) -> tuple[str, int]:
    """Put the item on the last one's line; return the text and the item's end."""
    comma = next((match.end() for match in tail if match[0] == ","), None)
    place, added = (last, f", {written}") if comma is None else (comma, f" {written}")
    return f"{text[:place]}{added}{text[place:]}", place + len(added)


def _below(text: str, written: str, array: StringArray, tail: list[re.Match[str]]) -> tuple[str, int]:
    """Put the item on its own line, the array's last; return the text and the item's end."""
    newline = _newline(text, array.start)
    place = next((match.start() for match in reversed(tail) if match["newline"]), None)
    if place is None:
        place, after = array.start + 1, newline + text[array.end - 1 :]
    else:
        after = text[place:]
    head = text[:place]
    if array.items and not any(match[0] == "," for match in tail):
        last = array.items[-1][1]
        head = f"{text[:last]},{text[last:place]}"
    line = f"{head}{newline}{_indent(text, array)}{written},"
    return line + after, len(line)


def _find(text: str, path: tuple[str, ...]) -> StringArray:
    """Find an array: there the text begins to differ from one with a placeholder for the array."""
    try:
        parent: object = (document := parse_toml_for_edit(text, source="the text"))
    except DocumentError as error:
        raise _not_editable(path) from error
    for name in path[:-1]:
        parent = parent[name] if isinstance(parent, MutableMapping) else None
    if not isinstance(parent, MutableMapping) or not isinstance(array := parent.get(path[-1]), Array):
        raise _not_editable(path)
    written = array.as_string()
    parent[path[-1]] = _PLACEHOLDER
    pairs = zip(text, tomlkit.dumps(document), strict=False)
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    end = start + len(written)
    if text[start:end] != written:
        raise _not_editable(path)
    inside = (match for match in _tokens(text, start) if match.end() < end)
    return StringArray(start=start, end=end, items=tuple(match.span() for match in inside if match["string"]))


def _with_array(text: str, path: tuple[str, ...]) -> str:
    """Add an empty array if missing: first in its table, or in a new one."""
    *tables, key = path
    content: object = parse_toml(text, dict[str, Any], source="the text", error=SpecError)
    for name in tables:
        content = content.get(name) if isinstance(content, dict) else None
    if isinstance(content, dict) and key in content:
        return text
    name = r"\s*\.\s*".join(tables)
    if match := re.search(rf"^\[\s*{name}\s*\][^\r\n]*(?:\r?\n|$)", text, re.MULTILINE):
        newline = _newline(text, match.start())
        start = match[0] if match[0].endswith("\n") else match[0] + newline
        return f"{text[: match.start()]}{start}{key} = []{newline}{text[match.end() :]}"
    newline = _newline(text, len(text))
    start = text if text.endswith("\n") or not text else text + newline
    return f"{start}{newline}[{'.'.join(tables)}]{newline}{key} = []{newline}"


def _with_comment(text: str, place: int, comment: Comment) -> str:
    """Replace the comment of a line; ``place`` is on that line, outside of its strings."""
    end = place
    for match in _tokens(text, place):
        if match["newline"]:
            break
        if match["comment"]:
            new = comment(match[0].removeprefix("#").strip())
            return text if new == match[0].removeprefix("#").strip() else _spliced(text, match.span(), new)
        end = match.end()
    new = comment("")
    return f"{text[:end].rstrip()}  # {new}{text[end:]}" if new else text


def _spliced(text: str, span: tuple[int, int], comment: str) -> str:
    written = f"# {comment}" if comment else ""
    return f"{text[: span[0]]}{written}{text[span[1] :]}"


def _tokens(text: str, start: int) -> Iterator[re.Match[str]]:
    return _TOKEN.finditer(text, start)


def _newline(text: str, place: int) -> str:
    """Return the line end of a place's line; the previous line's if it has none."""
    end = text.find("\n", place)
    if end < 0:
        end = text.rfind("\n")
    return "\r\n" if text[max(end - 1, 0) : end + 1] == "\r\n" else "\n"


def _indent(text: str, array: StringArray) -> str:
    """Return the white space before the last item that begins its line."""
    for start, _ in reversed(array.items):
        before = text[:start].rpartition("\n")[2]
        if not before.strip():
            return before
    return _INDENT


def _checked(text: str, edited: str, path: tuple[str, ...], change: Callable[[list[str]], list[str]]) -> str:
    """Return the edited text if it differs from the text in the array alone."""
    expected = parse_toml(text, dict[str, Any], source="the text", error=SpecError)
    parent = expected
    for name in path[:-1]:
        parent = parent.setdefault(name, {})
    parent[path[-1]] = change(parent.get(path[-1], []))
    try:
        if parse_toml(edited, dict[str, Any], source="the text") == expected:
            return edited
    except DocumentError:
        pass
    raise _not_editable(path)


def _not_editable(path: tuple[str, ...]) -> SpecError:
    table, key = ".".join(path[:-1]), path[-1]
    return SpecError(
        f"{key} of [{table}] is written in a way that cannot be edited here without changing more",
        solution=f"Write it below a line [{table}] as {key} = [ … ], one item a line, and try again.",
    )
