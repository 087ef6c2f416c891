"""A file that is being received: hashed as it comes, gone on with after an interruption."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from factory.console import Progress
from factory.errors import PrefetchError
from factory.files import TEMPORARY_SUFFIX, room_beside, storage_error
from factory.hermetic.layout import FILE_MODE
from factory.process import Stop

_BLOCK = 1 << 20


def partial_path(folder: Path, file_name: str, sha256: str) -> Path:
    """Where a file stands while it is not whole. The digest in it keeps a re-pushed file apart."""
    return folder / f".{file_name}.{sha256[:16]}{TEMPORARY_SUFFIX}"


class Partial:
    """A sink for `factory.index.client.IndexClient.fetch`; a context manager that opens and closes it.

    Args:
        path: from `partial_path`; what is there already is kept and hashed.
        size: the whole file's bytes where they are known, and told to progress already.
        progress: told of bytes as they come, and of the size where it was not known.
        stop: once it is stopped, the next write ends the download.
    """

    def __init__(self, path: Path, *, size: int | None, progress: Progress, stop: Stop) -> None:
        self._path = path
        self._announced = size or 0
        self._progress = progress
        self._stop = stop
        self._received = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        """Open the file and hash what is there.

        Raises:
            StorageError: the file system refused.
        """
        try:
            self._file = os.fdopen(_open_own(self._path), "r+b", buffering=0)
            while block := self._file.read(_BLOCK):
                self._hash.update(block)
                self._received += len(block)
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._progress.advance(self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; what was received stays for the next run, nothing does not."""
        self._file.close()
        if kind is not None and not self._received:
            self._path.unlink(missing_ok=True)

    @property
    def received(self) -> int:
        """Bytes that are there, from the start of the file."""
        return self._received

    @property
    def sha256(self) -> str:
        """The digest of what is there, in hex."""
        return self._hash.hexdigest()

    def room(self) -> int:
        """How many more bytes fit."""
        return room_beside(self._file.fileno())

    def expect(self, total: int) -> None:
        """The whole file has so many bytes, as the server says."""
        if total > self._announced:
            self._progress.extend(total - self._announced)
            self._announced = total

    def restart(self) -> None:
        """Forget what was received."""
        self._progress.advance(-self._received)
        self._received = 0
        self._hash = hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            StorageError: the file system refused; on a full disk, for instance.
            PrefetchError: the run was stopped.
        """
        if self._stop.stopped:
            raise PrefetchError("the run was stopped", solution="Run the same command to go on from here.")
        try:
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._hash.update(chunk)
        self._received += len(chunk)
        self._progress.advance(len(chunk), message=self._path.name.removeprefix(".").split(".whl")[0])


def _open_own(path: Path) -> int:
    """Open a file that has this name only: what is written to it must change no other."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(path, flags, FILE_MODE)
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        path.unlink()
        descriptor = os.open(path, flags | os.O_EXCL, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return descriptor
