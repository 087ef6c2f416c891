"""The artifacts that a lock names, and the one error for all problems of a prefetch."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from packaging.version import Version

from factory.errors import FactoryError, IndexAccessError, IndexContentError, PrefetchError
from factory.flavor.repository import Flavor
from factory.flavor.spec import MAIN_INDEX
from factory.index.cache import MetadataCache
from factory.index.metadata import project_of
from factory.index.wheel import check_wheel
from factory.lock.judgement import refusals_of
from factory.lock.lockset import LockSet, require_lock_set

Kind = Literal["lock", "extra", "gone", "re-pushed", "unknown", "large", "bytes", "package", "access"]
_SOLUTIONS: dict[Kind, str] = {
    "lock": "Lock again: `factory lock {flavor}`.",
    "extra": "Move away what the lock does not name, or give an empty folder; nothing unknown is deleted.",
    "gone": "Name a folder that has the file with --find-links, or lock again: `factory lock {flavor}`.",
    "re-pushed": "If the owners of the index say that they pushed again, take the new hashes: "
    "`factory rehash {flavor}`.",
    "unknown": "Lock again: `factory lock {flavor}`; if the owners of the index say that they pushed again, "
    "`factory rehash {flavor}` keeps every version.",
    "large": "If such a file may be as large, set FACTORY_MAX_DOWNLOAD, as in 40G, and run the same command "
    "again.",
    "bytes": "Do not use that index until its owners have said why; nothing of it was kept.",
    "package": "Do not build with that package, and do not trust the lock that names it, until the "
    "owners of the index have said what it is; then lock again: `factory lock {flavor}`.",
    "access": "Look at the network, the index and ~/.netrc; run the same command to go on from here.",
}


@dataclass(frozen=True, kw_only=True)
class PrefetchProblem:
    """One problem of a prefetch: its kind, and its description."""

    kind: Kind
    text: str


def prefetch_error(flavor: str, problems: Iterable[PrefetchProblem]) -> FactoryError:
    """Return all problems of a run as one error, each once and in a stable order.

    It is an IndexAccessError if nothing but access to the index failed.
    """
    distinct = sorted(set(problems), key=lambda problem: (list(_SOLUTIONS).index(problem.kind), problem.text))
    kinds = dict.fromkeys(problem.kind for problem in distinct)
    lines = "".join(f"\n  - {problem.text}" for problem in distinct)
    family = IndexAccessError if set(kinds) == {"access"} else PrefetchError
    return family(
        f"{flavor} could not be prefetched:{lines}",
        solution=" ".join(_SOLUTIONS[kind].format(flavor=flavor) for kind in kinds),
    )


@dataclass(frozen=True, kw_only=True)
class LockedArtifact:
    """One locked artifact, and the name of its index.

    ``file_name`` and ``size`` (in bytes) are None if the lock does not have them.
    """

    name: str
    version: str
    sha256: str
    file_name: str | None
    index: str = MAIN_INDEX
    size: int | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """Return its name for messages."""
        return self.file_name or f"{self.name}=={self.version}"

    def may_be_called(self, file_name: str) -> bool:
        """Return whether it can have a file name: the lock's, or by project and version."""
        if self.file_name is not None:
            return file_name == self.file_name
        return "/" not in file_name and project_of(file_name) == _pinned(self)


def locked_artifacts(flavor: Flavor) -> tuple[LockSet, tuple[LockedArtifact, ...]]:
    """Return the lock of a flavor, and every artifact that its files name.

    Raises:
        LockFileError: no lock exists, or its files are of different runs.
        PrefetchError: the lock cannot be prefetched; the message has every reason.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    spec = flavor.project.spec
    locks = require_lock_set(flavor.folder, spec)
    if problems := refusals_of(flavor, locks):
        raise prefetch_error(
            flavor.name, [PrefetchProblem(kind="lock", text=str(problem)) for problem in problems]
        )
    return locks, tuple(
        LockedArtifact(
            name=pin.name,
            version=pin.version,
            sha256=artifact.sha256,
            file_name=artifact.file_name,
            index=spec.index_of(pin.name),
            size=artifact.size,
        )
        for pin in locks.pins
        for artifact in pin.artifacts
        if pin.version is not None
    )


def _pinned(artifact: LockedArtifact) -> tuple[str, Version] | None:
    try:
        return artifact.name, Version(artifact.version)
    except ValueError:
        return None


def wrong_identity(
    file: BinaryIO, *, file_name: str, sha256: str, cache: MetadataCache
) -> PrefetchProblem | None:
    """Return the problem of a wheel called ``file_name``; None if it is valid, or was before.

    An sdist is not opened: only a build shows what it contains.

    Args:
        file: the wheel, open, under any name.
        file_name: the name that it has, or will have.
        sha256: the digest of its bytes, in hex, as they were read.
        cache: remembers which wheels are valid, so that a second run need not open them.
    """
    if not file_name.endswith(".whl") or cache.get_checked(file_name, sha256) is not None:
        return None

    try:
        wheel = check_wheel(file, of=file_name)
    except IndexContentError as error:
        return PrefetchProblem(kind="package", text=error.reason)
    cache.put_checked(file_name, sha256, wheel.metadata)
    return None
