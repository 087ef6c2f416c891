"""A blob of a registry as a file that is read once from its beginning, and checked at its end."""

import io
from contextlib import ExitStack
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO

import httpx

from factory.errors import RegistryError
from factory.http.download import CONTENT_RANGE
from factory.http.retry import Retryable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from factory.registry.connection import Connection

# A connection that drops is opened again where it ended, as long as each time brings something.
_TRIES = 4
_BUFFER_BYTES = 1 << 20


def open_remote_blob(
    connection: "Connection", path: str, *, repository: str, digest: str, size: int
) -> BinaryIO:
    """Open a blob to read; no request is sent before the first read, and at most a buffer is in memory.

    Reading raises httpx.TransportError if the connection fails repeatedly, and RegistryError if the blob is
    missing, refused, or not what its digest and size say.
    """
    raw = _RemoteBlob(connection, path, repository=repository, digest=digest, size=size)
    return io.BufferedReader(raw, _BUFFER_BYTES)


class _RemoteBlob(io.RawIOBase):
    def __init__(
        self, connection: "Connection", path: str, *, repository: str, digest: str, size: int
    ) -> None:
        self._connection = connection
        self._name = f"{connection.registry.host}/{repository}@{digest}"
        self._path = path
        self._repository = repository
        self._digest = digest
        self._size = size
        self._deadline = connection.blob_deadline(size)
        self._hash = sha256()
        self._position = 0
        self._left = b""
        self._given = 0
        self._opened: ExitStack | None = None
        self._pieces: Iterator[bytes] = iter(())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._given

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if (offset, whence) != (self._given, io.SEEK_SET):
            raise io.UnsupportedOperation("a blob of a registry is read once, from its beginning")
        return offset

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - Python 3.11 has no name for a buffer
        view = memoryview(buffer)
        self._left = self._left or self._piece()
        taken, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(taken)] = taken
        self._given += len(taken)
        return len(taken)

    def close(self) -> None:
        self._shut()
        super().close()

    def _piece(self) -> bytes:
        """Return the next bytes; empty at the end of a blob that is what its digest says."""
        failures = 0
        while True:
            try:
                if self._opened is None:
                    self._open()
                piece = next(self._pieces, b"")
                self._deadline.check()
                break
            except httpx.TransportError:
                self._shut()
                failures += 1
                if failures >= _TRIES:
                    raise
        self._position += len(piece)
        self._hash.update(piece)
        if not piece or self._position > self._size:
            self._check_whole()
        return piece

    def _check_whole(self) -> None:
        found = f"sha256:{self._hash.hexdigest()}"
        if (self._position, found) != (self._size, self._digest):
            raise RegistryError(
                f"{self._name} is not what it is said to be: {self._position} bytes, {found}",
                solution="Push the image there again; if it happens again, ask the owners of the registry.",
            )

    def _open(self) -> None:
        start = self._position
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with ExitStack() as stack:
            response = stack.enter_context(
                self._connection.open(
                    self._path, repository=self._repository, headers=headers, deadline=self._deadline
                )
            )
            if Retryable.of(response.status_code, response.headers):
                raise httpx.ReadError(f"answers HTTP {response.status_code}")
            ranges = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if start and not (ranges and ranges[1] == str(start)):
                raise httpx.ReadError("the registry does not resume a download")
            if response.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                raise RegistryError(
                    f"{self._name} is not given: HTTP {response.status_code}",
                    solution="See whether the image is whole there, and who may read it.",
                )
            self._pieces = response.iter_raw()
            self._opened = stack.pop_all()

    def _shut(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
