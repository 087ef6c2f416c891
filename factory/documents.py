"""Read JSON and TOML that come from outside: bounded in size and depth, checked against a shape.

Every document of a registry, an index, an image, a layout, another program or a person's folder is read
here, so that none can exhaust memory, overflow the stack or have another shape than the code expects.
"""

import datetime as dt
import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import tomlkit
from packaging.version import InvalidVersion, Version
from tomlkit.exceptions import TOMLKitError

from factory import __version__
from factory.errors import DocumentError, FactoryError, SpecError
from factory.files import read_regular
from factory.pages import docs_command

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
        OSError: it is not a regular file, has more than ``max_bytes``, or cannot be read.
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
    """Return a parsed document, which is also kept whole, as a shape; arguments as for `parse_json`.

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


VERSION_KEY = "factory-version"
"""The key of a file's table, or of the file, with the version of the factory that wrote it."""


def written_by(table: Mapping[str, object]) -> str:
    """Return the version of the factory that wrote a file, as it says; empty if it does not."""
    value = table.get(VERSION_KEY)
    return value if isinstance(value, str) else ""


def newer_factory(writer: str) -> str:
    """Return the sentence on a key that is not known here: a newer factory may know it."""
    try:
        newer = bool(writer) and Version(writer) > Version(__version__)
    except InvalidVersion:
        newer = False
    if newer:
        return f"factory {writer} wrote the file, and this is {__version__}: take that one, or a newer one."
    wrote = (
        f"; {'the same' if writer == __version__ else f'factory {writer}'} wrote the file" if writer else ""
    )
    return f"A factory newer than this one, {__version__}, may know more{wrote}."


SPEC_EXAMPLE = f"{docs_command('add-a-flavor')} shows a whole spec"


class TableReader:
    """A table of a hand-edited file, read key by key; unknown keys can be refused.

    Args:
        content: the table.
        where: the file, as messages name it.
        name: the table's own name, such as ``tool.factory``.
        example: the page that shows one, as messages name it.
        written_by: the version of the factory that wrote the file; empty if the file does not say.
    """

    def __init__(
        self,
        content: Mapping[str, object],
        *,
        where: str,
        name: str,
        example: str = SPEC_EXAMPLE,
        written_by: str = "",
    ) -> None:
        self._content = content
        self._where = where
        self._name = name
        self._example = example
        self._written_by = written_by
        self._read: set[str] = set()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the table, in its order."""
        return tuple(self._content)

    def text(self, key: str) -> str:
        """Return a required string.

        Every method raises SpecError if the value has another type.
        """
        value = self.optional_text(key)
        if value is None:
            raise SpecError(
                f"{self._place} lacks {key}",
                solution=f"Add {key}; {self._example}.",
            )
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None if the key is missing."""
        self._read.add(key)
        value = self._content.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong_type(key, "a string")
        return value

    def reason(self, key: str = "reason") -> str:
        """Return a required text that is more than white space."""
        value = self.text(key)
        if not value.strip():
            raise self._wrong_type(key, "a text that says why")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a boolean."""
        self._read.add(key)
        value = self._content.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong_type(key, "true or false, without quotes")
        return value

    def number(self, key: str, *, default: int) -> int:
        """Return an integer."""
        self._read.add(key)
        value = self._content.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong_type(key, "a whole number, without quotes")
        return value

    def date(self, key: str) -> dt.date:
        """Return a local date, such as ``2027-01-31`` without quotes."""
        self._read.add(key)
        value = self._content.get(key)
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            raise self._wrong_type(key, "a date such as 2027-01-31, without quotes")
        return value

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of strings."""
        self._read.add(key)
        value = self._content.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong_type(key, "a list of strings")
        return tuple(value)

    def named_texts(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return a table of strings, as pairs in their order."""
        self._read.add(key)
        value = self._content.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._wrong_type(key, "a table of strings")
        return tuple(value.items())

    def tables(self, key: str, *, keys: Collection[str]) -> "Iterator[TableReader]":
        """Yield the tables of an array; a key that is not in ``keys`` is refused."""
        self._read.add(key)
        value = self._content.get(key, [])
        shape = f"a list of tables with {', '.join(keys)}"
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self._wrong_type(key, shape)
        for entry in value:
            if set(entry) - set(keys):
                raise self._wrong_type(key, shape)
            yield self._below(key, entry)

    def table(self, key: str) -> "TableReader":
        """Return a table in this one, empty if it is missing."""
        self._read.add(key)
        value = self._content.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong_type(key, "a table")
        return self._below(key, value)

    def refuse(self, key: str, problem: str, solution: str) -> SpecError:
        """Return the error for a value that has the right type and is not acceptable."""
        return SpecError(f"{self._place} {key}: {problem}", solution=solution)

    def refuse_the_rest(self) -> None:
        """Raise SpecError if a key was not read."""
        unknown = sorted(set(self._content) - self._read)
        if unknown:
            raise SpecError(
                f"{self._place} has unknown keys: {', '.join(unknown)}",
                solution=f"Known keys: {', '.join(sorted(self._read))}. {newer_factory(self._written_by)}",
            )

    def _below(self, key: str, content: Mapping[str, object]) -> "TableReader":
        return TableReader(
            content,
            where=self._where,
            name=f"{self._name}.{key}",
            example=self._example,
            written_by=self._written_by,
        )

    @property
    def _place(self) -> str:
        return f"{self._where}: [{self._name}]"

    def _wrong_type(self, key: str, expected: str) -> SpecError:
        return SpecError(
            f"{self._place} {key} is not {expected}",
            solution=f"Write {key} as {expected}; {self._example}.",
        )
