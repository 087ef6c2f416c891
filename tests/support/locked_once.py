"""What a lock wrote, kept for the next test whose repository and indexes are the same to the byte.

Most tests of a private index start from flavors that are locked, and would lock the same again.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

_DIGESTS: dict[tuple[str, int, int], str] = {}


class LockedOnce:
    """Kept copies of folders, by what they and the folders beside them were before."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept

    def run(
        self, words: Iterable[str], read: Iterable[Path], written: Iterable[Path], lock: Callable[[], None]
    ) -> None:
        """Call lock, or put in place what it left in ``written`` when the words and ``read`` were the same.

        No folder of ``written`` but those that are also in ``read`` may hold anything; otherwise, as where a
        lock has failed, nothing is kept.
        """
        read, written = list(read), list(written)
        if any(any(folder.iterdir()) for folder in written if folder.is_dir() and folder not in read):
            lock()
            return
        kept = self._kept / _digest(words, read)
        if not kept.is_dir():
            lock()
            for number, folder in enumerate(written):
                folder.mkdir(exist_ok=True)
                shutil.copytree(folder, kept / str(number), symlinks=True)
            return
        for number, folder in enumerate(written):
            shutil.copytree(kept / str(number), folder, symlinks=True, dirs_exist_ok=True)


def _file_digest(path: Path) -> str:
    """Return a file's SHA-256; a copy keeps name, size and time, and is not read again."""
    status = path.stat()
    state = (path.name, status.st_size, status.st_mtime_ns)
    if state not in _DIGESTS:
        with path.open("rb") as file:
            _DIGESTS[state] = hashlib.file_digest(file, "sha256").hexdigest()
    return _DIGESTS[state]


def _digest(words: Iterable[str], folders: Iterable[Path]) -> str:
    found = hashlib.sha256(repr(list(words)).encode())
    for folder in folders:
        for place, names, files in os.walk(folder):
            names.sort()
            for path in (Path(place, name) for name in sorted(files)):
                digest = _file_digest(path)
                found.update(f"{path.relative_to(folder)}\0{digest}\n".encode())
        found.update(b"\0")
    return found.hexdigest()
