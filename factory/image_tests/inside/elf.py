"""Run in an image: read every ELF file below Python's prefix, print missing libraries.

The reader knows as much of the format (System V ABI, chapters 4 and 5; gABI symbol versions) as the dynamic
linker looks at to find libraries: sections are not read, since a stripped file has none.
"""

from __future__ import annotations

import glob
import json
import os
import struct
import sys
from typing import Any, BinaryIO

MAGIC = b"\x7fELF"
SHORTEST_HEADER, CLASS_64 = 52, 2
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 14, 15, 29
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
ET_EXEC, ET_DYN = 2, 3
# e_machine of processors that Python runs on; what is for a GPU or the kernel (BPF) is only data here.
MACHINES = {3: "i686", 40: "armv7l", 21: "ppc64le", 22: "s390x", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
# Of these the versions of symbols are compared: they come with the operating system.
SYSTEM_LIBRARIES = (
    "libc.so.",
    "libm.so.",
    "libstdc++.so.",
    "libgcc_s.so.",
    "libpthread.so.",
    "libdl.so.",
    "ld-linux",
)
DEFAULT_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


class NotElfError(Exception):
    """The file is cut short, or no linker accepts it."""


class Elf:
    """What the dynamic linker reads of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        head = file.read(64)
        if len(head) < SHORTEST_HEADER or head[4] not in (1, 2) or head[5] not in (1, 2):
            raise NotElfError("its header is cut short")
        self.wide = head[4] == CLASS_64
        self.order = "<" if head[5] == 1 else ">"
        self.kind, self.machine = struct.unpack_from(self.order + "HH", head, 16)
        where, size, count = self._program_headers(head)
        self.loads: list[tuple[int, int, int]] = []
        self.interpreter = ""
        self.dynamic: list[tuple[int, int]] = []
        for number in range(count):
            kind, offset, address, length = self._segment(where + number * size)
            if kind == PT_LOAD:
                self.loads.append((address, offset, length))
            elif kind == PT_INTERP:
                self.interpreter = self._bytes(offset, length).rstrip(b"\0").decode()
            elif kind == PT_DYNAMIC:
                self.dynamic = self._pairs(self._bytes(offset, length))
        self.strings = self._offset(self._value(DT_STRTAB)) if self._value(DT_STRTAB) else 0

    def texts(self, tag: int) -> list[str]:
        """Return the strings of a tag of the dynamic section."""
        return [self._text(value) for found, value in self.dynamic if found == tag]

    def versions_needed(self) -> list[tuple[str, str]]:
        """Return the library and version of each set of symbols that it needs (Elf_Verneed)."""
        found: list[tuple[str, str]] = []
        if not self._value(DT_VERNEED):
            return found
        place = self._offset(self._value(DT_VERNEED))
        for _ in range(self._value(DT_VERNEEDNUM)):
            _, count, file, auxiliary, following = self._numbers("HHIII", place)
            inner = place + auxiliary
            for _ in range(count):
                _, flags, _, name, further = self._numbers("IHHII", inner)
                if not flags & 2:  # weak: may be missing
                    found.append((self._text(file), self._text(name)))
                inner += further
            place += following
        return found

    def versions_defined(self) -> set[str]:
        """Return the versions of symbols that it defines (Elf_Verdef)."""
        found: set[str] = set()
        if not self._value(DT_VERDEF):
            return found
        place = self._offset(self._value(DT_VERDEF))
        for _ in range(self._value(DT_VERDEFNUM)):
            _, _, _, _, _, auxiliary, following = self._numbers("HHHHIII", place)
            found.add(self._text(self._numbers("II", place + auxiliary)[0]))
            place += following
        return found

    def _program_headers(self, head: bytes) -> tuple[int, int, int]:
        if self.wide:
            where = struct.unpack_from(self.order + "Q", head, 32)[0]
            size, count = struct.unpack_from(self.order + "HH", head, 54)
        else:
            where = struct.unpack_from(self.order + "I", head, 28)[0]
            size, count = struct.unpack_from(self.order + "HH", head, 42)
        return where, size, count

    def _segment(self, place: int) -> tuple[int, int, int, int]:
        if self.wide:
            kind, _, offset, address, _, length = self._numbers("IIQQQQ", place)
        else:
            kind, offset, address, _, length = self._numbers("IIIII", place)
        return kind, offset, address, length

    def _pairs(self, data: bytes) -> list[tuple[int, int]]:
        form = self.order + ("QQ" if self.wide else "II")
        whole = len(data) - len(data) % struct.calcsize(form)
        return [pair for pair in struct.iter_unpack(form, data[:whole]) if pair[0]]

    def _value(self, tag: int) -> int:
        return next((value for found, value in self.dynamic if found == tag), 0)

    def _offset(self, address: int) -> int:
        for start, offset, length in self.loads:
            if start <= address < start + length:
                return address - start + offset
        raise NotElfError("it points outside of itself")

    def _numbers(self, form: str, place: int) -> tuple[int, ...]:
        form = self.order + form
        return struct.unpack(form, self._bytes(place, struct.calcsize(form)))

    def _bytes(self, place: int, length: int) -> bytes:
        self.file.seek(place)
        data = self.file.read(length)
        if len(data) < length:
            raise NotElfError("it is cut short")
        return data

    def _text(self, place: int) -> str:
        self.file.seek(self.strings + place)
        data = self.file.read(4096)
        return data.partition(b"\0")[0].decode("utf-8", "replace")


def describe(path: str) -> dict[str, Any] | None:
    """Describe a file; None if it is not an ELF for a processor, ``broken`` if damaged."""
    try:
        with open(path, "rb") as file:
            if file.read(4) != MAGIC:
                return None
            file.seek(0)
            elf = Elf(file)
            if elf.machine not in MACHINES or elf.kind not in (ET_EXEC, ET_DYN):
                return None
            return {
                "machine": MACHINES[elf.machine],
                "needed": elf.texts(DT_NEEDED),
                "soname": "".join(elf.texts(DT_SONAME)[:1]),
                "rpath": elf.texts(DT_RPATH),
                "runpath": elf.texts(DT_RUNPATH),
                "interpreter": elf.interpreter,
                "versions": elf.versions_needed(),
            }
    except NotElfError as error:
        return {"broken": str(error)}
    except OSError as error:
        return {"broken": str(error.strerror)}


def versions_of(path: str, known: dict[str, set[str]]) -> set[str]:
    if path not in known:
        try:
            with open(path, "rb") as file:
                known[path] = Elf(file).versions_defined()
        except (OSError, NotElfError):
            known[path] = set()
    return known[path]


def configured_folders(path: str = "/etc/ld.so.conf") -> list[str]:
    """Return the folders of the dynamic linker's settings (ld.so.conf), with included ones."""
    found: list[str] = []
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.partition("#")[0].split() for line in file]
    except OSError:
        return found
    for words in lines:
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                for further in sorted(glob.glob(os.path.join(os.path.dirname(path), pattern))):
                    found += configured_folders(further)
        else:
            found += words
    return found


