"""Folders of wheels beside the index (``--find-links``), presented to uv without their contents.

uv unpacks every local wheel that it selects before it writes a pylock.toml: 1.7 s for a torch of 190 MB,
at each run. So uv gets wheels of the same names that hold only metadata, which take milliseconds. The
digest in the lock is always that of the real file.
"""

import datetime as dt
import hashlib
import os
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from factory.clock import timed
from factory.errors import NotFoundError
from factory.files import exclusive, open_regular, read_text, staged_folder, storage_error, write_whole
from factory.index.wheel import check_wheel_at, read_directory
from factory.lock.narrow import fits, tag_ranks

_DIGEST_SUFFIX = ".sha256"


@dataclass(frozen=True, kw_only=True)
class WheelFolder:
    """A folder of wheels, and the folder of metadata-only wheels that uv sees."""

    source: Path
    shown: Path

    def sha256(self, file_name: str) -> str:
        """Return the SHA-256 of a real wheel in hex, computed once per state of the folder.

        Raises:
            StorageError: the wheel cannot be read.
        """
        known = self.shown / (file_name + _DIGEST_SUFFIX)
        try:
            return read_text(known)
        except FileNotFoundError:
            pass
        digest = file_sha256(self.source / file_name)
        write_whole(known, digest.encode("ascii"))
        return digest


def size_and_time(path: Path) -> tuple[int, int | None]:
    """Return a wheel's size in bytes, and the time of its newest member in seconds since 1970.

    The time comes from inside the wheel, so it does not depend on where the wheel is stored. It is None if a
    member has an invalid time.

    Raises:
        IndexContentError: the wheel is not valid, as far as its directory shows (`read_directory`).
        StorageError: the wheel cannot be read.
    """
    try:
        with open_regular(path) as file:
            newest = read_directory(file, of=path.name).newest
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        return size, int(dt.datetime(*newest, tzinfo=dt.UTC).timestamp())
    except ValueError:
        return size, None


def folders_in_environment(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders in ``UV_FIND_LINKS``, or in ``PIP_FIND_LINKS`` if that is not set.

    Skips URLs in them: a lock uses one index.
    """
    names = re.split(r"[,\s]+", environment.get("UV_FIND_LINKS") or environment.get("PIP_FIND_LINKS") or "")
    plain = [name.removeprefix("file://") for name in names]
    return tuple(Path(name) for name in plain if name and "://" not in name)


def open_wheel_folder(
    source: Path, *, python: str, platforms: Sequence[str], glibc: str, cache: Path
) -> WheelFolder:
    """Return a folder of wheels for uv: metadata only, and only wheels that fit a platform.

    Raises:
        NotFoundError: the folder does not exist.
        IndexContentError: a wheel in it is invalid, or its metadata names another package.
        StorageError: it cannot be read, or the cache cannot be written.
    """
    source = source.expanduser().resolve()
    if not source.is_dir():
        raise NotFoundError(
            f"the folder of wheels {source} is not there", solution="Look at --find-links and UV_FIND_LINKS."
        )
    ranks = [tag_ranks(python=python, platform=platform, glibc=glibc) for platform in platforms]
    wheels = [path for path in sorted(source.glob("*.whl")) if any(fits(path.name, rank) for rank in ranks)]
    folder = WheelFolder(source=source, shown=cache / "find-links" / _state_of(source, wheels))
    if folder.shown.is_dir():
        return folder
    parent = folder.shown.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(parent, error) from error
    with exclusive(parent):
        if not folder.shown.is_dir():
            with staged_folder(folder.shown) as staged:
                for wheel in wheels:
                    write_whole(staged / wheel.name, _metadata_only(wheel))
    return folder


def find_wheel(file_name: str | None, folders: Iterable[Path]) -> Path | None:
    """Return the first wheel of a name in folders; None without a name or a match."""
    if file_name is None:
        return None
    paths = (folder.expanduser() / file_name for folder in folders)
    return next((path for path in paths if path.is_file()), None)


@timed("hash")
def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise storage_error(path, error) from error


def _state_of(source: Path, wheels: Iterable[Path]) -> str:
    """Return a name for the folder's current state; a replaced wheel always changes its ctime."""
    state = hashlib.sha256(os.fsencode(source))
    for wheel in wheels:
        status = wheel.stat()
        state.update(f"\0{wheel.name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}".encode())
    return state.hexdigest()[:32]


def _metadata_only(wheel: Path) -> bytes:
    """Return a wheel with another's METADATA and WHEEL, and the RECORD (PEP 427) uv needs."""
    found = check_wheel_at(wheel)
    names = f"{found.dist_info}/METADATA", f"{found.dist_info}/WHEEL"
    with zipfile.ZipFile(wheel) as original:
        return _zipped({name: original.read(name) for name in names})


def _zipped(files: Mapping[str, bytes]) -> bytes:
    content = BytesIO()
    record = next(iter(files)).partition("/")[0] + "/RECORD"
    with zipfile.ZipFile(content, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(zipfile.ZipInfo(name), data)
        wheel.writestr(zipfile.ZipInfo(record), "".join(f"{name},,\n" for name in (*files, record)))
    return content.getvalue()
