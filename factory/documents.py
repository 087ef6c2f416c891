"""Read JSON and TOML that come from outside: bounded in size and depth, checked against a shape.

Every document of a registry, an index, an image, a layout, another program or a person's folder is read
here, so that none can exhaust memory, overflow the stack or have another shape than the code expects.
"""

import tomllib
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from factory.errors import DocumentError, FactoryError

T = TypeVar("T")
# Larger than any page or manifest seen: the public index's largest page of JSON has about 20 MB.
MAX_BYTES = 64_000_000
# A spec, settings or a description is written by people; a lock of uv's is the largest TOML read here.
MAX_TOML_BYTES = 16_000_000
MAX_DEPTH = 64
_SOLUTION = "Look at the document and at what wrote it; nothing was changed."


def parse_json(
    content: bytes | str,
    shape: type[T],
    *,
    source: str,
    error: type[FactoryError] = DocumentError,
    solution: str = _SOLUTION,
    max_bytes: int = MAX_BYTES,
) -> T:
    """Return a JSON document (RFC 8259) of a given shape.

    Args:
        content: the document, UTF-8.
        shape: what it has to be: ``dict[str, Any]``, ``list[str]``, a TypedDict, a dataclass, nested as
            wanted. Keys that a TypedDict or dataclass does not name are left out; a value of another type
            than the shape says is refused, never converted.
        source: what the document is, for messages: a path, or an address without credentials.
        error: what to raise.
        solution: what to do, for the error.
        max_bytes: the most that is read.

    Raises:
        error: it is too large or too deep, no JSON, or not of the shape.
    """
    _require_size(len(content), max_bytes, source, error, solution)
    try:
        _require_depth(msgspec.json.decode(content) if _may_be_deep(content) else None)
        return msgspec.json.decode(content, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as cause:
        raise error(f"{source} is {_wrong('JSON', cause)}", solution=solution) from cause


def parse_toml(
    text: str | bytes,
    shape: type[T],
    *,
    source: str,
    error: type[FactoryError] = DocumentError,
    solution: str = _SOLUTION,
    max_bytes: int = MAX_TOML_BYTES,
) -> T:
    """Return a TOML document (toml.io 1.0) of a given shape; arguments and errors as for `parse_json`."""
    _require_size(len(text), max_bytes, source, error, solution)
    try:
        document = tomllib.loads(text.decode() if isinstance(text, bytes) else text)
        _require_depth(document)
        return msgspec.convert(document, type=shape)
    except (ValueError, RecursionError) as cause:
        raise error(f"{source} is {_wrong('TOML', cause)}", solution=solution) from cause


def parse_toml_for_edit(
    text: str, *, source: str, error: type[FactoryError] = DocumentError, solution: str = _SOLUTION
) -> tomlkit.TOMLDocument:
    """Return a TOML document whose comments and order survive an edit.

    Raises:
        error: as for `parse_toml`.
    """
    parse_toml(text, dict[str, Any], source=source, error=error, solution=solution)
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as cause:
        raise error(f"{source} is {_wrong('TOML', cause)}", solution=solution) from cause


class _TooDeepError(ValueError):
    pass


def _require_size(size: int, most: int, source: str, error: type[FactoryError], solution: str) -> None:
    if size > most:
        raise error(f"{source} has {size} bytes, more than the {most} that are read", solution=solution)


def _may_be_deep(content: bytes | str) -> bool:
    """Whether a document has brackets enough for a depth that is refused."""
    if isinstance(content, str):
        return content.count("[") + content.count("{") > MAX_DEPTH
    return content.count(b"[") + content.count(b"{") > MAX_DEPTH


def _require_depth(document: object) -> None:
    level: list[object] = [document]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [child for item in level for child in _children(item)]
    raise _TooDeepError


def _children(item: object) -> Iterable[object]:
    values: Iterable[object] = ()
    if isinstance(item, dict):
        values = item.values()
    elif isinstance(item, list):
        values = item
    return [value for value in values if isinstance(value, dict | list)]


def _wrong(language: str, cause: Exception) -> str:
    if isinstance(cause, RecursionError | _TooDeepError):
        return f"nested more than {MAX_DEPTH} deep"
    if isinstance(cause, msgspec.ValidationError):
        return f"not of the expected shape: {cause}"
    return f"not {language}: {cause}"
