"""Reading a folder of advisories in the OSV format: what each says, and about which packages.

The format is https://ossf.github.io/osv-schema/ in JSON, one advisory a file, in any tree of folders:
as OSV exports a whole ecosystem, as GitHub's and PyPA's advisories are kept after OSV has taken them
over. What cannot be read is an error and never passed over: it could be the one that matters.
"""

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from factory.clock import parse_moment
from factory.documents import read_json
from factory.errors import AdvisoryError, DocumentError
from factory.upkeep.documents import objects, one_line, optional_text, text, texts, typed

_ECOSYSTEM = "PyPI"
_EVENTS = ("introduced", "fixed", "last_affected", "limit")
# A range of commits says nothing about a version.
_COMMITS = "GIT"


@dataclass(frozen=True, kw_only=True)
class Affected:
    """What of one package is affected: ranges as events (what happens, at which version), and versions."""

    package: NormalizedName
    ranges: tuple[tuple[tuple[str, str], ...], ...]
    versions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """One advisory. ``affected`` holds packages of PyPI only; ``rating`` is a word such as ``HIGH``.

    ``severity`` is a CVSS vector as given, ``source`` the file that it was read from.
    """

    id: str
    aliases: tuple[str, ...]
    modified: dt.datetime
    withdrawn: bool
    summary: str
    rating: str | None
    severity: str | None
    affected: tuple[Affected, ...]
    source: str

    @property
    def ids(self) -> tuple[str, ...]:
        """Its own id and those of the same vulnerability elsewhere."""
        return (self.id, *self.aliases)


@dataclass(frozen=True, kw_only=True)
class Database:
    """The advisories of a folder by the package that they affect, without those that were withdrawn.

    ``count`` is how many there are for PyPI, ``modified`` when the newest of them was changed.
    """

    by_package: Mapping[str, tuple[Advisory, ...]]
    count: int
    modified: dt.datetime


def read_database(folder: Path) -> Database:
    """Read every ``.json`` file below a folder; hidden folders such as ``.git`` are passed over.

    Raises:
        AdvisoryError: a file cannot be read as an OSV advisory, or none is about a package of PyPI.
    """
    advisories = [advisory for path in _files(folder) if (advisory := _read(path)).affected]
    if not advisories:
        raise AdvisoryError(
            f"no advisories found: {folder} holds no .json file in the OSV format about a package of "
            f"{_ECOSYSTEM}",
            solution="Unpack OSV's export of the ecosystem PyPI (all.zip, one JSON file each) into a folder "
            "and name that. YAML, as PyPA's own repository has it, is not read.",
        )
    by_package: dict[str, list[Advisory]] = {}
    for advisory in advisories:
        if not advisory.withdrawn:
            for name in {entry.package for entry in advisory.affected}:
                by_package.setdefault(name, []).append(advisory)
    return Database(
        by_package={
            name: tuple(sorted(found, key=lambda advisory: advisory.id)) for name, found in by_package.items()
        },
        count=len(advisories),
        modified=max(advisory.modified for advisory in advisories),
    )


def _files(folder: Path) -> Iterator[Path]:
    """The advisories below a folder, also behind links; each folder is read once, in whatever circles.

    A folder that cannot be listed, or a link that leads nowhere, is an error, as a damaged file is.
    """

    def refuse(error: OSError) -> None:
        raise AdvisoryError(
            f"{error.filename} cannot be read: {error.strerror}",
            solution="Name a folder of advisories that can be read.",
        ) from error

    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        known = real in seen
        seen.add(real)
        folders[:] = [] if known else sorted(name for name in folders if not name.startswith("."))
        for path in () if known else (Path(place) / name for name in sorted(names)):
            if path.suffix == ".json":
                yield path
            elif path.is_symlink() and not path.name.startswith("."):
                try:
                    path.stat()
                except OSError as error:
                    refuse(error)


def _read(path: Path) -> Advisory:
    try:
        return parse_advisory(read_json(path, dict[str, Any]), source=str(path))
    except (OSError, DocumentError, ValueError) as error:
        raise AdvisoryError(
            f"{path} is damaged: it is not an OSV advisory ({error})",
            solution="Fetch the advisories again, or remove what is none: a part of them tells nothing.",
        ) from error


def parse_advisory(document: object, *, source: str) -> Advisory:
    """One advisory from its JSON document.

    Raises:
        ValueError: a field that the OSV schema requires is not there, or one is of another type.
    """
    record = typed(document, dict, "the document")
    affected = [_affected(entry) for entry in objects(record, "affected") if _is_ours(entry)]
    ratings = [
        optional_text(table, "severity")
        for entry in (record, *objects(record, "affected"))
        if isinstance(table := entry.get("database_specific"), dict)
        and isinstance(table.get("severity", ""), str)
    ]
    vectors = [
        text(severity, "score")
        for entry in (record, *objects(record, "affected"))
        for severity in sorted(objects(entry, "severity"), key=lambda one: str(one.get("type")), reverse=True)
    ]
    return Advisory(
        id=text(record, "id"),
        aliases=texts(record, "aliases"),
        modified=_time(record, "modified"),
        withdrawn=optional_text(record, "withdrawn") is not None,
        summary=one_line(optional_text(record, "summary") or optional_text(record, "details") or ""),
        rating=next((rating for rating in ratings if rating), None),
        severity=next(iter(vectors), None),
        affected=tuple(affected),
        source=source,
    )


def _is_ours(entry: Mapping[str, object]) -> bool:
    if "package" not in entry:
        return False
    package = typed(entry["package"], dict, "package")
    return text(package, "ecosystem").partition(":")[0] == _ECOSYSTEM


def _affected(entry: Mapping[str, object]) -> Affected:
    package = typed(entry["package"], dict, "package")
    return Affected(
        package=canonicalize_name(text(package, "name")),
        ranges=tuple(_events(one) for one in objects(entry, "ranges") if text(one, "type") != _COMMITS),
        versions=texts(entry, "versions"),
    )


def _events(one: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    events = tuple(_event(event) for event in objects(one, "events"))
    if not any(kind == "introduced" for kind, _ in events):
        raise ValueError("a range has no event that introduces the vulnerability")
    return events


def _event(event: Mapping[str, object]) -> tuple[str, str]:
    kinds = [kind for kind in _EVENTS if kind in event]
    if len(kinds) != 1:
        raise ValueError(f"an event has to be one of {', '.join(_EVENTS)}: {json.dumps(event)}")
    return kinds[0], text(event, kinds[0])


def _time(record: Mapping[str, object], key: str) -> dt.datetime:
    """A timestamp of RFC 3339."""
    time = parse_moment(text(record, key))
    if time is None:
        raise ValueError(f"{key} is no time of RFC 3339")
    return time
