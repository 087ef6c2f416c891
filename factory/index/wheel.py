"""Check a wheel, in one way wherever one is opened.

Installers read archives differently: one trusts the directory at the end, one the header before each
file, one stops at the first end. A wheel can be made to show each another content, or to write beside the
folder that it is installed into. So anything odd is refused, by the rules that uv has since
0.8.6 (CVE-2025-54368) and PyPI since August 2025, and the wheel format (PEP 427, PEP 491, and
https://packaging.python.org/en/latest/specifications/binary-distribution-format/).

`read_directory` checks what a few range requests return: the archive's directory, and METADATA.

- The archive ends where its end record says: nothing is before or after it, and there is no
  second directory. Its members do not overlap, and their number and sizes are within bounds.
- Every member is a regular file or a folder, stored or deflated, not encrypted; a path is relative, without
  ``..``, backslash, drive letter or control character, and none is there twice, or as both file and folder.
- There is one ``.dist-info``, its name and version are those of the file's name, and METADATA's are as well.

`check_wheel` needs the whole file, and also checks:

- Each local header says what the directory says, no byte lies between two members, and no data
  descriptor says anything else.
- RECORD lists every member, and every path in it stays inside.
- Of a wheel of up to 1 MB each member inflates to its declared size, with its CRC and the digest of
  RECORD; of a larger one those in ``.dist-info`` do. The rest would take a second for every 80 MB: for it
  the digest in the lock has to suffice, and uv and pip, which refuse another size or CRC.
"""

import base64
import binascii
import csv
import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from factory.errors import IndexContentError
from factory.files import open_regular, storage_error
from factory.index.metadata import MOST_METADATA_BYTES, check_identity, project_of

# The largest known has 40,000 members, and its directory 6 MB.
_MAX_MEMBERS = 200_000
_MAX_DIRECTORY_BYTES = 64 << 20
_MAX_RECORD_BYTES = 64 << 20
# The bytes that one wheel installs: the largest known has 6 GB, four times its file.
_MAX_INSTALLED_BYTES = 64 << 30
_MAX_RATIO = 200
_SMALL_BYTES = 1 << 30
# The most that deflate makes of one byte.
_DEFLATE_RATIO = 1032
_FULLY_READ_BYTES = 1 << 20
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 0x1 | 0x20 | 0x40 | 0x2000
_DESCRIPTOR, _UTF8 = 0x8, 0x800
# Flags that must be the same in both headers; the others only describe the compression.
_SHARED_FLAGS = _ENCRYPTED | _DESCRIPTOR | _UTF8
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL = struct.Struct("<4s2xHH4xLLLHH")
_CENTRAL_BYTES = 46
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA, _UNICODE_PATH_EXTRA = 0x0001, 0x7075
_END_SIGNATURE = b"PK\x05\x06"
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
_ODD_STARTS = frozenset({"", "/", "."})
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:|(^|/)(\.\.?)?(/|$)")
_BLOCK = 1 << 20
_SIGNATURES = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})
_DIGESTS = frozenset({"sha256", "sha384", "sha512"})
_RECORD_FIELDS = 3


class ReadableFile(Protocol):
    """What zipfile needs of a file: reading at any position."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move the position of the next read."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; all up to the end without a size."""


@dataclass(frozen=True, kw_only=True)
class CheckedWheel:
    """What a checked wheel says of itself.

    ``dist_info`` is the name of its .dist-info folder, ``installed_bytes`` the sum of its members, ``newest``
    the newest member's time in the archive: year, month, day, hour, minute, second, which may be invalid.
    """

    dist_info: str
    metadata: bytes
    installed_bytes: int
    newest: tuple[int, int, int, int, int, int]


def read_directory(file: ReadableFile, *, of: str) -> CheckedWheel:
    """Check what the directory of a wheel and its METADATA say, and return it.

    Args:
        file: the wheel, which may be one that is read over the network.
        of: the file name that it has on its index.

    Raises:
        IndexContentError: it is not a valid wheel, or not the package that its name says.
    """
    with _errors(of):
        directory = _Directory.read(file)
        with zipfile.ZipFile(file) as archive:
            return _checked(archive, directory, of)


