"""Write one layer of an image as a tar archive whose bytes follow from the files alone.

The archive is what the OCI image-spec calls a layer changeset: entries sorted by path, original owners and
modes, one modification time for all. It is hashed while it is written, so that each byte is read once.
Extended attributes are left out: no wheel has any.
"""

import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from factory.clock import timed
from factory.tree import Tree

WHITEOUT = ".wh."
_BUFFER_BYTES = 1 << 20

Ownership = tuple[int, int, int]
"""Mode, user and group of a folder."""


@dataclass(frozen=True, kw_only=True)
class LayerBlob:
    """An uncompressed layer as a blob: its digest (also its diff_id), and its size in bytes."""

    digest: str
    size: int


def write_layer(tree: Tree, paths: Iterable[str], blobs: Tree, *, epoch: int) -> LayerBlob:
    """Write the files at ``paths`` as a layer into a folder of blobs, named by its SHA-256.

    Args:
        tree: where they are. No link of it is followed, and nothing but a regular file is read.
        paths: relative to it; the folders above each come along, since a layer without them changes theirs.
        blobs: the folder for the blob, ``blobs/sha256`` of an OCI layout.
        epoch: the modification time of every entry, in seconds.

    Raises:
        StorageError: the file system refused; no half-written blob is left under its name.
    """
    wanted = sorted(_with_folders(paths))
    with _one_folder_open(tree) as look:
        return _written(blobs, lambda archive: _add_all(archive, look, wanted, epoch))


def write_removals(removed: Mapping[str, Mapping[str, Ownership]], blobs: Tree, *, epoch: int) -> LayerBlob:
    """Write a layer that removes paths of the layers below: whiteouts.

    Args:
        removed: the paths, each with the folders above it, which come along as they are.
        blobs: as for `write_layer`.
        epoch: as for `write_layer`.

    Raises:
        StorageError: as for `write_layer`.
    """
    gone = [path for path in removed if not any(above in removed for above in removed[path])]
    folders = {above: owned for path in gone for above, owned in removed[path].items()}

    def add(archive: _Archive) -> None:
        for path in sorted((*gone, *folders)):
            entry = tarfile.TarInfo(path)
            entry.mtime = epoch
            if path in folders:
                entry.type = tarfile.DIRTYPE
                entry.mode, entry.uid, entry.gid = folders[path]
            else:
                above, slash, name = path.rpartition("/")
                entry.name = f"{above}{slash}{WHITEOUT}{name}"
            archive.add(entry)

    return _written(blobs, add)


def folders_above(path: str) -> tuple[str, ...]:
    """Return the folders above a relative path, the nearest first."""
    parts = path.split("/")
    return tuple("/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))


class _Archive:
    """A tar archive (POSIX.1-2001, pax) that knows the digest and the number of its bytes.

    tarfile makes the headers; its own writing copies each byte several times.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._pending = bytearray()
        self.size = 0

    def add(self, entry: tarfile.TarInfo, source: BinaryIO | None = None) -> None:
        """Add an entry; with ``source``, also a file's content, of the entry's size."""
        self._pending += entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if source is not None and entry.size:
            left = entry.size
            while left and (data := source.read(min(left, _BUFFER_BYTES))):
                self._pending += data
                left -= len(data)
                self._write_some()
            if left:
                raise OSError(errno.EIO, f"{entry.name} became shorter while it was read")
            self._pad(tarfile.BLOCKSIZE)
        self._write_some()

    def finish(self) -> LayerBlob:
        """Write the end of the archive, and flush."""
        self._pending += bytes(2 * tarfile.BLOCKSIZE)
        self._pad(tarfile.RECORDSIZE)
        self._write_some(least=0)
        return LayerBlob(digest=f"sha256:{self._hash.hexdigest()}", size=self.size)

    def _pad(self, multiple: int) -> None:
        self._pending += bytes(-(self.size + len(self._pending)) % multiple)

    def _write_some(self, least: int = _BUFFER_BYTES) -> None:
        if len(self._pending) >= least:
            self._hash.update(self._pending)
            self._file.write(self._pending)
            self.size += len(self._pending)
            self._pending.clear()


_Look = Callable[[str], tuple[Tree, str]]
"""Returns the open folder of a path, and its name there."""


@contextmanager
def _one_folder_open(tree: Tree) -> Iterator[_Look]:
    """Keep the folder of the last path open: consecutive files are mostly in one folder."""
    with ExitStack() as stack:
        last: list[tuple[str, Tree]] = []

        def look(path: str) -> tuple[Tree, str]:
            above, _, name = path.rpartition("/")
            if not above:
                return tree, name
            if not last or last[0][0] != above:
                stack.pop_all().close()
                last[:] = [(above, stack.enter_context(tree.below(above)))]
            return last[0][1], name

        yield look


@timed("layer")
def _written(blobs: Tree, add: Callable[[_Archive], None]) -> LayerBlob:
    # The digest, which is the name, is known at the end; `remove_unused` removes a killed run's file.
    unnamed = f"layer-{os.urandom(6).hex()}"
    with blobs.writing(unnamed) as file:
        archive = _Archive(file)
        add(archive)
        blob = archive.finish()
    blobs.rename(unnamed, blob.digest.removeprefix("sha256:"))
    return blob


def _add_all(archive: _Archive, look: _Look, paths: Iterable[str], epoch: int) -> None:
    linked: dict[tuple[int, int], str] = {}
    for path in paths:
        folder, name = look(path)
        status = folder.status(name)
        if status is None:
            raise FileNotFoundError(errno.ENOENT, "gone while its layer was written", path)
        entry = tarfile.TarInfo(path)
        entry.mode, entry.mtime = stat.S_IMODE(status.st_mode), epoch
        entry.uid, entry.gid = status.st_uid, status.st_gid
        if stat.S_ISDIR(status.st_mode):
            entry.type = tarfile.DIRTYPE
            archive.add(entry)
        elif stat.S_ISLNK(status.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, folder.link_target(name)
            archive.add(entry)
        elif not stat.S_ISREG(status.st_mode):
            continue  # a socket or a pipe that something left behind is not a file of an image
        elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in linked:
            entry.type, entry.linkname = tarfile.LNKTYPE, linked[status.st_dev, status.st_ino]
            archive.add(entry)
        else:
            linked[status.st_dev, status.st_ino] = path
            with folder.open(name) as source:
                entry.size = os.fstat(source.fileno()).st_size
                archive.add(entry, source)


def _with_folders(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        found.update((path, *folders_above(path)))
    return found
