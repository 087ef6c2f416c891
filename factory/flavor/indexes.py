"""The package indexes of a flavor beside its main one: each for named packages, and for no others."""

import re
from dataclasses import dataclass

from packaging.utils import canonicalize_name, is_normalized_name

from factory.flavor.table import Table

MAIN_INDEX = "main"
"""How a flavor's own index (``index-url``) is called where indexes have names."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_KEYS = ("name", "url", "packages")


@dataclass(frozen=True, kw_only=True)
class FurtherIndex:
    """An index that serves the named packages; ``packages`` are normalized names (PEP 503).

    Its name is part of the name of its lock file, ``requirements-NAME.txt``.
    """

    name: str
    url: str
    packages: tuple[str, ...]


def read_further_indexes(table: Table) -> tuple[FurtherIndex, ...]:
    """Read ``[[tool.factory.indexes]]``.

    Raises:
        SpecError: a name is no plain word or is given twice, or an index has no packages, or one that
            another has as well.
    """
    found: list[FurtherIndex] = []
    owners: dict[str, str] = {}
    for entry in table.tables("indexes", keys=_KEYS):
        index = FurtherIndex(
            name=entry.text("name"),
            url=entry.text("url"),
            packages=tuple(_package(entry, name) for name in entry.texts("packages")),
        )
        if not _NAME.fullmatch(index.name) or index.name == MAIN_INDEX:
            raise entry.refuse(
                "name",
                f"{index.name!r} cannot be the name of a further index",
                f"Use lower-case letters, digits and hyphens between them, and not {MAIN_INDEX!r}.",
            )
        if index.name in {other.name for other in found}:
            raise entry.refuse("name", f"{index.name!r} is given twice", "Give each index a name of its own.")
        if not index.packages:
            raise entry.refuse("packages", f"{index.name!r} has none", "Name what it serves, or remove it.")
        for package in index.packages:
            if package in owners:
                raise entry.refuse(
                    "packages",
                    f"{package} is given to {owners[package]!r} and to {index.name!r}",
                    "Give each package to one index.",
                )
            owners[package] = index.name
        found.append(index)
    return tuple(found)


def _package(entry: Table, name: str) -> str:
    normalized = canonicalize_name(name)
    if not is_normalized_name(normalized):
        raise entry.refuse(
            "packages",
            f"{name!r} is not the name of a package",
            "Write the name alone, such as flash-attn; versions belong into dependencies.",
        )
    return normalized