def check_wheel(file: ReadableFile, *, of: str) -> CheckedWheel:
    """Check a whole wheel, and return what it says of itself.

    Args:
        file: the wheel, open for reading.
        of: the file name that it has on its index.

    Raises:
        IndexContentError: it is not a valid wheel, or not the package that its name says.
    """
    with _errors(of):
        directory = _Directory.read(file)
        with zipfile.ZipFile(file) as archive:
            wheel = _checked(archive, directory, of)
            starts = _check_local_headers(file, archive, directory)
            digests = _check_record(archive, wheel.dist_info)
            small = directory.start <= _FULLY_READ_BYTES
            for member in archive.filelist:
                if small or member.filename.startswith(f"{wheel.dist_info}/"):
                    _check_content(file, member, starts[member.filename], digests.get(member.filename))
            return wheel


def check_wheel_at(path: Path) -> CheckedWheel:
    """Check a wheel in a folder under its name there, and return what it says of itself.

    Raises:
        IndexContentError: as for `check_wheel`.
        StorageError: it is not a regular file, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            return check_wheel(file, of=path.name)
    except OSError as error:
        raise storage_error(path, error) from error


class _OddError(Exception):
    """The reason for refusing a wheel."""


@contextmanager
def _errors(of: str) -> Iterator[None]:
    """Turn zipfile's errors about a damaged archive into one error."""
    try:
        yield
    except (
        _OddError,
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        struct.error,
        csv.Error,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        ValueError,
    ) as error:
        raise IndexContentError(
            f"{of} is not a valid wheel: {str(error) or 'it ends too early'}",
            solution="Do not install it. Fetch it again if it was cut short, else ask the owners of the "
            "index or the folder that it is from to build it again.",
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Directory:
    """Where an archive's directory begins, its bytes, and how many members it lists."""

    start: int
    size: int
    members: int

    @classmethod
    def read(cls, file: ReadableFile) -> "_Directory":
        """Read the end record, the last thing in the file, and check that everything fits together."""
        place, record = _read_end(file)
        _, disk, first_disk, here, members, size, start, _ = _END.unpack(record)
        if _FULL16 in {disk, first_disk, here, members} or _FULL32 in {size, start}:
            place, members, size, start = _read_zip64_end(file, place)
        elif disk or first_disk or here != members:
            raise _OddError("it is a part of an archive")
        if start + size != place:
            raise _OddError("its directory is not where its end says")
        if members > _MAX_MEMBERS or size > _MAX_DIRECTORY_BYTES:
            raise _OddError(f"its directory is larger than any wheel's: {members:,} files")
        return cls(start=start, size=size, members=members)


def _read_end(file: ReadableFile) -> tuple[int, bytes]:
    """Return the end record's position and bytes; the comment that it announces ends the file."""
    total = file.seek(0, 2)
    # Nearly every wheel has no comment; some of maturin's have one.
    for length in (_END.size, min(total, _END.size + _FULL16)):
        tail = _read_at(file, max(0, total - length), length)
        place = tail.rfind(_END_SIGNATURE)
        record, comment = tail[place : place + _END.size], tail[place + _END.size :]
        if place >= 0 and len(record) == _END.size and _END.unpack(record)[-1] == len(comment):
            if b"PK" in comment:
                raise _OddError("its comment looks like an archive")
            return total - length + place, record
    raise _OddError("it does not end with the end of an archive")


def _read_zip64_end(file: ReadableFile, end: int) -> tuple[int, int, int, int]:
    """Return the ZIP64 end record's position, and its directory's members, bytes and start."""
    locator = end - _LOCATOR.size
    place = locator - _END64.size
    if place < 0:
        raise _OddError("its directory is not where its end says")
    content = _read_at(file, place, _END64.size + _LOCATOR.size)
    signature, size, _, _, disk, first_disk, here, members, directory_size, start = _END64.unpack(
        content[: _END64.size]
    )
    located, where, at, disks = _LOCATOR.unpack(content[_END64.size :])
    if (
        (signature, located) != (b"PK\x06\x06", b"PK\x06\x07")
        or size != _END64.size - 12
        or at != place
        or (where, disk, first_disk) != (0, 0, 0)
        or disks > 1
        or here != members
    ):
        raise _OddError("its ZIP64 end and the end of the archive disagree")
    return place, members, directory_size, start


def _read_at(file: ReadableFile, place: int, size: int) -> bytes:
    file.seek(place)
    content = file.read(size)
    if len(content) != size:
        raise _OddError("it ends too early")
    return content


def _checked(archive: zipfile.ZipFile, directory: _Directory, of: str) -> CheckedWheel:
    members = archive.filelist
    listed = sum(
        _CENTRAL_BYTES + len(_raw_name(member)) + len(member.extra) + len(member.comment)
        for member in members
    )
    if archive.start_dir != directory.start or (len(members), listed) != (directory.members, directory.size):
        raise _OddError("its directory does not hold what its end says")
    for member in members:
        _check_member(member)
    _check_paths(members)
    _check_places(members, directory)
    installed = _check_sizes(members, directory)
    info = _dist_info(members)
    metadata = archive.NameToInfo[f"{info}/METADATA"]
    if metadata.file_size > MOST_METADATA_BYTES:
        raise _OddError("its METADATA is larger than any package's")
    content = archive.read(metadata)
    check_identity(content, of=of)
    project = project_of(of)
    if project is None:
        raise _OddError("its name is not that of a wheel")
    if not _is_named(info.rpartition(".")[0], *project):
        raise _OddError(f"{info} is the folder of another package or version")
    newest = max(member.date_time for member in members)
    return CheckedWheel(dist_info=info, metadata=content, installed_bytes=installed, newest=newest)


def _check_member(member: zipfile.ZipInfo) -> None:
    """Check that a member is something to install, and that all installers read it alike."""
    name, mode = member.orig_filename, member.external_attr >> 16
    if name != member.filename or _is_unsafe(name.removesuffix("/")):
        raise _OddError(f"it has the path {name!r}")
    if not member.flag_bits & _UTF8 and not name.isascii():
        raise _OddError(f"the name {name!r} is in no known encoding")
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR} or stat.S_ISDIR(mode) > name.endswith("/"):
        raise _OddError(f"{name} is a link or a device")
    if member.flag_bits & _ENCRYPTED:
        raise _OddError(f"{name} is encrypted")
    if member.compress_type not in _METHODS:
        raise _OddError(f"{name} is compressed by method {member.compress_type}, not stored or deflated")
    if member.comment:
        raise _OddError(f"{name} has a comment")
    if member.volume:
        raise _OddError(f"{name} is in another part of an archive")
    if name.endswith("/") and member.file_size:
        raise _OddError(f"the folder {name} has content")
    if member.extra:
        _check_extra(member)


