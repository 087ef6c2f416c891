"""Wheels of lib 1.0 that an attacker would make, each by the name of what is odd about it.

Each is a valid wheel but for the one thing. ``SEEN_IN_DIRECTORY`` shows in the archive's directory, which a
few range requests get; ``SEEN_IN_WHOLE`` only in the whole file.
"""

import base64
import hashlib
import io
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.wheels import make_wheel, metadata

NAME = "lib-1.0-py3-none-any.whl"
_INFO = "lib-1.0.dist-info"
_ZEROS = bytes(1_000_000)
Files = dict[str, bytes]


def wheel_files(*, info: str = _INFO, name: str = "lib", version: str = "1.0") -> Files:
    """The members of a valid wheel, by path; RECORD is added by `pack`."""
    return {
        "lib/__init__.py": b'__version__ = "1.0"\n',
        f"{info}/METADATA": metadata(name, version),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }


def pack(
    files: Files,
    *,
    info: str = _INFO,
    record: Callable[[str], str] = lambda text: text,
    method: int = zipfile.ZIP_STORED,
    modes: Mapping[str, int] | None = None,
    twice: Mapping[str, bytes] | None = None,
) -> bytes:
    """Write members and the RECORD of them; ``twice`` are members of names that are there already."""
    text = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},"
        f"{len(data)}\n"
        for path, data in files.items()
        if not path.endswith("/")
    )
    rows = record(f"{text}{info}/RECORD,,\n")
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for path, data in (*files.items(), (f"{info}/RECORD", rows.encode()), *(twice or {}).items()):
            entry = zipfile.ZipInfo(path)
            entry.filename = path
            entry.external_attr = (modes or {}).get(path, stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, compress_type=method)
    return buffer.getvalue()


def _with(files: Mapping[str, bytes], **options: Any) -> Callable[[], bytes]:  # noqa: ANN401 - those of `pack`
    return lambda: pack(wheel_files() | dict(files), **options)


def _replaced(content: bytes, old: bytes, new: bytes, *, count: int = -1) -> bytes:
    assert old in content
    return content.replace(old, new, count)


def _foreign_folder() -> bytes:
    return pack(wheel_files(info="evil-1.dist-info"), info="evil-1.dist-info")


def _two_folders() -> bytes:
    evil = {f"evil-1.dist-info/{name}": b"" for name in ("METADATA", "WHEEL", "RECORD")}
    return pack(wheel_files() | evil)


def _without(name: str) -> Callable[[], bytes]:
    return lambda: pack({path: data for path, data in wheel_files().items() if not path.endswith(name)})


def _without_record() -> bytes:
    with zipfile.ZipFile(io.BytesIO(pack(wheel_files()))) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _nul_in_a_name() -> bytes:
    # zipfile ends a name at a NUL when it writes one too, so that it is put in afterwards.
    return _replaced(pack(wheel_files() | {"lib/a.py_.txt": b""}), b"lib/a.py_.txt", b"lib/a.py\0.txt")


def _encrypted() -> bytes:
    content = pack(wheel_files())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + place
        content = content[:at] + b"\1\0" + content[at + 2 :]
    return content


def _compressed_by_another_method() -> bytes:
    return pack(wheel_files(), method=zipfile.ZIP_LZMA)


def _declared(size: int, *, content: bytes = _ZEROS) -> bytes:
    """A member that declares a size, and the CRC of so much of it, and inflates to all of the content."""
    packed = pack(wheel_files() | {"lib/data": content}, method=zipfile.ZIP_DEFLATED)
    crc = zlib.crc32(content[:size]) if size < len(content) else zlib.crc32(content)
    packed = _replaced(packed, struct.pack("<L", len(content)), struct.pack("<L", size))
    return _replaced(packed, struct.pack("<L", zlib.crc32(content)), struct.pack("<L", crc))


