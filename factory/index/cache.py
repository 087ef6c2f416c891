"""The user's cache folder, and metadata of packages kept in it by digest."""

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

# A METADATA has 10 KB on average, so that the number is what counts; one may have 16 MB.
_MOST_ENTRIES = 8192
_MOST_BYTES = 256 << 20
_HOUR = 3600.0
_NAME = "universal-image-factory"
# Raised when `factory.index.wheel` refuses more: what was checked by fewer rules is not known.
_RULES, _SERVED = "opened 1", "served"
# In the place of an index's URL.
_WHOLE = "whole wheels"


def cache_folder() -> Path:
    """Return the user's cache folder of the factory, by the XDG base directory specification.

    A user without a home has it in the temporary folder.

    Raises:
        StorageError: Somebody else has put something in its place there.
    """
    base, home = Path(os.environ.get("XDG_CACHE_HOME", "")), home_folder(os.environ)
    if base.is_absolute():
        return base / _NAME
    # The cache is trusted, and others may write beside it.
    shared = Path(tempfile.gettempdir()) / f"{_NAME}-{os.geteuid()}"
    return private_folder(shared) if home is None else home / ".cache" / _NAME


class MetadataCache:
    """Metadata by index and digest, one file each; safe under several threads and processes.

    An entry counts for the index that it came from alone, so that none can speak for another's
    files. An entry that cannot be read, or whose bytes are not those that were written, is ignored; a cache
    that cannot be written keeps nothing. Nothing here is an error.

    Args:
        folder: Where; in the user's cache folder if None.
        most_entries: How many stay when it is trimmed; those that were not used for longest go.
        most_bytes: And how many bytes.
    """

    def __init__(
        self, folder: Path | None, *, most_entries: int = _MOST_ENTRIES, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._folder = folder or cache_folder() / "metadata"
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._written = threading.Event()

    def get(self, index_url: str, file: IndexFile, *, opened: bool = False) -> bytes | None:
        """Return the metadata of a file as that index served it; None if it is not in the cache.

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
        """Keep the metadata of a file whose digest the index has; ``opened`` as for `get`."""
        if file.sha256 is not None:
            kind = _RULES if opened else _SERVED
            self._write(self._place(index_url, file.file_name, file.sha256, kind), content)

    def get_checked(self, file_name: str, sha256: str) -> bytes | None:
        """Return the metadata of a wheel that was checked whole (`factory.index.wheel`), by its digest."""
        return self._read(self._place(_WHOLE, file_name, sha256, _RULES))

    def put_checked(self, file_name: str, sha256: str, metadata: bytes) -> None:
        """Keep that a whole wheel was checked under a name; its bytes have that digest."""
        self._write(self._place(_WHOLE, file_name, sha256, _RULES), metadata)

    def trim(self) -> None:
        """After writing, remove what was not used for longest, and what an interrupted write left."""
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
    """Yield seconds since each file was used, its bytes and path; skip files that vanish meanwhile."""
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                found = entry.stat()
                yield now - found.st_mtime, found.st_size, Path(entry)
