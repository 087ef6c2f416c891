"""Audit the pins of flavors for known vulnerabilities, each with the command that fixes it."""

import datetime as dt
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from packaging.version import Version

from factory.console import Report, plural
from factory.errors import LockFileError, NotFoundError
from factory.flavor.repository import NO_IMAGES, Flavor
from factory.flavor.spec import Spec, waiver_for
from factory.lock.judgement import require_sound_lock
from factory.lock.lockset import LockSet, read_lock_set
from factory.masking import masked_address
from factory.upkeep.advisories import (
    AdvisoryDatabase,
    Evaluated,
    Pinned,
    Vulnerability,
    evaluate,
    query_osv,
    read_database,
)
from factory.upkeep.drift_report import DRIFT

# The spec names the version of these, and so does the folder: another one is another flavor.
_IN_THE_SPEC = ("torch", "training-hub")


@dataclass(frozen=True, kw_only=True)
class ExpiredWaiver:
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

    ``ids`` are all of its ids, the usual one first; ``affected`` are the versions in order, ``flavors`` those
    of all of them. ``fix`` are the commands that would fix it, and all else of the package that the same
    version fixes; empty if no fixed version is known. ``lapsed`` are expired waivers of it.
    """

    package: str
    ids: tuple[str, ...]
    summary: str
    rating: str | None
    severity: str | None
    affected: tuple[AffectedVersion, ...]
    flavors: tuple[str, ...]
    fix: tuple[str, ...]
    lapsed: tuple[ExpiredWaiver, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WaivedVulnerability:
    """A vulnerability that a waiver covers, up to and including the day ``expires``."""

    flavor: str
    package: str
    version: str
    ids: tuple[str, ...]
    reason: str
    expires: str


@dataclass(frozen=True, kw_only=True)
class UnusedWaiver:
    """A waiver of an advisory that matches nothing its flavor pins, as far as is known."""

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
class AuditReport(Report):
    """The result. ``undecided`` are ids of advisories that name no version to compare with."""

    source: AdvisorySource
    flavors: tuple[str, ...]
    packages: int
    findings: tuple[KnownVulnerability, ...]
    waived: tuple[WaivedVulnerability, ...]
    unused: tuple[UnusedWaiver, ...]
    undecided: tuple[str, ...]
    not_locked: tuple[str, ...]

    def differs(self) -> bool:
        return bool(self.findings)

    def describe(self) -> Iterator[str]:
        """Yield paragraphs for people: each finding, the waivers, and the count."""
        yield from _findings(self.findings)
        for waived in self.waived:
            yield (
                f"waived in {waived.flavor} until {waived.expires}: {waived.package} {waived.version}, "
                f"{_ids(waived.ids)}: {waived.reason}"
            )
        for unused in self.unused:
            package = f" of {unused.package}" if unused.package else ""
            yield (
                f"the waiver of {unused.finding}{package} in {unused.flavor} covers nothing: no pin there is "
                f"known to have it. Remove it, or look at its id ({unused.reason})"
            )
        if self.not_locked:
            yield f"not locked, so not audited: {', '.join(self.not_locked)}"
        if self.undecided:
            yield (
                f"not compared, since they name no versions: {', '.join(self.undecided)}. Read them yourself"
            )
        yield _summary(self)


def audit_flavors(
    flavors: Sequence[Flavor],
    *,
    named: bool,
    advisories: Path | None,
    url: str | None,
    today: dt.date,
) -> AuditReport:
    """Audit the locks of flavors; nothing is written.

    Args:
        flavors: which.
        named: they were asked for by name, so that each has to be locked. Otherwise those that are not
            locked are left out and listed.
        advisories: the folder of a database in the OSV format; None: a service in the network is asked.
        url: the query address of that service; None: OSV's.
        today: the day that waivers and the age of the database are measured against.

    Raises:
        AdvisoryError: the advisories cannot be read, or the service did not answer.
        LockFileError: a flavor is not locked, or check has an error about its lock.
        SpecError: a ``pyproject.toml`` is not acceptable.
        NotFoundError: there are no images.
    """
    if not flavors:
        raise NotFoundError("there are no images to audit", solution=f"There are {NO_IMAGES}.")
    locked = {flavor: lock for flavor in flavors if (lock := _lock(flavor, named=named)) is not None}
    if not locked:
        raise LockFileError(
            "no image is locked, and an audit is about what is pinned", solution="Run `factory lock --all`."
        )
    pinned = {flavor: tuple(lock.versions().items()) for flavor, lock in locked.items()}
    pins = sorted({pin for pins in pinned.values() for pin in pins})
    source, known = _known(pins, advisories, url, today)
    single = [found for flavor, pins in pinned.items() for found in _found(flavor, pins, known, today)]
    return AuditReport(
        source=source,
        flavors=tuple(flavor.name for flavor in locked),
        packages=len(pins),
        findings=_together(
            [found for found in single if isinstance(found, _Single)],
            {flavor.name: flavor.project.spec for flavor in locked},
        ),
        waived=tuple(found for found in single if isinstance(found, WaivedVulnerability)),
        unused=tuple(item for flavor, pins in pinned.items() for item in _unused(flavor, pins, known)),
        undecided=tuple(sorted({id_ for evaluated in known.values() for id_ in evaluated.undecided})),
        not_locked=tuple(flavor.name for flavor in flavors if flavor not in locked),
    )


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Commands that put one version of a package into flavors, and the vulnerabilities that it fixes."""

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
    lapsed: tuple[ExpiredWaiver, ...]


