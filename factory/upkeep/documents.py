"""Reading JSON documents of somebody else: every value has the type that is expected, or is refused."""

from collections.abc import Mapping
from typing import TypeVar

Kind = TypeVar("Kind")


def typed(value: object, kind: type[Kind], what: str) -> Kind:
    """The value, if it is of that type.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{what} is {type(value).__name__}, not {kind.__name__}")  # noqa: TRY004 - as json's
    return value


def objects(record: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """A list of objects, empty where it is not there; raises ValueError as `typed` does."""
    return [typed(item, dict, key) for item in typed(record.get(key) or [], list, key)]


def texts(record: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of strings, empty where it is not there; raises ValueError as `typed` does."""
    return tuple(typed(item, str, key) for item in typed(record.get(key) or [], list, key))


def optional_text(record: Mapping[str, object], key: str) -> str | None:
    """A string, None where it is not there; raises ValueError as `typed` does."""
    value = record.get(key)
    return None if value is None else typed(value, str, key)


def text(record: Mapping[str, object], key: str) -> str:
    """A string that can be printed.

    Raises:
        ValueError: it is not there, is no string, is empty or has control characters.
    """
    value = typed(record.get(key), str, key)
    if not value or not value.isprintable():
        raise ValueError(f"{key} is empty, or has characters that nothing prints")
    return value


def one_line(value: str) -> str:
    """The first line of a text that says something, without what a terminal would obey."""
    line = next((line for line in value.splitlines() if line.strip()), "")
    return "".join(character for character in " ".join(line.split()) if character.isprintable())
