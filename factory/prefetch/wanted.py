"""What a lock asks for, file by file, read as strictly as a build with no network needs it."""

from dataclasses import dataclass, field

from packaging.version import Version

from factory.flavor.repository import Flavor
from factory.flavor.spec import MAIN_INDEX
from factory.index.metadata import project_of
from factory.lock.judgement import refusals_of
from factory.lock.lockset import LockSet, require_lock_set
from factory.prefetch.problem import Problem, prefetch_error


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One locked artifact, and the name of the one index that it comes from.

    ``file_name`` and ``size``, its bytes, are None where the lock does not tell them.
    """

    name: str
    version: str
    sha256: str
    file_name: str | None
    index: str = MAIN_INDEX
    size: int | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.file_name or f"{self.name}=={self.version}"

    def may_be_called(self, file_name: str) -> bool:
        """Whether a file of that name can be this artifact: by the lock's name, or by project and version."""
        if self.file_name is not None:
            return file_name == self.file_name
        return "/" not in file_name and project_of(file_name) == _pinned(self)


def locked_artifacts(flavor: Flavor) -> tuple[LockSet, tuple[Wanted, ...]]:
    """Return the lock of a flavor, and every artifact that its files name.

    Raises:
        LockFileError: there is no lock, or its files are not of one run.
        PrefetchError: the lock cannot be fetched as it stands; every reason is in the message.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    spec = flavor.project.spec
    locks = require_lock_set(flavor.folder, spec)
    if problems := refusals_of(flavor, locks):
        raise prefetch_error(flavor.name, [Problem(kind="lock", text=str(problem)) for problem in problems])
    return locks, tuple(
        Wanted(
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


def _pinned(artifact: Wanted) -> tuple[str, Version] | None:
    try:
        return artifact.name, Version(artifact.version)
    except ValueError:
        return None
