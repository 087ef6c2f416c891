"""Read a hand-made folder's locks in any form: pins, indexes, and the header's command."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NotRequired, TypedDict

from packaging.utils import canonicalize_name

from factory.adopt.commands import is_install
from factory.adopt.dockerfile import OldDockerfile, OldInstruction
from factory.adopt.folder import Evidence, Folder
from factory.adopt.requirements import included
from factory.documents import parse_toml
from factory.errors import DocumentError
from factory.flavor.spec import MAIN_INDEX, FurtherIndex
from factory.lock.lockfile import LOCK_FILE, Artifact, Pin, parse_lock
from factory.masking import shown

PYLOCK = "pylock.toml"
_COMPILED = re.compile(r"\b(?:uv\s+pip\s+compile|pip-compile|uv\s+export)\b.*")
_VIA_A_FILE = re.compile(r"(?:-r\s+\S+|\([^()]*\.(?:toml|in|txt|py|cfg)\))")
_INDEX_OPTIONS = ("--index-url", "-i", "--default-index")


@dataclass(frozen=True, kw_only=True)
class OldLock:
    """The content of a lock.

    ``asked`` are the packages (normalized names) that were required directly, None if the file does not say;
    ``platforms`` are uv's names of platforms in the header, ``extras`` those that it was compiled with.
    ``includes`` are the numbers of lines that name another file, with that name; ``included`` the files whose
    pins are here as well, and ``places`` where these pins are. ``extra_urls`` are additional indexes.
    """

    path: str
    pins: tuple[Pin, ...]
    index_urls: tuple[Evidence, ...] = ()
    python: Evidence | None = None
    platforms: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    asked: frozenset[str] | None = None
    problems: tuple[str, ...] = ()
    includes: tuple[tuple[int, str], ...] = ()
    included: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    extra_urls: tuple[Evidence, ...] = ()

    def pin(self, name: str) -> Pin | None:
        """Return the pin of a package that has a version."""
        return next((pin for pin in self.pins if pin.name == name and pin.version is not None), None)

    def where(self, pin: Pin) -> str:
        """Return the file and line of a pin."""
        here = f"{self.path}, line {pin.line}" if pin.line else self.path
        return self.places.get(pin.name, here)


def read_old_lock(folder: Folder, *, installed: Sequence[str]) -> OldLock | None:
    """Return the lock of a folder: an installed requirements.txt or pylock.toml first.

    If its Dockerfile installs neither, the first lock that it does install.

    Raises:
        StorageError: it cannot be read.
    """
    usual = (LOCK_FILE, PYLOCK)
    first = [path for path in usual if path in installed] or list(installed)
    for path in dict.fromkeys((*first, *usual)):
        if path in folder.paths:
            text = folder.text(path)
            return read_pylock(path, text) if path.endswith(".toml") else read_requirements(path, text)
    return None


def read_requirements(path: str, text: str) -> OldLock:
    """Read a requirements file with any header: uv's, pip-compile's, or none."""
    lock = parse_lock(text)
    header = tuple(_header(text))
    urls = [
        Evidence(value=option.value, where=f"{path}, line {option.line}")
        for option in lock.options
        if option.name in _INDEX_OPTIONS
    ]
    extra = [
        Evidence(value=option.value, where=f"{path}, line {option.line}")
        for option in lock.options
        if option.name == "--extra-index-url"
    ]
    urls += [
        Evidence(value=value, where=f"{path}, line {line}, the command that made it")
        for line, name, value in header
        if name in _INDEX_OPTIONS
    ]
    python = next(
        (
            Evidence(value=value, where=f"{path}, line {line}, the command that made it")
            for line, name, value in header
            if name in {"--python-version", "--python", "-p"}
        ),
        None,
    )
    problems = [
        f"{path}, line {line}: {text.partition('#')[0].strip()!r} is no pin" for line, text in lock.unreadable
    ]
    problems += [
        f"{path}, line {pin.line}: {pin.text} has no one version" for pin in lock.pins if pin.version is None
    ]
    problems += [
        f"{path}, line {option.line}: {option.name} {option.value} is left out of the lock"
        for option in lock.options
        if option.name not in {*_INDEX_OPTIONS, "--require-hashes"}
    ]
    return OldLock(
        path=path,
        pins=lock.pins,
        index_urls=tuple(urls),
        extra_urls=tuple(extra),
        python=python,
        platforms=tuple(value for _, name, value in header if name == "--python-platform"),
        extras=tuple(value for _, name, value in header if name == "--extra"),
        asked=_asked(text, lock.pins),
        problems=tuple(problems),
        includes=tuple(
            (option.line, option.value) for option in lock.options if option.name in {"-r", "--requirement"}
        ),
    )


class _PylockWheel(TypedDict):
    hashes: NotRequired[dict[str, str]]


class _Required(TypedDict):
    name: str


class _PylockPackage(TypedDict):
    name: str
    version: NotRequired[str]
    index: NotRequired[str]
    wheels: NotRequired[list[_PylockWheel]]
    dependencies: NotRequired[list[_Required]]


_Pylock = TypedDict(
    "_Pylock",
    {"packages": NotRequired[list[_PylockPackage]], "requires-python": NotRequired[str]},
)


def read_pylock(path: str, text: str) -> OldLock:
    """Read a ``pylock.toml`` (PEP 751); entries without a version become problems."""
    try:
        document = parse_toml(text, _Pylock, source=path)
    except DocumentError as error:
        return OldLock(path=path, pins=(), problems=(error.reason,))
    packages = document.get("packages", [])
    pins = tuple(_pylock_pin(entry, entry["version"]) for entry in packages if "version" in entry)
    lacking = [entry["name"] for entry in packages if "version" not in entry]
    indexes = dict.fromkeys(entry["index"] for entry in packages if "index" in entry)
    requires = document.get("requires-python")
    known = any("dependencies" in entry for entry in packages)
    brought = {
        canonicalize_name(item["name"]) for entry in packages for item in entry.get("dependencies", [])
    }
    return OldLock(
        path=path,
        pins=pins,
        index_urls=tuple(Evidence(value=url, where=path) for url in indexes),
        python=None if requires is None else Evidence(value=requires, where=f"{path}, requires-python"),
        asked=frozenset(pin.name for pin in pins if pin.name not in brought) if known else None,
        problems=(
            *(f"{path}: {name} has no version, as what comes from a URL" for name in lacking),
            *_other_indexes(path, packages, tuple(indexes)),
        ),
    )


def _other_indexes(path: str, packages: Iterable[_PylockPackage], indexes: Sequence[str]) -> Iterator[str]:
    """Report packages that come from another index than the first, which is the flavor's."""
    for url in indexes[1:]:
        names = ", ".join(entry["name"] for entry in packages if entry.get("index") == url)
        yield (
            f"{path}: {names} came from {url}, and would be looked for on {indexes[0]} now: where that has "
            "them not, name the index with these packages in [[tool.factory.indexes]]"
        )