def folders_of(path: str, elf: dict[str, Any]) -> list[str]:
    """Return the linker's search folders for a file, in order (ld.so(8))."""
    own = elf["runpath"] or elf["rpath"]
    here = os.path.dirname(os.path.realpath(path))
    asked = [part for text in own for part in text.split(":")]
    expanded = [part.replace("${ORIGIN}", here).replace("$ORIGIN", here) for part in asked if part]
    variable = [part for part in os.environ.get("LD_LIBRARY_PATH", "").split(":") if part]
    multiarch = [f"/lib/{elf['machine']}-linux-gnu", f"/usr/lib/{elf['machine']}-linux-gnu"]
    system = [*configured_folders(), *DEFAULT_FOLDERS, *multiarch]
    return [*expanded, *variable, *system] if elf["runpath"] or not own else [*variable, *expanded, *system]


def look(name: str, folders: list[str]) -> str | None:
    if "/" in name:
        return name if os.path.exists(name) else None
    return next((path for folder in folders if os.path.exists(path := os.path.join(folder, name))), None)


def all_elfs(root: str) -> dict[str, dict[str, Any]]:
    """Return every ELF file below a folder by its path; a file with two names counts once."""
    found: dict[str, dict[str, Any]] = {}
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.isfile(path):
                elf = describe(path)
                if elf is not None:
                    found[path] = elf
    return found


def version_key(version: str) -> tuple[str, tuple[int, ...]]:
    name, _, number = version.rpartition("_")
    return name, tuple(int(part) for part in number.split(".") if part.isdigit())


def problems_of(
    path: str, elf: dict[str, Any], inside: dict[str, str], known: dict[str, set[str]]
) -> list[dict[str, str]]:
    """Return a file's missing dependencies, each with its kind.

    broken, machine, interpreter, missing, preloaded or version.
    """
    if "broken" in elf:
        return [{"kind": "broken", "what": elf["broken"]}]
    if elf["machine"] != os.uname().machine:
        return [{"kind": "machine", "what": elf["machine"]}]
    found = []
    if elf["interpreter"] and not os.path.exists(elf["interpreter"]):
        found.append({"kind": "interpreter", "what": elf["interpreter"]})
    folders = folders_of(path, elf)
    for name in elf["needed"]:
        library = look(name, folders)
        if library is None and name in inside and not elf["interpreter"]:
            # The package, or the file beside it, loads it first: its import shows whether that works.
            found.append({"kind": "preloaded", "what": name, "where": inside[name]})
        elif library is None:
            found.append({"kind": "missing", "what": name})
        elif name.startswith(SYSTEM_LIBRARIES):
            has = versions_of(library, known)
            lacking = [v for file, v in elf["versions"] if file == name and has and v not in has]
            if lacking:
                newest = max(has, key=version_key)
                found.append(
                    {
                        "kind": "version",
                        "what": max(lacking, key=version_key),
                        "where": library,
                        "has": newest,
                    }
                )
    return found


def main(root: str) -> None:
    elfs = all_elfs(root)
    inside: dict[str, str] = {}
    for path, elf in elfs.items():
        for name in (os.path.basename(path), elf.get("soname")):
            if name:
                inside.setdefault(name, path)
    known: dict[str, set[str]] = {}
    problems = [
        {"path": path, **problem}
        for path, elf in elfs.items()
        for problem in problems_of(path, elf, inside, known)
    ]
    print(json.dumps({"root": root, "files": len(elfs), "machine": os.uname().machine, "problems": problems}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else sys.prefix)
