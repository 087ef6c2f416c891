"""Compare Training Hub's own requirements with a flavor's requirements, lock and index."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from factory.console import Report, plural
from factory.dockerfile.references import check_version
from factory.errors import FactoryError
from factory.flavor.project import Asked, Project, admits, asked, dropped
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.gaps.needs import disjoint
from factory.http.parallel import attempt_in_parallel
from factory.index.metadata import Metadata
from factory.lock.given import is_stale
from factory.lock.locking import LockOptions, wheel_folders
from factory.lock.lockset import LockSet, read_lock_set
from factory.lock.package_finder import (
    PackageFinder,
    in_order,
    lack_of,
    nearest_version,
    open_package_finder,
    versions_with_wheels,
)
from factory.markdown import code, table
from factory.render.render import starting_project
from factory.upkeep.training_hub import (
    TRAINING_HUB,
    HubRequirement,
    all_extras,
    floating,
    hub_requirements,
    used_extras,
)

_HEADINGS = ("Flavor", "Training Hub", "Requirement", "What is wrong", "What there is", "What to do")
KINDS = {
    "version-not-there": "the index does not have this Training Hub",
    "not-required": "the flavor does not require Training Hub",
    "no-such-extra": "no such extra",
    "python": "another Python is wanted",
    "extra-not-used": "an extra is not used",
    "contradiction": "contradiction",
    "taken-out": "taken out by an override",
    "unmet": "the lock does not meet it",
    "lacks": "the lock lacks it",
    "index-gap": "nothing on the index satisfies",
}
"""The kinds of findings, and their descriptions."""


@dataclass(frozen=True, kw_only=True)
class AlignFinding:
    """A mismatch: a kind of `KINDS`, what is wanted, what exists, what to do."""

    kind: str
    package: str
    requirement: str
    there: str
    to_do: str


@dataclass(frozen=True, kw_only=True)
class MissingRequirement:
    """A requirement that the spec records as missing; ``there_now``: the index has it by now."""

    requirement: str
    package: str
    recorded: str
    reason: str
    there_now: bool


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A flavor against a version of Training Hub, with the extras that it uses.

    ``excused`` are requirements that the spec records as missing, ``floating`` packages without an upper
    bound. ``locked``: there is a lock to compare with; ``stale``: it was made from another
    ``pyproject.toml``.
    """

    flavor: str
    index: str
    training_hub: str
    extras: tuple[str, ...] = ()
    locked: bool = False
    stale: bool = False
    requirements: int = 0
    findings: tuple[AlignFinding, ...] = ()
    excused: tuple[MissingRequirement, ...] = ()
    floating: tuple[str, ...] = ()
    error: FactoryError | None = None


@dataclass(frozen=True, kw_only=True)
class AlignReport(Report):
    """Every flavor, and the error of the first that failed."""

    flavors: tuple[Alignment, ...]
    error: FactoryError | None = None

    def failures(self) -> tuple[FactoryError, ...]:
        return (self.error,) if self.error else ()

    def differs(self) -> bool:
        return any(flavor.findings for flavor in self.flavors)

    def describe(self) -> Iterator[str]:
        """Yield the lines for people, flavor by flavor."""
        for flavor in self.flavors:
            yield from _flavor_lines(flavor)
        if len(self.flavors) > 1:
            count = sum(len(flavor.findings) for flavor in self.flavors)
            wrong = sum(bool(flavor.findings) for flavor in self.flavors)
            yield f"{plural(count, 'finding')} in {wrong} of {plural(len(self.flavors), 'flavor')}"

    def as_markdown(self) -> str:
        """Return the findings as a table in Markdown, one line for each."""
        lines = ["# Training Hub's requirements", ""]
        rows = [(flavor, finding) for flavor in self.flavors for finding in flavor.findings]
        if not rows:
            return "\n".join((*lines, "Every flavor meets what its Training Hub requires."))
        cells = (
            (
                flavor.flavor,
                flavor.training_hub,
                code(finding.requirement),
                KINDS[finding.kind],
                finding.there,
                finding.to_do,
            )
            for flavor, finding in rows
        )
        return "\n".join((*lines, *table(_HEADINGS, cells)))


