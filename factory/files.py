"""Files and folders that appear whole or not at all, and one writer at a time.

Every write goes to a temporary sibling whose name ends in ``.factory-tmp`` and is renamed into
place. A run that is killed leaves at most such a sibling; the next run that takes the lock of the
same parent folder removes it. Locks are flock(2) on the folder itself, so the kernel releases
them however a run ends.
"""

import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from factory.errors import BusyError, FlavorExistsError, StorageError

TEMPORARY_SUFFIX = ".factory-tmp"
STAGED_SUFFIX = ".factory-staged"
"""What a transaction has written and not yet renamed. A journal may name it: no sweep removes it."""
WORK_FOLDER = ".work"
"""The folder in a repository for what commands make on the way."""
IGNORE_FILE = ".gitignore"
IGNORE_ALL = b"# Made by factory: nothing in this folder is to be committed.\n*\n"
_SCRATCH_NAME = "universal-image-factory-scratch"
_LOCK_WAIT_SECONDS = 30.0
# Another run may be removing gigabytes.
_SWEEP_WAIT_SECONDS = 600.0
_LOCK_POLL_SECONDS = 0.1
# More than any lock, Dockerfile, page or manifest has; wheels and layers are streamed.
DEFAULT_LIMIT = 64_000_000


def is_temporary(path: Path) -> bool:
    """Return whether this belongs to a write that was interrupted or goes on."""
    return path.name.endswith((TEMPORARY_SUFFIX, STAGED_SUFFIX))


def temporary_sibling(path: Path) -> Path:
    """Return an unused name beside path, on the same file system."""
    return path.with_name(f".{path.name}.{os.urandom(6).hex()}{TEMPORARY_SUFFIX}")


def open_regular(path: Path | str) -> BufferedReader:
    """Open a regular file to read; refuse a FIFO or a device without waiting.

    Raises:
        FileNotFoundError: it does not exist.
        OSError: it is not a regular file, or cannot be opened.
    """
    return require_regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)


def read_regular(path: Path, *, limit: int = DEFAULT_LIMIT) -> bytes:
    """Return the content of a regular file.

    Raises:
        FileNotFoundError: it does not exist.
        OSError: as for `open_regular`, or it holds more than ``limit`` bytes.
    """
    with open_regular(path) as file:
        return read_descriptor(file, path, limit=limit)


def read_text(path: Path, *, errors: str = "strict", limit: int = DEFAULT_LIMIT) -> str:
    """Return the text of a regular file in UTF-8, each line end as a line feed.

    Args:
        path: the file.
        errors: what is done with bytes that are not UTF-8, as `bytes.decode` has it.
        limit: the most bytes that are read.

    Raises:
        FileNotFoundError: it does not exist.
        UnicodeDecodeError: it is not UTF-8, and ``errors`` is "strict".
        OSError: as for `read_regular`.
    """
    text = read_regular(path, limit=limit).decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def require_regular(descriptor: int, path: Path | str) -> BufferedReader:
    """Return the file of a descriptor, which is closed if it is not a regular file.

    Raises:
        OSError: it is not one; ``path`` names it.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def room_beside(descriptor: int) -> int:
    """Return nine tenths of what is free on the file system of an open file, in bytes."""
    found = os.fstatvfs(descriptor)
    return found.f_bavail * found.f_frsize * 9 // 10


def read_descriptor(file: BinaryIO, path: Path, *, limit: int) -> bytes:
    """Return what is left in an open file.

    Raises:
        OSError: it is more than ``limit`` bytes; ``path`` names the file.
    """
    content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than the {limit} bytes that are read", str(path))
    return content


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder that only this user may enter; remove it afterwards.

    What a killed run left, secrets perhaps, is removed by the next run that asks for one: a folder in use is
    locked by its run.

    Raises:
        StorageError: the file system refused, or somebody else may write where the folders are.
    """
    parent = private_folder(Path(tempfile.gettempdir()) / f"{_SCRATCH_NAME}-{os.geteuid()}")
    with exclusive(parent, wait_seconds=_SWEEP_WAIT_SECONDS):
        _sweep_scratch(parent)
        folder = Path(tempfile.mkdtemp(dir=parent))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        _remove_tree(folder)
        os.close(descriptor)


