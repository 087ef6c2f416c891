"""Files from an index into a sink, gone on with where a connection drops."""

import re
from typing import Protocol

import httpx

from factory.errors import IndexContentError
from factory.http.bounded import MAX_DOWNLOAD_VARIABLE, Allowance
from factory.http.retry import Deadline, Retryable, StallDetector, retrying
from factory.index.transport import Transport
from factory.masking import shown

# No file has so many bytes that it takes more digits.
CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")


class Sink(Protocol):
    """Where a download goes. ``received`` is how many bytes of the file are there already."""

    @property
    def received(self) -> int:
        """Bytes that are there, from the start of the file."""

    def room(self) -> int:
        """How many more bytes fit where it is written, without filling the disk."""

    def expect(self, total: int) -> None:
        """The whole file has so many bytes, as the server says."""

    def restart(self) -> None:
        """Forget what was received: the server begins anew."""

    def write(self, chunk: bytes) -> None:
        """The next bytes."""


def receive(
    transport: Transport, url: str, sink: Sink, *, size: int | None, max_bytes: int | None = None
) -> bool:
    """Bring a file into the sink, from where the sink stands; False where it is not there.

    Args:
        transport: of the index that has the file.
        url: where it is.
        sink: what takes it.
        size: its bytes where the index says so; a file of another size is stopped as soon as that shows.
        max_bytes: its bytes as the lock has them. Without both, what ``FACTORY_MAX_DOWNLOAD`` and the disk
            allow.

    Raises:
        IndexAccessError: the server refused, failed, or did not answer.
        IndexContentError: the file is larger or smaller than the index says, or larger than the lock says or
            the machine allows.
        RedirectError: the server sends on to a host that is not named.
        ProgramError: the work was stopped.
    """
    allowance = _allowance(transport, url, sink, size, max_bytes)
    return retrying(
        url,
        lambda: _try(transport, url, sink, allowance),
        policy=transport.policy,
        stop=transport.stop,
        received=lambda: sink.received,
    )


def _allowance(
    transport: Transport, url: str, sink: Sink, size: int | None, max_bytes: int | None
) -> Allowance:
    most, reason = max_bytes or 0, "the lock says"
    if max_bytes is None:
        most, reason = min(
            (transport.max_download, f"{MAX_DOWNLOAD_VARIABLE} allows"),
            (sink.received + sink.room(), "the disk has room for"),
        )
    return Allowance(name=shown(url), error=IndexContentError, size=size, max_bytes=most, reason=reason)


def _try(transport: Transport, url: str, sink: Sink, allowance: Allowance) -> bool | Retryable:
    start = sink.received
    # As it is on the server: what is unpacked on the way has another digest.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with transport.opened(url, headers, Deadline(transport.policy.begin_seconds)) as response:
        ranges = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if ranges and ranges[2] == str(start):
                return True
            sink.restart()
            return Retryable(reason="has no bytes where the download was to go on", wait_seconds=0)
        again, there = transport.judge(response)
        if again is not None or not there:
            return again or False
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        if resumed and not (ranges and ranges[1] == str(start)):
            sink.restart()
            return Retryable(reason="answered with another range than was asked for", wait_seconds=0)
        if start and not resumed:
            sink.restart()
        if (length := response.headers.get("Content-Length", "")).isdecimal():
            total = sink.received + int(length)
            allowance.announced(total)
            sink.expect(total)
        _take(response, sink, StallDetector(transport.policy), allowance)
    return True


def _take(response: httpx.Response, sink: Sink, pace: StallDetector, allowance: Allowance) -> None:
    for chunk in response.iter_raw():
        allowance.reached(sink.received + len(chunk))
        allowance.take(len(chunk))
        sink.write(chunk)
        pace.received(len(chunk))
