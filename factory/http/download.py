"""Download files with resumption, and no larger than expected."""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import TracebackType
from typing import IO, Protocol, Self

import httpx

from factory.clock import timed
from factory.errors import IndexContentError, SpecError
from factory.files import room_beside
from factory.http.client import HttpClient, HttpRequest
from factory.http.retry import Deadline, Retryable, StallDetector
from factory.masking import shown

MAX_DOWNLOAD_VARIABLE = "FACTORY_MAX_DOWNLOAD"
# No file's size has more digits.
CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")
# Three times the largest known wheel: for a download without a size in lock and index.
_MAX_DOWNLOAD = 16 << 30
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"([0-9]{1,15})\s*([KMGT]?)B?", re.IGNORECASE)
# A server without ranges sends a file from its start again if a connection drops.
_MAX_TIMES = 4
_SMALL_BYTES = 1 << 20


class Sink(Protocol):
    """The target of a download. ``received`` is how many bytes of the file it has."""

    @property
    def received(self) -> int:
        """Return the number of bytes received from the start of the file."""

    def room(self) -> int:
        """Return how many more bytes fit without filling the disk."""

    def expect(self, total: int) -> None:
        """Record the size of the whole file, as the server says it."""

    def restart(self) -> None:
        """Discard the received bytes: the server begins from the start."""

    def write(self, chunk: bytes) -> None:
        """Append bytes."""


class ExistenceCheck(Protocol):
    """Judges a response by its URL and status; ``partial``: a part was asked for (206)."""

    def __call__(self, url: str, status: int, *, partial: bool) -> bool:
        """Return whether it is the file, False if it does not exist; raise for anything else."""


@timed("download")
def download(
    client: HttpClient,
    request: HttpRequest,
    sink: Sink,
    *,
    size: int | None,
    max_bytes: int | None,
    max_download: int,
    is_there: ExistenceCheck,
) -> bool:
    """Download a file into the sink, from its end on; return False if it does not exist.

    A dropped connection is resumed by a range request (RFC 9110) if the server knows them.

    Args:
        client: Sends the request.
        request: For the file.
        sink: Takes it.
        size: Its bytes if the index gives them; a file of another size is stopped as soon as that shows.
        max_bytes: Its bytes by the lock.
        max_download: Its most bytes if neither is given, as far as the disk has room for them.
        is_there: Judges a response.

    Raises:
        FactoryError: As the client or ``is_there`` raises it.
        IndexContentError: The file is larger or smaller than it has to be.
        ProgramError: The work was stopped.
    """
    most, reason = (max_bytes, "the lock says") if max_bytes is not None else _room(sink, max_download)
    allowance = _Allowance(name=shown(request.url), size=size, max_bytes=most, reason=reason)

    def attempt() -> bool | Retryable:
        start = sink.received
        # As it is on the server: unpacked on the way it would have another digest.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        asked = replace(request, headers={**request.headers, **headers})
        with client.open(asked, Deadline(client.policy.begin_seconds)) as response:
            ranges = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                if ranges and ranges[2] == str(start):
                    return True
                sink.restart()
                return Retryable(reason="has no bytes where the download was to go on", wait_seconds=0)
            if failed := Retryable.of(response.status_code, response.headers):
                return failed
            if not is_there(str(response.url), response.status_code, partial=bool(start)):
                return False
            resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
            if resumed and not (ranges and ranges[1] == str(start)):
                sink.restart()
                return Retryable(reason="answered with another range than was asked for", wait_seconds=0)
            if start and not resumed:
                sink.restart()
            _take(response, sink, allowance, StallDetector(client.policy))
        return True

    return client.retry(request.url, attempt, received=lambda: sink.received)


def _room(sink: Sink, max_download: int) -> tuple[int, str]:
    """Return the most bytes of a file of unknown size, and the reason."""
    return min(
        (max_download, f"{MAX_DOWNLOAD_VARIABLE} allows"),
        (sink.received + sink.room(), "the disk has room for"),
    )