def _pylock_pin(entry: _PylockPackage, version: str) -> Pin:
    digests = [item.get("hashes", {}).get("sha256", "") for item in entry.get("wheels", [])]
    name = canonicalize_name(entry["name"])
    return Pin(
        line=0,
        text=f"{name}=={version}",
        name=name,
        version=version,
        marker=None,
        artifacts=tuple(Artifact(sha256=digest) for digest in digests if digest),
    )


def _header(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, name and value of each option of the command in a header."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("#"):
            if line.strip() and not line.startswith("-"):
                return
            continue
        match = _COMPILED.search(line)
        if match is not None:
            yield from ((number, name, value) for name, value in _options(_words(match[0])))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _options(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    waiting = list(words)
    for position, word in enumerate(waiting):
        name, has_value, value = word.partition("=")
        if name.startswith("-"):
            following = waiting[position + 1] if position + 1 < len(waiting) else ""
            yield name, value if has_value else ("" if following.startswith("-") else following)


def _asked(text: str, pins: Iterable[Pin]) -> frozenset[str] | None:
    """Return the packages that are "via" a file, in the notes of uv and pip-compile."""
    lines = text.splitlines()
    if not any(re.match(r"\s*#\s*via\b", line) for line in lines):
        return None
    names = {pin.line: pin.name for pin in pins}
    asked: set[str] = set()
    name: str | None = None
    for number, line in enumerate(lines, start=1):
        name = names.get(number, name)
        if name is not None and line.lstrip().startswith("#") and _VIA_A_FILE.search(line):
            asked.add(name)
    return frozenset(asked)


def starting_point(lock: OldLock, *, index_url: str | None, name: str) -> bytes:
    """Return an old lock's versions as a requirements file for ``factory lock`` to keep.

    It does not record its inputs, so it is stale until the flavor is locked. The hashes are those of the old
    lock, so that an install in the meantime gets the folder's packages.
    """
    lines = [
        f"# Not a lock yet: the versions of {lock.path} when the folder was adopted. `factory lock {name}`",
        "# keeps those that are still valid, and takes every hash from the index.",
    ]
    lines += [] if index_url is None else [f"--index-url {index_url}"]
    seen: dict[str, Pin] = {}
    for pin in lock.pins:
        if pin.version is not None:
            seen.setdefault(pin.name, pin)
    for pin in sorted(seen.values(), key=lambda pin: pin.name):
        digests = dict.fromkeys(artifact.sha256 for artifact in pin.artifacts)
        lines.append(
            " \\\n".join(
                (f"{pin.name}=={pin.version}", *(f"    --hash=sha256:{digest}" for digest in digests))
            )
        )
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True, kw_only=True)
class FurtherLock:
    """An additional lock, and the index that serves only its packages."""

    lock: OldLock
    index: FurtherIndex


def local_builds(main: OldLock | None) -> FurtherLock | None:
    """Return the index of a lock's local versions, if it names one beside the public one.

    The public index holds no local versions, such as torch 2.13.0+cpu: they come from the only other index
    (``--extra-index-url``) that the lock names.
    """
    if main is None or main.index_urls or len(main.extra_urls) != 1:
        return None
    url = _bare(main.extra_urls[0].value)
    pins = tuple(pin for pin in main.pins if pin.version is not None and "+" in pin.version)
    if url is None or not pins:
        return None
    names = [pin.name for pin in pins]
    index = FurtherIndex(name="torch" if "torch" in names else "local", url=url, packages=tuple(names))
    where = main.extra_urls[0].where
    places = {pin.name: main.where(pin) for pin in pins}
    lock = OldLock(path=where, pins=pins, index_urls=main.extra_urls, asked=main.asked, places=places)
    return FurtherLock(lock=lock, index=index)


def _further(folder: Folder, main: OldLock, named: Iterable[str]) -> Iterator[FurtherLock]:
    """Yield the additional locks that can be indexes of a spec.

    Skips those that name no index, or the main one, or have a package of another lock.
    """
    urls = {_bare(each.value) for each in main.index_urls}
    packages = {pin.name for pin in main.pins}
    names = {MAIN_INDEX}
    for path in dict.fromkeys(named):
        if path == main.path or path not in folder.paths or not path.endswith(".txt"):
            continue
        lock = read_requirements(path, folder.text(path))
        url = _bare(lock.index_urls[0].value) if lock.index_urls else None
        own = dict.fromkeys(pin.name for pin in lock.pins)
        name = _index_name(path)
        if url is None or url in urls or not own or packages & set(own) or name in names:
            continue
        urls.add(url)
        packages |= set(own)
        names.add(name)
        yield FurtherLock(lock=lock, index=FurtherIndex(name=name, url=url, packages=tuple(own)))


def _bare(url: str) -> str | None:
    try:
        return shown(url)
    except ValueError:
        return None


def _index_name(path: str) -> str:
    """Return the name of an index, from the distinguishing part of the file's name."""
    words = re.findall(r"[a-z0-9]+", path.lower().removesuffix(".txt"))
    return "-".join(word for word in words if word != "requirements") or "further"


@dataclass(frozen=True, kw_only=True)
class Locks:
    """The main lock, those of further indexes, and those installed beside it.

    What is in ``beside`` is part of ``main`` as well; ``paths`` are all files whose pins are taken over.
    """

    main: OldLock | None
    further: tuple[FurtherLock, ...]
    beside: tuple[OldLock, ...]
    paths: frozenset[str]


def read_locks(dockerfile: OldDockerfile | None, folder: Folder) -> Locks:
    """Read the locks of a folder, those that its Dockerfile installs before others.

    Raises:
        StorageError: one cannot be read.
    """
    installed = tuple(dict.fromkeys(_installed_paths(dockerfile, folder))) if dockerfile else ()
    found = read_old_lock(folder, installed=installed)
    if found is None:
        return Locks(main=None, further=(), beside=(), paths=frozenset())
    main = _with_included(found, folder)
    further = tuple(_further(folder, main, installed))
    taken = {main.path, *main.included, *(each.lock.path for each in further)}
    beside: list[OldLock] = []
    for path in installed:
        if path not in taken and not path.endswith(".toml"):
            other = _with_included(read_requirements(path, folder.text(path)), folder)
            if _agree(main, other):
                main = _merged(main, other)
                beside.append(other)
                taken |= {path, *other.included}
    return Locks(main=main, further=further, beside=tuple(beside), paths=frozenset(taken))


def _installed_paths(dockerfile: OldDockerfile, folder: Folder) -> Iterator[str]:
    for step in dockerfile.steps:
        for word in installed_files(step) if is_install(step) else ():
            if (path := resolved_file(word, step, folder)) is not None:
                yield path


def installed_files(step: OldInstruction) -> Iterator[str]:
    """Yield the requirements files that an install step names."""
    for call in step.pip_calls:
        if call.verb != "uninstall":
            yield from call.operands[1]


def resolved_file(word: str, step: OldInstruction, folder: Folder) -> str | None:
    """Return the file that a word names by path, mount, copy, or unique name."""
    mounted = {
        mount.get("target") or mount.get("dst"): mount.get("source") or mount.get("src") or word
        for mount in step.instruction.mounts
    }
    plain = mounted.get(word, word).removeprefix("./")
    if plain in folder.paths:
        return plain
    name = plain.rpartition("/")[2]
    if name in folder.renamed:
        return folder.renamed[name]
    same = [path for path in folder.paths if path.rpartition("/")[2] == name]
    return same[0] if len(same) == 1 else None


def _with_included(lock: OldLock, folder: Folder, seen: Sequence[str] = ()) -> OldLock:
    """Return a lock with the pins of the files that it includes (``-r``)."""
    for line, named in lock.includes:
        path = included(folder, lock.path, named)
        if path is None or path in (*seen, lock.path):
            continue
        other = _with_included(read_requirements(path, folder.text(path)), folder, (*seen, lock.path))
        followed = f"{lock.path}, line {line}:"
        problems = tuple(each for each in lock.problems if not each.startswith(followed))
        lock = _merged(replace(lock, problems=problems), other)
    return lock


def _agree(main: OldLock, other: OldLock) -> bool:
    """Return whether two locks can be merged: same index, no package at two versions."""
    urls = {each.value.rstrip("/") for each in main.index_urls}
    versions = {pin.name: pin.version for pin in main.pins}
    strange = {each.value.rstrip("/") for each in other.index_urls} - urls
    return not strange and all(versions.get(pin.name, pin.version) == pin.version for pin in other.pins)


def _merged(main: OldLock, other: OldLock) -> OldLock:
    names = {(pin.name, pin.version) for pin in main.pins}
    known = main.asked is not None or other.asked is not None
    return replace(
        main,
        pins=(*main.pins, *(pin for pin in other.pins if (pin.name, pin.version) not in names)),
        asked=frozenset((*_asked_names(main), *_asked_names(other))) if known else None,
        places={pin.name: lock.where(pin) for lock in (other, main) for pin in lock.pins},
        problems=(*main.problems, *other.problems),
        included=(*main.included, other.path, *other.included),
        index_urls=main.index_urls or other.index_urls,
    )


def _asked_names(lock: OldLock) -> Iterable[str]:
    return lock.asked if lock.asked is not None else (pin.name for pin in lock.pins)
