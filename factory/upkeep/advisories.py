"""Find the vulnerabilities of a pinned version, in a folder of advisories or by a service.

The format of the folder is https://ossf.github.io/osv-schema/ in JSON, one advisory a file, in any tree of
folders, as OSV exports a whole ecosystem. What cannot be read is an error and never skipped: it could be the
one that matters. Advisories are evaluated by the algorithm of that page ("Evaluation"), with the versions of
PEP 440; local versions are compared by their public part, since advisories know no others. The service is
asked by pip-audit.
"""

import datetime as dt
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from factory.clock import parse_moment
from factory.documents import read_json
from factory.errors import AdvisoryError, DocumentError
from factory.files import scratch_folder
from factory.process import Finished, run

Pinned = tuple[str, str]
_ECOSYSTEM = "PyPI"
_EVENTS = ("introduced", "fixed", "last_affected", "limit")
# A range of commits says nothing about a version.
_COMMITS = "GIT"
_EVERYTHING_BEFORE = "0"
_NO_LIMIT = "*"
# The order of the ids of one vulnerability; a CVE is what a ticket names.
_SERIES = ("CVE", "GHSA", "PYSEC")
_TIMEOUT_SECONDS = 600.0
_MODULE = "pip_audit"
_OFFLINE = "give a folder of advisories with --advisories, which needs no network"


@dataclass(frozen=True, kw_only=True)
class AffectedPackage:
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
    affected: tuple[AffectedPackage, ...]
    source: str

    @property
    def ids(self) -> tuple[str, ...]:
        """Its own id and those of the same vulnerability elsewhere."""
        return (self.id, *self.aliases)


@dataclass(frozen=True, kw_only=True)
class AdvisoryDatabase:
    """The advisories of a folder by the package that they affect, without those that were withdrawn.

    ``count`` is how many there are for PyPI, ``modified`` when the newest of them was changed.
    """

    by_package: Mapping[str, tuple[Advisory, ...]]
    count: int
    modified: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Vulnerability:
    """One vulnerability of one version of a package, however many databases describe it.

    ``ids`` begins with the usual one; ``fixed`` are the versions above, in order, that are known to fix it;
    ``rating`` and ``severity`` are a word and a CVSS vector, if they are known. ``cures`` are those of
    ``fixed``, and the versions that fix others of that version, unless they have this one.
    """

    ids: tuple[str, ...]
    summary: str
    rating: str | None
    severity: str | None
    fixed: tuple[str, ...]
    cures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The vulnerabilities of a version, and the ids of advisories that name no version to compare it with."""

    vulnerabilities: tuple[Vulnerability, ...]
    undecided: tuple[str, ...] = ()


def read_database(folder: Path) -> AdvisoryDatabase:
    """Read every ``.json`` file below a folder; hidden folders such as ``.git`` are skipped.

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
    return AdvisoryDatabase(
        by_package={
            name: tuple(sorted(found, key=lambda advisory: advisory.id)) for name, found in by_package.items()
        },
        count=len(advisories),
        modified=max(advisory.modified for advisory in advisories),
    )


