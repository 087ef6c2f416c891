"""Report packages at different versions across flavors, and which drift is waived."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.utils import canonicalize_name

from factory.console import Report, Table, plural
from factory.errors import FactoryError
from factory.flavor.project import parse
from factory.flavor.repository import NO_IMAGES, Flavor
from factory.flavor.spec import Spec, waiver_for
from factory.lock.lockset import read_lock_set
from factory.markdown import code, folded, plain, table
from factory.pages import docs_command
from factory.upkeep.diff import VersionRank, VersionStep, version_rank, version_step, without_local

DRIFT = "drift"
_HEADINGS = ("package", "apart by", "version", "flavors")
_TWO = 2  # versions are what drift is
DriftStatus = Literal["drift", "waived", "spec"]
"""``waived``: the flavors without a waiver agree; ``spec``: the specs ask for these versions."""


@dataclass(frozen=True, kw_only=True)
class DriftWaived:
    """A flavor whose spec says why it has another version, and until when."""

    flavor: str
    reason: str
    expires: dt.date


@dataclass(frozen=True, kw_only=True)
class VersionUse:
    """A version of a package, and the flavors that lock it."""

    version: str
    flavors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VersionDrift:
    """A package whose public versions (PEP 440) differ, the newest first.

    ``direct``: a flavor depends on it directly; ``step``: how far the newest and the oldest are apart.
    """

    package: str
    standing: DriftStatus
    direct: bool
    step: VersionStep
    uses: tuple[VersionUse, ...]
    excused: tuple[DriftWaived, ...]


@dataclass(frozen=True, kw_only=True)
class FlavorWaiver:
    """A waiver of drift, and the flavor that has it; ``package`` None: of any package."""

    flavor: str
    package: str | None
    reason: str
    expires: dt.date


@dataclass(frozen=True, kw_only=True)
class UnreadFlavor:
    """A flavor whose files cannot be read, and why."""

    flavor: str
    error: FactoryError


@dataclass(frozen=True, kw_only=True)
class DriftReport(Report):
    """What was compared, what differs, and the waivers that have expired or excuse nothing.

    ``compared`` is the number of packages that more than one of the flavors lock. ``unused`` is empty
    unless every flavor of the repository is among them.
    """

    flavors: tuple[str, ...]
    not_locked: tuple[str, ...]
    unread: tuple[UnreadFlavor, ...]
    compared: int
    drifts: tuple[VersionDrift, ...]
    expired: tuple[FlavorWaiver, ...]
    unused: tuple[FlavorWaiver, ...]

    @property
    def unwaived(self) -> tuple[VersionDrift, ...]:
        """The drift without a waiver."""
        return tuple(drift for drift in self.drifts if drift.standing == "drift")

    def differs(self) -> bool:
        return bool(self.unread or self.unwaived or self.expired)

    def describe(self) -> Iterator[str | Table]:
        """Yield the drift, direct dependencies first; waived drift with its reason; what to do."""
        if self.unwaived:
            yield Table(headings=_HEADINGS, rows=tuple(_rows(self.unwaived)))
            yield ""
        meant = [*_meant(self), *_about_waivers(self)]
        if meant:
            yield "\n".join(meant)
            yield ""
        yield _count(self)
        if self.unwaived:
            yield ""
            yield _remedy(self)

    def as_markdown(self) -> str:
        """Return the same as tables in Markdown."""
        lines = ["### Drift across flavors", "", f"{_count(self)}.", ""]
        for title, direct in (("Direct dependencies", True), ("What they bring with them", False)):
            rows = [_marked(row) for row in _rows(item for item in self.unwaived if item.direct == direct)]
            if rows:
                lines += folded(title, list(table(_HEADINGS, rows)), rows=len(rows))
        lines += [f"- {plain(line)}" for line in (*_meant(self), *_about_waivers(self))]
        return "\n".join(lines).rstrip("\n")


@dataclass(frozen=True, kw_only=True)
class _Locked:
    """What is compared of a flavor: public versions by package, and its own dependencies."""

    name: str
    spec: Spec
    versions: Mapping[str, str]
    direct: frozenset[str]


def drift_report(
    flavors: Sequence[Flavor], *, today: dt.date, direct_only: bool = False, whole: bool = True
) -> DriftReport:
    """Compare the locks of flavors.

    Args:
        flavors: which; one that is not locked or cannot be read is reported and left out.
        today: the day that waivers are measured against.
        direct_only: leave out the packages that no flavor asks for itself.
        whole: whether these are all flavors of the repository.
    """
    read = {flavor.name: _attempt(flavor) for flavor in flavors}
    unread = tuple(item for item in read.values() if isinstance(item, UnreadFlavor))
    locked = [item for item in read.values() if isinstance(item, _Locked)]
    everything = tuple(_drifts(locked, today=today))
    drifts = tuple(drift for drift in everything if drift.direct or not direct_only)
    waivers = [
        waiver
        for flavor in flavors
        if not isinstance(read[flavor.name], UnreadFlavor)
        for waiver in _waivers(flavor.name, flavor.project.spec)
    ]
    counts = Counter(name for item in locked for name in item.versions)
    return DriftReport(
        flavors=tuple(item.name for item in locked),
        not_locked=tuple(name for name, item in read.items() if item is None),
        unread=unread,
        compared=sum(number > 1 for number in counts.values()),
        drifts=drifts,
        expired=tuple(waiver for waiver in waivers if waiver.expires < today),
        unused=tuple(
            waiver
            for waiver in waivers
            if whole and not unread and waiver.expires >= today and not _is_used(waiver, everything)
        ),
    )


def _waivers(flavor: str, spec: Spec) -> Iterator[FlavorWaiver]:
    for waiver in spec.waivers:
        if waiver.finding.lower() == DRIFT:
            yield FlavorWaiver(
                flavor=flavor, package=waiver.package, reason=waiver.reason, expires=waiver.expires
            )


def _is_used(waiver: FlavorWaiver, drifts: Sequence[VersionDrift]) -> bool:
    """Return whether a waiver is about a drift in its flavor's lock."""
    return any(
        drift.standing != "spec"
        and waiver.package in {None, drift.package}
        and any(waiver.flavor in use.flavors for use in drift.uses)
        for drift in drifts
    )


