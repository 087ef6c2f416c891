"""What the parents of an image have installed: it counts as given when the image is locked.

The parents' pins are constraints of the child's resolution, and the child's lock leaves out what they hold.
The lock names the parent and a digest over the packages and versions that it was made against, so that a
parent that moved makes it stale.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.errors import FactoryError
from factory.flavor.project import ImageFolder, Project, dropped, parse
from factory.flavor.spec import Missing
from factory.lock.lockfile import Pin
from factory.lock.lockset import LockSet, inputs_digest, require_lock_set

NewLocks = Mapping[Path, tuple[Project, LockSet]]
"""Projects and locks that are not written yet, by the folder of their image."""


@dataclass(frozen=True, kw_only=True)
class GivenPackages:
    """The packages of an image's parents.

    parent: the name of the nearest parent that installs packages; empty without one.
    pins: the pins of the parents' locks by package, those of the nearer parent before others.
    owners: the image that a package is from.
    provided: version by package of what an image has by other means than a lock (``provides``).
    missing: packages that the parents' locks leave out.
    overrides: the parents' overrides.
    """

    parent: str = ""
    pins: Mapping[str, Pin] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    provided: Mapping[str, str] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    overrides: tuple[str, ...] = ()

    @property
    def versions(self) -> dict[str, str]:
        """The version of every package that the parents have."""
        pinned = {name: pin.version for name, pin in self.pins.items() if pin.version is not None}
        return {**self.provided, **pinned}

    @property
    def digest(self) -> str:
        """``sha256:…`` over the packages and versions."""
        canonical = json.dumps(self.versions, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"

    @property
    def recorded(self) -> str | None:
        """The text that a lock records of its parent; None without one."""
        return f"{self.parent} {self.digest}" if self.parent else None


NOTHING_GIVEN = GivenPackages()


def given_packages(project: Project, *, new: NewLocks | None = None) -> GivenPackages:
    """Return what the parents of an image have; nothing for a flavor and on an external parent.

    Args:
        project: the image's.
        new: locks of parents that are about to be written.

    Raises:
        LockFileError: a parent is not locked, or its lock cannot be read.
        SpecError, NotFoundError: as for `read_project` of a parent.
    """
    own = dict(_provided(project))
    if project.parent is None:
        return GivenPackages(provided=own)
    pins: dict[str, Pin] = {}
    owners: dict[str, str] = {}
    provided: dict[str, str] = {}
    missing: set[str] = set()
    overrides: dict[str, str] = {}
    for image, parent, locks in _parents(project, new or {}):
        for pin in locks.pins:
            if pin.name not in owners and not parent.spec.for_build_alone(pin.name):
                owners[pin.name] = image.name
                pins[pin.name] = pin
        for name, version in _provided(parent):
            if name not in owners:
                owners[name] = image.name
                provided[name] = version
        missing |= dropped(parent)
        overrides = {canonicalize_name(parse(text).name): text for text in parent.overrides} | overrides
    return GivenPackages(
        parent=project.parent.name,
        pins=pins,
        owners=owners,
        provided=provided | own,
        missing=frozenset(missing - owners.keys()),
        overrides=tuple(overrides.values()),
    )


def _parents(project: Project, new: NewLocks) -> Iterator[tuple[ImageFolder, Project, LockSet]]:
    above = project.parent
    while above is not None:
        if above.folder in new:
            parent, locks = new[above.folder]
        else:
            parent = above.project
            locks = require_lock_set(above.folder, parent.spec)
        yield above, parent, locks
        above = parent.parent


def _provided(project: Project) -> Iterator[tuple[str, str]]:
    for text in project.spec.provides:
        requirement = Requirement(text)
        yield canonicalize_name(requirement.name), next(iter(requirement.specifier)).version


def project_on(given: GivenPackages, project: Project, *, replacing: Iterable[str] = ()) -> Project:
    """Return a project whose resolution keeps what is given, beside the packages that may be replaced.

    What an image has by other means than a lock is left out of the resolution.
    """
    if not given.parent and not given.provided:
        return project
    free = frozenset(replacing)
    own = {canonicalize_name(parse(text).name) for text in project.overrides}
    asked = own | {canonicalize_name(parse(text).name) for text in project.dependencies}
    exact = tuple(
        f"{name}=={pin.version}"
        for name, pin in sorted(given.pins.items())
        if pin.version is not None and name not in free
    )
    left_out = given.provided.keys() | (given.missing - asked)
    recorded = {missing.package for missing in project.spec.missing}
    missing = tuple(
        Missing(requirement=name, reason=f"{given.owners.get(name, given.parent)} has it")
        for name in sorted(left_out - recorded)
    )
    inherited = tuple(
        text for text in given.overrides if canonicalize_name(parse(text).name) not in asked | free
    )
    return replace(
        project,
        dependencies=tuple(
            text for text in project.dependencies if canonicalize_name(parse(text).name) not in given.provided
        ),
        constraints=(*project.constraints, *exact),
        overrides=(*project.overrides, *inherited),
        spec=replace(project.spec, missing=(*project.spec.missing, *missing)),
    )


def is_stale(locks: LockSet, project: Project) -> bool:
    """Return whether a lock was made from other inputs than the project and its parents have now."""
    now = inputs_digest(project)
    recorded = [lock for lock in locks.files.values() if lock.inputs is not None]
    return any(lock.inputs != now for lock in recorded) or (
        bool(recorded) and parent_moved(locks, project) is not None
    )


def parent_unreadable(project: Project) -> FactoryError | None:
    """Return the error of reading what the parents have; None if it can be read."""
    try:
        given_packages(project)
    except FactoryError as error:
        return error
    return None


def parent_moved(locks: LockSet, project: Project) -> str | None:
    """Return how the parent differs from what a lock was made against, in words; None if it does not."""
    recorded = {lock.parent for lock in locks.files.values()}
    try:
        given = given_packages(project)
    except FactoryError as error:
        return f"its parent cannot be read: {error.reason}"
    if recorded == {given.recorded}:
        return None
    if not given.parent:
        return "it was made for another parent, and the image has none of this repository now"
    if any(text is None or text.partition(" ")[0] != given.parent for text in recorded):
        return f"it was not made for the parent {given.parent}"
    return f"the packages of its parent {given.parent} have changed since the lock was made"