def _files(folder: Path) -> Iterator[Path]:
    """Yield the advisories below a folder, also behind links; each folder is read once.

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
            solution="Fetch the advisories again, or remove what is none: a part of them proves nothing.",
        ) from error


def parse_advisory(document: object, *, source: str) -> Advisory:
    """Return one advisory from its JSON document.

    Raises:
        ValueError: a field that the OSV schema requires is not there, or one is of another type.
    """
    record = _typed(document, dict, "the document")
    affected = [_affected(entry) for entry in _objects(record, "affected") if _is_ours(entry)]
    ratings = [
        _optional_text(table, "severity")
        for entry in (record, *_objects(record, "affected"))
        if isinstance(table := entry.get("database_specific"), dict)
        and isinstance(table.get("severity", ""), str)
    ]
    vectors = [
        _text(severity, "score")
        for entry in (record, *_objects(record, "affected"))
        for severity in sorted(
            _objects(entry, "severity"), key=lambda one: str(one.get("type")), reverse=True
        )
    ]
    return Advisory(
        id=_text(record, "id"),
        aliases=_texts(record, "aliases"),
        modified=_time(record, "modified"),
        withdrawn=_optional_text(record, "withdrawn") is not None,
        summary=_one_line(_optional_text(record, "summary") or _optional_text(record, "details") or ""),
        rating=next((rating for rating in ratings if rating), None),
        severity=next(iter(vectors), None),
        affected=tuple(affected),
        source=source,
    )


def _is_ours(entry: Mapping[str, object]) -> bool:
    if "package" not in entry:
        return False
    package = _typed(entry["package"], dict, "package")
    return _text(package, "ecosystem").partition(":")[0] == _ECOSYSTEM


def _affected(entry: Mapping[str, object]) -> AffectedPackage:
    package = _typed(entry["package"], dict, "package")
    return AffectedPackage(
        package=canonicalize_name(_text(package, "name")),
        ranges=tuple(_events(one) for one in _objects(entry, "ranges") if _text(one, "type") != _COMMITS),
        versions=_texts(entry, "versions"),
    )


def _events(one: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    events = tuple(_event(event) for event in _objects(one, "events"))
    if not any(kind == "introduced" for kind, _ in events):
        raise ValueError("a range has no event that introduces the vulnerability")
    return events


def _event(event: Mapping[str, object]) -> tuple[str, str]:
    kinds = [kind for kind in _EVENTS if kind in event]
    if len(kinds) != 1:
        raise ValueError(f"an event has to be one of {', '.join(_EVENTS)}: {json.dumps(event)}")
    return kinds[0], _text(event, kinds[0])


def _time(record: Mapping[str, object], key: str) -> dt.datetime:
    """Return a timestamp of RFC 3339."""
    time = parse_moment(_text(record, key))
    if time is None:
        raise ValueError(f"{key} is no time of RFC 3339")
    return time


def evaluate(package: str, pinned: str, advisories: Sequence[Advisory]) -> Evaluated:
    """Return what a package's advisories say of one version.

    Advisories that are aliases of each other are one vulnerability.

    Raises:
        AdvisoryError: a version in an advisory, or the pin, is not one of PEP 440 and has to be compared.
    """
    version = _public_version(package, pinned)
    groups = [
        (group, affecting)
        for group in _groups(advisories)
        if (affecting := [advisory for advisory in group if _affects(advisory, package, version)])
    ]
    candidates = _named([advisory for _, affecting in groups for advisory in affecting], package)
    found = [_vulnerability(package, version, *group, candidates) for group in groups]
    undecided = (advisory.id for advisory in advisories if not _can_be_decided(advisory, package))
    return Evaluated(
        vulnerabilities=tuple(sorted(found, key=lambda one: one.ids)), undecided=tuple(sorted(undecided))
    )


def _public_version(package: str, pinned: str) -> Version:
    """Return a version without its local part (PEP 440): ``2.11.0`` for ``2.11.0+cpu``.

    Raises:
        AdvisoryError: it is not a version of PEP 440, which nothing can be compared with.
    """
    try:
        return _public(pinned)
    except ValueError as error:
        raise AdvisoryError(
            f"{package} is pinned to {pinned!r}, which is not a version of PEP 440",
            solution="Lock again: `factory lock`.",
        ) from error


def _vulnerability(
    package: str,
    version: Version,
    group: Sequence[Advisory],
    affecting: Sequence[Advisory],
    candidates: Iterable[Version],
) -> Vulnerability:
    """Merge the advisories of one group; a fix is one that none of them contradicts."""
    cures = [
        candidate
        for candidate in sorted(candidates)
        if candidate > version and not any(_affects(advisory, package, candidate) for advisory in group)
    ]
    named = _named(affecting, package)
    return Vulnerability(
        ids=_ids_in_order(id_ for advisory in group for id_ in advisory.ids),
        summary=next((advisory.summary for advisory in affecting if advisory.summary), ""),
        rating=next((advisory.rating for advisory in affecting if advisory.rating), None),
        severity=next((advisory.severity for advisory in affecting if advisory.severity), None),
        fixed=tuple(str(candidate) for candidate in cures if candidate in named),
        cures=tuple(str(candidate) for candidate in cures),
    )


def _ids_in_order(ids: Iterable[str]) -> tuple[str, ...]:
    """Return ids in their usual order, each once."""
    place = {series: number for number, series in enumerate(_SERIES)}
    return tuple(sorted(set(ids), key=lambda id_: (place.get(id_.partition("-")[0], len(_SERIES)), id_)))


def _named(advisories: Iterable[Advisory], package: str) -> frozenset[Version]:
    """Return the versions that advisories name as fixed."""
    return frozenset(
        _version(text, advisory)
        for advisory in advisories
        for affected in _about(advisory, package)
        for events in affected.ranges
        for kind, text in events
        if kind == "fixed"
    )


def _groups(advisories: Sequence[Advisory]) -> list[list[Advisory]]:
    """Return the advisories by vulnerability: those that share an id, directly or through a third."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in advisories:
        ids, members = set(advisory.ids), [advisory]
        apart = []
        for known, others in groups:
            if known & ids:
                ids, members = ids | known, others + members
            else:
                apart.append((known, others))
        groups = [*apart, (ids, members)]
    return [members for _, members in groups]


