"""What a lock asks for, read as strictly as a build with no network needs it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor
from factory.hermetic.problem import Problem, prefetch_error
from factory.index.file_names import project_of
from factory.lock.inputs import inputs_digest
from factory.lock.lockfile import LOCK_FILE, LockFile, Pin, require_lock

# What Hermeto accepts; it stops at every other option.
_ACCEPTED_OPTIONS = frozenset({"--index-url", "-i", "--require-hashes", "--trusted-host"})


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One locked artifact. ``file_name`` is None where the lock does not tell it."""

    name: str
    version: str
    sha256: str
    file_name: str | None

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
    """Every artifact that the flavor's lock names.

    Raises:
        LockFileError: there is no lock.
        PrefetchError: the lock cannot be fetched as it stands; every reason is in the message.
        SpecError: the flavor's ``pyproject.toml`` cannot be read.
    """
    lock = require_lock(flavor.folder)
    problems = [
        Problem(kind="lock", text=text)
        for check in (
            _unreadable(lock),
            _emptied(flavor, lock),
            _options(lock),
            _index(flavor, lock),
            _pins(lock),
        )
        for text in check
    ]
    wanted = tuple(_wanted(lock))
    problems += [Problem(kind="lock", text=text) for text in _names(wanted)]
    if problems:
        raise prefetch_error(flavor.name, problems)
    return wanted


def is_stale(flavor: Flavor) -> bool:
    """Whether the lock says that it was made from something else than ``pyproject.toml`` says now."""
    made_from = require_lock(flavor.folder).inputs
    return made_from is not None and made_from != inputs_digest(flavor.project)


def _unreadable(lock: LockFile) -> Iterator[str]:
    for number, text in lock.unreadable:
        yield f"{LOCK_FILE} line {number} is no requirement: {text}"


def _emptied(flavor: Flavor, lock: LockFile) -> Iterator[str]:
    """Nothing is what a project that requires nothing locks; for any other the lock lost its pins."""
    required = [Requirement(text).name for text in flavor.project.dependencies]
    if required and not lock.pins:
        yield f"{LOCK_FILE} pins nothing, and {PROJECT_FILE} requires {', '.join(required)}"


def _options(lock: LockFile) -> Iterator[str]:
    for option in lock.options:
        if option.name not in _ACCEPTED_OPTIONS:
            yield f"{LOCK_FILE} line {option.line}: {option.name} has no place in a lock"


def _index(flavor: Flavor, lock: LockFile) -> Iterator[str]:
    """The index that the lock names is the spec's, or none where the spec names none."""
    spec_url = flavor.project.spec.index_url
    if len(lock.index_urls) > 1:
        yield f"{LOCK_FILE} names {len(lock.index_urls)} indexes; one file has one"
    elif spec_url is None and lock.index_urls:
        yield f"{LOCK_FILE} has an --index-url line, and the spec has no index-url"
    elif spec_url is not None and not lock.index_urls:
        yield f"{LOCK_FILE} has no --index-url line, and the spec's index is {spec_url}"
    elif spec_url is not None and lock.index_urls[0].rstrip("/") != spec_url.rstrip("/"):
        yield f"{LOCK_FILE} names another index than the spec, which says {spec_url}"


def _pins(lock: LockFile) -> Iterator[str]:
    seen: dict[str, Pin] = {}
    for pin in lock.pins:
        where = f"{LOCK_FILE} line {pin.line}"
        if pin.version is None:
            yield f"{where}: {pin.text} is not pinned with =="
        if not pin.artifacts:
            yield f"{where}: {pin.text} has no sha256 hash"
        if pin.name in seen:
            yield f"{where}: {pin.name} is pinned on line {seen[pin.name].line} already"
        seen[pin.name] = pin


def _wanted(lock: LockFile) -> Iterator[Wanted]:
    for pin in lock.pins:
        for artifact in pin.artifacts:
            if pin.version is not None:
                yield Wanted(
                    name=pin.name, version=pin.version, sha256=artifact.sha256, file_name=artifact.file_name
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
    except InvalidVersion:
        return None
