"""The differences between two flavors, or between a flavor and itself at another time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from factory.flavor.project import Project
from factory.flavor.requirements import parse
from factory.flavor.spec import Spec
from factory.lock.changes import Changes, PinChange, compare
from factory.lock.lockfile import Artifact, Pin
from factory.lock.lockset import LockSet, index_names
from factory.masking import masked
from factory.upkeep.snapshot import Snapshot
from factory.upkeep.steps import Step, is_older, step


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two that are compared; ``revision`` and ``commit`` are None for the folder as it stands."""

    flavor: str
    revision: str | None
    commit: str | None
    locked: bool


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A key of the spec with another value; None where there is none."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A list of ``pyproject.toml`` whose entries are others: those of one side only, as written."""

    key: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package at another version; None on the side that has it not.

    ``direct``: whether it is a dependency of its own on one of the sides; ``step``: how far the
    versions are apart, None where one is missing; ``older``: whether the second is the older one.
    """

    name: str
    before: str | None
    after: str | None
    direct: bool
    step: Step | None
    older: bool


@dataclass(frozen=True, kw_only=True)
class File:
    """An artifact of a package that kept its version: another digest, or there on one side only.

    ``same_index``: both sides have it from one URL, so that the index was pushed anew, or the platforms
    are others; two indexes are expected to have files of their own.
    """

    package: str
    version: str | None
    same_index: bool
    file_name: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A package that comes from another index, by the indexes' names."""

    package: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """All that differs; ``differs`` is whether anything does."""

    before: Side
    after: Side
    differs: bool
    settings: tuple[Setting, ...]
    requirements: tuple[Lines, ...]
    changed: tuple[Package, ...]
    added: tuple[Package, ...]
    removed: tuple[Package, ...]
    rehashed: tuple[File, ...]
    moved: tuple[Moved, ...]


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """What two flavors, or two states of one, differ in: the spec, what is asked for, what is locked."""
    old_pins, new_pins = (snapshot.locks.pins if snapshot.locks else () for snapshot in (before, after))
    changes = compare(old_pins, new_pins)
    direct = _direct(before.project) | _direct(after.project)
    settings = tuple(_settings(before.project.spec, after.project.spec))
    requirements = tuple(_requirements(before.project, after.project))
    moved = tuple(_moved(before, after))
    return Difference(
        before=_side(before),
        after=_side(after),
        differs=bool(changes or settings or requirements or moved),
        settings=settings,
        requirements=requirements,
        changed=tuple(_package(item, direct) for item in changes.changed),
        added=tuple(_package(item, direct) for item in changes.added),
        removed=tuple(_package(item, direct) for item in changes.removed),
        rehashed=tuple(_rehashed(changes, before, after)),
        moved=moved,
    )


def _side(snapshot: Snapshot) -> Side:
    return Side(
        flavor=snapshot.flavor,
        revision=snapshot.revision,
        commit=snapshot.commit,
        locked=snapshot.locks is not None,
    )


def _settings(before: Spec, after: Spec) -> Iterator[Setting]:
    old, new = _values(before), _values(after)
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield Setting(key=key, before=_shown(old.get(key)), after=_shown(new.get(key)))


def _shown(value: str | None) -> str | None:
    return None if value is None else masked(value)


def _values(spec: Spec) -> Mapping[str, str | None]:
    """The spec's values by the keys of ``[tool.factory]``; a further index by its name."""
    return {
        "name": spec.name,
        "accelerator": spec.accelerator,
        "accelerator-version": spec.accelerator_version,
        "torch": spec.torch,
        "python": spec.python,
        "training-hub": spec.training_hub,
        "platforms": ", ".join(spec.platforms),
        "glibc": spec.glibc,
        "index-url": spec.index_url,
        **{f"index {item.name}": f"{item.url} for {', '.join(item.packages)}" for item in spec.indexes},
        "redirect-hosts": ", ".join(spec.redirect_hosts) or None,
        "base-image": spec.base_image,
        "downstream-base-image": spec.downstream_base_image,
        "template-set": spec.template_set,
    }