def _about(advisory: Advisory, package: str) -> list[AffectedPackage]:
    return [affected for affected in advisory.affected if affected.package == package]


def _can_be_decided(advisory: Advisory, package: str) -> bool:
    return any(affected.ranges or affected.versions for affected in _about(advisory, package))


def _affects(advisory: Advisory, package: str, version: Version) -> bool:
    return any(_is_affected(affected, version, advisory) for affected in _about(advisory, package))


def _is_affected(affected: AffectedPackage, version: Version, advisory: Advisory) -> bool:
    if _is_listed(affected.versions, version):
        return True
    try:
        return any(_is_in_range(events, version, advisory) for events in affected.ranges)
    except AdvisoryError:
        # The list of versions is complete if the schema's advice was followed; then it decides.
        if affected.versions:
            return False
        raise


def _is_listed(versions: Iterable[str], version: Version) -> bool:
    for text in versions:
        try:
            if _public(text) == version:
                return True
        except ValueError:  # older than PEP 440, so not the pinned one
            continue
    return False


def _is_in_range(events: Sequence[tuple[str, str]], version: Version, advisory: Advisory) -> bool:
    limits = [text for kind, text in events if kind == "limit"]
    if limits and not any(text == _NO_LIMIT or version < _version(text, advisory) for text in limits):
        return False
    from_the_start = any(event == ("introduced", _EVERYTHING_BEFORE) for event in events)
    timeline = sorted(
        (
            (_version(text, advisory), kind)
            for kind, text in events
            if kind != "limit" and (kind, text) != ("introduced", _EVERYTHING_BEFORE)
        ),
        key=lambda event: event[0],  # a stable sort: what happens at one version happens in the order given
    )
    inside = from_the_start
    for at, kind in timeline:
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str, advisory: Advisory) -> Version:
    try:
        return _public(text)
    except ValueError as error:
        raise AdvisoryError(
            f"{advisory.source} is damaged: {advisory.id} names {text!r}, which is not a version of PEP 440",
            solution="Fetch the advisories again; if that does not help, fix the file by hand.",
        ) from error


def _public(text: str) -> Version:
    return Version(Version(text).public)


def query_osv(pins: Iterable[Pinned], *, url: str | None) -> dict[Pinned, tuple[Vulnerability, ...]]:
    """Query a service about every pair of normalized name and version, which leave this machine.

    Args:
        pins: what is asked about; local versions are asked about by their public part.
        url: the query address of a service that speaks as OSV does; None: OSV's own.

    Raises:
        AdvisoryError: pip-audit is not installed, or got no answer.
        ProgramError: it did not end in time, or was stopped.
    """
    if importlib.util.find_spec(_MODULE) is None:
        raise AdvisoryError(
            "without a folder of advisories the network is asked, with pip-audit, and that is not installed",
            solution=f'Install it with `pip install "universal-image-factory[audit]"`, or {_OFFLINE}.',
        )
    public = {pin: (pin[0], str(_public_version(*pin))) for pin in pins}
    answers: dict[Pinned, tuple[Vulnerability, ...]] = {}
    for batch in _batches(set(public.values())):
        answers |= _ask(batch, url)
    missing = sorted(set(public.values()) - answers.keys())
    if missing:
        raise AdvisoryError(
            "pip-audit answered nothing about " + ", ".join("==".join(pin) for pin in missing),
            solution=f"Run it again, or {_OFFLINE}.",
        )
    return {pin: answers[asked] for pin, asked in public.items()}


def _batches(pins: Iterable[Pinned]) -> list[dict[str, str]]:
    """Return pins in batches with one version per package: pip-audit takes each name once."""
    batches: list[dict[str, str]] = []
    for name, version in sorted(pins):
        batch = next((batch for batch in batches if name not in batch), None)
        if batch is None:
            batch = {}
            batches.append(batch)
        batch[name] = version
    return batches