def _attempt(flavor: Flavor) -> _Locked | UnreadFlavor | None:
    try:
        return _read(flavor)
    except FactoryError as error:
        return UnreadFlavor(flavor=flavor.name, error=error)


def _read(flavor: Flavor) -> _Locked | None:
    project = flavor.project
    locks = read_lock_set(flavor.folder, project.spec)
    if locks is None:
        return None
    return _Locked(
        name=flavor.name,
        spec=project.spec,
        versions={name: without_local(version) for name, version in locks.versions().items()},
        direct=frozenset(canonicalize_name(parse(text).name) for text in project.dependencies),
    )


def _drifts(locked: Sequence[_Locked], *, today: dt.date) -> Iterator[VersionDrift]:
    for package in sorted({name for item in locked for name in item.versions}):
        having = [item for item in locked if package in item.versions]
        # By value: 1.0 and 1.0.0 are one version.
        groups: dict[VersionRank, list[_Locked]] = {}
        for item in having:
            groups.setdefault(version_rank(item.versions[package]), []).append(item)
        if len(groups) < _TWO:
            continue
        uses = tuple(
            VersionUse(version=users[0].versions[package], flavors=tuple(user.name for user in users))
            for _, users in sorted(groups.items(), reverse=True)
        )
        excused = tuple(_excused(having, package, today=today))
        named = {item.flavor for item in excused}
        unexcused = sum(not named.issuperset(use.flavors) for use in uses)
        is_fixed = all(_fixed(item.spec).get(package) == item.versions[package] for item in having)
        yield VersionDrift(
            package=package,
            standing="spec" if is_fixed else "waived" if unexcused < _TWO else "drift",
            direct=any(package in item.direct for item in having),
            step=version_step(uses[-1].version, uses[0].version),
            uses=uses,
            excused=excused,
        )