def _take(response: httpx.Response, sink: Sink, allowance: "_Allowance", stall: StallDetector) -> None:
    if (length := response.headers.get("Content-Length", "")).isdecimal():
        total = sink.received + int(length)
        allowance.announced(total)
        sink.expect(total)
    for chunk in response.iter_raw():
        allowance.reached(sink.received + len(chunk))
        allowance.take(len(chunk))
        sink.write(chunk)
        stall.received(len(chunk))


@dataclass(kw_only=True)
class _Allowance:
    """How many bytes of a file may come.

    Attributes:
        name: The file, for errors.
        size: Its bytes by the index; a file of another size is refused.
        max_bytes: Its most bytes in any case.
        reason: The source of the limit, for errors: "the lock says", "FACTORY_MAX_DOWNLOAD allows".
    """

    name: str
    size: int | None
    max_bytes: int
    reason: str
    _received: int = field(default=0, init=False)

    def announced(self, total: int) -> None:
        """Check that a file may have so many bytes.

        Raises:
            IndexContentError: It may not.
        """
        if self.size is not None and total < self.size:
            raise IndexContentError(
                f"{self.name} is cut short: it has {total:,} bytes, and the index says {self.size:,}",
                solution="Ask the owners of the index to push the file again.",
            )
        self.reached(total)

    def reached(self, total: int) -> None:
        """Check that there may be so many bytes of a file.

        Raises:
            IndexContentError: There are more than the index, or the lock, says or the machine allows.
        """
        if self.size is not None and total > self.size:
            raise self._larger("the index says", total, self.size)
        if total > self.max_bytes:
            raise self._larger(self.reason, total, self.max_bytes)

    def take(self, count: int) -> None:
        """Count bytes that came, in all tries together.

        Raises:
            IndexContentError: A server sends a file again and again.
        """
        self._received += count
        most = self.max_bytes if self.size is None else self.size
        if self._received > most * _MAX_TIMES + _SMALL_BYTES:
            raise IndexContentError(
                f"{self.name} was begun again and again: {self._received:,} bytes came, and it is not whole",
                solution="Look at the network and at what stands before the index, then run the same command "
                "again.",
            )

    def _larger(self, reason: str, total: int, most: int) -> IndexContentError:
        solution = (
            f"If that file may be as large, set {MAX_DOWNLOAD_VARIABLE}, as in 40G."
            if reason.startswith(MAX_DOWNLOAD_VARIABLE)
            else "Free some space and run the same command again."
            if reason.startswith("the disk")
            else "Do not use that file until the owners of the index have said why."
        )
        return IndexContentError(
            f"{self.name} is larger than {reason}: {total:,} bytes or more, not {most:,}", solution=solution
        )


def read_max_download(environment: Mapping[str, str]) -> int:
    """Return the most bytes of a file of unknown size: ``FACTORY_MAX_DOWNLOAD``, such as 40G.

    Raises:
        SpecError: the variable is not a size.
    """
    text = environment.get(MAX_DOWNLOAD_VARIABLE, "").strip()
    if not text:
        return _MAX_DOWNLOAD
    match = _SIZE.fullmatch(text)
    if match is None or not int(match[1]):
        raise SpecError(
            f"{MAX_DOWNLOAD_VARIABLE} is {text!r}, which is not a size",
            solution="Give a number of bytes, or one with K, M, G or T: 40G.",
        )
    return int(match[1]) * _UNITS[match[2].upper()]


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
        """Return the received bytes as a file, for reading."""
        return self._file

    @property
    def received(self) -> int:
        """Return the number of received bytes."""
        return self._file.tell()

    @property
    def sha256(self) -> str:
        """Return the digest of the received bytes, in hex."""
        return self._hash.hexdigest()

    def room(self) -> int:
        """Return how many more bytes fit."""
        return room_beside(self._file.fileno())

    def expect(self, total: int) -> None:
        """Ignore the whole file's size."""

    def restart(self) -> None:
        """Discard the received bytes."""
        self._hash = hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self._file.write(chunk)
        self._hash.update(chunk)
