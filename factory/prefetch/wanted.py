"""What a lock asks for, file by file, read as strictly as a build with no network needs it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.version import Version

from factory.flavor.indexes import MAIN_INDEX
from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.index.metadata import project_of
from factory.lock.lockfile import LockFile
from factory.lock.lockset import LockSet, index_names, misplaced, require_lock_set
from factory.lock.lockset import is_stale as lock_set_is_stale
from factory.masking import masked
from factory.prefetch.problem import Problem, prefetch_error

# What Hermeto accepts; it stops at every other option.
_ACCEPTED_OPTIONS = frozenset({"--index-url", "-i", "--require-hashes", "--trusted-host"})


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


def wanted_artifacts(flavor: Flavor) -> tuple[Wanted, ...]:
    """Every artifact that the flavor's lock names, of all its files.

    Raises:
        LockFileError: there is no lock, or its files are not of one run.
        PrefetchError: the lock cannot be fetched as it stands; every reason is in the message.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    spec = flavor.project.spec
    locks = require_lock_set(flavor.folder, spec)
    texts = [*_emptied(flavor, locks), *_misplaced(locks, spec), *_repeated(locks)]
    for name, lock in locks.files.items():
        url = spec.url_of(index_names(spec)[name])
        about_file = (*_unreadable(lock), *_options(lock), *_index(url, lock), *_pins(lock))
        texts += [f"{name}{text}" for text in about_file]
    wanted = tuple(_wanted(locks, spec))
    texts += _names(wanted)
    if texts:
        raise prefetch_error(flavor.name, [Problem(kind="lock", text=text) for text in texts])
    return wanted


def is_stale(flavor: Flavor) -> bool:
    """Whether the lock says that it was made from something else than ``pyproject.toml`` says now."""
    project = flavor.project
    return lock_set_is_stale(require_lock_set(flavor.folder, project.spec), project)


def _emptied(flavor: Flavor, locks: LockSet) -> Iterator[str]:
    """Nothing is what a project that requires nothing locks; for any other the lock lost its pins."""
    required = [Requirement(text).name for text in flavor.project.dependencies]
    if required and not locks.pins:
        yield f"{' and '.join(locks.files)} pins nothing, and {PROJECT_FILE} requires {', '.join(required)}"


def _misplaced(locks: LockSet, spec: Spec) -> Iterator[str]:
    """What is pinned for another index than the spec gives it."""
    for found in misplaced(locks, spec):
        where = f"{found.file_name} line {found.pin.line}"
        yield f"{where}: {found.pin.name} belongs into {found.belongs_into}, the file of its index"


def _repeated(locks: LockSet) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name, lock in locks.files.items():
        for pin in lock.pins:
            if pin.name in seen:
                yield f"{name} line {pin.line}: {pin.name} is pinned {seen[pin.name]} already"
            seen[pin.name] = (
                f"on line {pin.line} of {name}" if len(locks.files) > 1 else f"on line {pin.line}"
            )


def _unreadable(lock: LockFile) -> Iterator[str]:
    for number, text in lock.unreadable:
        yield f" line {number} is no requirement: {text}"


def _options(lock: LockFile) -> Iterator[str]:
    for option in lock.options:
        if option.name not in _ACCEPTED_OPTIONS:
            yield f" line {option.line}: {option.name} has no place in a lock"


def _index(url: str | None, lock: LockFile) -> Iterator[str]:
    """The index that a file names is the spec's, or none where the spec names none."""
    if len(lock.index_urls) > 1:
        yield f" names {len(lock.index_urls)} indexes; one file has one"
    elif url is None and lock.index_urls:
        yield " has an --index-url line, and the spec has no index-url"
    elif url is not None and not lock.index_urls:
        yield f" has no --index-url line, and the spec's index is {url}"
    elif url is not None and lock.index_urls[0].rstrip("/") != url.rstrip("/"):
        yield f" names another index than the spec, which says {url}"


def _pins(lock: LockFile) -> Iterator[str]:
    for pin in lock.pins:
        if pin.version is None:
            yield f" line {pin.line}: {masked(pin.text)} is not pinned with =="
        if not pin.artifacts:
            yield f" line {pin.line}: {masked(pin.text)} has no sha256 hash"


def _wanted(locks: LockSet, spec: Spec) -> Iterator[Wanted]:
    for pin in locks.pins:
        for artifact in pin.artifacts:
            if pin.version is not None:
                yield Wanted(
                    name=pin.name,
                    version=pin.version,
                    sha256=artifact.sha256,
                    file_name=artifact.file_name,
                    index=spec.index_of(pin.name),
                    size=artifact.size,
                )


def _names(wanted: tuple[Wanted, ...]) -> Iterator[str]:
    """A file name is the package's own, and has one digest: two files of one name overwrite each other."""
    digests: dict[str, set[str]] = defaultdict(set)
    for artifact in wanted:
        if artifact.file_name is not None:
            digests[artifact.file_name].add(artifact.sha256)
            named = project_of(artifact.file_name)
            if "/" in artifact.file_name or named is None or named != _pinned(artifact):
                yield f"{artifact.file_name} is no file of {artifact.name} {artifact.version}"
    for file_name, found in digests.items():
        if len(found) > 1:
            yield f"{file_name} is locked with {len(found)} different hashes"


def _pinned(artifact: Wanted) -> tuple[str, Version] | None:
    try:
        return artifact.name, Version(artifact.version)
    except ValueError:
        return None
