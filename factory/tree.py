"""Read and change a folder that comes from outside by directory descriptors, never through a link.

A path that was checked and then opened can be swapped for a link in between (CWE-59, CWE-367). Here each
part of a path is opened in the descriptor of the folder above it with O_NOFOLLOW, and what is opened as a
file is a regular file, so that a FIFO or a device hangs nothing.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from factory.errors import StorageError
from factory.files import (
    DEFAULT_LIMIT,
    TEMPORARY_SUFFIX,
    acquire,
    is_temporary,
    read_descriptor,
    require_regular,
    storage_error,
)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO without a writer must not block before it is refused.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATED = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry at ``path``, relative to the tree's root with ``/`` between its parts."""

    path: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Return whether it is a folder, and not a link to one."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Return whether it is a regular file, and not a link to one."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """Return whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)


class Tree:
    """A folder whose content is not trusted. Paths are relative; none leaves the folder or follows a link."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root = root
        self._descriptor = descriptor

    @staticmethod
    @contextmanager
    def opened(root: Path, *, root_may_be_link: bool = False) -> "Iterator[Tree]":
        """Open a folder for the length of a block.

        Args:
            root: the folder; the folders above it are trusted.
            root_may_be_link: accept a root that is itself a link, as a path that a user typed may be.

        Raises:
            StorageError: it is missing, no folder, or a link.
        """
        flags = _FOLDER & ~os.O_NOFOLLOW if root_may_be_link else _FOLDER
        try:
            descriptor = os.open(root, flags)
        except OSError as error:
            raise _refused(root, error) from error
        try:
            yield Tree(root, descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def below(self, path: str) -> "Iterator[Tree]":
        """Open a folder in the tree as its own tree for a block.

        Raises:
            StorageError: as for `folder`.
        """
        with self.folder(path) as descriptor:
            yield Tree(self.root / path, descriptor)

    @contextmanager
    def folder(self, path: str = "") -> Iterator[int]:
        """Yield a descriptor of a folder in the tree; the root itself if the path is empty.

        Raises:
            StorageError: a part of the path is missing, no folder, or a link.
        """
        # Not a duplicate: that shares its place in the listing with the original, and threads miss entries.
        descriptor = os.open(".", _FOLDER, dir_fd=self._descriptor)
        reached = self.root
        try:
            for part in _parts(self.root, path):
                reached /= part
                try:
                    below = os.open(part, _FOLDER, dir_fd=descriptor)
                except OSError as error:
                    raise _refused(reached, error) from error
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the root against other runs, and remove the files that an interrupted run left in it.

        Raises:
            BusyError: another run still holds it after half a minute.
            StorageError: the file system refused.
        """
        descriptor = os.open(".", _FOLDER, dir_fd=self._descriptor)
        try:
            acquire(descriptor, self.root)
            for entry in self.entries():
                if is_temporary(Path(entry.path)) and not entry.is_folder:
                    self.remove(entry.path)
            yield
        finally:
            os.close(descriptor)

    def open(self, path: str) -> BinaryIO:
        """Open a regular file.

        Raises:
            StorageError: a part of the path is missing or a link, or the last is not a regular file.
        """
        above, name = _split(self.root, path)
        with self.folder(above) as folder:
            try:
                descriptor = os.open(name, _FILE, dir_fd=folder)
                return require_regular(descriptor, self.root / path)
            except OSError as error:
                raise _refused(self.root / path, error) from error

    def read(self, path: str, *, limit: int = DEFAULT_LIMIT) -> bytes:
        """Return the content of a regular file.

        Raises:
            StorageError: as for `open`, or it holds more than ``limit`` bytes.
        """
        with self.open(path) as file:
            try:
                return read_descriptor(file, self.root / path, limit=limit)
            except OSError as error:
                raise _refused(self.root / path, error) from error

    def status(self, path: str) -> os.stat_result | None:
        """Return the status of what lies at a path, links not followed; None if nothing does.

        Raises:
            StorageError: a folder on the way is a link or no folder.
        """
        above, name = _split(self.root, path)
        try:
            with self.folder(above) as folder:
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        except OSError as error:
            raise _refused(self.root / path, error) from error

    def link_target(self, path: str) -> str:
        """Return the text of a symbolic link.

        Raises:
            StorageError: it is not one.
        """
        above, name = _split(self.root, path)
        with self.folder(above) as folder:
            try:
                return os.readlink(name, dir_fd=folder)
            except OSError as error:
                raise _refused(self.root / path, error) from error

    def entries(self, path: str = "") -> list[Entry]:
        """Return what lies directly in a folder, sorted by name.

        Raises:
            StorageError: as for `folder`, or the folder cannot be read.
        """
        with self.folder(path) as folder:
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - pathlib knows no descriptors
                return [
                    Entry(
                        path=f"{path}/{name}" if path else name,
                        status=os.stat(name, dir_fd=folder, follow_symlinks=False),
                    )
                    for name in names
                ]
            except OSError as error:
                raise _refused(self.root / path, error) from error

    def walk(self, path: str = "") -> Iterator[Entry]:
        """Yield all that lies below a folder, each folder before what it holds. Links are not followed.

        Raises:
            StorageError: as for `entries`.
        """
        pending = [path]
        while pending:
            entries = self.entries(pending.pop())
            yield from entries
            pending.extend(entry.path for entry in reversed(entries) if entry.is_folder)

    def attribute(self, path: str, name: str) -> bytes | None:
        """Return an extended attribute of a folder; None if it has none of that name.

        Raises:
            StorageError: as for `folder`.
        """
        with self.folder(path) as folder:
            try:
                return os.getxattr(folder, name)
            except OSError:
                return None  # no such attribute, or none on this file system

    def make_folder(self, path: str, *, mode: int = 0o755) -> None:
        """Make a folder and missing parents, each with ``mode``; existing ones stay unchanged.

        Raises:
            StorageError: a part of the path is a link or no folder, or the file system refused.
        """
        for parts in _prefixes(_parts(self.root, path)):
            above, name = _split(self.root, parts)
            with self.folder(above) as folder:
                try:
                    os.mkdir(name, mode, dir_fd=folder)
                    made = os.open(name, _FOLDER, dir_fd=folder)
                    os.fchmod(made, mode)  # the umask may have taken bits
                    os.close(made)
                except FileExistsError:
                    continue
                except OSError as error:
                    raise _refused(self.root / parts, error) from error
        with self.folder(path):
            return

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Replace a file in one step: readers see the old bytes or the new, never a part.

        Raises:
            StorageError: as for `writing`.
        """
        with self.writing(path, mode=mode) as file:
            file.write(content)

    @contextmanager
    def writing(self, path: str, *, mode: int = 0o644) -> Iterator[BinaryIO]:
        """Yield a file to write; it replaces the path, or a link, if the block succeeds.

        Raises:
            StorageError: a folder on the way is missing or a link, or the file system refused.
        """
        above, name = _split(self.root, path)
        temporary = f".{name}.{os.urandom(6).hex()}{TEMPORARY_SUFFIX}"
        with self.folder(above) as folder:
            try:
                descriptor = os.open(temporary, _NEW, mode, dir_fd=folder)
                try:
                    with os.fdopen(descriptor, "wb") as file:
                        os.fchmod(descriptor, mode)
                        yield file
                    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    os.unlink(temporary, dir_fd=folder)
                    raise
            except OSError as error:
                raise _refused(self.root / path, error) from error

    def rename(self, path: str, new: str) -> None:
        """Rename an entry within the tree, replacing what is there.

        Raises:
            StorageError: a folder on the way is missing or a link, or the file system refused.
        """
        (above, name), (new_above, new_name) = _split(self.root, path), _split(self.root, new)
        with self.folder(above) as source, self.folder(new_above) as target:
            try:
                os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
            except OSError as error:
                raise _refused(self.root / new, error) from error

    def create(self, path: str, *, mode: int) -> BinaryIO:
        """Create a file that is not there, to write and to read.

        Raises:
            StorageError: something is there, or the file system refused.
        """
        above, name = _split(self.root, path)
        with self.folder(above) as folder:
            try:
                descriptor = os.open(name, _CREATED, mode, dir_fd=folder)
                os.fchmod(descriptor, mode)
            except OSError as error:
                raise _refused(self.root / path, error) from error
            return cast("BinaryIO", os.fdopen(descriptor, "r+b"))

    def link(self, file: BinaryIO, path: str) -> bool:
        """Link an open file under another name in the tree; return False if it cannot.

        It is the file that is open, whatever its first name leads to meanwhile.
        """
        above, name = _split(self.root, path)
        with self.folder(above) as folder:
            try:
                os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=folder, follow_symlinks=True)
            except OSError:
                return False
        return True

    def remove(self, path: str) -> None:
        """Remove a file or a link (never what it leads to); does nothing if it is missing.

        Raises:
            StorageError: a folder on the way is a link, it is a folder, or the file system refused.
        """
        above, name = _split(self.root, path)
        with self.folder(above) as folder:
            try:
                os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return
            except OSError as error:
                raise _refused(self.root / path, error) from error


def _parts(root: Path, path: str) -> list[str]:
    parts = path.split("/") if path else []
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise StorageError(
            f"{path!r} is not a path inside {root}",
            solution="Remove what names it; a path has no empty part, no '.' and no '..'.",
        )
    return parts


def _prefixes(parts: list[str]) -> Iterator[str]:
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


def _split(root: Path, path: str) -> tuple[str, str]:
    parts = _parts(root, path)
    if not parts:
        raise StorageError(f"{root} is a folder, not a file", solution="Name a file in it.")
    return "/".join(parts[:-1]), parts[-1]


def _refused(path: Path, error: OSError) -> StorageError:
    """Call a link a link: O_NOFOLLOW reports ELOOP for a file, ENOTDIR for a folder."""
    if path.is_symlink():
        return StorageError(
            f"{path} is a link, which is not followed here",
            solution="Replace it by what it leads to, if you know that it may be read.",
        )
    return storage_error(path, error)
