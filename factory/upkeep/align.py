"""Training Hub's own requirements against what a flavor asks for, what its lock has, and its index."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from factory.dockerfile.references import check_version
from factory.errors import FactoryError
from factory.flavor.project import Project
from factory.flavor.repository import Flavor
from factory.flavor.requirements import admits, asked, dropped
from factory.flavor.spec import Spec
from factory.index.metadata import Metadata
from factory.lock.availability import lack_of, nearest_version
from factory.lock.locking import LockOptions, wheel_folders
from factory.lock.lockset import LockSet, is_stale, read_lock_set
from factory.lock.shelf import Shelf, open_shelf, versions_with_wheels
from factory.render.starting import starting_project
from factory.upkeep.align_findings import AlignFinding, Excused, against_flavor, nowhere_used
from factory.upkeep.align_wanted import (
    TRAINING_HUB,
    WantedByHub,
    all_extras,
    floating,
    used_extras,
    wanted_by,
)
from factory.upkeep.side_by_side import side_by_side


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A flavor against a version of Training Hub, with the extras that it uses.

    ``excused`` are requirements that the spec records as missing, ``floating`` packages that nobody
    sets an upper bound to. ``locked`` is whether there is a lock to compare with, ``stale`` whether that
    was made from another ``pyproject.toml``.
    """

    flavor: str
    index: str
    training_hub: str
    extras: tuple[str, ...] = ()
    locked: bool = False
    stale: bool = False
    requirements: int = 0
    findings: tuple[AlignFinding, ...] = ()
    excused: tuple[Excused, ...] = ()
    floating: tuple[str, ...] = ()
    error: FactoryError | None = None


@dataclass(frozen=True, kw_only=True)
class AlignReport:
    """Every flavor, and the error of the first that failed."""

    flavors: tuple[Alignment, ...]
    error: FactoryError | None = None

    @property
    def exit_code(self) -> int:
        """That of the first error, 1 where something was found, else 0."""
        if self.error is not None:
            return self.error.exit_code
        return int(any(flavor.findings for flavor in self.flavors))


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """Which version of Training Hub to ask about, that of each spec if None, and with which folders."""

    training_hub: str | None = None
    lock: LockOptions = field(default_factory=LockOptions)


def align(
    flavors: Sequence[Flavor],
    options: AlignOptions,
    *,
    begun: Callable[[str], None],
    done: Callable[[str], None],
) -> AlignReport:
    """Compare flavors with Training Hub's requirements; one that fails does not hide the others.

    ``begun`` and ``done`` are told the name of each flavor, on a thread of its own.

    Raises:
        SpecError: the version that was given is no version.
    """
    if options.training_hub is not None:
        check_version(options.training_hub, of="--training-hub")

    def look(flavor: Flavor) -> Alignment:
        begun(flavor.name)
        try:
            return _align(flavor, options)
        finally:
            done(flavor.name)

    outcomes = side_by_side(look, flavors, jobs=None)
    found = tuple(
        Alignment(flavor=flavor.name, index="", training_hub=options.training_hub or "", error=outcome)
        if isinstance(outcome, FactoryError)
        else outcome
        for flavor, outcome in zip(flavors, outcomes, strict=True)
    )
    error = next((flavor.error for flavor in found if flavor.error is not None), None)
    return AlignReport(flavors=found, error=error)


def _align(flavor: Flavor, options: AlignOptions) -> Alignment:
    project = flavor.project
    version = options.training_hub or project.spec.training_hub
    lock = read_lock_set(flavor.folder, project.spec)
    with open_shelf(project.spec, wheel_folders(project.spec, options.lock)) as shelf:
        shelf.look_up([TRAINING_HUB])
        index = shelf.url(TRAINING_HUB)
        metadata = _metadata(shelf, version)
        if metadata is None:
            finding = _not_there(flavor.name, project.spec, version, shelf)
            return Alignment(
                flavor=flavor.name,
                index=index,
                training_hub=version,
                locked=lock is not None,
                findings=(finding,),
            )
        return _compared(flavor.name, project, metadata, lock, shelf, current=options.training_hub is None)


def _compared(
    name: str, project: Project, metadata: Metadata, lock: LockSet | None, shelf: Shelf, *, current: bool
) -> Alignment:
    spec = project.spec
    extras = used_extras(project) or frozenset()
    wanted = wanted_by(metadata, extras, spec)
    versions = None if lock is None else lock.versions()
    shelf.look_up({item.package for item in wanted})
    wanted = (*wanted, *_by_their_extras(wanted, project, versions or {}, shelf))
    findings, excused = against_flavor(
        wanted, project, versions, shelf, flavor=name, training_hub=None if current else metadata.version
    )
    findings = (
        *_of_training_hub(name, project, metadata, versions if current else None),
        *nowhere_used(metadata, extras, starting_project(spec), versions or {}, flavor=name),
        *findings,
    )
    return Alignment(
        flavor=name,
        index=shelf.url(TRAINING_HUB),
        training_hub=metadata.version,
        extras=tuple(sorted(all_extras(metadata, extras, spec))),
        locked=lock is not None,
        stale=lock is not None and is_stale(lock, project),
        requirements=len(wanted),
        findings=findings,
        excused=excused,
        floating=floating(wanted, _own_ranges(project)),
    )


def _by_their_extras(
    wanted: Sequence[WantedByHub], project: Project, versions: Mapping[str, str], shelf: Shelf
) -> tuple[WantedByHub, ...]:
    """What the extras bring that Training Hub asks of other packages, as their own metadata says.

    That is of the locked version where it is one that Training Hub admits, else of the nearest on the
    index; what is left out of the image brings nothing. They are looked up as well.
    """
    known = {(item.package, str(item.specifier)) for item in wanted}
    left_out = dropped(project)
    found: dict[tuple[str, str], WantedByHub] = {}
    for item in wanted:
        if not item.extras or item.package in left_out:
            continue
        version = versions.get(item.package)
        if version is None or not admits(item.specifier, version):
            offers = versions_with_wheels(shelf.offers(item.package) or ())
            version = str(nearest_version(offers, item.specifier) or "") or None
        metadata = shelf.metadata(item.package, version) if version else None
        for one in () if metadata is None else wanted_by(metadata, item.extras, project.spec):
            key = (one.package, str(one.specifier))
            if one.extra is not None and key not in known:
                found[key] = replace(one, extra=f"{one.extra} of {item.package}")
    shelf.look_up({item.package for item in found.values()})
    return tuple(found.values())


def _own_ranges(project: Project) -> dict[str, SpecifierSet]:
    """What the flavor asks of versions itself, by package, of what it records as missing as well."""
    found: dict[str, SpecifierSet] = {}
    lines = [(item.name, item.requirement) for item in asked(project)]
    lines += [(item.package, Requirement(item.requirement)) for item in project.spec.missing]
    for name, requirement in lines:
        found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return found


def _metadata(shelf: Shelf, version: str) -> Metadata | None:
    """The metadata of a version of Training Hub, which the index may have with a local version label."""
    offers = shelf.offers(TRAINING_HUB) or ()
    wanted = SpecifierSet(f"=={version}")
    there = [item for item in versions_with_wheels(offers) if wanted.contains(item, prereleases=True)]
    return shelf.metadata(TRAINING_HUB, str(max(there))) if there else None


def _not_there(flavor: str, spec: Spec, version: str, shelf: Shelf) -> AlignFinding:
    offers = shelf.offers(TRAINING_HUB)
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
    """What is wrong with how the flavor takes Training Hub itself."""
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
