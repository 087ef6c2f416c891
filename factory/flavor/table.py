"""A TOML table that is read key by key, so that what nobody asked for can be refused."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping

from factory.errors import SpecError


class Table:
    """One table of a file that a person edits. Every reading of the wrong type is a SpecError.

    Args:
        content: the table.
        where: the file, as messages name it.
        name: the table's own name, such as ``tool.factory``.
        example: the page that shows one, as messages name it.
    """

    def __init__(
        self,
        content: Mapping[str, object],
        *,
        where: str,
        name: str,
        example: str = "docs/add-a-flavor.md shows a whole spec",
    ) -> None:
        self._content = content
        self._where = where
        self._name = name
        self._example = example
        self._read: set[str] = set()

    @property
    def keys(self) -> tuple[str, ...]:
        """What stands in the table, in its order."""
        return tuple(self._content)

    def text(self, key: str) -> str:
        """A string that has to be there, and is not blank."""
        value = self.optional_text(key)
        if value is None:
            raise SpecError(
                f"{self._place} lacks {key}",
                solution=f"Add {key}; {self._example}.",
            )
        return value

    def optional_text(self, key: str) -> str | None:
        """A string, or None where there is none."""
        self._read.add(key)
        value = self._content.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong_type(key, "a string")
        return value

    def reason(self, key: str = "reason") -> str:
        """A text for the next reader: there, and more than white space."""
        value = self.text(key)
        if not value.strip():
            raise self._wrong_type(key, "a text that says why")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """A TOML boolean."""
        self._read.add(key)
        value = self._content.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong_type(key, "true or false, without quotes")
        return value

    def number(self, key: str, *, default: int) -> int:
        """A TOML integer."""
        self._read.add(key)
        value = self._content.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong_type(key, "a whole number, without quotes")
        return value

    def date(self, key: str) -> dt.date:
        """A TOML local date, such as ``2027-01-31`` without quotes."""
        self._read.add(key)
        value = self._content.get(key)
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            raise self._wrong_type(key, "a date such as 2027-01-31, without quotes")
        return value

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings."""
        self._read.add(key)
        value = self._content.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong_type(key, "a list of strings")
        return tuple(value)

    def named_texts(self, key: str) -> tuple[tuple[str, str], ...]:
        """A table of strings, as pairs in their order."""
        self._read.add(key)
        value = self._content.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._wrong_type(key, "a table of strings")
        return tuple(value.items())

    def tables(self, key: str, *, keys: Collection[str]) -> "Iterator[Table]":
        """An array of tables, none with a key that is not in ``keys``."""
        self._read.add(key)
        value = self._content.get(key, [])
        shape = f"a list of tables with {', '.join(keys)}"
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self._wrong_type(key, shape)
        for entry in value:
            if set(entry) - set(keys):
                raise self._wrong_type(key, shape)
            yield self._below(key, entry)

    def table(self, key: str) -> "Table":
        """A table in this one; an empty one where there is none."""
        self._read.add(key)
        value = self._content.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong_type(key, "a table")
        return self._below(key, value)

    def refuse(self, key: str, problem: str, solution: str) -> SpecError:
        """The error for a value that is of the right type and not acceptable."""
        return SpecError(f"{self._place} {key}: {problem}", solution=solution)

    def refuse_the_rest(self) -> None:
        """Refuse every key that was not read.

        Raises:
            SpecError: there is one.
        """
        unknown = sorted(set(self._content) - self._read)
        if unknown:
            raise SpecError(
                f"{self._place} has unknown keys: {', '.join(unknown)}",
                solution=f"Known keys: {', '.join(sorted(self._read))}.",
            )

    def _below(self, key: str, content: Mapping[str, object]) -> "Table":
        return Table(content, where=self._where, name=f"{self._name}.{key}", example=self._example)

    @property
    def _place(self) -> str:
        return f"{self._where}: [{self._name}]"

    def _wrong_type(self, key: str, expected: str) -> SpecError:
        return SpecError(
            f"{self._place} {key} is not {expected}",
            solution=f"Write {key} as {expected}; {self._example}.",
        )
