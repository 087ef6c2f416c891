"""Small wheels and sdists for tests, valid and with the same bytes on every machine."""

import base64
import gzip
import hashlib
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from packaging.utils import parse_sdist_filename, parse_wheel_filename

_EPOCH = (1980, 1, 1, 0, 0, 0)


def make_wheel(  # noqa: PLR0913 - a wheel has as many sides
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Mapping[str, Sequence[str]] | None = None,
    tag: str = "py3-none-any",
    modules: Mapping[str, str] | None = None,
    requires_python: str | None = None,
    salt: str = "",
    payload: int = 0,
    headers: Sequence[str] = (),
) -> Path:
    """Write a wheel into folder and return its path.

    Args:
        folder: where to write; made if it is not there.
        name: the project's name; normalized for the file name.
        version: a PEP 440 version.
        requires: PEP 508 requirements.
        extras: extra name to the requirements that it adds.
        tag: python-abi-platform, as in the file name.
        modules: path in site-packages to source; one module named after the project if None.
        requires_python: the Requires-Python field.
        salt: changes the bytes and nothing else, as a re-push does.
        payload: so many bytes that do not compress, for files that take a while to fetch.
        headers: further lines of METADATA, such as ``License: MIT``.
    """
    stem = name.replace("-", "_").replace(".", "_").lower()
    if modules is None:
        modules = {f"{stem}/__init__.py": f'__version__ = "{version}"\n'}
    files = {path: source.encode() for path, source in modules.items()}
    if payload:
        files[f"{stem}/payload.bin"] = random.Random(f"{name} {version} {tag} {salt}").randbytes(payload)
    info = f"{stem}-{version}.dist-info"
    files[f"{info}/METADATA"] = (
        metadata(name, version, requires=requires, extras=extras, requires_python=requires_python, salt=salt)
        + "".join(f"{line}\n" for line in headers).encode()
    )
    pure = "true" if tag.endswith("-any") else "false"
    tag_lines = "".join(f"Tag: {single}\n" for single in _single_tags(tag))
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {pure}\n{tag_lines}".encode()
    )
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{version}-{tag}.whl"
    path.write_bytes(_zip(files))
    return path


def make_sdist(
    folder: Path, name: str, version: str, *, requires: Sequence[str] = (), salt: str = ""
) -> Path:
    """Write an sdist with static metadata (PEP 643) into folder and return its path. It cannot be built."""
    stem = name.replace("-", "_").replace(".", "_").lower()
    root = f"{stem}-{version}"
    content = {
        f"{root}/PKG-INFO": metadata(name, version, requires=requires, salt=salt),
        f"{root}/pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n'.encode(),
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member_name, data in sorted(content.items()):
            member = tarfile.TarInfo(member_name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{root}.tar.gz"
    path.write_bytes(gzip.compress(plain.getvalue(), mtime=0))
    return path


def metadata(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Mapping[str, Sequence[str]] | None = None,
    requires_python: str | None = None,
    salt: str = "",
) -> bytes:
    """Core metadata 2.2 as a METADATA or PKG-INFO file holds it."""
    lines = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    if salt:
        lines.append(f"Summary: {salt}")
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    for extra, requirements in (extras or {}).items():
        lines.append(f"Provides-Extra: {extra}")
        for requirement in requirements:
            plain, _, marker = (part.strip() for part in requirement.partition(";"))
            condition = f'({marker}) and extra == "{extra}"' if marker else f'extra == "{extra}"'
            lines.append(f"Requires-Dist: {plain} ; {condition}")
    return ("\n".join(lines) + "\n").encode()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _single_tags(tag: str) -> list[str]:
    pythons, abis, platforms = (part.split(".") for part in tag.split("-"))
    return [f"{python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms]


def _record(files: Mapping[str, bytes], record: str) -> bytes:
    rows = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(data)}\n")
    return "".join([*rows, f"{record},,\n"]).encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in files.items():
            # Stored, not deflated: the bytes must not depend on the machine's zlib.
            entry = zipfile.ZipInfo(path, date_time=_EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


@cache
def project_of(filename: str) -> str | None:
    """The normalized name of a file's project; None where it is no wheel or sdist."""
    if filename.endswith(".whl"):
        return parse_wheel_filename(filename)[0]
    if filename.endswith(".tar.gz"):
        return parse_sdist_filename(filename)[0]
    return None


def metadata_of(path: Path) -> bytes:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name)