def align(
    flavors: Sequence[Flavor],
    options: LockOptions,
    *,
    training_hub: str | None,
    begun: Callable[[str], None],
    done: Callable[[str], None],
) -> AlignReport:
    """Compare flavors with Training Hub's requirements; one that fails does not hide the others.

    Args:
        flavors: which.
        options: the folders of wheels beside the index.
        training_hub: the version to ask about; None: that of each spec.
        begun: called with the name of each flavor whose work begins, on a thread of its own.
        done: called with the name of each flavor whose work ended, on a thread of its own.

    Raises:
        SpecError: the given version is not valid.
    """
    if training_hub is not None:
        check_version(training_hub, of="--training-hub")

    def compare(flavor: Flavor) -> Alignment:
        begun(flavor.name)
        try:
            return _align(flavor, options, training_hub)
        finally:
            done(flavor.name)

    outcomes = attempt_in_parallel(compare, flavors, jobs=None)
    found = tuple(
        Alignment(flavor=flavor.name, index="", training_hub=training_hub or "", error=outcome)
        if isinstance(outcome, FactoryError)
        else outcome
        for flavor, outcome in zip(flavors, outcomes, strict=True)
    )
    error = next((flavor.error for flavor in found if flavor.error is not None), None)
    return AlignReport(flavors=found, error=error)


def _align(flavor: Flavor, options: LockOptions, training_hub: str | None) -> Alignment:
    project = flavor.project
    version = training_hub or project.spec.training_hub
    lock = read_lock_set(flavor.folder, project.spec)
    with open_package_finder(project.spec, wheel_folders(project.spec, options)) as finder:
        finder.look_up([TRAINING_HUB])
        index = finder.url(TRAINING_HUB)
        metadata = _metadata(finder, version)
        if metadata is None:
            finding = _not_there(flavor.name, project.spec, version, finder)
            return Alignment(
                flavor=flavor.name,
                index=index,
                training_hub=version,
                locked=lock is not None,
                findings=(finding,),
            )
        return _compared(flavor.name, project, metadata, lock, finder, current=training_hub is None)


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """What requirements are compared with.

    ``versions`` are those of the lock, None without one. Everything was looked up on the ``finder``.
    ``training_hub`` is a version to come, None for the flavor's own.
    """

    flavor: str
    project: Project
    versions: Mapping[str, str] | None
    finder: PackageFinder
    training_hub: str | None

    @cached_property
    def own(self) -> Mapping[str, Sequence[Asked]]:
        """Return the flavor's own lines, by package."""
        own: dict[str, list[Asked]] = {}
        for line in asked(self.project):
            own.setdefault(line.name, []).append(line)
        return own

    @cached_property
    def dropped(self) -> frozenset[str]:
        """Return the packages that an override removes."""
        return dropped(self.project)


def _compared(
    name: str,
    project: Project,
    metadata: Metadata,
    lock: LockSet | None,
    finder: PackageFinder,
    *,
    current: bool,
) -> Alignment:
    spec = project.spec
    extras = used_extras(project) or frozenset()
    wanted = hub_requirements(metadata, extras, spec)
    versions = None if lock is None else lock.versions()
    finder.look_up({item.package for item in wanted})
    wanted = (*wanted, *_by_their_extras(wanted, project, versions or {}, finder))
    sides = _Sides(
        flavor=name,
        project=project,
        versions=versions,
        finder=finder,
        training_hub=None if current else metadata.version,
    )
    findings, missing = _against_flavor(wanted, sides)
    findings = (
        *_of_training_hub(name, project, metadata, versions if current else None),
        *_unused_extras(metadata, extras, starting_project(spec), versions or {}, flavor=name),
        *findings,
    )
    return Alignment(
        flavor=name,
        index=finder.url(TRAINING_HUB),
        training_hub=metadata.version,
        extras=tuple(sorted(all_extras(metadata, extras, spec))),
        locked=lock is not None,
        stale=lock is not None and is_stale(lock, project),
        requirements=len(wanted),
        findings=findings,
        excused=missing,
        floating=floating(wanted, _own_ranges(project)),
    )


