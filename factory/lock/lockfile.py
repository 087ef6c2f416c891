r"""The lock file ``requirements.txt``: its format, reader and writer.

One entry a package, one line an artifact's SHA-256. Below them, as comments that pip, uv and Hermeto skip,
are the artifacts' file names in the same order, with their sizes and times of publication if the index
says them (PEP 700)::

    --index-url https://packages.example.com/simple/

    attrs==26.1.0 \
        --hash=sha256:c647…
        # attrs-26.1.0-py3-none-any.whl, 67519 bytes, 2026-03-19T14:22:25Z

The format is pip's requirements file, of which Hermeto accepts a part (docs/downstream.md).
Reading is tolerant: what a person broke is kept unchanged, for the rules to report.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from factory.dockerfile.references import parse_requirement
from factory.errors import LockFileError
from factory.files import read_regular, storage_error

LOCK_FILE = "requirements.txt"
LOCKED_BY = "# Locked by `factory lock "
"""The start of the first line of the factory's locks; no other tool writes it."""
_CONTENTS = re.compile(r"^# contents: (sha256:[0-9a-f]{64})\n", re.MULTILINE)
_BESIDE = re.compile(r"# not from the index: (.+)")
_INDEX = re.compile(r"^# index: ([a-z0-9-]+)$", re.MULTILINE)
_TOGETHER = re.compile(r"^# together: (sha256:[0-9a-f]{64})$", re.MULTILINE)
_PARENT = re.compile(r"^# parent: (\S+ sha256:[0-9a-f]{64})$", re.MULTILINE)
_INPUTS = re.compile(r"#\s*inputs:\s*(sha256:[0-9a-f]{64})\s*")
_HASH = re.compile(r"--hash[= ](?P<algorithm>[a-z0-9]+):(?P<digest>[0-9a-fA-F]+)")
_FILE_NAME = re.compile(
    r"\s+#\s+(?P<name>\S+\.(?:whl|tar\.gz|zip))"
    r"(?:, (?P<size>\d{1,15}) bytes)?(?:, (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ))?\s*"
)
_TIME = "%Y-%m-%dT%H:%M:%SZ"
# The lines above the digest of the contents are not covered by it: comments of the factory's own, without
# requirements or options.
_HEAD = re.compile(
    r"# Locked by `factory lock[^`\r\n]*`\. Do not edit: change pyproject\.toml and lock again\.\n"
    r"(?:# (?:platforms|inputs|parent|index|together|not from the index): [\x20-\x7e]*\n)*"
)
_HASH_OPTION = re.compile(r"\s--hash[= ].*", re.DOTALL)
# A long option with a space or = before its value, or a short one with a space or nothing (optparse).
_OPTION = re.compile(r"(?P<name>--[A-Za-z0-9-]+|-[A-Za-z])(?:\s*=\s*|\s*)(?P<value>.*?)\s*")
# Matches nearly every entry; the full grammar of requirements takes thirty times as long.
_PLAIN_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"==(?P<version>[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc|\.post|\.dev)[0-9]+)*(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?)"
)
_TRAILING_COMMENT = re.compile(r"(?:^|\s+)#.*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file of a package: its SHA-256 in hex, and its name if the lock has it.

    ``size`` is in bytes and ``uploaded`` in seconds since 1970 (for a wheel of a folder, the time of its
    newest member); None if the lock does not have it. Neither is part of the artifact's identity.
    """

    sha256: str
    file_name: str | None = None
    size: int | None = field(default=None, compare=False)
    uploaded: int | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One package of a lock. ``version`` is None if the entry is not ``name==version``."""

    line: int
    text: str
    name: str
    version: str | None
    marker: str | None
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option line such as ``--index-url URL``; ``value`` is empty for a bare option."""

    line: int
    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class LockFile:
    """A lock file as read, including what is wrong with it.

    ``inputs`` is the digest of its inputs (`factory.lock.lockset`), None if the file has none. ``as_locked``:
    the file is byte for byte what the factory writes for these pins. ``line_endings``: its lines end in line
    feeds alone. ``odd_line``: if its digest matches its contents, the number and the text of the first line
    that the factory would write otherwise. ``beside_index`` names the packages that come from a folder of
    wheels, which the index lacks. ``unreadable`` holds line numbers and texts that are no requirements. If a
    lock has several files, ``index`` is the name of this one's and ``together`` the digest of all their pins.
    ``parent`` is the name of the parent that the lock was made against and the digest of its packages
    (`factory.lock.given`); None for an image without one.
    """

    inputs: str | None
    as_locked: bool
    options: tuple[Option, ...]
    pins: tuple[Pin, ...]
    unreadable: tuple[tuple[int, str], ...] = ()
    beside_index: tuple[str, ...] = ()
    index: str | None = None
    together: str | None = None
    line_endings: bool = True
    odd_line: tuple[int, str] | None = None
    parent: str | None = None

    @property
    def index_urls(self) -> tuple[str, ...]:
        """Return the values of ``--index-url``, in order; a valid lock has at most one."""
        return tuple(option.value for option in self.options if option.name in {"--index-url", "-i"})

    def versions(self) -> dict[str, str]:
        """Normalized name to pinned version."""
        return {pin.name: pin.version for pin in self.pins if pin.version is not None}


def read_lock(folder: Path) -> LockFile | None:
    """Return the lock of a flavor folder; None if it has none.

    Raises:
        LockFileError: the file is not UTF-8.
    """
    path = folder / LOCK_FILE
    try:
        return parse_lock(read_lock_text(path))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise LockFileError(f"{path} is not UTF-8", solution="Lock again: `factory lock`.") from error
    except OSError as error:
        raise storage_error(path, error) from error


def read_lock_text(path: Path) -> str:
    """Return the text of a lock file, line endings included.

    Raises:
        FileNotFoundError: it does not exist.
        UnicodeDecodeError: it is not UTF-8.
        OSError: it is not a regular file, or the file system refused.
    """
    return read_regular(path).decode("utf-8")


def require_lock(folder: Path) -> LockFile:
    """Return the lock of a flavor folder.

    Raises:
        LockFileError: it does not exist, or is not UTF-8.
    """
    lock = read_lock(folder)
    if lock is None:
        raise LockFileError(
            f"{folder.name} is not locked: it has no {LOCK_FILE}",
            solution=f"Run `factory lock {folder.name}` first.",
            not_locked=True,
        )
    return lock


def parse_lock(text: str) -> LockFile:
    """Read a requirements file; lines that cannot be read become ``unreadable``."""
    written, text = text, text.replace("\r\n", "\n")
    inputs = next((match[1] for line in text.splitlines() if (match := _INPUTS.fullmatch(line))), None)
    options: list[Option] = []
    pins: list[Pin] = []
    unreadable: list[tuple[int, str]] = []
    for number, entry, comments in _entries(text):
        if not entry:  # a comment after a continued line
            continue
        if entry.startswith("-"):
            options.append(_option(number, entry))
        elif (pin := _pin(number, entry, comments)) is not None:
            pins.append(pin)
        else:
            unreadable.append((number, entry))
    as_locked = _is_as_locked(written, pins, options)
    return LockFile(
        inputs=inputs,
        as_locked=as_locked,
        options=tuple(options),
        pins=tuple(pins),
        unreadable=tuple(unreadable),
        beside_index=named_beside_index(text),
        index=match[1] if (match := _INDEX.search(text)) else None,
        together=match[1] if (match := _TOGETHER.search(text)) else None,
        line_endings="\r" not in written,
        odd_line=None if as_locked else _odd_line(written, pins, options),
        parent=match[1] if (match := _PARENT.search(text)) else None,
    )


def format_lock(  # noqa: PLR0913 - each is a line of the file
    pins: Iterable[Pin],
    *,
    index_url: str | None,
    inputs: str,
    command: str,
    platforms: Iterable[str],
    beside_index: Collection[str] = (),
    index: str | None = None,
    together: str | None = None,
    parent: str | None = None,
) -> str:
    """Return the text of a lock, sorted, so that equal locks have equal bytes.

    ``index`` and ``together`` are for a lock of several files, ``parent`` for an image with one, as in
    `LockFile`.
    """
    contents = _format_contents(pins, index_url)
    beside = f"# not from the index: {', '.join(sorted(beside_index))}\n" if beside_index else ""
    of_parent = f"# parent: {parent}\n" if parent is not None else ""
    several = f"# index: {index}\n# together: {together}\n" if index is not None else ""
    return (
        f"# Locked by `{command}`. Do not edit: change pyproject.toml and lock again.\n"
        f"# platforms: {', '.join(platforms)}\n"
        f"# inputs: {inputs}\n"
        f"{of_parent}"
        f"{several}"
        f"{beside}"
        f"# contents: {_digest(contents)}\n"
        f"{contents}"
    )


def _format_contents(pins: Iterable[Pin], index_url: str | None) -> str:
    lines = [] if index_url is None else [f"--index-url {index_url}"]
    lines += [""]
    for pin in sorted(pins, key=lambda pin: pin.name):
        artifacts = sorted(pin.artifacts, key=lambda artifact: artifact.sha256)
        hashes = [f"    --hash=sha256:{artifact.sha256}" for artifact in artifacts]
        lines += [" \\\n".join((f"{pin.name}=={pin.version}", *hashes))]
        lines += [_described(artifact) for artifact in artifacts if artifact.file_name]
    return "\n".join(lines) + "\n"


def _described(artifact: Artifact) -> str:
    size = "" if artifact.size is None else f", {artifact.size} bytes"
    time = ""
    if artifact.uploaded is not None:
        time = f", {_time(artifact.uploaded)}"
    return f"    # {artifact.file_name}{size}{time}"


@lru_cache(maxsize=1 << 14)  # many flavors lock the same files
def _time(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime(_TIME)


def named_beside_index(text: str) -> tuple[str, ...]:
    """Return the packages that a lock's text says came from a folder, without a full parse."""
    match = _BESIDE.search(text)
    return tuple(match[1].split(", ")) if match else ()


def _is_as_locked(text: str, pins: Sequence[Pin], options: Sequence[Option]) -> bool:
    """Return whether a text is what the factory writes for its pins and options.

    The digest of the contents shows a person's edit. Writing the contents again shows a form that pip, uv and
    Hermeto might read differently from the factory, such as a hash in a comment.
    """
    contents = _contents(text)
    if contents is None:
        return False
    index_url = options[0].value if options else None
    return len(options) <= 1 and contents == _format_contents(pins, index_url)


def _odd_line(text: str, pins: Sequence[Pin], options: Sequence[Option]) -> tuple[int, str] | None:
    """Return the first line that the factory would write otherwise; None if the digest is wrong."""
    contents = _contents(text)
    if contents is None:
        return None
    above = text.count("\n", 0, len(text) - len(contents))
    expected = _format_contents(pins, options[0].value if options else None)
    lines = zip_longest(contents.split("\n"), expected.split("\n"))
    return next(
        ((above + place, found or "") for place, (found, same) in enumerate(lines, 1) if found != same), None
    )


def _contents(text: str) -> str | None:
    """Return the contents below their digest; None if the digest is missing or wrong."""
    match = _CONTENTS.search(text)
    if match is None or not _HEAD.fullmatch(text[: match.start()]):
        return None
    contents = text[match.end() :]
    return contents if match[1] == _digest(contents) else None


def _digest(contents: str) -> str:
    return f"sha256:{hashlib.sha256(contents.encode()).hexdigest()}"


def _entries(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line number, text with continuations joined, and indented comments of each entry.

    A comment at the end of an entry, such as a hash, is not part of it: pip and uv skip it.
    """
    for number, entry, comments in _with_comments(text):
        yield number, _TRAILING_COMMENT.sub("", entry).strip(), comments


def _with_comments(text: str) -> Iterator[tuple[int, str, list[str]]]:
    entry: tuple[int, str, list[str]] | None = None
    continued = False
    for number, line in enumerate(text.splitlines(), start=1):
        body = line.rstrip()
        if continued and entry is not None:
            joined = f"{entry[1]} {body.rstrip(chr(92)).strip()}"
            entry = (entry[0], joined, entry[2])
        elif body.lstrip().startswith("#"):
            if entry is not None:
                entry[2].append(line)
        elif body:
            if entry is not None:
                yield entry
            entry = (number, body.rstrip(chr(92)).strip(), [])
        continued = body.endswith("\\") and not body.lstrip().startswith("#")
    if entry is not None:
        yield entry


def _option(number: int, entry: str) -> Option:
    match = _OPTION.fullmatch(entry)
    if match is None:
        return Option(line=number, name=entry, value="")
    return Option(line=number, name=match["name"], value=match["value"])


def _pin(number: int, entry: str, comments: list[str]) -> Pin | None:
    text = _HASH_OPTION.sub("", entry).strip()
    read = _read_requirement(text)
    if read is None:
        return None
    name, version, marker = read
    digests = [match["digest"] for match in _HASH.finditer(entry) if match["algorithm"] == "sha256"]
    files = [_file(match) for line in comments if (match := _FILE_NAME.fullmatch(line))]
    if len(files) != len(digests):
        files = [{}] * len(digests)
    return Pin(
        line=number,
        text=text,
        name=name,
        version=version,
        marker=marker,
        artifacts=tuple(
            Artifact(sha256=digest.lower(), **file) for digest, file in zip(digests, files, strict=True)
        ),
    )


def _file(match: re.Match[str]) -> dict[str, Any]:
    """Return the fields of `Artifact` that a comment holds."""
    return {
        "file_name": match["name"],
        "size": None if match["size"] is None else int(match["size"]),
        "uploaded": None if match["time"] is None else _seconds(match["time"]),
    }


@lru_cache(maxsize=1 << 14)  # many flavors lock the same files
def _seconds(time: str) -> int | None:
    try:
        return int(dt.datetime.strptime(time, _TIME).replace(tzinfo=dt.UTC).timestamp())
    except ValueError:
        return None  # an invalid date such as the 31st of April: not written by the factory


def _read_requirement(text: str) -> tuple[str, str | None, str | None] | None:
    """Return name, pinned version and marker of a requirement; None if invalid (PEP 508)."""
    plain = _PLAIN_PIN.fullmatch(text)
    if plain is not None:
        return canonicalize_name(plain["name"]), plain["version"], None
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement:
        return None
    exact = [item for item in requirement.specifier if item.operator in {"==", "==="}]
    pinned = len(exact) == 1 and len(requirement.specifier) == 1 and not exact[0].version.endswith(".*")
    marker = str(requirement.marker) if requirement.marker else None
    return canonicalize_name(requirement.name), exact[0].version if pinned else None, marker
