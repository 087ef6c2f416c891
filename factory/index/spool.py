"""A file that is received into the temporary folder, hashed as it comes, and gone when it is closed."""

import hashlib
import tempfile
from types import TracebackType
from typing import IO, Self

from factory.files import room_beside


class Spool:
    """A sink for `factory.index.client.IndexClient.fetch`; a context manager that opens and closes it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        """Open an unnamed file."""
        self._file: IO[bytes] = tempfile.TemporaryFile()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and so remove it."""
        self._file.close()

    @property
    def file(self) -> IO[bytes]:
        """What was received, for reading."""
        return self._file

    @property
    def received(self) -> int:
        """Bytes that are there."""
        return self._file.tell()

    @property
    def sha256(self) -> str:
        """The digest of what is there, in hex."""
        return self._hash.hexdigest()

    def room(self) -> int:
        """How many more bytes fit."""
        return room_beside(self._file.fileno())

    def expect(self, total: int) -> None:
        """The whole file has so many bytes: nobody asks here."""

    def restart(self) -> None:
        """Forget what was received."""
        self._hash = hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._file.write(chunk)
        self._hash.update(chunk)