def private_folder(folder: Path) -> Path:
    """Return a private folder of this user's in a shared one; make it if missing.

    Raises:
        StorageError: the file system refused, or somebody else owns the folder or may write into it.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise storage_error(folder, error) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StorageError(
            f"{folder} may be written by somebody else",
            solution="Remove it, or let TMPDIR name a folder of your own.",
        )
    return folder


def _sweep_scratch(parent: Path) -> None:
    """Remove the folders that no run holds any more."""
    for folder in parent.iterdir():
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)
            continue
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_tree(folder)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _remove_tree(folder: Path) -> None:
    """Remove a folder with its content, also what its owner may not read or write."""
    for base, names, _ in os.walk(folder):
        for name in names:
            path = Path(base, name)
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def write_whole(path: Path, content: bytes, *, executable: bool = False) -> None:
    """Replace a file in one step: readers see the old bytes or the new, never a part.

    Raises:
        StorageError: the file system refused; what was there before is untouched.
    """
    temporary = stage(path, content, executable=executable)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(path, error) from error


def stage(path: Path, content: bytes, *, executable: bool = False) -> Path:
    """Write a file's new content into a temporary sibling, ready for one rename.

    Raises:
        StorageError: the file system refused; nothing is left behind.
    """
    temporary = temporary_sibling(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if executable else 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(path, error) from error
    return temporary


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` if the block succeeds.

    The caller holds the lock of the parent (`exclusive`).

    Raises:
        FlavorExistsError: path was created meanwhile; nothing was changed.
        StorageError: the file system refused; nothing is left behind.
    """
    temporary = temporary_sibling(path)
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            raise FlavorExistsError(
                f"{path} is there already", solution="Choose another name, or remove the folder first."
            )
        temporary.rename(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def clone_folder(source: Path, new: Path, *, max_bytes: int | None = None) -> None:
    """Copy a folder by hard links if possible; links in it stay links, and temporary files stay behind.

    So do files of more than ``max_bytes``.

    Files are replaced whole here and never written to in place, so that a change of one is none of the other.
    """

    def link(one: str, other: str) -> str:
        try:
            os.link(one, other, follow_symlinks=False)
        except OSError:
            shutil.copy2(one, other, follow_symlinks=False)
        return other

    def left(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if is_temporary(Path(folder, name)) or is_large(Path(folder, name))}

    def is_large(path: Path) -> bool:
        status = path.lstat()
        return max_bytes is not None and stat.S_ISREG(status.st_mode) and status.st_size > max_bytes

    shutil.copytree(source, new, symlinks=True, copy_function=link, ignore=left)


def make_output_folder(folder: Path, *, within: Path | None = None) -> Path:
    """Make a folder for output that is not committed, and have git ignore it.

    In a git work tree a folder that is new or empty gets a ``.gitignore`` of its own, as virtual environments
    have; below ``.work`` that folder gets it. A folder that already holds something is left as it is.

    Args:
        folder: made with the folders above it if it is missing.
        within: what the output is made from, if output in another work tree than that is to be committed.

    Raises:
        StorageError: the file system refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = next((above for above in (folder, *folder.parents) if above.name == WORK_FOLDER), None)
        if own is not None:
            hidden = os.path.lexists(own / IGNORE_FILE)
        else:
            own, hidden = folder, any(folder.iterdir())
    except OSError as error:
        raise storage_error(folder, error) from error
    tree = work_tree_of(own)
    if not hidden and tree is not None and (within is None or tree == work_tree_of(within)):
        write_whole(own / IGNORE_FILE, IGNORE_ALL)
    return folder


def is_own_ignore_file(path: Path) -> bool:
    """Return whether this is the file with which `make_output_folder` has git ignore a folder."""
    if path.name != IGNORE_FILE or path.is_symlink():
        return False
    try:
        return read_regular(path, limit=len(IGNORE_ALL)) == IGNORE_ALL
    except OSError:
        return False


def work_tree_of(path: Path) -> Path | None:
    """Return the git work tree of an existing or future path; None outside of any."""
    real = path.resolve()
    return next((above for above in (real, *real.parents) if os.path.lexists(above / ".git")), None)


@contextmanager
def exclusive(folder: Path, *, wait_seconds: float = _LOCK_WAIT_SECONDS) -> Iterator[None]:
    """Lock a folder against other runs, and remove what an interrupted run left in it.

    Raises:
        BusyError: another run still holds the folder after wait_seconds.
        StorageError: the folder cannot be opened.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise storage_error(folder, error) from error
    try:
        acquire(descriptor, folder, wait_seconds)
        _sweep(folder)
        yield
    finally:
        os.close(descriptor)


def acquire(descriptor: int, folder: Path, wait_seconds: float = _LOCK_WAIT_SECONDS) -> None:
    """Lock an open folder; the lock is held until the descriptor is closed.

    Raises:
        BusyError: another run still holds it after wait_seconds.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"another run of the factory is working on {folder}",
                    solution="Wait until it has ended and run the command again.",
                ) from None
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return an OSError as the factory's own error."""
    if error.errno == errno.ENOSPC:
        return StorageError(
            f"no space is left on the device that holds {path}",
            solution="Free some space and run the same command again: a file is written whole or not at all. "
            f"What a download had is kept under a name that ends in {TEMPORARY_SUFFIX}, to go on with.",
        )
    return StorageError(
        f"{path}: {error.strerror or error}",
        solution="Look at the permissions and the file system, then run the same command again: a file is "
        "written whole or not at all.",
        path=path,
    )


def _sweep(folder: Path) -> None:
    for leftover in folder.iterdir():
        if leftover.name.endswith(TEMPORARY_SUFFIX):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
