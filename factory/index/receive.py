"""Files from an index into a sink, gone on with where a connection drops."""

import re
from typing import Protocol

import httpx

from factory.errors import IndexContentError
from factory.index.patience import Again, Deadline, Pace, patiently
from factory.index.transport import Transport
from factory.masking import shown

# No file has so many bytes that it takes more digits.
CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")


class Sink(Protocol):
    """Where a download goes. ``received`` is how many bytes of the file are there already."""

    @property
    def received(self) -> int:
        """Bytes that are there, from the start of the file."""

    def expect(self, total: int) -> None:
        """The whole file has so many bytes, as the server says."""

    def restart(self) -> None:
        """Forget what was received: the server begins anew."""

    def write(self, chunk: bytes) -> None:
        """The next bytes."""


def receive(transport: Transport, url: str, sink: Sink, *, size: int | None) -> bool:
    """Bring a file into the sink, from where the sink stands; False where it is not there.

    Args:
        transport: of the index that has the file.
        url: where it is.
        sink: what takes it.
        size: its bytes where the index says so; a file of another size is stopped as soon as that shows.

    Raises:
        IndexAccessError: the server refused, failed, or did not answer.
        IndexContentError: the file is larger or smaller than the index says.
        RedirectError: the server sends on to a host that is not named.
        ProgramError: the work was stopped.
    """
    return patiently(
        url,
        lambda: _try(transport, url, sink, size),
        patience=transport.patience,
        stop=transport.stop,
        received=lambda: sink.received,
    )


def _try(transport: Transport, url: str, sink: Sink, size: int | None) -> bool | Again:
    start = sink.received
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with transport.opened(url, headers, Deadline(transport.patience.begin_seconds)) as response:
        ranges = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if ranges and ranges[2] == str(start):
                return True
            sink.restart()
            return Again(reason="has no bytes where the download was to go on", wait_seconds=0)
        again, there = transport.judge(response)
        if again is not None or not there:
            return again or False
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        if resumed and not (ranges and ranges[1] == str(start)):
            sink.restart()
            return Again(reason="answered with another range than was asked for", wait_seconds=0)
        if start and not resumed:
            sink.restart()
        if (length := response.headers.get("Content-Length", "")).isdecimal():
            total = sink.received + int(length)
            _check_size(url, total, size)
            sink.expect(total)
        _take(response, sink, Pace(transport.patience), size)
    return True


def _take(response: httpx.Response, sink: Sink, pace: Pace, size: int | None) -> None:
    for chunk in response.iter_raw():
        if size is not None and sink.received + len(chunk) > size:
            _check_size(str(response.url), sink.received + len(chunk), size)
        sink.write(chunk)
        pace.took(len(chunk))


def _check_size(url: str, total: int, size: int | None) -> None:
    if size is not None and total != size:
        if total > size:
            raise IndexContentError(
                f"{shown(url)} is larger than the index says: {total:,} bytes or more, not {size:,}",
                solution="Do not use that file until the owners of the index have said why.",
            )
        raise IndexContentError(
            f"{shown(url)} is cut short: it has {total:,} bytes, and the index says {size:,}",
            solution="Ask the owners of the index to push the file again.",
        )