def _by_their_extras(
    wanted: Sequence[HubRequirement], project: Project, versions: Mapping[str, str], finder: PackageFinder
) -> tuple[HubRequirement, ...]:
    """Return the requirements of the extras that Training Hub uses of other packages.

    They are looked up as well. The metadata is that of the locked version if Training Hub admits it, else
    of the nearest on the index. Packages left out of the image require nothing.
    """
    known = {(item.package, str(item.specifier)) for item in wanted}
    left_out = dropped(project)
    found: dict[tuple[str, str], HubRequirement] = {}
    for item in wanted:
        if not item.extras or item.package in left_out:
            continue
        version = versions.get(item.package)
        if version is None or not admits(item.specifier, version):
            offers = versions_with_wheels(finder.offers(item.package) or ())
            version = str(nearest_version(offers, item.specifier) or "") or None
        metadata = finder.metadata(item.package, version) if version else None
        for one in () if metadata is None else hub_requirements(metadata, item.extras, project.spec):
            key = (one.package, str(one.specifier))
            if one.extra is not None and key not in known:
                found[key] = replace(one, extra=f"{one.extra} of {item.package}")
    finder.look_up({item.package for item in found.values()})
    return tuple(found.values())


def _own_ranges(project: Project) -> dict[str, SpecifierSet]:
    """Return the flavor's own ranges by package, also of what it records as missing."""
    found: dict[str, SpecifierSet] = {}
    lines = [(item.name, item.requirement) for item in asked(project)]
    lines += [(item.package, Requirement(item.requirement)) for item in project.spec.missing]
    for name, requirement in lines:
        found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return found


def _metadata(finder: PackageFinder, version: str) -> Metadata | None:
    """Return the metadata of a version of Training Hub, perhaps with a local label."""
    offers = finder.offers(TRAINING_HUB) or ()
    wanted = SpecifierSet(f"=={version}")
    there = [item for item in versions_with_wheels(offers) if wanted.contains(item, prereleases=True)]
    return finder.metadata(TRAINING_HUB, str(max(there))) if there else None


def _not_there(flavor: str, spec: Spec, version: str, finder: PackageFinder) -> AlignFinding:
    offers = finder.offers(TRAINING_HUB)
    wanted = SpecifierSet(f"=={version}")
    lack = lack_of(offers, wanted, python=spec.python, glibc=spec.glibc, platforms=spec.platforms)
    others = [
        item for item in versions_with_wheels(offers or ()) if not wanted.contains(item, prereleases=True)
    ]
    nearest = nearest_version(others, wanted)
    return AlignFinding(
        kind="version-not-there",
        package=TRAINING_HUB,
        requirement=f"{TRAINING_HUB}=={version}",
        there=lack.found if nearest is None else f"{lack.found}; the nearest is {nearest}",
        to_do="ask the owners of the index for it: `factory index-gaps`"
        if nearest is None
        else f"factory align {flavor} --training-hub {nearest}",
    )


