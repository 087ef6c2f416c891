"""A file on a server that is read a piece at a time, as zipfile reads."""

import io
from collections.abc import Callable

# What is asked for at the least: an index of 160 files, and a METADATA, fit in one or two requests.
_BLOCK = 16 << 10
# What is read of one file at the most: the largest directory of a wheel that is known has 2 MB.
_MOST_BYTES = 64 << 20


class RangeFile:
    """A file of ``size`` bytes, of which ``fetch(start, end)`` gives the bytes from start to before end.

    What was read is kept. Reading begins at the end, where the directory of a zip file stands.

    Raises:
        ValueError: more was asked for than the directory and the metadata of any wheel take.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._fetched = 0
        self._pieces: list[tuple[int, bytes]] = []

    def seekable(self) -> bool:
        """It can be read from any place."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Let the next read begin elsewhere."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, all up to the end without a size."""
        start = min(self._position, self._size)
        end = self._size if size < 0 else min(start + size, self._size)
        found = self._piece(start, end) if end > start else b""
        self._position = start + len(found)
        return found

    def _piece(self, start: int, end: int) -> bytes:
        for place, piece in self._pieces:
            if place <= start and end <= place + len(piece):
                return piece[start - place : end - place]
        stop = max(end, min(start + _BLOCK, self._size))
        begin = min(start, max(0, stop - _BLOCK))
        self._fetched += stop - begin
        if self._fetched > _MOST_BYTES:
            raise ValueError("its directory is larger than any wheel's")
        piece = self._fetch(begin, stop)
        self._pieces.append((begin, piece))
        return piece[start - begin : end - begin]
