"""Data as YAML of which every string is quoted.

PyYAML's dumper can quote every value, and its Python form takes ten times as long (5 ms a PipelineRun,
measured), while its C form is not everywhere; a file that `factory check` makes again a hundred times a
run has to be both quick and the same on every machine. What is read back is compared in the tests.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

Value = str | int | bool | Sequence["Value"] | Mapping[str, "Value"]

# Kubernetes' words. Of what YAML 1.1 or 1.2 would take for a number, a date, a boolean or null, only the
# words of the second pattern are of this form.
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# Beside the quote and the backslash: what is not printable, and what YAML reads as the end of a line.
_ESCAPED = re.compile('["\\\\\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff\\ufeff\\ufffe\\uffff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_INDENT = "  "
_WIDTH = 110


def to_yaml(value: Mapping[str, Value]) -> str:
    """A YAML document (1.1 and 1.2 read it alike), its keys in the order given, without the ``---``."""
    return "\n".join(_lines(value, "") if value else ("{}",)) + "\n"


def quoted(text: str) -> str:
    """A string as a double-quoted scalar on one line."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or f"\\u{ord(character):04x}"


def _lines(value: Value, indent: str) -> Iterator[str]:
    """The lines of a value that is not on the line of its key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{indent}{_key(key)}:", item, indent + _INDENT)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _item(item, indent)


def _entry(start: str, value: Value, below: str) -> Iterator[str]:
    if (scalar := _scalar(value)) is not None:
        yield from _folded(f"{start} ", scalar, below)
    else:
        yield start
        yield from _lines(value, below)


def _item(value: Value, indent: str) -> Iterator[str]:
    """An item of a list: its first line has the dash in the place of the indent."""
    if (scalar := _scalar(value)) is not None:
        yield from _folded(f"{indent}- ", scalar, indent + _INDENT)
        return
    first, *rest = _lines(value, indent + _INDENT)
    yield f"{indent}- {first.removeprefix(indent + _INDENT)}"
    yield from rest


def _folded(start: str, scalar: str, below: str) -> Iterator[str]:
    """A line broken where it is too long: in a quoted scalar the break is read as the one space it replaces.

    Text with several spaces in a row, or with one at its ends, stays on its line.
    """
    first, *words = scalar.split(" ")
    if len(start) + len(scalar) <= _WIDTH or "" in words or first == '"' or words[-1:] == ['"']:
        yield start + scalar
        return
    part = start + first
    for word in words:
        if len(part) + 1 + len(word) > _WIDTH:
            yield part
            part = below + word
        else:
            part += f" {word}"
    yield part


def _scalar(value: Value) -> str | None:
    """What stands on one line; None for what takes lines of its own."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if value:
        return None
    return "{}" if isinstance(value, Mapping) else "[]"


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS else quoted(key)
