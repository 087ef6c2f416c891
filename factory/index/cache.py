"""The user's cache folder, and metadata of packages kept in it by digest."""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from factory.errors import StorageError
from factory.files import is_temporary, write_whole

if TYPE_CHECKING:
    # The page parser takes a third of a second to import, and who asks for the folder needs none.
    from factory.index.pages import IndexFile

# A METADATA has 10 KB on average: some 80 MB at the most.
_MOST_ENTRIES = 8192
_HOUR = 3600.0


def cache_folder() -> Path:
    """The user's cache folder of the factory, as the XDG base directory specification places it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    parent = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return parent / "universal-image-factory"


class MetadataCache:
    """Metadata by index and digest, one file each; safe under several threads and processes.

    An entry counts for the index that it came from alone, so that none can speak for another's
    files. An entry that cannot be read, or whose bytes are not those that were written, is not
    there; a cache that cannot be written keeps nothing. Nothing here is an error.

    Args:
        folder: where; in the user's cache folder if None.
        most_entries: how many stay when it is trimmed; those that were not used for longest go.
    """

    def __init__(self, folder: Path | None, *, most_entries: int = _MOST_ENTRIES) -> None:
        self._folder = folder or cache_folder() / "metadata"
        self._most_entries = most_entries
        self._written = threading.Event()

    def get(self, index_url: str, file: "IndexFile") -> bytes | None:
        """The metadata of a file as that index gave it; None where it is not known."""
        path = self._path(index_url, file)
        if path is None:
            return None
        try:
            digest, _, content = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        found = hashlib.sha256(content).hexdigest()
        if digest.decode("ascii", "replace") != found or file.metadata_sha256 not in {None, found}:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return content

    def put(self, index_url: str, file: "IndexFile", content: bytes) -> None:
        """Keep the metadata of a file whose digest the index tells."""
        path = self._path(index_url, file)
        if path is None:
            return
        digest = hashlib.sha256(content).hexdigest().encode("ascii")
        with contextlib.suppress(OSError, StorageError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, digest + b"\n" + content)
            self._written.set()

    def trim(self) -> None:
        """After writing, take away what was not used for longest, and what an interrupted write left."""
        if not self._written.is_set():
            return
        self._written.clear()
        used = sorted(_ages(self._folder))
        leftovers = [path for age, path in used if is_temporary(path) and age > _HOUR]
        entries = [path for _, path in used if not is_temporary(path)]
        for path in (*leftovers, *entries[self._most_entries :]):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _path(self, index_url: str, file: "IndexFile") -> Path | None:
        if file.sha256 is None:
            return None
        key = json.dumps([index_url, file.file_name, file.sha256]).encode()
        return self._folder / hashlib.sha256(key).hexdigest()


def _ages(folder: Path) -> Iterator[tuple[float, Path]]:
    """Seconds since each file was used; one that another process takes away meanwhile is passed over."""
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield now - entry.stat().st_mtime, Path(entry)
