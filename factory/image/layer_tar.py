"""One layer of an image as a tar archive whose bytes follow from the files alone.

The archive is what the OCI image-spec calls a layer changeset: entries sorted by path, owners and modes as
they stand, one modification time for all, removed files as whiteouts. It is hashed while it is
written, so that each byte is read once.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from factory.files import storage_error, temporary_sibling

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
# Of overlayfs, by which kind of mount: a folder that hides the one below it.
_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LayerBlob:
    """A layer as a blob, not compressed: its digest, which is its diff_id as well, and its size in bytes."""

    digest: str
    size: int


def write_layer(upper: Path, paths: Iterable[str], folder: Path, *, epoch: int) -> LayerBlob:
    """Write the files at ``paths`` as a layer into a folder of blobs, under its SHA-256.

    Args:
        upper: the upper folder of an overlay mount: what a container changed (its whiteouts are devices).
        paths: relative to it; the folders above each come along, since a layer without them changes theirs.
        folder: where the blob comes to lie, ``blobs/sha256`` of an OCI layout.
        epoch: the modification time of every entry, in seconds.

    Raises:
        StorageError: the file system refused; no half-written blob is left under its name.
    """
    temporary = temporary_sibling(folder / "layer")
    try:
        with temporary.open("wb") as file:
            written = _Hashed(file)
            with tarfile.open(
                fileobj=written,  # type: ignore[call-overload]  # needs no more than write()
                mode="w|",
                format=tarfile.PAX_FORMAT,
                bufsize=_BUFFER_BYTES,
                copybufsize=_BUFFER_BYTES,
            ) as archive:
                _add_all(archive, upper, paths, epoch)
        blob = LayerBlob(digest=f"sha256:{written.digest}", size=written.size)
        temporary.replace(folder / written.digest)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return blob


class _Hashed:
    """A file to write to that knows the digest and the number of its bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _add_all(archive: tarfile.TarFile, upper: Path, paths: Iterable[str], epoch: int) -> None:
    linked: dict[tuple[int, int], str] = {}
    for path in sorted(_with_folders(paths)):
        status = (upper / path).lstat()
        entry = _entry(path, status, epoch)
        if stat.S_ISDIR(status.st_mode):
            archive.addfile(entry)
            if _is_opaque(upper / path):
                archive.addfile(_empty(f"{path}/{OPAQUE}", epoch))
        elif _is_whiteout(status):
            archive.addfile(_empty(_whiteout_name(path), epoch))
        elif stat.S_ISLNK(status.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, str((upper / path).readlink())
            archive.addfile(entry)
        elif not stat.S_ISREG(status.st_mode):
            continue  # a socket or a pipe that something left behind is no file of an image
        elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in linked:
            entry.type, entry.linkname = tarfile.LNKTYPE, linked[status.st_dev, status.st_ino]
            archive.addfile(entry)
        else:
            linked[status.st_dev, status.st_ino] = path
            entry.size = status.st_size
            with (upper / path).open("rb") as file:
                archive.addfile(entry, file)


def _with_folders(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        above = path
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


def _entry(path: str, status: os.stat_result, epoch: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode = stat.S_IMODE(status.st_mode)
    entry.uid, entry.gid = status.st_uid, status.st_gid
    entry.mtime = epoch
    if stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
    return entry


def _empty(path: str, epoch: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mtime = epoch
    return entry


def _whiteout_name(path: str) -> str:
    above, slash, name = path.rpartition("/")
    return f"{above}{slash}{WHITEOUT}{name}"


def _is_whiteout(status: os.stat_result) -> bool:
    """Whether overlayfs says with this that the file below is gone: a character device 0/0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(folder: Path) -> bool:
    for attribute in _OPAQUE_ATTRIBUTES:
        try:
            if os.getxattr(folder, attribute) == b"y":
                return True
        except OSError:
            continue  # no such attribute, or none on this file system
    return False