def _overlapping() -> bytes:
    """A directory that gives the content of one member to another as well."""
    content = pack(wheel_files() | {"lib/one": b"1" * 50, "lib/two": b"2" * 50})
    first = content.index(b"PK\x03\x04", content.index(b"lib/one") - 30)
    entry = content.rindex(b"lib/two") - 46
    return content[: entry + 42] + struct.pack("<L", first) + content[entry + 46 :]


def _other_name_in_header() -> bytes:
    return _replaced(
        pack(wheel_files() | {"lib/good.py": b"x = 1\n"}), b"lib/good.py", b"lib/evil.py", count=1
    )


def _other_size_in_header() -> bytes:
    content = pack(wheel_files() | {"lib/data": b"x" * 77})
    at = content.index(b"lib/data") - 30 + 22
    return content[:at] + struct.pack("<L", 5) + content[at + 4 :]


def _hidden_member() -> bytes:
    """A local header between two members that the directory does not list, for those that read in order."""
    content = pack(wheel_files())
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as archive:
        archive.writestr(zipfile.ZipInfo("lib/evil.py"), b"evil = 1\n")
    inserted = hidden.getvalue()[: hidden.getvalue().index(b"PK\x01\x02")]
    return _shifted(content, content.index(b"PK\x01\x02"), inserted)


def _shifted(content: bytes, at: int, inserted: bytes) -> bytes:
    """Put bytes before the directory, and let the end record say where it begins now."""
    start = struct.unpack_from("<L", content, len(content) - 6)[0]
    end = content[:-6] + struct.pack("<L", start + len(inserted)) + content[-2:]
    return end[:at] + inserted + end[at:]


def _prepended() -> bytes:
    return b"#!/bin/sh\n" + pack(wheel_files())


def _stacked() -> bytes:
    """Two archives in one file: a reader that begins at the front sees the first, at the end the second."""
    return pack(wheel_files() | {"lib/evil.py": b"evil = 1\n"}) + pack(wheel_files())


def _archive_in_the_comment() -> bytes:
    first, second = pack(wheel_files() | {"lib/evil.py": b"evil = 1\n"}), pack(wheel_files())
    return first[:-2] + struct.pack("<H", len(second)) + second


def _comment_on_a_member() -> bytes:
    buffer = io.BytesIO(pack(wheel_files()))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.infolist()[0].comment = b"PK\x01\x02"
        archive.comment = b"x"  # so that the directory is written again
    return buffer.getvalue()


def zip64(*, start: int = 0, members: int = 0, sentinel: bool = True) -> bytes:
    """Give a wheel the ZIP64 end of large archives; ``start`` and ``members`` are added to what it says.

    Without ``sentinel`` the plain end record still has its own numbers, so that there are two.
    """
    content = pack(wheel_files())
    _, _, _, here, count, size, begin, _ = struct.unpack("<4s4H2LH", content[-22:])
    place = len(content) - 22
    count64, begin64 = count + members, begin + start
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count64, count64, size, begin64)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, place, 1)
    plain = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if sentinel else (here, count, size, begin)
    return content[:-22] + end + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *plain, 0)


def _other_unicode_name() -> bytes:
    name = b"lib/evil.py"
    extra = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32(b"lib/good.py")) + name
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in (wheel_files() | {"lib/good.py": b"", f"{_INFO}/RECORD": b""}).items():
            entry = zipfile.ZipInfo(path)
            entry.extra = extra if path == "lib/good.py" else b""
            archive.writestr(entry, data)
    return buffer.getvalue()


def _other_content_than_record() -> bytes:
    return pack(
        wheel_files(),
        record=lambda text: text.replace("lib/__init__.py,sha256=", "lib/__init__.py,sha256=AAAA"),
    )


def _shortened(record: str) -> str:
    """Leave out the last member but RECORD itself."""
    lines = record.splitlines(keepends=True)
    return "".join([*lines[:-2], lines[-1]])


