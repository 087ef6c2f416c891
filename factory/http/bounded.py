"""Receive no more than expected: a server may send without an end.

`read_body` is for what is held in memory: pages, metadata, manifests. `Listing` bounds paginated lists.
`factory.http.download` bounds what goes to a disk.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from factory.errors import FactoryError

_SMALL_BYTES = 1 << 20
# No file's size has more digits.
_MAX_DIGITS = 18
_MAX_PAGES = 10_000
_MAX_ITEMS = 1_000_000
_ASKED = "gzip"
# Some object stores repeat the encoding of an upload; what they send is not encoded.
_PLAIN = frozenset({"", "identity", "aws-chunked"})


def accepted(headers: Mapping[str, str]) -> dict[str, str]:
    """Add the accepted encodings of a body: gzip, but none for a part of a file."""
    return {"Accept-Encoding": "identity" if "Range" in headers else _ASKED, **headers}


def read_body(
    response: httpx.Response,
    *,
    name: str,
    max_bytes: int,
    error: type[FactoryError],
    check: Callable[[], None] = lambda: None,
) -> bytes:
    """Return the body of a response, of at most ``max_bytes`` once it is unpacked.

    Unpacking stops at the limit, and takes one gzip alone, if it was asked for: of a chain of encodings each
    could make a thousand bytes of one.

    Args:
        response: Its body is still to be read.
        name: What it is, for the error.
        max_bytes: The limit.
        error: The family of the error.
        check: Called with each piece; raises if it takes too long.

    Raises:
        error: It is larger, or encoded in a way that was not asked for.
        httpx.DecodingError: It cannot be unpacked.
        httpx.HTTPError: As the client raises it.
    """
    if response.request.method == "HEAD":
        return b""
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and (len(announced) > _MAX_DIGITS or int(announced) > max_bytes):
        raise _too_large(name, max_bytes, error)
    content = bytearray()
    for piece in _unpacked(response, name, max_bytes, error):
        content += piece
        if len(content) > max_bytes:
            raise _too_large(name, max_bytes, error)
        check()
    return bytes(content)


@dataclass(kw_only=True)
class Listing:
    """The pages of one list; raises if a page repeats, or if the list does not end.

    Attributes:
        name: the list, for the error.
        error: its family.
        max_pages: how many pages it may have.
    """

    name: str
    error: type[FactoryError]
    max_pages: int = _MAX_PAGES
    _seen: set[str] = field(default_factory=set, init=False)
    _items: int = field(default=0, init=False)

    def turn(self, page: str, items: int) -> None:
        """Count a page's items before the next page, by its URL or token, is requested.

        Raises:
            error: it was requested before, or the list has too many pages or items.
        """
        self._items += items
        if page in self._seen or len(self._seen) >= self.max_pages or self._items > _MAX_ITEMS:
            raise self.error(
                f"{self.name} has no end: it goes on after {len(self._seen) + 1:,} pages",
                solution="Ask the owners of the server what stands before it.",
            )
        self._seen.add(page)


def _unpacked(
    response: httpx.Response, name: str, max_bytes: int, error: type[FactoryError]
) -> Iterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in _PLAIN:
        yield from response.iter_raw()
        return
    if encoding not in {"gzip", "x-gzip"} or _ASKED not in response.request.headers.get(
        "Accept-Encoding", ""
    ):
        raise error(
            f"{name} came encoded as {encoding[:40]!r}, which was not asked for",
            solution="Ask the owners of the server what stands before it.",
        )
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    received = 0
    for piece in response.iter_raw():
        received += len(piece)
        if received > max_bytes + _SMALL_BYTES:
            raise _too_large(name, max_bytes, error)
        block = piece
        while block and not stream.eof:
            try:
                yield stream.decompress(block, _SMALL_BYTES)
            except zlib.error as cause:
                raise httpx.DecodingError(str(cause), request=response.request) from cause
            block = stream.unconsumed_tail
    if not stream.eof:
        raise httpx.DecodingError("it ends too early", request=response.request)


def _too_large(name: str, max_bytes: int, error: type[FactoryError]) -> FactoryError:
    return error(
        f"{name} is larger than {max_bytes:,} bytes",
        solution="Ask the owners of the server what it serves there.",
    )
