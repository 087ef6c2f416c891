"""Read JSON and TOML that come from outside: bounded in size and depth, checked against a shape.

Every document of a registry, an index, an image, a layout, another program or a person's folder is read
here, so that none can exhaust memory, overflow the stack or have another shape than the code expects.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from factory.errors import DocumentError, FactoryError
from factory.files import read_regular

T = TypeVar("T")
# Larger than any page or manifest seen: the public index's largest page of JSON has about 20 MB.
MAX_BYTES = 64_000_000
# A lock of uv's is the largest TOML read here. What is edited is written by people.
MAX_TOML_BYTES = 8_000_000
_MAX_EDITED_BYTES = 1_000_000
MAX_DEPTH = 64
# A number of bytes: not negative, and such that sums of thousands of them stay exact everywhere.
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
# A dotted key of more parts than the depth allows; tomllib's time for one grows with the square of them.
_DEEP_KEY = re.compile(
    r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"""
    rf"{{{MAX_DEPTH}}}"
)
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
        document = msgspec.json.decode(content, type=shape)
        _require_depth(document)
    except (msgspec.MsgspecError, ValueError, RecursionError) as cause:
        raise error(f"{source} is {_wrong('JSON', cause)}", solution=solution) from cause
    return document


def read_json(
    path: Path,
    shape: type[T],
    *,
    error: type[FactoryError] = DocumentError,
    solution: str = _SOLUTION,
    max_bytes: int = MAX_BYTES,
) -> T:
    """Return the JSON document of a file; arguments as for `parse_json`.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: it is no regular file, has more than ``max_bytes``, or cannot be read.
        error: as for `parse_json`.
    """
    content = read_regular(path, limit=max_bytes)
    return parse_json(content, shape, source=str(path), error=error, solution=solution, max_bytes=max_bytes)


def require_shape(
    document: object,
    shape: type[T],
    *,
    source: str,
    error: type[FactoryError] = DocumentError,
    solution: str = _SOLUTION,
) -> T:
    """Return a parsed document as a shape, for one that is also kept whole; arguments as for `parse_json`.

    Raises:
        error: it is not of the shape.
    """
    try:
        return msgspec.convert(document, type=shape)
    except msgspec.ValidationError as cause:
        raise error(f"{source} is {_wrong('', cause)}", solution=solution) from cause


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
        decoded = text.decode() if isinstance(text, bytes) else text
        if _DEEP_KEY.search(decoded):
            raise _TooDeepError
        document = tomllib.loads(decoded)
        _require_depth(document)
        return msgspec.convert(document, type=shape)
    except (ValueError, RecursionError) as cause:
        raise error(f"{source} is {_wrong('TOML', cause)}", solution=solution) from cause


def read_toml(
    path: Path,
    shape: type[T],
    *,
    error: type[FactoryError] = DocumentError,
    solution: str = _SOLUTION,
) -> T:
    """Return the TOML document of a file; arguments as for `parse_toml`, errors as for `read_json`."""
    content = read_regular(path, limit=MAX_TOML_BYTES)
    return parse_toml(content, shape, source=str(path), error=error, solution=solution)


def parse_toml_for_edit(
    text: str, *, source: str, error: type[FactoryError] = DocumentError, solution: str = _SOLUTION
) -> tomlkit.TOMLDocument:
    """Return a TOML document whose comments and order survive an edit.

    Raises:
        error: as for `parse_toml`.
    """
    parse_toml(
        text,
        dict[str, Any],
        source=source,
        error=error,
        solution=solution,
        max_bytes=_MAX_EDITED_BYTES,
    )
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as cause:
        raise error(f"{source} is {_wrong('TOML', cause)}", solution=solution) from cause


class _TooDeepError(ValueError):
    pass


def _require_size(size: int, most: int, source: str, error: type[FactoryError], solution: str) -> None:
    if size > most:
        raise error(f"{source} has {size} bytes, more than the {most} that are read", solution=solution)


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
    elif is_dataclass(item):
        values = vars(item).values()
    return [value for value in values if isinstance(value, dict | list) or is_dataclass(value)]


def _wrong(language: str, cause: Exception) -> str:
    if isinstance(cause, RecursionError | _TooDeepError):
        return f"nested more than {MAX_DEPTH} deep"
    if isinstance(cause, msgspec.ValidationError):
        return f"not of the expected shape: {cause}"
    if "int_max_str_digits" in str(cause):
        return f"not {language} that is read: a number has more than {sys.get_int_max_str_digits()} digits"
    return f"not {language}: {cause}"