def _excused(having: Sequence[_Locked], package: str, *, today: dt.date) -> Iterator[DriftWaived]:
    for item in having:
        waiver = waiver_for(item.spec.waivers, DRIFT, package=package, today=today)
        if waiver is not None:
            yield DriftWaived(flavor=item.name, reason=waiver.reason, expires=waiver.expires)


def _fixed(spec: Spec) -> Mapping[str, str]:
    """Return the versions that the flavor is named after."""
    return {"torch": without_local(spec.torch), "training-hub": without_local(spec.training_hub)}


def _rows(drifts: Iterable[VersionDrift]) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each version; the package is in its first."""
    for drift in sorted(drifts, key=lambda item: (not item.direct, item.package)):
        name = f"{drift.package} (direct)" if drift.direct else drift.package
        for number, use in enumerate(drift.uses):
            head = (name, drift.step) if number == 0 else ("", "")
            excused = {item.flavor for item in drift.excused}
            flavors = (f"{flavor} (waived)" if flavor in excused else flavor for flavor in use.flavors)
            yield (*head, use.version, ", ".join(flavors))


def _marked(row: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    package, apart, version, flavors = row
    return package, apart, code(version), code(*flavors.split(", "))


def _meant(report: DriftReport) -> Iterator[str]:
    for drift in report.drifts:
        versions = "; ".join(f"{use.version} in {', '.join(use.flavors)}" for use in drift.uses)
        if drift.standing == "waived":
            reasons = "; ".join(
                f"{item.flavor} until {item.expires}: {item.reason}" for item in drift.excused
            )
            yield f"waived: {drift.package}, {versions} ({reasons})"
        elif drift.standing == "spec":
            yield f"as the specs say: {drift.package}, {versions}"


def _about_waivers(report: DriftReport) -> Iterator[str]:
    for item in report.expired:
        yield f"error: the waiver of {_waiver(item)} expired on {item.expires}: {item.reason}"
    for item in report.unused:
        yield f"warning: the waiver of {_waiver(item)} excuses nothing; remove it"
    for unread in report.unread:
        yield f"not compared: {unread.flavor} cannot be read"
    for name in report.not_locked:
        yield f"not compared: {name} is not locked"


def _waiver(item: FlavorWaiver) -> str:
    return f"drift{f' of {item.package}' if item.package else ''} in {item.flavor}"


def _count(report: DriftReport) -> str:
    if not (report.flavors or report.not_locked or report.unread):
        return NO_IMAGES
    found = report.unwaived
    direct = sum(item.direct for item in found)
    waived = sum(item.standing == "waived" for item in report.drifts)
    said = f"{plural(len(found), 'drifts', 'drift')} ({direct} direct)" if found else "none drifts"
    return (
        f"{plural(len(report.flavors), 'image')} compared, "
        f"{plural(report.compared, 'package')} in more than one: {said}, {waived} waived"
    )


def _remedy(report: DriftReport) -> str:
    first = min(report.unwaived, key=lambda item: (not item.direct, item.package))
    return (
        f"To bring one together: {_bump(first)}\n"
        'To leave it for a while: [[tool.factory.waivers]] with finding = "drift" in the flavor\'s '
        f"pyproject.toml ({docs_command('rules#waivers')})"
    )


def _bump(drift: VersionDrift) -> str:
    """Return the command that brings the flavors without a waiver together."""
    if not drift.excused:
        return f'factory bump "{drift.package}>={drift.uses[0].version}" --all'
    excused = {item.flavor for item in drift.excused}
    left = [(use.version, [name for name in use.flavors if name not in excused]) for use in drift.uses]
    (newest, _), *older = [(version, names) for version, names in left if names]
    named = (f"--image {name}" for _, names in older for name in names)
    return " ".join((f'factory bump "{drift.package}>={newest}"', *named))
