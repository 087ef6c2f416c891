"""Wheels in folders of this machine, read only where their bytes are those of the lock."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from factory.errors import SbomError
from factory.files import open_regular, storage_error
from factory.index.wheel import check_wheel
from factory.lock.lockfile import Artifact
from factory.lock.prefetched import digest_of
from factory.sbom.wanted import Wanted
from factory.tree import Tree


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file that the lock names: its name and its core metadata, None for an sdist, which has none."""

    file_name: str
    metadata: bytes | None


def find_in_prefetched(wanted: Wanted, artifact: Artifact, artifacts: Tree) -> Found | None:
    """A file of a package in an open prefetched folder, by its bytes; None where it has none.

    Raises:
        SbomError, IndexContentError, StorageError: as for `find_in_folders`; it is a link.
    """
    if artifact.file_name is not None:
        named = [artifact.file_name] if artifacts.status(artifact.file_name) is not None else []
    else:
        named = [entry.path for entry in artifacts.entries() if wanted.may_be_called(entry.path)]
    return _find(artifact, ((artifacts.root / name, partial(artifacts.open, name)) for name in named))


def find_in_folders(wanted: Wanted, artifact: Artifact, folders: Iterable[Path]) -> Found | None:
    """A file of a package in folders, by its bytes; None where none of them has it.

    Raises:
        SbomError: there is one of its name, and its bytes are others.
        IndexContentError: it is not a valid wheel, or another package.
        StorageError: it cannot be read.
    """
    paths = _candidates(wanted, artifact, folders)
    return _find(artifact, ((path, partial(open_regular, path)) for path in paths))


def _find(artifact: Artifact, candidates: Iterable[tuple[Path, Callable[[], BinaryIO]]]) -> Found | None:
    wrong = []
    for path, opened in candidates:
        try:
            with opened() as file:
                digest = digest_of(file, path)
                if digest != artifact.sha256:
                    wrong.append(f"{path} has sha256:{digest}")
                elif path.name.endswith(".whl"):
                    # Of the same open file: what is read is what was hashed.
                    return Found(file_name=path.name, metadata=check_wheel(file, of=path.name).metadata)
                else:
                    return Found(file_name=path.name, metadata=None)
        except OSError as error:
            raise storage_error(path, error) from error
    if wrong and artifact.file_name is not None:
        raise SbomError(
            f"{wrong[0]}, and the lock says sha256:{artifact.sha256}",
            solution="Do not use that file until you know where it is from; prefetch it again.",
        )
    return None


def _candidates(wanted: Wanted, artifact: Artifact, folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        given = folder.expanduser()
        if artifact.file_name is not None:
            paths = [given / artifact.file_name]
        else:
            named = sorted(given.iterdir()) if given.is_dir() else []
            paths = [path for path in named if wanted.may_be_called(path.name)]
        yield from (path for path in paths if path.is_file())