def _lock(flavor: Flavor, *, named: bool) -> LockSet | None:
    spec = flavor.project.spec
    lock = read_lock_set(flavor.folder, spec)
    return lock if lock is None and not named else require_sound_lock(flavor)


def _known(
    pins: Sequence[Pinned], advisories: Path | None, url: str | None, today: dt.date
) -> tuple[AdvisorySource, Mapping[Pinned, Evaluated]]:
    if advisories is None:
        answer = query_osv(pins, url=url)
        name = f"pip-audit and {masked_address(url) if url else 'OSV'}"
        return AdvisorySource(name=name), {
            pin: Evaluated(vulnerabilities=found) for pin, found in answer.items()
        }
    database = read_database(advisories)
    known = {(name, version): _evaluate(database, name, version) for name, version in pins}
    return _describe(advisories, database, today), known


def _evaluate(database: AdvisoryDatabase, name: str, version: str) -> Evaluated:
    return evaluate(name, version, database.by_package.get(name, ()))


def _describe(folder: Path, database: AdvisoryDatabase, today: dt.date) -> AdvisorySource:
    newest = database.modified.date()
    return AdvisorySource(
        name=str(folder),
        advisories=database.count,
        modified=newest.isoformat(),
        age_days=max((today - newest).days, 0),
    )


def _found(
    flavor: Flavor, pins: Sequence[Pinned], known: Mapping[Pinned, Evaluated], today: dt.date
) -> Iterable[_Single | WaivedVulnerability]:
    """Yield the vulnerabilities of one flavor, and those that its waivers cover."""
    waivers = flavor.project.spec.waivers
    for package, version in pins:
        for vulnerability in known[package, version].vulnerabilities:
            ids = vulnerability.ids
            held = (waiver_for(waivers, id_, package=package, today=today) for id_ in ids)
            waiver = next((one for one in held if one), None)
            if waiver is None:
                yield _Single(
                    flavor=flavor.name,
                    package=package,
                    version=version,
                    vulnerability=vulnerability,
                    lapsed=tuple(
                        ExpiredWaiver(
                            flavor=flavor.name,
                            finding=one.finding,
                            reason=one.reason,
                            expires=one.expires.isoformat(),
                        )
                        for one in waivers
                        if any(one.covers(id_, package=package) for id_ in ids)
                    ),
                )
            else:
                yield WaivedVulnerability(
                    flavor=flavor.name,
                    package=package,
                    version=version,
                    ids=ids,
                    reason=waiver.reason,
                    expires=waiver.expires.isoformat(),
                )


def _unused(
    flavor: Flavor, pins: Sequence[Pinned], known: Mapping[Pinned, Evaluated]
) -> Iterable[UnusedWaiver]:
    """Yield unmatched waivers of advisories, which no rule of the check knows."""
    found = [
        (package, id_)
        for package, version in pins
        for evaluated in (known[package, version],)
        for ids in (*(one.ids for one in evaluated.vulnerabilities), evaluated.undecided)
        for id_ in ids
    ]
    for waiver in flavor.project.spec.waivers:
        of_a_rule = waiver.finding.upper().startswith("FAC") or waiver.finding.lower() == DRIFT
        if not of_a_rule and not any(waiver.covers(id_, package=package) for package, id_ in found):
            yield UnusedWaiver(
                flavor=flavor.name,
                finding=waiver.finding,
                package=waiver.package,
                reason=waiver.reason,
            )


