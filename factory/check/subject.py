"""Read everything of a flavor once, before the rules check it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from factory.errors import FactoryError, LockFileError
from factory.files import read_regular, read_text, storage_error
from factory.flavor.project import PROJECT_FILE, Project
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.konflux.settings import Settings
from factory.lock.given import given_packages
from factory.lock.lockfile import LOCK_FILE, LockFile, Pin, parse_lock, read_lock_text
from factory.lock.lockset import lock_file_names


@dataclass(frozen=True)
class Neighbours:
    """Names and accelerators of the repository's flavors, by the URL of their main index."""

    by_index: Mapping[str, tuple[tuple[str, str], ...]]

    def sharing(self, spec: Spec, *, name: str) -> tuple[tuple[str, str], ...]:
        """Return the other flavors of another accelerator that have this spec's index."""
        users = self.by_index.get(_without_slash(spec.index_url), ()) if spec.index_url else ()
        return tuple(user for user in users if user[0] != name and user[1] != spec.accelerator)


NO_NEIGHBOURS = Neighbours({})


def read_neighbours(flavors: Iterable[Flavor]) -> Neighbours:
    """Return the flavors whose specs can be read; the others have findings of their own."""
    found: dict[str, list[tuple[str, str]]] = {}
    for flavor in (image for image in flavors if image.is_flavor):
        try:
            spec = flavor.project.spec
        except FactoryError:
            continue
        if spec.index_url is not None:
            found.setdefault(_without_slash(spec.index_url), []).append((flavor.name, spec.accelerator))
    return Neighbours({url: tuple(users) for url, users in found.items()})


def _without_slash(url: str) -> str:
    return url.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A flavor as it is in its folder, whatever its state.

    ``project`` is None if ``pyproject.toml`` cannot be read, and ``project_error`` says why. ``lock_names``
    are the lock files that its spec asks for, ``locks`` those that can be read, and ``lock_errors`` why
    others cannot. ``own_files`` are those of ``hooks.files``, by path. ``konflux`` are the repository's
    settings, None if it does not use Konflux.
    """

    flavor: Flavor
    project: Project | None
    project_error: FactoryError | None
    project_lines: tuple[str, ...]
    lock_names: tuple[str, ...]
    locks: Mapping[str, LockFile]
    lock_errors: Mapping[str, FactoryError]
    dockerfiles: Mapping[str, bytes]
    repositories: dict[str, bytes]
    own_files: dict[str, bytes]
    neighbours: Neighbours = NO_NEIGHBOURS
    konflux: Settings | None = None

    @cached_property
    def pins(self) -> tuple[Pin, ...]:
        """Every pin of every lock file, file by file."""
        return tuple(pin for lock in self.locks.values() for pin in lock.pins)

    @cached_property
    def pinned_names(self) -> frozenset[str]:
        """The normalized names of all pinned packages."""
        return frozenset(pin.name for pin in self.pins)

    @cached_property
    def given_names(self) -> frozenset[str]:
        """The normalized names of what the parents have; empty if they cannot be read."""
        try:
            return frozenset() if self.project is None else frozenset(given_packages(self.project).versions)
        except FactoryError:
            return frozenset()

    @property
    def relock(self) -> str:
        """The solution of most findings of a lock."""
        return f"Lock again: `factory lock {self.flavor.name}`."

    def project_line(self, *words: str) -> int | None:
        """Return the number of the first line of ``pyproject.toml`` that has all the words."""
        numbered = enumerate(self.project_lines, start=1)
        return next((number for number, line in numbered if all(word in line for word in words)), None)


def read_subject(
    flavor: Flavor, *, neighbours: Neighbours = NO_NEIGHBOURS, konflux: Settings | None = None
) -> Subject:
    """Read what the rules need; a read error is kept for them to report.

    Raises:
        StorageError: the file system refused.
    """
    project, project_error = _project(flavor)
    lock_names = (LOCK_FILE,) if project is None else lock_file_names(project.spec)
    locks, lock_errors = _locks(flavor.folder, lock_names)
    return Subject(
        flavor=flavor,
        project=project,
        project_error=project_error,
        project_lines=_lines(flavor.folder / PROJECT_FILE),
        lock_names=lock_names,
        locks=locks,
        lock_errors=lock_errors,
        dockerfiles=_contents(flavor.folder, "Dockerfile*"),
        repositories=_contents(flavor.folder, "*.repo"),
        own_files=_own_files(flavor.folder, () if project is None else project.spec.hooks.files),
        neighbours=neighbours,
        konflux=konflux,
    )


def _project(flavor: Flavor) -> tuple[Project | None, FactoryError | None]:
    try:
        return flavor.project, None
    except FactoryError as error:
        return None, error


def _locks(folder: Path, names: Iterable[str]) -> tuple[dict[str, LockFile], dict[str, FactoryError]]:
    locks: dict[str, LockFile] = {}
    errors: dict[str, FactoryError] = {}
    for name in names:
        try:
            locks[name] = parse_lock(read_lock_text(folder / name))
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            errors[name] = LockFileError(
                "the lock is not UTF-8", solution=f"Lock again: `factory lock {folder.name}`."
            )
        except OSError as error:
            errors[name] = storage_error(folder / name, error)
    return locks, errors


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(read_text(path, errors="replace").splitlines())
    except OSError:  # an error that `_project` met as well
        return ()


def _own_files(folder: Path, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the flavor's own files; another rule reports a missing one, or a link."""
    found = ((path, folder / path) for path in paths)
    return {path: _content(file) for path, file in found if file.is_file() and not file.is_symlink()}


def _contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: _content(path) for path in sorted(folder.glob(pattern)) if path.is_file()}


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise storage_error(path, error) from error
