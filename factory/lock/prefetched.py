"""Open a prefetched folder, in one way for everything that reads, fills or cleans it.

Others may have filled it: Hermeto, a pipeline's cache, another user of the disk. So it is opened by
descriptors (`factory.tree`): no link in it is followed, and a folder that replaces it later is ignored. A
file's bytes identify it: the file that is read is the one that was hashed.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from factory.clock import timed
from factory.errors import NotFoundError, PrefetchError
from factory.files import IGNORE_FILE, make_output_folder, storage_error
from factory.tree import Tree

if TYPE_CHECKING:
    from io import BufferedReader

# Relative to what a build mounts at /cachi2, and to the ``output`` in it.
OUTPUT = "output"
ARTIFACTS = f"{OUTPUT}/deps/pip"
_BELOW_OUTPUT = "deps/pip"
# A build reads the folder as another user, whatever the umask is here.
_FOLDER_MODE = 0o755


@dataclass(frozen=True, kw_only=True)
class PrefetchedFolder:
    """An open prefetched folder: the whole of it, and the folder of its artifacts."""

    whole: Tree
    artifacts: Tree


@contextmanager
def open_prefetched(folder: Path) -> Iterator[PrefetchedFolder]:
    """Open what a build mounts at ``/cachi2``, or its ``output``. The folder itself may be a link.

    Raises:
        NotFoundError: it holds no artifacts.
        StorageError: a folder on the way to them is a link or not a folder.
    """
    with Tree.opened(folder, root_may_be_link=True) as whole:
        found = next((path for path in (ARTIFACTS, _BELOW_OUTPUT) if whole.status(path) is not None), None)
        if found is None:
            raise NotFoundError(
                f"{folder} is no prefetched folder: it holds no {ARTIFACTS}",
                solution="Give the folder that `factory prefetch FLAVOR --output DIR` wrote.",
            )
        with whole.below(found) as artifacts:
            yield PrefetchedFolder(whole=whole, artifacts=artifacts)


@contextmanager
def make_prefetched(folder: Path) -> Iterator[PrefetchedFolder]:
    """Make the missing folders, and open what a build mounts at ``/cachi2``.

    Raises:
        StorageError: a folder in it is a link or not a folder, or the file system refused.
    """
    is_new = not folder.is_dir()
    make_output_folder(folder)
    # git sees a folder that holds other files as well, but not the artifacts in it.
    hides_output = not os.path.lexists(folder / IGNORE_FILE) and not os.path.lexists(folder / OUTPUT)
    try:
        if is_new:
            folder.chmod(_FOLDER_MODE)
    except OSError as error:
        raise storage_error(folder, error) from error
    with Tree.opened(folder, root_may_be_link=True) as whole:
        whole.make_folder(OUTPUT, mode=_FOLDER_MODE)
        if hides_output:
            make_output_folder(folder / OUTPUT)
        for path in (f"{OUTPUT}/deps", ARTIFACTS):
            whole.make_folder(path, mode=_FOLDER_MODE)
        with whole.below(ARTIFACTS) as artifacts:
            yield PrefetchedFolder(whole=whole, artifacts=artifacts)


@contextmanager
def open_artifact(artifacts: Tree, file_name: str, *, sha256: str) -> Iterator[BinaryIO]:
    """Open an artifact of a lock; what the caller reads is the open file that was hashed.

    Raises:
        PrefetchError: it is missing, or has other bytes.
        StorageError: it is not a regular file, or cannot be read.
    """
    if artifacts.status(file_name) is None:
        raise PrefetchError(f"{artifacts.root / file_name} is not there", solution=_AGAIN)
    with artifacts.open(file_name) as file:
        found = digest_of(file, artifacts.root / file_name)
        if found != sha256:
            raise PrefetchError(
                f"{artifacts.root / file_name} has sha256:{found}, and the lock says sha256:{sha256}",
                solution=_AGAIN,
            )
        yield file


@timed("hash")
def digest_of(file: BinaryIO, path: Path) -> str:
    """Return the SHA-256 of an open file in hex, and rewind it.

    Raises:
        StorageError: it cannot be read; ``path`` names it.
    """
    try:
        file.seek(0)
        digest = hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest()
        file.seek(0)
    except OSError as error:
        raise storage_error(path, error) from error
    return digest


_AGAIN = "Prefetch again (`factory prefetch`), and give the folder that this prints."