def _check_extra(member: zipfile.ZipInfo) -> None:
    seen = set()
    for kind, content in _extra_fields(member.extra):
        if kind in seen and kind in {_ZIP64_EXTRA, _UNICODE_PATH_EXTRA}:
            raise _OddError(f"{member.filename} has two fields of one kind")
        seen.add(kind)
        # One byte of version and a CRC come before the name.
        if kind == _UNICODE_PATH_EXTRA and content[5:] != member.filename.encode():
            raise _OddError(f"{member.filename} has another name too")


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and content of each field; a rest shorter than a field's header is padding."""
    while len(extra) >= 4:  # noqa: PLR2004 - two numbers of two bytes
        kind, size = struct.unpack_from("<HH", extra)
        if size + 4 > len(extra):
            raise _OddError("a field in its directory is cut short")
        yield kind, extra[4 : size + 4]
        extra = extra[size + 4 :]


def _check_paths(members: Iterable[zipfile.ZipInfo]) -> None:
    """Check that no path occurs twice, nor as both a file and a folder."""
    files: set[str] = set()
    folders: set[str] = set()
    for member in members:
        name = member.filename
        if name.endswith("/"):
            if name in folders:
                raise _OddError(f"{name} is in it twice")
            folders.add(name)
        elif name in files:
            raise _OddError(f"{name} is in it twice")
        else:
            files.add(name)
    above = {name[: name.rfind("/")] for name in files if "/" in name} | {name[:-1] for name in folders}
    while above:
        if both := files & above:
            raise _OddError(f"{min(both)} is both a file and a folder")
        above = {name[: name.rfind("/")] for name in above if "/" in name}


def _check_places(members: Iterable[zipfile.ZipInfo], directory: _Directory) -> None:
    """Check that members follow each other from the first byte; only the whole file shows gaps."""
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end or (end == 0 and member.header_offset):
            raise _OddError(f"{member.filename} overlaps another file, or something is before the archive")
        end = member.header_offset + _LOCAL.size + len(_raw_name(member)) + member.compress_size
    if end > directory.start:
        raise _OddError("its files overlap its directory")


