"""Folders of wheels beside the index (``--find-links``), shown to uv without their weight.

uv unpacks every local wheel that it selects before it writes a pylock.toml: 1.7 s for a torch of
190 MB, at each run. So uv is shown wheels of the same names that hold the metadata only; they take
milliseconds, and the digest that goes into the lock is always that of the real file.
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

from factory.errors import NotFoundError
from factory.files import exclusive, open_regular, read_text, staged_folder, storage_error, write_whole
from factory.index.wheel import check_wheel_at, read_directory
from factory.lock.narrow import fits, tag_ranks

_DIGEST_SUFFIX = ".sha256"


@dataclass(frozen=True, kw_only=True)
class WheelFolder:
    """A folder of wheels, and the folder of their metadata that uv is shown instead."""

    source: Path
    shown: Path

    def sha256(self, file_name: str) -> str:
        """Return the SHA-256 of a real wheel in hex, computed once for each state of the folder.

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
    """Return the size of a wheel in bytes, and the time of its newest member in seconds since 1970.

    The time is part of the wheel, so that it is the same wherever the wheel lies; it is None if
    a member has none that is one.

    Raises:
        IndexContentError: it is not a valid wheel, as far as its directory shows (`read_directory`).
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
    """Return the folders that ``UV_FIND_LINKS`` names, or ``PIP_FIND_LINKS`` where it does not.

    Pages on the network that they name are passed over: a lock looks at one index.
    """
    names = re.split(r"[,\s]+", environment.get("UV_FIND_LINKS") or environment.get("PIP_FIND_LINKS") or "")
    plain = [name.removeprefix("file://") for name in names]
    return tuple(Path(name) for name in plain if name and "://" not in name)


def open_wheel_folder(
    source: Path, *, python: str, platforms: Sequence[str], glibc: str, cache: Path
) -> WheelFolder:
    """Give a folder of wheels in the form that uv is shown: those that fit a platform, metadata only.

    Raises:
        NotFoundError: the folder is not there.
        IndexContentError: a wheel in it is not valid, or another package than its name says.
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
    """A wheel by its name in folders, the first that has it; None if none does, or there is no name."""
    if file_name is None:
        return None
    paths = (folder.expanduser() / file_name for folder in folders)
    return next((path for path in paths if path.is_file()), None)


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
    """A name for the folder as it is now; a wheel that is replaced gets a new ctime, whatever its mtime."""
    state = hashlib.sha256(os.fsencode(source))
    for wheel in wheels:
        status = wheel.stat()
        state.update(f"\0{wheel.name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}".encode())
    return state.hexdigest()[:32]


def _metadata_only(wheel: Path) -> bytes:
    """Return a wheel with the METADATA and WHEEL of another, and the RECORD (PEP 427) that uv asks for."""
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
