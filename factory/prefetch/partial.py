"""A file that is being received: hashed as it comes, gone on with after an interruption."""

import errno
import hashlib
import os
import stat
from types import TracebackType
from typing import BinaryIO, Self

from factory.console import Progress
from factory.errors import PrefetchError, StorageError
from factory.files import TEMPORARY_SUFFIX, room_beside, storage_error
from factory.prefetch.layout import FILE_MODE
from factory.process import Cancellation
from factory.tree import Tree

_BLOCK = 1 << 20
# O_NONBLOCK: a FIFO is opened at once, and then found to be one.
_RESUMED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def partial_name(file_name: str, sha256: str) -> str:
    """Return what a file is called while it is not whole. The digest in it keeps a re-pushed file apart."""
    return f".{file_name}.{sha256[:16]}{TEMPORARY_SUFFIX}"


class Partial:
    """A sink for `factory.index.client.IndexClient.fetch`; a context manager that opens and closes it.

    Args:
        artifacts: the folder that it is in.
        name: from `partial_name`; what is there already is kept and hashed, if nobody else could write it.
        size: the whole file's bytes where they are known, and told to progress already.
        max_bytes: its most bytes; a file that has more is not a part of it, and not read.
        progress: told of bytes as they come, and of the size where it was not known.
        stop: once it is stopped, the next write ends the download.
    """

    def __init__(
        self,
        artifacts: Tree,
        name: str,
        *,
        size: int | None,
        max_bytes: int,
        progress: Progress,
        stop: Cancellation,
    ) -> None:
        self._max_bytes = max_bytes
        self._artifacts = artifacts
        self._name = name
        self._path = artifacts.root / name
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
            self._file = os.fdopen(self._open_own(), "r+b", buffering=0)
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
            self._artifacts.remove(self._name)

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

    def reopened(self) -> BinaryIO:
        """Return the same file for reading from its beginning, whatever its name leads to."""
        file = os.fdopen(os.dup(self._file.fileno()), "rb")
        file.seek(0)
        return file

    def keep_as(self, file_name: str) -> None:
        """Give the whole file its name.

        Raises:
            StorageError: another file was put into its place, it is not what was received, or the file
                system refused.
        """
        written = os.fstat(self._file.fileno())
        self._artifacts.rename(self._name, file_name)
        named = self._artifacts.status(file_name)
        if named is None or not os.path.samestat(named, written) or written.st_size != self._received:
            self._artifacts.remove(file_name)
            raise StorageError(
                f"somebody else wrote to {self._path} while it was received",
                solution="See who may write to that folder, then run the same command again.",
            )

    def drop(self) -> None:
        """Remove what was received."""
        self._artifacts.remove(self._name)

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

    def _open_own(self) -> int:
        """Open the file for writing, or a new one where what has its name is not ours alone.

        A link, a FIFO, another user's file, one with a second name or that others may write: what is written
        would change something else, and what is read be changed by somebody else.
        """
        with self._artifacts.folder() as folder:
            try:
                descriptor = os.open(self._name, _RESUMED, FILE_MODE, dir_fd=folder)
            except OSError as error:
                if error.errno not in {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EACCES}:
                    raise
            else:
                found = os.fstat(descriptor)
                if _is_ours(found) and found.st_size <= self._max_bytes:
                    os.fchmod(descriptor, FILE_MODE)
                    return descriptor
                os.close(descriptor)
            os.unlink(self._name, dir_fd=folder)
            descriptor = os.open(self._name, _RESUMED | os.O_EXCL, FILE_MODE, dir_fd=folder)
            os.fchmod(descriptor, FILE_MODE)
            return descriptor


def _is_ours(found: os.stat_result) -> bool:
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_nlink == 1
        and found.st_uid == os.geteuid()
        and not found.st_mode & _WRITABLE_BY_OTHERS
    )
