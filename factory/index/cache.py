"""The user's cache folder, and metadata of packages cached in it by digest."""

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

from factory.errors import StorageError
from factory.files import is_temporary, private_folder, read_regular, write_whole
from factory.index.configured import home_folder
from factory.index.pages import IndexFile

# A METADATA has 10 KB on average, so that the number matters; one may have 16 MB.
_MOST_ENTRIES = 8192
_MOST_BYTES = 256 << 20
_HOUR = 3600.0
_NAME = "universal-image-factory"
# Raise this when `factory.index.wheel` refuses more: wheels checked by fewer rules must be checked again.
_RULES, _SERVED = "opened 1", "served"
# Used in place of an index's URL.
_WHOLE = "whole wheels"


def cache_folder() -> Path:
    """Return the user's cache folder of the factory, by the XDG base directory specification.

    Without a home folder it is in the temporary folder.

    Raises:
        StorageError: another user owns something at its path.
    """
    base, home = Path(os.environ.get("XDG_CACHE_HOME", "")), home_folder(os.environ)
    if base.is_absolute():
        return base / _NAME
    # The cache is trusted, and others may write in the folder above it.
    shared = Path(tempfile.gettempdir()) / f"{_NAME}-{os.geteuid()}"
    return private_folder(shared) if home is None else home / ".cache" / _NAME


class MetadataCache:
    """Metadata by index and digest, one file each; safe under several threads and processes.

    An entry counts only for the index that it came from, so that no index can speak for another's files. An
    entry that cannot be read, or whose bytes are not those that were written, is ignored; a cache that cannot
    be written keeps nothing. Nothing here is an error.

    Args:
        folder: The folder; in the user's cache folder if None.
        most_entries: How many stay when it is trimmed; the least recently used are removed.
        most_bytes: How many bytes stay.
    """

    def __init__(
        self, folder: Path | None, *, most_entries: int = _MOST_ENTRIES, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._folder = folder or cache_folder() / "metadata"
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._written = threading.Event()

    def get(self, index_url: str, file: IndexFile, *, opened: bool = False) -> bytes | None:
        """Return the metadata that an index served of a file; None if it is not cached.

        With ``opened``, only what was read in the wheel itself, whose directory was checked then.
        """
        if file.sha256 is None:
            return None
        for kind in (_RULES,) if opened else (_RULES, _SERVED):
            content = self._read(self._place(index_url, file.file_name, file.sha256, kind))
            if content is not None and file.metadata_sha256 in {None, hashlib.sha256(content).hexdigest()}:
                return content
        return None

    def put(self, index_url: str, file: IndexFile, content: bytes, *, opened: bool = False) -> None:
        """Store the metadata of a file whose digest the index has; ``opened`` as for `get`."""
        if file.sha256 is not None:
            kind = _RULES if opened else _SERVED
            self._write(self._place(index_url, file.file_name, file.sha256, kind), content)

    def get_checked(self, file_name: str, sha256: str) -> bytes | None:
        """Return the metadata of a wheel that was checked whole (`factory.index.wheel`), by its digest."""
        return self._read(self._place(_WHOLE, file_name, sha256, _RULES))

    def put_checked(self, file_name: str, sha256: str, metadata: bytes) -> None:
        """Record that a whole wheel of this digest was checked under a name."""
        self._write(self._place(_WHOLE, file_name, sha256, _RULES), metadata)

    def trim(self) -> None:
        """Remove the least recently used entries, and what an interrupted write left."""
        if not self._written.is_set():
            return
        self._written.clear()
        used = sorted(_ages(self._folder))
        leftovers = [path for age, _, path in used if is_temporary(path) and age > _HOUR]
        entries = [(size, path) for _, size, path in used if not is_temporary(path)]
        sizes = accumulate(size for size, _ in entries)
        stay = sum(1 for size in islice(sizes, self._most_entries) if size <= self._most_bytes)
        for path in (*leftovers, *(path for _, path in entries[stay:])):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _read(self, path: Path) -> bytes | None:
        try:
            digest, _, content = read_regular(path).partition(b"\n")
        except OSError:
            return None
        if digest.decode("ascii", "replace") != hashlib.sha256(content).hexdigest():
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return content

    def _write(self, path: Path, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest().encode("ascii")
        with contextlib.suppress(OSError, StorageError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, digest + b"\n" + content)
            self._written.set()

    def _place(self, *key: str) -> Path:
        return self._folder / hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _ages(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield seconds since each file's last use, its bytes and path; skip files that vanish."""
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                found = entry.stat()
                yield now - found.st_mtime, found.st_size, Path(entry)