def _together(singles: Sequence[_Single], specs: Mapping[str, Spec]) -> tuple[KnownVulnerability, ...]:
    """Merge one vulnerability of several flavors into one finding, with its commands."""
    groups: dict[tuple[str, tuple[str, ...]], list[_Single]] = {}
    for single in singles:
        groups.setdefault((single.package, single.vulnerability.ids), []).append(single)
    ways = {
        package: remedies(
            package, ((one.flavor, one.vulnerability) for one in singles if one.package == package), specs
        )
        for package, _ in groups
    }
    return tuple(_finding(groups[key], ways[key[0]]) for key in sorted(groups))


def _finding(group: Sequence[_Single], ways: Sequence[Remedy]) -> KnownVulnerability:
    """Return one vulnerability from what each flavor has of it."""
    by_version: dict[str, list[_Single]] = {}
    for single in sorted(group, key=lambda single: Version(single.version)):
        by_version.setdefault(single.version, []).append(single)
    first = group[0].vulnerability
    flavors = tuple(single.flavor for single in group)
    return KnownVulnerability(
        package=group[0].package,
        ids=first.ids,
        summary=first.summary,
        rating=first.rating,
        severity=first.severity,
        affected=tuple(
            AffectedVersion(
                version=version,
                flavors=tuple(single.flavor for single in of_one),
                fixed=of_one[0].vulnerability.fixed,
            )
            for version, of_one in by_version.items()
        ),
        flavors=flavors,
        fix=tuple(command for way in ways if first.ids[0] in way.vulnerabilities for command in way.commands),
        lapsed=tuple(lapsed for single in group for lapsed in single.lapsed),
    )


_Need = tuple[str, Vulnerability]
"""A flavor by name, and a vulnerability that it has."""


def remedies(package: str, needs: Iterable[_Need], specs: Mapping[str, Spec]) -> tuple[Remedy, ...]:
    """Return the commands that fix a package's known vulnerabilities; flavors share remedies.

    A flavor's version is the lowest that fixes everything, a pre-release only if there is nothing else: it is
    of the pin's own series if that has one. If no version fixes everything, each vulnerability has its own.
    What no version fixes has no remedy. No index is asked whether it has the version.

    Args:
        package: by its normalized name.
        needs: the vulnerabilities of each flavor.
        specs: the specs of those flavors, by name.
    """
    by_flavor: dict[str, list[_Need]] = {}
    for need in needs:
        flavor, vulnerability = need
        if vulnerability.cures:
            by_flavor.setdefault(flavor, []).append(need)
    by_version: dict[Version, list[_Need]] = {}
    for of_one in by_flavor.values():
        whole = _lowest(of_one)
        for need in of_one:
            version = whole or _lowest([need])
            if version is not None:
                by_version.setdefault(version, []).append(need)
    return tuple(_remedy(package, version, by_version[version], specs) for version in sorted(by_version))


def _lowest(needs: Sequence[_Need]) -> Version | None:
    """Return the lowest version that is among the cures of each."""
    common = set.intersection(
        *({Version(cure) for cure in vulnerability.cures} for _, vulnerability in needs)
    )
    return min(common, key=lambda version: (version.is_prerelease, version), default=None)


def _remedy(package: str, version: Version, needs: Sequence[_Need], specs: Mapping[str, Spec]) -> Remedy:
    flavors = tuple(dict.fromkeys(flavor for flavor, _ in needs))
    vulnerabilities = tuple(sorted({vulnerability.ids[0] for _, vulnerability in needs}))
    if package in _IN_THE_SPEC:
        commands = tuple(_in_the_spec(name, specs[name], package, str(version)) for name in flavors)
    else:
        named = (word for name in flavors for word in ("--image", name))
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


def _findings(findings: Sequence[KnownVulnerability]) -> Iterator[str]:
    """Yield each finding, and below a package's last the commands that fix them."""
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


def _summary(audit: AuditReport) -> str:
    found, borne = len(audit.findings), len(audit.waived)
    what = (
        plural(found, "known vulnerability", "known vulnerabilities") if found else "no known vulnerabilities"
    )
    waived = f", {borne} waived" if borne else ""
    pins, flavors = plural(audit.packages, "pin"), plural(len(audit.flavors), "flavor")
    return f"{what}{waived} in {pins} of {flavors}, by {_source(audit.source)}"


def _source(source: AdvisorySource) -> str:
    if source.advisories is None:
        return source.name
    days = source.age_days
    age = "today" if days == 0 else f"{plural(days or 0, 'day')} ago"
    count = plural(source.advisories, "advisory", "advisories")
    return f"{count} in {source.name}, the newest of {source.modified} ({age})"
