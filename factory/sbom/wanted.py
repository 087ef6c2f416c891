"""What a lock names, file by file, as a bill of materials needs it: pinned, hashed, each of its package."""

from dataclasses import dataclass

from factory.errors import SbomError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.lock.judgement import is_file_of, require_sound_lock
from factory.lock.lockfile import Artifact
from factory.lock.lockset import LockSet
from factory.masking import shown


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
        SbomError: check has an error about the lock.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    locks = require_sound_lock(flavor, error=SbomError)
    return LockedFlavor(name=flavor.name, spec=flavor.project.spec, locks=locks)


def wanted_packages(flavor: LockedFlavor) -> tuple[Wanted, ...]:
    """Every package that a lock pins, in all of its files, by name."""
    spec, locks = flavor.spec, flavor.locks
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