def _of_training_hub(
    flavor: str, project: Project, metadata: Metadata, versions: dict[str, str] | None
) -> tuple[AlignFinding, ...]:
    """Return the problems of the flavor's own requirement on Training Hub."""
    spec, found = project.spec, []
    extras = used_extras(project)
    if extras is None:
        found.append(("not-required", "the flavor does not require it", "add it to [project] dependencies"))
    for extra in sorted((extras or frozenset()) - metadata.extras):
        known = ", ".join(sorted(metadata.extras)) or "none"
        found.append(
            (
                "no-such-extra",
                f"{metadata.version} has no extra {extra}; it has {known}",
                f"take [{extra}] out",
            )
        )
    if not _runs_on(metadata.requires_python, spec.python):
        found.append(
            ("python", f"it requires Python {metadata.requires_python}", f"not for Python {spec.python}")
        )
    locked = None if versions is None else versions.get(TRAINING_HUB)
    if locked is not None and not SpecifierSet(f"=={spec.training_hub}").contains(locked, prereleases=True):
        found.append(("unmet", f"the lock has {locked}", f"factory lock {flavor}"))
    return tuple(
        AlignFinding(
            kind=kind,
            package=TRAINING_HUB,
            requirement=f"{TRAINING_HUB}=={metadata.version}",
            there=there,
            to_do=to_do,
        )
        for kind, there, to_do in found
    )


def _runs_on(requires_python: str | None, python: str) -> bool:
    try:
        return SpecifierSet(requires_python or "").contains(f"{python}.0")
    except ValueError:
        return True


def _against_flavor(
    wanted: Iterable[HubRequirement], sides: _Sides
) -> tuple[tuple[AlignFinding, ...], tuple[MissingRequirement, ...]]:
    """Compare requirements with a flavor's own, its lock, and its index."""
    missing = {item.package: item for item in sides.project.spec.missing}
    findings: list[AlignFinding] = []
    known: list[MissingRequirement] = []
    for item in wanted:
        if item.package in missing:
            recorded = missing[item.package]
            apart = disjoint(item.specifier, Requirement(recorded.requirement).specifier)
            if apart:
                place = "[[tool.factory.missing]]"
                findings.append(_contradiction(item, place, recorded.requirement, sides))
            known.append(
                MissingRequirement(
                    requirement=item.text,
                    package=item.package,
                    recorded=recorded.requirement,
                    reason=recorded.reason,
                    there_now=not sides.finder.platforms_without(Requirement(recorded.requirement)),
                )
            )
        else:
            findings += _compare(item, sides)
    return tuple(findings), tuple(known)


def _unused_extras(
    metadata: Metadata,
    extras: frozenset[str],
    template: Project | None,
    versions: Mapping[str, str],
    *,
    flavor: str,
) -> tuple[AlignFinding, ...]:
    """Return the extras that a new flavor of this accelerator would use, and this one does not."""
    found: list[AlignFinding] = []
    if template is None:
        return ()
    for extra in sorted(((used_extras(template) or frozenset()) - extras) & metadata.extras):
        brought = [
            item for item in hub_requirements(metadata, [extra], template.spec) if item.extra is not None
        ]
        lacking = [item.package for item in brought if item.package not in versions]
        there = f"the template for {template.spec.accelerator} uses [{extra}] and {flavor} does not"
        if lacking:
            there += f"; the lock has no {', '.join(dict.fromkeys(lacking))}"
        found.append(
            AlignFinding(
                kind="extra-not-used",
                package=TRAINING_HUB,
                requirement=f"{TRAINING_HUB}[{extra}]",
                there=there,
                to_do=f"write {TRAINING_HUB}[{','.join(sorted(extras | {extra}))}] in [project] dependencies "
                f"of pyproject.toml, then factory lock {flavor}",
            )
        )
    return tuple(found)


def _compare(item: HubRequirement, sides: _Sides) -> Iterator[AlignFinding]:
    own = sides.own.get(item.package, ())
    apart = [one for one in own if disjoint(item.specifier, one.requirement.specifier)]
    for one in apart:
        yield _contradiction(item, one.key, one.text, sides)
    if item.package in sides.dropped:
        yield _finding(
            "taken-out",
            item,
            "override-dependencies takes it out, and the image goes without",
            f"take the override of {item.package} out, then factory lock {sides.flavor}",
        )
        return
    for one in own:
        lost = item.extras - {canonicalize_name(extra) for extra in one.requirement.extras}
        if one.key == "override-dependencies" and lost:
            extras = f"[{','.join(sorted(lost))}]"
            yield _finding(
                "taken-out",
                item,
                f"{one.key} has {one.text!r}, without {extras}",
                f"write {extras} in that override, then factory lock {sides.flavor}",
            )
    if apart:
        return
    lack = _index_gap(item, own, sides)
    yield from _lock(item, sides, on_index=lack is None)
    if lack is not None:
        yield lack


