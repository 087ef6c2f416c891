"""Known vulnerabilities of what flavors pin, each with the command that would be rid of it."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from factory.errors import LockFileError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.flavor.waiver import Waiver, waiver_for
from factory.lock.lockset import LockSet, read_lock_set, require_lock_set
from factory.masking import masked_address
from factory.upkeep.advisories import Database, read_database
from factory.upkeep.drift_report import DRIFT
from factory.upkeep.osv import Evaluated, Vulnerability, evaluate
from factory.upkeep.pip_audit import Pinned, ask
from factory.upkeep.remedy import Need, Remedy, remedies

# What pip would install besides the pins.
_MORE_PINS = frozenset({"-r", "--requirement", "-e", "--editable"})


@dataclass(frozen=True, kw_only=True)
class Lapsed:
    """A waiver whose last day, ``expires``, is over: its finding counts again."""

    flavor: str
    finding: str
    reason: str
    expires: str


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A version that has a vulnerability, the flavors that pin it, and the versions above with a fix."""

    version: str
    flavors: tuple[str, ...]
    fixed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A vulnerability of versions that flavors pin.

    ``ids`` are all of its ids, the one to call it by first; ``affected`` are the versions in order, and
    ``flavors`` those of all of them. ``fix`` are the commands that would be rid of it, and of whatever
    else of the package the same version is rid of; none where no version is known that is. ``lapsed``
    are waivers that held once.
    """

    package: str
    ids: tuple[str, ...]
    summary: str
    rating: str | None
    severity: str | None
    affected: tuple[Affected, ...]
    flavors: tuple[str, ...]
    fix: tuple[str, ...]
    lapsed: tuple[Lapsed, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waived:
    """A vulnerability that a flavor bears, until and on the day ``expires``."""

    flavor: str
    package: str
    version: str
    ids: tuple[str, ...]
    reason: str
    expires: str


@dataclass(frozen=True, kw_only=True)
class Unused:
    """A waiver of an advisory that is about nothing which its flavor pins, as far as is known."""

    flavor: str
    finding: str
    package: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the advisories came from: a folder or a service.

    ``advisories`` counts those about packages of PyPI, and ``modified`` is the day of the newest change
    among them, ``age_days`` ago; they are None for a service.
    """

    name: str
    advisories: int | None = None
    modified: str | None = None
    age_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found. ``undecided`` are ids of advisories that name no version to compare with."""

    source: Source
    flavors: tuple[str, ...]
    packages: int
    findings: tuple[Finding, ...]
    waived: tuple[Waived, ...]
    unused: tuple[Unused, ...]
    undecided: tuple[str, ...]
    not_locked: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Pinning:
    flavor: Flavor
    pins: tuple[Pinned, ...]


@dataclass(frozen=True, kw_only=True)
class _Single:
    """A vulnerability of one flavor, which no waiver covers today."""

    flavor: str
    package: str
    version: str
    vulnerability: Vulnerability
    lapsed: tuple[Lapsed, ...]


def audit_flavors(
    flavors: Sequence[Flavor],
    *,
    named: bool,
    advisories: Path | None,
    url: str | None,
    today: dt.date,
) -> Audit:
    """Audit the locks of flavors; nothing is written.

    Args:
        flavors: which.
        named: whether they were asked for by name: then each has to be locked. Of all that are there,
            those that are not locked are left out and told.
        advisories: the folder of a database in the OSV format; None asks the network.
        url: the query address of the service that is asked; None is OSV's.
        today: the day that waivers and the age of the database are measured against.

    Raises:
        AdvisoryError: the advisories cannot be read, or the service did not answer.
        LockFileError: a flavor is not locked, or its lock has something else than exact pins.
        SpecError: a ``pyproject.toml`` is not acceptable.
    """
    locked = {flavor: lock for flavor in flavors if (lock := _lock(flavor, named=named)) is not None}
    if not locked:
        raise LockFileError(
            "no flavor is locked, and an audit is about what is pinned", solution="Run `factory lock --all`."
        )
    pinnings = [_Pinning(flavor=flavor, pins=_pins(flavor, lock)) for flavor, lock in locked.items()]
    pins = sorted({pin for pinning in pinnings for pin in pinning.pins})
    source, known = _known(pins, advisories, url, today)
    single = [found for pinning in pinnings for found in _found(pinning, known, today)]
    return Audit(
        source=source,
        flavors=tuple(flavor.name for flavor in locked),
        packages=len(pins),
        findings=_together(
            [found for found in single if isinstance(found, _Single)],
            {flavor.name: flavor.project.spec for flavor in locked},
        ),
        waived=tuple(found for found in single if isinstance(found, Waived)),
        unused=tuple(unused for pinning in pinnings for unused in _unused(pinning, known)),
        undecided=tuple(sorted({id_ for evaluated in known.values() for id_ in evaluated.undecided})),
        not_locked=tuple(flavor.name for flavor in flavors if flavor not in locked),
    )


def _lock(flavor: Flavor, *, named: bool) -> LockSet | None:
    spec = flavor.project.spec
    lock = read_lock_set(flavor.folder, spec)
    return lock if lock is None and not named else require_lock_set(flavor.folder, spec)


def _pins(flavor: Flavor, lock: LockSet) -> tuple[Pinned, ...]:
    """Name and version of everything in a lock; what is no pin is refused: it would be passed over."""
    unread = [text for file in lock.files.values() for _, text in file.unreadable]
    unread += [
        f"{option.name} {option.value}"
        for file in lock.files.values()
        for option in file.options
        if option.name in _MORE_PINS
    ]
    loose = [pin.text for pin in lock.pins if pin.version is None]
    if unread or loose:
        raise LockFileError(
            f"{flavor.name}: the lock has something else than exact pins: {', '.join((*unread, *loose))}",
            solution=f"Run `factory lock {flavor.name}`; `factory check {flavor.name}` tells the lines.",
        )
    return tuple((pin.name, pin.version) for pin in lock.pins if pin.version is not None)


def _known(
    pins: Sequence[Pinned], advisories: Path | None, url: str | None, today: dt.date
) -> tuple[Source, Mapping[Pinned, Evaluated]]:
    if advisories is None:
        told = ask(pins, url=url)
        name = f"pip-audit and {masked_address(url) if url else 'OSV'}"
        return Source(name=name), {pin: Evaluated(vulnerabilities=found) for pin, found in told.items()}
    database = read_database(advisories)
    known = {(name, version): _evaluate(database, name, version) for name, version in pins}
    return _describe(advisories, database, today), known


def _evaluate(database: Database, name: str, version: str) -> Evaluated:
    return evaluate(name, version, database.by_package.get(name, ()))


def _describe(folder: Path, database: Database, today: dt.date) -> Source:
    newest = database.modified.date()
    return Source(
        name=str(folder),
        advisories=database.count,
        modified=newest.isoformat(),
        age_days=max((today - newest).days, 0),
    )


def _found(
    pinning: _Pinning, known: Mapping[Pinned, Evaluated], today: dt.date
) -> Iterable[_Single | Waived]:
    """What one flavor has, and what it bears."""
    flavor, waivers = pinning.flavor, pinning.flavor.project.spec.waivers
    for package, version in pinning.pins:
        for vulnerability in known[package, version].vulnerabilities:
            ids = vulnerability.ids
            held = (waiver_for(waivers, id_, package=package, today=today) for id_ in ids)
            waiver = next((one for one in held if one), None)
            if waiver is None:
                lapsed = [one for one in waivers if any(one.covers(id_, package=package) for id_ in ids)]
                yield _Single(
                    flavor=flavor.name,
                    package=package,
                    version=version,
                    vulnerability=vulnerability,
                    lapsed=tuple(_lapsed(flavor.name, one) for one in lapsed),
                )
            else:
                yield Waived(
                    flavor=flavor.name,
                    package=package,
                    version=version,
                    ids=ids,
                    reason=waiver.reason,
                    expires=waiver.expires.isoformat(),
                )


def _lapsed(flavor: str, waiver: Waiver) -> Lapsed:
    return Lapsed(
        flavor=flavor,
        finding=waiver.finding,
        reason=waiver.reason,
        expires=waiver.expires.isoformat(),
    )


def _unused(pinning: _Pinning, known: Mapping[Pinned, Evaluated]) -> Iterable[Unused]:
    """The waivers of advisories, which no rule of the check knows, that are about nothing here."""
    found = [
        (package, id_)
        for package, version in pinning.pins
        for evaluated in (known[package, version],)
        for ids in (*(one.ids for one in evaluated.vulnerabilities), evaluated.undecided)
        for id_ in ids
    ]
    for waiver in pinning.flavor.project.spec.waivers:
        of_a_rule = waiver.finding.upper().startswith("FAC") or waiver.finding.lower() == DRIFT
        if not of_a_rule and not any(waiver.covers(id_, package=package) for package, id_ in found):
            yield Unused(
                flavor=pinning.flavor.name,
                finding=waiver.finding,
                package=waiver.package,
                reason=waiver.reason,
            )


def _together(singles: Sequence[_Single], specs: Mapping[str, Spec]) -> tuple[Finding, ...]:
    """The same vulnerability in several flavors as one finding, with its commands."""
    groups: dict[tuple[str, tuple[str, ...]], list[_Single]] = {}
    for single in singles:
        groups.setdefault((single.package, single.vulnerability.ids), []).append(single)
    ways = {package: _remedies(package, singles, specs) for package, _ in groups}
    return tuple(_finding(groups[key], ways[key[0]]) for key in sorted(groups))


def _remedies(package: str, singles: Sequence[_Single], specs: Mapping[str, Spec]) -> tuple[Remedy, ...]:
    needs = (
        Need(
            flavor=single.flavor,
            vulnerability=single.vulnerability.ids[0],
            cures=single.vulnerability.cures,
        )
        for single in singles
        if single.package == package
    )
    return remedies(package, needs, specs)


def _finding(group: Sequence[_Single], ways: Sequence[Remedy]) -> Finding:
    """One vulnerability, from what each flavor has of it."""
    by_version: dict[str, list[_Single]] = {}
    for single in sorted(group, key=lambda single: Version(single.version)):
        by_version.setdefault(single.version, []).append(single)
    told = group[0].vulnerability
    flavors = tuple(single.flavor for single in group)
    return Finding(
        package=group[0].package,
        ids=told.ids,
        summary=told.summary,
        rating=told.rating,
        severity=told.severity,
        affected=tuple(
            Affected(
                version=version,
                flavors=tuple(single.flavor for single in of_one),
                fixed=of_one[0].vulnerability.fixed,
            )
            for version, of_one in by_version.items()
        ),
        flavors=flavors,
        fix=tuple(command for way in ways if told.ids[0] in way.vulnerabilities for command in way.commands),
        lapsed=tuple(lapsed for single in group for lapsed in single.lapsed),
    )
