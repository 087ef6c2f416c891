"""Artifacts from folders of wheels that a user names, taken only when their bytes are the lock's."""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from factory.files import storage_error, temporary_sibling
from factory.hermetic.layout import FILE_MODE
from factory.hermetic.standing import file_digest
from factory.hermetic.wanted import Wanted

_READABLE_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def find_locally(wanted: Wanted, folders: Sequence[Path]) -> Path | None:
    """The first file in the folders that may be the artifact by its name and is it by its bytes."""
    for candidate in _candidates(wanted, folders):
        if file_digest(candidate) == wanted.sha256:
            return candidate
    return None


def take(source: Path, destination: Path, *, sha256: str) -> bool:
    """Link a file, or copy it where that cannot be, and rename it into place if its bytes are right.

    Returns:
        Whether they were: the file may have changed since it was found.

    Raises:
        StorageError: the file system refused.
    """
    # A name that nothing is ever downloaded to: a run that is killed here leaves a link to the source.
    by_way_of = temporary_sibling(destination)
    try:
        if not _link(source, by_way_of):
            shutil.copyfile(source, by_way_of)
            by_way_of.chmod(FILE_MODE)
        # Hashed under its new name: what is renamed is what was hashed.
        if file_digest(by_way_of) != sha256:
            by_way_of.unlink()
            return False
        by_way_of.replace(destination)
    except OSError as error:
        by_way_of.unlink(missing_ok=True)
        raise storage_error(destination, error) from error
    return True


def _candidates(wanted: Wanted, folders: Sequence[Path]) -> list[Path]:
    if wanted.file_name is not None:
        named = [folder / wanted.file_name for folder in folders]
    else:
        named = [
            path
            for folder in folders
            if folder.is_dir()
            for path in sorted(folder.iterdir())
            if wanted.may_be_called(path.name)
        ]
    return [path for path in named if path.is_file()]


def _link(source: Path, target: Path) -> bool:
    """Make a hard link, unless the file has a mode that a build, being another user, cannot read."""
    if source.stat().st_mode & _READABLE_BY_ALL != _READABLE_BY_ALL:
        return False
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False  # another file system, or a file that may not be linked: copied instead
    return True
