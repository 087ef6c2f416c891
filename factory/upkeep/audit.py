"""Known vulnerabilities of what flavors pin, each with the command that would be rid of it."""

import datetime as dt
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from packaging.version import Version

from factory.errors import LockFileError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.flavor.waiver import Waiver, waiver_for
from factory.lock.lockset import LockSet, read_lock_set, require_lock_set
from factory.masking import masked_address
from factory.upkeep.advisories import Database, Evaluated, Pinned, Vulnerability, ask, evaluate, read_database
from factory.upkeep.drift_report import DRIFT

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
class AffectedVersion:
    """A version that has a vulnerability, the flavors that pin it, and the versions above with a fix."""

    version: str
    flavors: tuple[str, ...]
    fixed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KnownVulnerability:
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
    affected: tuple[AffectedVersion, ...]
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
class AdvisorySource:
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

    source: AdvisorySource
    flavors: tuple[str, ...]
    packages: int
    findings: tuple[KnownVulnerability, ...]
    waived: tuple[Waived, ...]
    unused: tuple[Unused, ...]
    undecided: tuple[str, ...]
    not_locked: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Pinning:
    flavor: Flavor
    pins: tuple[Pinned, ...]


@dataclass(frozen=True, kw_only=True)
class Need:
    """A vulnerability, by the id to call it by, that a flavor has to be rid of.

    ``cures`` are versions above the flavor's pin that do not have it.
    """

    flavor: str
    vulnerability: str
    cures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Commands that put one version of a package into flavors, and what these would be rid of by it."""

    commands: tuple[str, ...]
    flavors: tuple[str, ...]
    vulnerabilities: tuple[str, ...]


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
) -> tuple[AdvisorySource, Mapping[Pinned, Evaluated]]:
    if advisories is None:
        told = ask(pins, url=url)
        name = f"pip-audit and {masked_address(url) if url else 'OSV'}"
        return AdvisorySource(name=name), {
            pin: Evaluated(vulnerabilities=found) for pin, found in told.items()
        }
    database = read_database(advisories)
    known = {(name, version): _evaluate(database, name, version) for name, version in pins}
    return _describe(advisories, database, today), known


def _evaluate(database: Database, name: str, version: str) -> Evaluated:
    return evaluate(name, version, database.by_package.get(name, ()))


def _describe(folder: Path, database: Database, today: dt.date) -> AdvisorySource:
    newest = database.modified.date()
    return AdvisorySource(
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


def _together(singles: Sequence[_Single], specs: Mapping[str, Spec]) -> tuple[KnownVulnerability, ...]:
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


def _finding(group: Sequence[_Single], ways: Sequence[Remedy]) -> KnownVulnerability:
    """One vulnerability, from what each flavor has of it."""
    by_version: dict[str, list[_Single]] = {}
    for single in sorted(group, key=lambda single: Version(single.version)):
        by_version.setdefault(single.version, []).append(single)
    told = group[0].vulnerability
    flavors = tuple(single.flavor for single in group)
    return KnownVulnerability(
        package=group[0].package,
        ids=told.ids,
        summary=told.summary,
        rating=told.rating,
        severity=told.severity,
        affected=tuple(
            AffectedVersion(
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


# The spec names the version of these, and the folder is called after it: another one is another flavor.
_IN_THE_SPEC = ("torch", "training-hub")


def remedies(package: str, needs: Iterable[Need], specs: Mapping[str, Spec]) -> tuple[Remedy, ...]:
    """How flavors are rid of all that is known of a package; flavors of the same remedy share it.

    A flavor's version is the lowest that is rid of everything, and no pre-release where there is one:
    it is of the pin's own series where that has one. Where no version is rid of everything, each
    vulnerability has its own. What no version is rid of has no remedy.

    Args:
        package: by its normalized name.
        needs: what each flavor has to be rid of.
        specs: the specs of those flavors, by name.
    """
    by_flavor: dict[str, list[Need]] = {}
    for need in needs:
        if need.cures:
            by_flavor.setdefault(need.flavor, []).append(need)
    by_version: dict[Version, list[Need]] = {}
    for of_one in by_flavor.values():
        whole = _lowest(of_one)
        for need in of_one:
            version = whole or _lowest([need])
            if version is not None:
                by_version.setdefault(version, []).append(need)
    return tuple(_remedy(package, version, by_version[version], specs) for version in sorted(by_version))


def _lowest(needs: Sequence[Need]) -> Version | None:
    """The lowest version that is among the cures of each."""
    common = set.intersection(*({Version(cure) for cure in need.cures} for need in needs))
    return min(common, key=lambda version: (version.is_prerelease, version), default=None)


def _remedy(package: str, version: Version, needs: Sequence[Need], specs: Mapping[str, Spec]) -> Remedy:
    flavors = tuple(dict.fromkeys(need.flavor for need in needs))
    vulnerabilities = tuple(sorted({need.vulnerability for need in needs}))
    if package in _IN_THE_SPEC:
        commands = tuple(_in_the_spec(name, specs[name], package, str(version)) for name in flavors)
    else:
        named = (word for name in flavors for word in ("--flavor", name))
        reason = ", ".join(vulnerabilities)
        words = ("factory", "bump", f"{package}>={version}", *named, "--reason", reason)
        commands = (shlex.join(words),)
    return Remedy(commands=commands, flavors=flavors, vulnerabilities=vulnerabilities)


def _in_the_spec(name: str, spec: Spec, package: str, version: str) -> str:
    new = replace(spec, torch=version) if package == "torch" else replace(spec, training_hub=version)
    if new.derived_name == name:
        again = f"factory sync {shlex.quote(name)} && factory lock {shlex.quote(name)}"
        return f"{again}  # after setting {package} to {version} in its pyproject.toml"
    versions = {
        "--accelerator": new.accelerator,
        "--accelerator-version": new.accelerator_version,
        "--torch": new.torch,
        "--python": new.python,
        "--training-hub": new.training_hub,
    }
    options = (word for option, value in versions.items() if value is not None for word in (option, value))
    return shlex.join(("factory", "new-flavor", "--from", name, *options))


_NOTHING = "no known vulnerabilities"


def describe(audit: Audit) -> tuple[str, ...]:
    """The audit in paragraphs: each finding, what is borne, and the count."""
    parts = [*_findings(audit.findings)]
    parts += [
        f"waived in {waived.flavor} until {waived.expires}: {waived.package} {waived.version}, "
        f"{_ids(waived.ids)}: {waived.reason}"
        for waived in audit.waived
    ]
    parts += [
        f"the waiver of {unused.finding}{f' of {unused.package}' if unused.package else ''} in "
        f"{unused.flavor} covers nothing: no pin there is known to have it. Remove it, or look at its id "
        f"({unused.reason})"
        for unused in audit.unused
    ]
    parts += [f"not locked, so not audited: {', '.join(audit.not_locked)}"] if audit.not_locked else []
    if audit.undecided:
        parts.append(
            f"not compared, since they name no versions: {', '.join(audit.undecided)}. Read them yourself"
        )
    return (*parts, _summary(audit))


def _findings(findings: Sequence[KnownVulnerability]) -> Iterator[str]:
    """Each finding, and below the last of a package the commands that are rid of what can be."""
    for _, group in groupby(findings, key=lambda finding: finding.package):
        of_package = list(group)
        commands = dict.fromkeys(command for finding in of_package for command in finding.fix)
        for finding in of_package[:-1]:
            yield "\n  ".join(_lines(finding))
        last = (*_lines(of_package[-1]), *(f"fix: {command}" for command in commands))
        yield "\n  ".join(last) + "\n"


def _lines(finding: KnownVulnerability) -> Iterator[str]:
    severity = " ".join(part for part in (finding.rating, finding.severity) if part)
    versions = ", ".join(affected.version for affected in finding.affected)
    yield f"{finding.package} {versions}: {_ids(finding.ids)}" + (f", {severity}" if severity else "")
    if finding.summary:
        yield finding.summary
    several = len(finding.affected) > 1
    for affected in finding.affected:
        yield f"{f'{affected.version} ' if several else ''}in {', '.join(affected.flavors)}"
        if several:
            yield f"  {_fixed(affected)}"
    for waiver in finding.lapsed:
        yield f"its waiver in {waiver.flavor} expired on {waiver.expires}: {waiver.reason}"
    if not several:
        yield _fixed(finding.affected[0])


def _fixed(affected: AffectedVersion) -> str:
    return f"fixed in {', '.join(affected.fixed)}" if affected.fixed else "no fixed version is known"


def _ids(ids: tuple[str, ...]) -> str:
    return f"{ids[0]} ({', '.join(ids[1:])})" if len(ids) > 1 else ids[0]


def _summary(audit: Audit) -> str:
    found, borne = len(audit.findings), len(audit.waived)
    what = _count(found, "known vulnerability", "known vulnerabilities") if found else _NOTHING
    waived = f", {borne} waived" if borne else ""
    pins, flavors = _count(audit.packages, "pin", "pins"), _count(len(audit.flavors), "flavor", "flavors")
    return f"{what}{waived} in {pins} of {flavors}, by {_source(audit.source)}"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _source(source: AdvisorySource) -> str:
    if source.advisories is None:
        return source.name
    days = source.age_days
    age = "today" if days == 0 else f"{days} day{'' if days == 1 else 's'} ago"
    count = _count(source.advisories, "advisory", "advisories")
    return f"{count} in {source.name}, the newest of {source.modified} ({age})"