def _check_sizes(members: Iterable[zipfile.ZipInfo], directory: _Directory) -> int:
    """Check that declared sizes are possible and within bounds; return their sum."""
    total = 0
    for member in members:
        size, packed = member.file_size, member.compress_size
        stored = member.compress_type == zipfile.ZIP_STORED
        if (size != packed) if stored else (size > packed * _DEFLATE_RATIO):
            raise _OddError(f"{member.filename} cannot have the {size:,} bytes that it declares")
        total += size
    if total > _MAX_INSTALLED_BYTES or total > max(_SMALL_BYTES, directory.start * _MAX_RATIO):
        raise _OddError(f"its files have {total:,} bytes, more than any wheel of its size")
    return total


def _dist_info(members: Iterable[zipfile.ZipInfo]) -> str:
    """Return the one dist-info folder, including those that a data folder would install."""
    names = {member.filename for member in members}
    folders = {name.partition("/")[0] for name in names if "/" in name}
    found = sorted(folder for folder in folders if folder.lower().endswith(".dist-info"))
    found += sorted(
        {
            "/".join(parts[:3])
            for parts in (name.split("/", 3) for name in names if ".data/" in name)
            if parts[0].endswith(".data")
            and parts[1] in {"purelib", "platlib"}
            and parts[2:]
            and parts[2].lower().endswith(".dist-info")
        }
    )
    if len(found) != 1:
        raise _OddError(f"it has {len(found)} dist-info folders: {', '.join(found[:3])}".rstrip(": "))
    for name in ("METADATA", "WHEEL", "RECORD"):
        if f"{found[0]}/{name}" not in names:
            raise _OddError(f"it has no {found[0]}/{name}")
    return found[0]


def _is_named(stem: str, name: NormalizedName, version: Version) -> bool:
    """Return whether a folder is NAME-VERSION, in the spellings of older tools too."""
    parts = stem.split("-")
    for count in range(1, len(parts)):
        if canonicalize_name("-".join(parts[:count])) == name:
            text = "-".join(parts[count:])
            for spelled in (text, text.replace("_", "+", 1), text.replace("_", "-")):
                try:
                    if Version(spelled) == version:
                        return True
                except ValueError:
                    continue
    return False


def _raw_name(member: zipfile.ZipInfo) -> bytes:
    name = member.orig_filename
    # A fifth of all work on a wheel of 15,000 files was encoding ASCII as the code page of DOS.
    return name.encode("utf-8" if name.isascii() or member.flag_bits & _UTF8 else "cp437")


def _is_unsafe(path: str) -> bool:
    """Return whether a path may lead elsewhere, on any system; most paths need no pattern."""
    if path.isprintable() and path[:1] not in _ODD_STARTS and ":" not in path[:2]:
        return "\\" in path or "//" in path or ("/." in path and _UNSAFE.search(path) is not None)
    return _UNSAFE.search(path) is not None


def _check_local_headers(
    file: ReadableFile, archive: zipfile.ZipFile, directory: _Directory
) -> dict[str, int]:
    """Check that local headers agree with the directory, without gaps; return where contents begin."""
    members = sorted(archive.filelist, key=lambda member: member.header_offset)
    ends = [*(member.header_offset for member in members[1:]), directory.start]
    starts = {}
    for member, end in zip(members, ends, strict=True):
        name = _raw_name(member)
        file.seek(member.header_offset)
        header = file.read(_LOCAL.size + len(name))
        signature, flags, method, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(header)
        if (
            signature != b"PK\x03\x04"
            or name_size != len(name)
            or header[_LOCAL.size :] != name
            or method != member.compress_type
            or (flags ^ member.flag_bits) & _SHARED_FLAGS
        ):
            raise _OddError(f"the header of {member.filename} is not what the directory says")
        extra = file.read(extra_size)
        starts[member.filename] = start = member.header_offset + len(header) + extra_size
        after = start + member.compress_size
        if (crc, packed, size) != (member.CRC, member.compress_size, member.file_size):
            _check_local_sizes(member, (crc, packed, size), extra)
        if after != end:
            _check_descriptor(file, member, after, end)
        elif flags & _DESCRIPTOR:
            raise _OddError(f"{member.filename} has no data descriptor, though its header says so")
    return starts