def _lock(item: HubRequirement, sides: _Sides, *, on_index: bool) -> Iterator[AlignFinding]:
    if sides.versions is None:
        return
    locked = sides.versions.get(item.package)
    if locked is not None and admits(item.specifier, locked):
        return
    to_do = f"factory lock {sides.flavor}"
    if sides.training_hub is not None:
        to_do += f", once Training Hub is {sides.training_hub} there"
    if not on_index:
        to_do = f"factory index-gaps {sides.flavor}: the index comes first"
    if locked is None:
        yield _finding("lacks", item, "the lock has no version of it", to_do)
    else:
        yield _finding("unmet", item, f"the lock has {locked}", to_do)


def _index_gap(item: HubRequirement, own: Sequence[Asked], sides: _Sides) -> AlignFinding | None:
    """Return the index's gap for a requirement combined with the flavor's own lines."""
    specifier = item.specifier
    for one in own:
        specifier &= one.requirement.specifier
    wanted = Requirement(f"{item.package}{specifier}")
    platforms = sides.finder.platforms_without(wanted)
    if not platforms:
        return None
    spec = sides.project.spec
    offers = sides.finder.offers(canonicalize_name(item.package))
    lack = lack_of(offers, specifier, python=spec.python, glibc=spec.glibc, platforms=platforms)
    asked_for = f", and {in_order(specifier)} is wanted in all" if own and specifier else ""
    return _finding(
        "index-gap",
        item,
        f"for {' and '.join(platforms)} {lack.found}{asked_for}",
        f"factory index-gaps {sides.flavor}",
    )


def _contradiction(item: HubRequirement, place: str, text: str, sides: _Sides) -> AlignFinding:
    return _finding(
        "contradiction",
        item,
        f"{place} has {text!r}",
        f"change that line of pyproject.toml so that it admits {in_order(item.specifier)}, "
        f"then factory lock {sides.flavor}",
    )


def _finding(kind: str, item: HubRequirement, there: str, to_do: str) -> AlignFinding:
    return AlignFinding(kind=kind, package=item.package, requirement=item.text, there=there, to_do=to_do)


def _flavor_lines(flavor: Alignment) -> Iterator[str]:
    if flavor.error is not None:
        yield f"{flavor.flavor}: cannot be compared ({type(flavor.error).__name__})"
        return
    extras = f"[{','.join(flavor.extras)}]" if flavor.extras else ""
    hub = f"{TRAINING_HUB}{extras} {flavor.training_hub} on {flavor.index}"
    if flavor.findings:
        yield f"{flavor.flavor}: {hub}: {plural(len(flavor.findings), 'finding')}"
    else:
        against = "flavor, lock and index" if flavor.locked else "flavor and index"
        yield f"{flavor.flavor}: {hub}: {against} meet all {flavor.requirements} requirements"
    if not flavor.locked:
        yield "  it is not locked: there was no lock to compare with"
    if flavor.stale:
        yield (
            "  note: the lock was made from another pyproject.toml, and is compared as it is: "
            f"factory lock {flavor.flavor}"
        )
    for finding in flavor.findings:
        yield f"  {finding.requirement}: {KINDS[finding.kind]}: {finding.there}"
        yield f"    what to do: {finding.to_do}"
    for item in flavor.excused:
        now = "; the index has it now: it can be taken off the list" if item.there_now else ""
        yield f"  excused: {item.requirement}: recorded as missing: {item.recorded} ({item.reason}){now}"
    if flavor.floating:
        count = plural(len(flavor.floating), "requirement floats", "requirements float")
        yield (
            f"  note: {count}, since neither "
            f"Training Hub nor the flavor sets an upper bound: {', '.join(flavor.floating)}"
        )
