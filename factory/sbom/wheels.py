"""Wheels in folders of this machine, read only where their bytes are those of the lock."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.errors import NotFoundError, SbomError
from factory.files import storage_error
from factory.index.wheel import check_wheel
from factory.lock.lockfile import Artifact
from factory.sbom.wanted import Wanted

_PREFETCHED = ("output/deps/pip", "deps/pip")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file that the lock names: its name and its core metadata, None for an sdist, which has none."""

    file_name: str
    metadata: bytes | None


def prefetched_wheels(folder: Path) -> Path:
    """Where the files lie in a prefetched folder: what a build mounts at ``/cachi2``, or its ``output``.

    Raises:
        NotFoundError: it is none.
    """
    found = next((folder / below for below in _PREFETCHED if (folder / below).is_dir()), None)
    if found is None:
        raise NotFoundError(
            f"{folder} is no prefetched folder: it holds no {_PREFETCHED[0]}",
            solution="Give the folder that `factory prefetch FLAVOR --output DIR` wrote.",
        )
    return found


def find_in_folders(wanted: Wanted, artifact: Artifact, folders: Iterable[Path]) -> Found | None:
    """A file of a package in folders, by its bytes; None where none of them has it.

    Raises:
        SbomError: there is one of its name, and its bytes are others.
        IndexContentError: it is not a valid wheel, or another package.
        StorageError: it cannot be read.
    """
    wrong = []
    for path in _candidates(wanted, artifact, folders):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
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
            solution="Do not use that file until you know where it is from; prefetch it anew.",
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