def _check_local_sizes(member: zipfile.ZipInfo, local: tuple[int, int, int], extra: bytes) -> None:
    crc, packed, size = local
    for kind, content in _extra_fields(extra):
        if kind == _ZIP64_EXTRA and _FULL32 in {packed, size}:
            numbers = iter(struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8]))
            size = next(numbers, size) if size == _FULL32 else size
            packed = next(numbers, packed) if packed == _FULL32 else packed
    later = member.flag_bits & _DESCRIPTOR
    for found, wanted in ((crc, member.CRC), (packed, member.compress_size), (size, member.file_size)):
        if found != wanted and not (later and found in {0, _FULL32}):
            raise _OddError(f"the header of {member.filename} has other sizes than the directory")


def _check_descriptor(file: ReadableFile, member: zipfile.ZipInfo, start: int, end: int) -> None:
    """Check that only a member's data descriptor follows its content."""
    file.seek(start)
    numbers = member.CRC, member.compress_size, member.file_size
    forms = [struct.pack("<LQQ", *numbers)]
    if max(numbers) <= _FULL32:
        forms.append(struct.pack("<LLL", *numbers))
    forms += [_DESCRIPTOR_SIGNATURE + form for form in forms]
    found = file.read(end - start) if end - start <= max(map(len, forms)) else b""
    if not member.flag_bits & _DESCRIPTOR or found not in forms:
        raise _OddError(f"there are {end - start:,} bytes behind {member.filename} that belong to no file")


def _check_record(archive: zipfile.ZipFile, info: str) -> dict[str, str]:
    """Check that RECORD lists every member, and nothing outside; return its digests by path."""
    files = {name for name in archive.NameToInfo if not name.endswith("/")}
    member = archive.NameToInfo[f"{info}/RECORD"]
    if member.file_size > _MAX_RECORD_BYTES:
        raise _OddError("its RECORD is larger than any wheel's")
    digests: dict[str, str] = {}
    for row in csv.reader(archive.read(member).decode("utf-8").splitlines()):
        if not row:
            continue
        # Old tools on Windows wrote backslashes.
        path, digest = row[0].replace("\\", "/"), row[1] if len(row) == _RECORD_FIELDS else ""
        if len(row) > _RECORD_FIELDS or _is_unsafe(path):
            raise _OddError(f"RECORD lists {path!r}")
        if digests.setdefault(path, digest) != digest:
            raise _OddError(f"RECORD lists {path} twice")
    unlisted = files - digests.keys() - {f"{info}/{name}" for name in _SIGNATURES}
    if unlisted:
        raise _OddError(f"RECORD does not list {min(unlisted)}")
    return digests


def _check_content(file: ReadableFile, member: zipfile.ZipInfo, start: int, recorded: str | None) -> None:
    """Check that a member inflates to its declared size and digest."""
    algorithm, _, digest = (recorded or "").partition("=")
    hashed = hashlib.new(algorithm) if algorithm in _DIGESTS else None
    crc = size = 0
    for block in _inflated(file, member, start):
        size += len(block)
        if size > member.file_size:
            raise _OddError(
                f"{member.filename} inflates to more than the {member.file_size:,} bytes it declares"
            )
        crc = zlib.crc32(block, crc)
        if hashed is not None:
            hashed.update(block)
    if (size, crc) != (member.file_size, member.CRC):
        raise _OddError(f"{member.filename} is not what the directory says")
    if hashed is not None and hashed.digest() != _decoded(digest):
        raise _OddError(f"{member.filename} is not what RECORD says")


def _inflated(file: ReadableFile, member: zipfile.ZipInfo, start: int) -> Iterator[bytes]:
    """Yield the content in blocks, to the end of the compressed stream whatever its declared size."""
    file.seek(start)
    left = member.compress_size
    stream = None if member.compress_type == zipfile.ZIP_STORED else zlib.decompressobj(-zlib.MAX_WBITS)
    while left:
        block = file.read(min(left, _BLOCK))
        if not block:
            raise _OddError("it ends too early")
        left -= len(block)
        if stream is None:
            yield block
            continue
        while block:
            yield stream.decompress(block, _BLOCK)
            block = stream.unconsumed_tail
            if stream.unused_data:
                raise _OddError(f"{member.filename} ends before its content does")
    if stream is not None:
        yield stream.flush()
        if not stream.eof:
            raise _OddError(f"{member.filename} ends too early")


def _decoded(digest: str) -> bytes:
    """Return a digest of RECORD: URL-safe base64 without its padding; empty if it is malformed."""
    try:
        return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4))
    except (binascii.Error, ValueError):
        return b""
