"""What a lock names, file by file, as a bill of materials needs it: pinned, hashed, each of its package."""

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.version import Version

from factory.errors import SbomError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.index.metadata import project_of
from factory.lock.lockfile import Artifact, LockFile, Pin
from factory.lock.lockset import LockSet, misplaced, require_lock_set
from factory.masking import shown

_SHA256_DIGITS = 64
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A pinned package: the name of its index, and its files, whose names the lock need not tell."""

    name: str
    version: str
    index: str
    beside_index: bool
    artifacts: tuple[Artifact, ...]

    @property
    def sha256s(self) -> frozenset[str]:
        """The digests of its files, in hex."""
        return frozenset(artifact.sha256 for artifact in self.artifacts)

    @property
    def named(self) -> frozenset[tuple[str, str]]:
        """The names and digests of those files whose names the lock tells."""
        return frozenset((item.file_name, item.sha256) for item in self.artifacts if item.file_name)

    def index_url(self, spec: Spec) -> str | None:
        """Where its index is, without credentials; None for the public one, and for none at all."""
        url = None if self.beside_index else spec.url_of(self.index)
        return None if url is None else shown(url)

    def may_be_called(self, file_name: str) -> bool:
        """Whether a file of that name can be one of this package's, by project and version."""
        return is_file_of(file_name, self.name, self.version)


@dataclass(frozen=True, kw_only=True)
class LockedFlavor:
    """What a bill is of: a flavor's name, its spec and its lock, as they are or as they are going to be."""

    name: str
    spec: Spec
    locks: LockSet


def read_locked(flavor: Flavor) -> LockedFlavor:
    """Return a flavor as it is in its folder.

    Raises:
        LockFileError: there is no lock, or its files are not of one run.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    spec = flavor.project.spec
    return LockedFlavor(name=flavor.name, spec=spec, locks=require_lock_set(flavor.folder, spec))


def wanted_packages(flavor: LockedFlavor) -> tuple[Wanted, ...]:
    """Every package that a lock pins, in all of its files, by name.

    Raises:
        SbomError: the lock does not say what it installs.
    """
    spec, locks = flavor.spec, flavor.locks
    wrong = [
        *(f"{found.pin.name} belongs into {found.belongs_into}" for found in misplaced(locks, spec)),
        *(text for lock in locks.files.values() for text in _unreadable(lock)),
        *_repeated(locks),
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise SbomError(
            f"the lock of {flavor.name} does not say what it installs: {'; '.join(wrong[:_SHOWN])}{more}",
            solution=f"Lock again: `factory lock {flavor.name}`; `factory check` tells line by line.",
        )
    return tuple(
        Wanted(
            name=pin.name,
            version=pin.version,
            index=spec.index_of(pin.name),
            beside_index=pin.name in locks.beside_index,
            artifacts=pin.artifacts,
        )
        for pin in sorted(locks.pins, key=lambda pin: pin.name)
        if pin.version is not None
    )


def is_file_of(file_name: str, name: str, version: str) -> bool:
    """Whether a file name is one of a package's, and no path."""
    try:
        return "/" not in file_name and project_of(file_name) == (name, Version(version))
    except ValueError:
        return False


def _unreadable(lock: LockFile) -> Iterator[str]:
    for number, _ in lock.unreadable:
        yield f"line {number} is no requirement"
    for pin in lock.pins:
        yield from _of_pin(pin)


def _of_pin(pin: Pin) -> Iterator[str]:
    if pin.version is None:
        yield f"{pin.name} is not pinned with =="
    elif not pin.artifacts:
        yield f"{pin.name} has no hash"
    for artifact in pin.artifacts:
        if len(artifact.sha256) != _SHA256_DIGITS:
            yield f"a hash of {pin.name} is no SHA-256"
        named = artifact.file_name
        if named is not None and pin.version and not is_file_of(named, pin.name, pin.version):
            yield f"{named} is no file of {pin.name} {pin.version}"


def _repeated(locks: LockSet) -> Iterator[str]:
    seen: set[str] = set()
    for pin in locks.pins:
        if pin.name in seen:
            yield f"{pin.name} is pinned twice"
        seen.add(pin.name)
