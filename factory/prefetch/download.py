"""Download artifacts from the index into the folder; only verified bytes get their final name."""

import errno
import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable
from types import TracebackType
from typing import BinaryIO, Self

from factory.console import Progress
from factory.errors import IndexAccessError, IndexContentError, PrefetchError, StorageError
from factory.files import TEMPORARY_SUFFIX, room_beside, storage_error
from factory.http.download import MAX_DOWNLOAD_VARIABLE
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient
from factory.prefetch.artifacts import Kind, PrefetchProblem, wrong_identity
from factory.prefetch.layout import FILE_MODE
from factory.prefetch.plan import LocatedArtifact
from factory.process import Cancellation
from factory.tree import Tree

_BLOCK = 1 << 20
# O_NONBLOCK: opening a FIFO must not block before it is found to be one.
_RESUMED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def partial_name(file_name: str, sha256: str) -> str:
    """Return the name of an incomplete file; its digest separates it from a re-pushed file."""
    return f".{file_name}.{sha256[:16]}{TEMPORARY_SUFFIX}"


class Partial:
    """A sink for `factory.index.client.IndexClient.fetch`; a context manager that opens and closes it.

    Args:
        artifacts: the folder that it is in.
        name: from `partial_name`; an existing file is kept and hashed, if nobody else could write it.
        size: the whole file's bytes if they are known, and counted by progress already.
        max_bytes: the most bytes; a larger existing file is no part of it, and is not read.
        progress: advanced as bytes come, and extended by the size if it was not known.
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
        """Open the file and hash what it has.

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
        """Close the file; received bytes stay for the next run; after an error an empty file is removed."""
        self._file.close()
        if kind is not None and not self._received:
            self._artifacts.remove(self._name)

    @property
    def received(self) -> int:
        """Return the number of bytes received from the start of the file."""
        return self._received

    @property
    def sha256(self) -> str:
        """Return the digest of the received bytes, in hex."""
        return self._hash.hexdigest()

    def room(self) -> int:
        """Return how many more bytes fit."""
        return room_beside(self._file.fileno())

    def reopened(self) -> BinaryIO:
        """Reopen the same file for reading from its beginning, whatever its name refers to now."""
        file = os.fdopen(os.dup(self._file.fileno()), "rb")
        file.seek(0)
        return file

    def keep_as(self, file_name: str) -> None:
        """Rename the whole file to its final name.

        Raises:
            StorageError: another file replaced it, it is not what was received, or the file system
                refused.
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
        """Remove the received bytes."""
        self._artifacts.remove(self._name)

    def expect(self, total: int) -> None:
        """Record the whole file's size, as the server says it."""
        if total > self._announced:
            self._progress.extend(total - self._announced)
            self._announced = total

    def restart(self) -> None:
        """Discard the received bytes."""
        self._progress.advance(-self._received)
        self._received = 0
        self._hash = hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Append bytes.

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
        """Open the file for writing; a new one if the existing one is not exclusively ours.

        That is a link, a FIFO, another user's file, one with a second name or that others may write: writing
        to it could change something else, and others could change it while it is read.
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


# After so many failed downloads, the index counts as down.
_MOST_ACCESS_FAILURES = 3


def download_all(
    client: IndexClient, located: Iterable[LocatedArtifact], artifacts: Tree, *, jobs: int, progress: Progress
) -> list[PrefetchProblem]:
    """Download files, the largest first, and return those that failed.

    The received part of a failed file stays as a partial, unless its bytes were wrong.

    Raises:
        RedirectError: the index redirects to a host that the spec does not name.
        StorageError: the file system refused.
    """
    order = sorted(located, key=lambda one: one.size or 0, reverse=True)
    progress.extend(sum(one.size or 0 for one in order))
    failures: list[PrefetchProblem] = []

    def fetch(one: LocatedArtifact) -> list[PrefetchProblem]:
        if len(failures) >= _MOST_ACCESS_FAILURES:
            return [PrefetchProblem(kind="access", text="the rest was not tried: the index failed too often")]
        try:
            return _fetch(client, one, artifacts, progress)
        except IndexAccessError as error:
            failures.append(PrefetchProblem(kind="access", text=f"{one.file_name}: {error.reason}"))
            return failures[-1:]

    return [problem for found in in_parallel(fetch, order, jobs=jobs, stop=client.stop) for problem in found]


def _fetch(
    client: IndexClient, one: LocatedArtifact, artifacts: Tree, progress: Progress
) -> list[PrefetchProblem]:
    name = partial_name(one.file_name, one.wanted.sha256)
    most = one.wanted.size or one.size or client.max_download
    with Partial(
        artifacts, name, size=one.size, max_bytes=most, progress=progress, stop=client.stop
    ) as partial:
        try:
            there = _receive(client, one, partial)
            problem = _judge(client, one, partial) if there else _gone(one)
        except IndexContentError as error:
            kind: Kind = "large" if MAX_DOWNLOAD_VARIABLE in error.reason else "bytes"
            problem = PrefetchProblem(kind=kind, text=f"{one.file_name}: {error.reason}")
        if problem is None:
            partial.keep_as(one.file_name)
            return []
        partial.drop()
    return [problem]


def _receive(client: IndexClient, one: LocatedArtifact, partial: Partial) -> bool:
    resumed = partial.received > 0
    there = client.fetch(one.url, partial, size=one.size, max_bytes=one.wanted.size)
    if there and resumed and partial.sha256 != one.wanted.sha256:
        # The first part is an earlier run's, of another file: start again from nothing.
        partial.restart()
        there = client.fetch(one.url, partial, size=one.size, max_bytes=one.wanted.size)
    return there


def _judge(client: IndexClient, one: LocatedArtifact, partial: Partial) -> PrefetchProblem | None:
    with partial.reopened() as file:
        if partial.sha256 == one.wanted.sha256:
            return wrong_identity(file, file_name=one.file_name, sha256=partial.sha256, cache=client.cache)
        text = (
            f"{one.file_name}: the index sent sha256:{partial.sha256}, and the lock says "
            f"sha256:{one.wanted.sha256}"
        )
        if one.file_name.endswith(".whl") and not zipfile.is_zipfile(file):
            text += "; what it sent is no whole wheel"
    return PrefetchProblem(kind="bytes", text=text)


def _gone(one: LocatedArtifact) -> PrefetchProblem:
    text = f"{one.file_name} is on its project's page, and not at the URL that the page gives"
    return PrefetchProblem(kind="gone", text=text)