def _ask(batch: Mapping[str, str], url: str | None) -> dict[Pinned, tuple[Vulnerability, ...]]:
    with scratch_folder() as folder:
        asked, answer = folder / "requirements.txt", folder / "answer.json"
        asked.write_text("".join(f"{package}=={version}\n" for package, version in batch.items()))
        finished = run(
            (
                *(sys.executable, "-m", _MODULE, "--requirement", asked, "--no-deps", "--disable-pip"),
                *("--vulnerability-service", "osv", *(() if url is None else ("--osv-url", url))),
                *("--format", "json", "--output", answer, "--progress-spinner", "off"),
            ),
            cwd=folder,
            environment=os.environ,
            # 1 is both "there are vulnerabilities" and "it did not work"; only the first writes an answer.
            accept_failure=True,
            timeout=_TIMEOUT_SECONDS,
        )
        try:
            return _read_answer(read_json(answer, dict[str, Any]))
        except (OSError, DocumentError, ValueError) as error:
            raise AdvisoryError(
                f"pip-audit failed: {_last_line(finished)}",
                solution=f"Look whether {url or 'OSV'} can be reached from here, or {_OFFLINE}.",
            ) from error


def _read_answer(answer: object) -> dict[Pinned, tuple[Vulnerability, ...]]:
    return {
        (canonicalize_name(_text(entry, "name")), _text(entry, "version")): _vulnerabilities(entry)
        for entry in _objects(_typed(answer, dict, "the answer"), "dependencies")
        if "skip_reason" not in entry
    }


def _vulnerabilities(entry: Mapping[str, object]) -> tuple[Vulnerability, ...]:
    """Return a version's vulnerabilities; a fix of another above one's last fix fixes both."""
    version, found = Version(_text(entry, "version")), _objects(entry, "vulns")
    fixes = [{fix for fix in _fixes(one) if fix > version} for one in found]
    every = set[Version]().union(*fixes)
    return tuple(
        _from_pip_audit(one, own, {fix for fix in every if own and (fix in own or fix > max(own))})
        for one, own in zip(found, fixes, strict=True)
    )


def _fixes(found: Mapping[str, object]) -> Iterator[Version]:
    for fix in _texts(found, "fix_versions"):
        # By its public part, as the pins are asked about.
        yield Version(Version(fix).public)


def _from_pip_audit(
    found: Mapping[str, object], fixed: Iterable[Version], cures: Iterable[Version]
) -> Vulnerability:
    return Vulnerability(
        ids=_ids_in_order((_text(found, "id"), *_texts(found, "aliases"))),
        summary=_one_line(_optional_text(found, "description") or ""),
        rating=None,
        severity=None,
        fixed=tuple(str(fix) for fix in sorted(fixed)),
        cures=tuple(str(fix) for fix in sorted(cures)),
    )


def _last_line(finished: Finished) -> str:
    lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
    return lines[-1] if lines else f"it ended with status {finished.status} and wrote nothing"


_Kind = TypeVar("_Kind")


def _typed(value: object, kind: type[_Kind], what: str) -> _Kind:
    """Return the value if it is of that type.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{what} is {type(value).__name__}, not {kind.__name__}")  # noqa: TRY004 - as json's
    return value


def _objects(record: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """Return a list of objects, empty if it is missing; raises ValueError as `_typed` does."""
    return [_typed(item, dict, key) for item in _typed(record.get(key) or [], list, key)]


def _texts(record: Mapping[str, object], key: str) -> tuple[str, ...]:
    """Return a list of strings, empty if it is missing; raises ValueError as `_typed` does."""
    return tuple(_typed(item, str, key) for item in _typed(record.get(key) or [], list, key))


def _optional_text(record: Mapping[str, object], key: str) -> str | None:
    """Return a string, None if it is missing; raises ValueError as `_typed` does."""
    value = record.get(key)
    return None if value is None else _typed(value, str, key)


def _text(record: Mapping[str, object], key: str) -> str:
    """Return a string that can be printed.

    Raises:
        ValueError: it is missing, is not a string, is empty or has control characters.
    """
    value = _typed(record.get(key), str, key)
    if not value or not value.isprintable():
        raise ValueError(f"{key} is empty, or has characters that nothing prints")
    return value


def _one_line(value: str) -> str:
    """Return the first line with words in it, without what a terminal would obey."""
    line = next((line for line in value.splitlines() if line.strip()), "")
    return "".join(character for character in " ".join(line.split()) if character.isprintable())