def _requirements(before: Project, after: Project) -> Iterator[Lines]:
    old, new = _lists(before), _lists(after)
    for key, entries in old.items():
        removed = tuple(entry for entry in entries if entry not in new[key])
        added = tuple(entry for entry in new[key] if entry not in entries)
        if removed or added:
            yield Lines(key=key, removed=tuple(map(masked, removed)), added=tuple(map(masked, added)))


def _lists(project: Project) -> Mapping[str, tuple[str, ...]]:
    spec = project.spec
    return {
        "dependencies": project.dependencies,
        "constraint-dependencies": project.constraints,
        "override-dependencies": project.overrides,
        "missing": tuple(f"{item.requirement} ({item.reason})" for item in spec.missing),
        "waivers": tuple(
            f"{' '.join(filter(None, (item.finding, item.package)))} until {item.expires} ({item.reason})"
            for item in spec.waivers
        ),
        "hooks.environment": tuple(f"{key}={value}" for key, value in spec.hooks.environment),
        "hooks.system-packages": spec.hooks.system_packages,
        "hooks.midstream": tuple(spec.hooks.midstream.splitlines()),
        "hooks.before-install": tuple(spec.hooks.before_install.splitlines()),
        "hooks.after-install": tuple(spec.hooks.after_install.splitlines()),
        "hooks.files": spec.hooks.files,
    }


def _direct(project: Project) -> set[str]:
    return {canonicalize_name(parse(text).name) for text in project.dependencies}


def _package(change: PinChange, direct: set[str]) -> Package:
    known = change.before is not None and change.after is not None
    before, after = change.before or "", change.after or ""
    return Package(
        name=change.name,
        before=change.before,
        after=change.after,
        direct=change.name in direct,
        step=step(before, after) if known else None,
        older=known and is_older(before, after),
    )


def _rehashed(changes: Changes, before: Snapshot, after: Snapshot) -> Iterator[File]:
    old, new = (_by_name(snapshot.locks) for snapshot in (before, after))
    for change in changes.rehashed:
        urls = {_url(snapshot.project.spec, change.name) for snapshot in (before, after)}
        yield from _files(old[change.name], new[change.name], same_index=len(urls) == 1)


def _by_name(locks: LockSet | None) -> Mapping[str, Pin]:
    return {pin.name: pin for pin in (locks.pins if locks else ())}


def _url(spec: Spec, package: str) -> str | None:
    return spec.url_of(spec.index_of(package))


def _files(before: Pin, after: Pin, *, same_index: bool) -> Iterator[File]:
    """The artifacts of two pins that are not the same; those that the locks do not name stand alone."""
    common = {item.sha256 for item in before.artifacts} & {item.sha256 for item in after.artifacts}
    old = {_key(item): item for item in before.artifacts if item.sha256 not in common}
    new = {_key(item): item for item in after.artifacts if item.sha256 not in common}
    for key in dict.fromkeys((*old, *new)):
        one, other = old.get(key), new.get(key)
        known = one or other
        yield File(
            package=after.name,
            version=after.version,
            same_index=same_index,
            file_name=known.file_name if known else None,
            before=one.sha256 if one else None,
            after=other.sha256 if other else None,
        )


def _key(artifact: Artifact) -> str:
    return artifact.file_name or artifact.sha256


def _moved(before: Snapshot, after: Snapshot) -> Iterator[Moved]:
    old, new = _origins(before.locks, before.project.spec), _origins(after.locks, after.project.spec)
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield Moved(package=name, before=old[name], after=new[name])


def _origins(locks: LockSet | None, spec: Spec) -> dict[str, str]:
    """Package to the name of the index in whose lock file it stands."""
    names = index_names(spec)
    files = locks.files if locks else {}
    return {pin.name: names[file] for file, lock in files.items() for pin in lock.pins}
