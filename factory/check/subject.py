"""What is read of a flavor, once, before the rules look at it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.errors import FactoryError, LockFileError, NotFoundError, SpecError
from factory.files import storage_error
from factory.flavor.project import PROJECT_FILE, Project
from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, LockFile, read_lock


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A flavor as it stands in its folder, whatever its state.

    ``project`` is None where ``pyproject.toml`` cannot be read, and ``project_error`` says why;
    so for ``lock``, which is None without an error where the flavor is not locked.
    """

    flavor: Flavor
    project: Project | None
    project_error: FactoryError | None
    document: Mapping[str, object]
    project_lines: tuple[str, ...]
    lock: LockFile | None
    lock_error: FactoryError | None
    dockerfiles: Mapping[str, bytes]
    repositories: Mapping[str, bytes]

    def project_line(self, *words: str) -> int | None:
        """The number of the first line of ``pyproject.toml`` that holds all the words."""
        numbered = enumerate(self.project_lines, start=1)
        return next((number for number, line in numbered if all(word in line for word in words)), None)


def read_subject(flavor: Flavor) -> Subject:
    """Read what the rules need; what cannot be read is kept as an error for them to report.

    Raises:
        StorageError: the file system refused.
    """
    project, project_error = _project(flavor)
    lock, lock_error = _lock(flavor)
    text = _text(flavor.folder / PROJECT_FILE)
    return Subject(
        flavor=flavor,
        project=project,
        project_error=project_error,
        document=_document(text),
        project_lines=tuple(text.splitlines()),
        lock=lock,
        lock_error=lock_error,
        dockerfiles=_contents(flavor.folder, "Dockerfile*"),
        repositories=_contents(flavor.folder, "*.repo"),
    )


def _project(flavor: Flavor) -> tuple[Project | None, FactoryError | None]:
    try:
        return flavor.project, None
    except (SpecError, NotFoundError) as error:
        return None, error
    except OSError as error:
        return None, storage_error(flavor.folder / PROJECT_FILE, error)


def _lock(flavor: Flavor) -> tuple[LockFile | None, FactoryError | None]:
    try:
        return read_lock(flavor.folder), None
    except LockFileError as error:
        return None, error
    except OSError as error:
        return None, storage_error(flavor.folder / LOCK_FILE, error)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # which reading the project has met as well, and says
        return ""


def _document(text: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern)) if path.is_file()}
