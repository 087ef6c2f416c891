"""Artifacts from folders of wheels that a user names, taken only when their bytes are the lock's."""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from factory.files import open_regular, storage_error, temporary_sibling
from factory.index.cache import MetadataCache
from factory.lock.prefetched import digest_of
from factory.prefetch.identity import wrong_identity
from factory.prefetch.layout import FILE_MODE
from factory.prefetch.problem import Problem
from factory.prefetch.wanted import Wanted
from factory.tree import Tree

_READABLE_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def find_locally(wanted: Wanted, folders: Sequence[Path]) -> Path | None:
    """The first file in the folders that may be the artifact by its name and is it by its bytes.

    Raises:
        StorageError: a file cannot be read.
    """
    for candidate in _candidates(wanted, folders):
        with _opened(candidate) as file:
            if digest_of(file, candidate) == wanted.sha256:
                return candidate
    return None


def take(source: Path, artifacts: Tree, wanted: Wanted, *, cache: MetadataCache) -> Problem | None:
    """Link a file, or copy it where that cannot be, and give it its name if it is the locked artifact.

    Returns:
        What is wrong with it: its bytes, which may have changed since it was found, or the package.

    Raises:
        StorageError: the file system refused.
    """
    # A name that nothing is ever downloaded to: a run that is killed here leaves a link to the source.
    by_way_of = temporary_sibling(artifacts.root / source.name).name
    try:
        with _opened(source) as file:
            if not _link(file, artifacts, by_way_of):
                with artifacts.create(by_way_of, mode=FILE_MODE) as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)
        # Read under its new name: what gets the name is what was read.
        with artifacts.open(by_way_of) as file:
            if digest_of(file, source) != wanted.sha256:
                return Problem(kind="bytes", text=f"{source} changed while it was taken")
            wrong = wrong_identity(file, file_name=source.name, sha256=wanted.sha256, cache=cache)
            if wrong is not None:
                return wrong
            artifacts.rename(by_way_of, source.name)
            named = artifacts.status(source.name)
            if named is None or not os.path.samestat(named, os.fstat(file.fileno())):
                artifacts.remove(source.name)
                return Problem(kind="bytes", text=f"{source} was exchanged while it was taken")
    except OSError as error:
        raise storage_error(artifacts.root / source.name, error) from error
    finally:
        artifacts.remove(by_way_of)
    return None


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


def _opened(path: Path) -> BinaryIO:
    """Open a file of a folder that the user named, which may be a link in it."""
    try:
        return open_regular(path)
    except OSError as error:
        raise storage_error(path, error) from error


def _link(file: BinaryIO, artifacts: Tree, name: str) -> bool:
    """Make a hard link, unless the file has a mode that a build, being another user, cannot read."""
    if os.fstat(file.fileno()).st_mode & _READABLE_BY_ALL != _READABLE_BY_ALL:
        return False
    return artifacts.link(file, name)