SEEN_IN_DIRECTORY: dict[str, Callable[[], bytes]] = {
    "a dist-info folder of another package": _foreign_folder,
    "a second dist-info folder": _two_folders,
    "a second dist-info folder in other letters": _with({"evil-1.DIST-INFO/METADATA": b""}),
    "a second dist-info folder that a data folder installs": _with(
        {"lib-1.0.data/purelib/evil-1.dist-info/METADATA": b""}
    ),
    "a folder of another version": lambda: pack(
        wheel_files(info="lib-2.0.dist-info"), info="lib-2.0.dist-info"
    ),
    "METADATA of another package": lambda: pack(wheel_files(name="evil")),
    "METADATA of another version": lambda: pack(wheel_files(version="2.0")),
    "no METADATA": _without("METADATA"),
    "no WHEEL": _without("WHEEL"),
    "no RECORD": _without_record,
    "a METADATA of 17 MB": _with({f"{_INFO}/METADATA": metadata("lib", "1.0") + b"#" * (17 << 20)}),
    "a path that leaves the folder": _with({"../../evil.py": b""}),
    "a path that leaves it and comes back": _with({"lib/../../lib/evil.py": b""}),
    "an absolute path": _with({"/etc/evil": b""}),
    "a path with a backslash": _with({"lib\\..\\..\\evil.py": b""}),
    "a drive letter": _with({"C:/evil.py": b""}),
    "a NUL in a path": _nul_in_a_name,
    "a line break in a path": _with({"lib/a\nb": b""}),
    "an empty part in a path": _with({"lib//a.py": b""}),
    "a path twice": _with({}, twice={"lib/__init__.py": b"evil = 1\n"}),
    "RECORD twice": _with({}, twice={f"{_INFO}/RECORD": b""}),
    "a path that is a file and a folder": _with({"lib/a": b"", "lib/a/b": b""}),
    "another name for those that read Unicode paths": _other_unicode_name,
    "a link": _with({"lib/link": b"/etc/passwd"}, modes={"lib/link": stat.S_IFLNK | 0o777}),
    "a device": _with({"lib/null": b""}, modes={"lib/null": stat.S_IFCHR | 0o666}),
    "a FIFO": _with({"lib/fifo": b""}, modes={"lib/fifo": stat.S_IFIFO | 0o666}),
    "an encrypted member": _encrypted,
    "a compression that not all know": _compressed_by_another_method,
    "more declared than deflate can make": lambda: _declared((1 << 32) - 2),
    "members that overlap": _overlapping,
    "something before the archive": _prepended,
    "two archives in one": _stacked,
    "an archive in the comment": _archive_in_the_comment,
    "a comment on a member": _comment_on_a_member,
    "a ZIP64 end that names another directory": lambda: zip64(start=-40),
    "a ZIP64 end that counts other members": lambda: zip64(members=1),
    "two ends, for those that know ZIP64 and those that do not": lambda: zip64(sentinel=False),
}
SEEN_IN_WHOLE: dict[str, Callable[[], bytes]] = {
    "another name in a local header": _other_name_in_header,
    "another size in a local header": _other_size_in_header,
    "a member that the directory does not list": _hidden_member,
    "a member that RECORD does not list": _with({"lib/evil.py": b""}, record=_shortened),
    "a path outside in RECORD": _with({}, record=lambda text: f"{text}../../../etc/passwd,,\n"),
    "a path outside in RECORD, with backslashes": _with({}, record=lambda text: f"{text}..\\..\\passwd,,\n"),
    "two digests of a path in RECORD": _with({}, record=lambda text: f"{text}lib/__init__.py,,\n"),
    "another content than RECORD says": _other_content_than_record,
    "a RECORD that is no text": _with({}, record=lambda text: text + '\0\r"\'"x,,\n'),
    "more inflated than declared": lambda: _declared(100),
    "less inflated than declared": lambda: _declared(1_000_010),
}


def make_odd(folder: Path, content: bytes) -> Path:
    """Write an odd wheel into a folder, under the name of lib 1.0."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    path.write_bytes(content)
    return path


def make_valid(folder: Path) -> Path:
    """Write lib 1.0 as it should be."""
    return make_wheel(folder, "lib", "1.0")
