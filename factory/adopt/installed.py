"""The requirements files that a Dockerfile installs, and their pins in one lock."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from factory.adopt.commands import is_install
from factory.adopt.dockerfile import OldDockerfile, OldInstruction
from factory.adopt.folder import Folder
from factory.adopt.locks import FurtherLock, OldLock, read_further_locks, read_old_lock, read_requirements
from factory.adopt.placement import Placement
from factory.adopt.requirements import Asked, included, read_asked
from factory.check.installs import operands, pip_call

_NAMED_LIMITS = "Name the limits in constraint-dependencies of [tool.uv]."


@dataclass(frozen=True, kw_only=True)
class Locks:
    """The main lock with what it includes, those of further indexes, and what is installed beside it.

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
    installed = tuple(dict.fromkeys(_installed(dockerfile, folder))) if dockerfile else ()
    found = read_old_lock(folder, installed=installed)
    if found is None:
        return Locks(main=None, further=(), beside=(), paths=frozenset())
    main = _with_included(found, folder)
    further = read_further_locks(folder, main, installed)
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


def copied_names(dockerfile: OldDockerfile | None, folder: Folder) -> dict[str, str]:
    """Return the files of a folder that a COPY gives another name, by that name."""
    steps = dockerfile.steps if dockerfile else ()
    read = [step.instruction for step in steps if step.name == "COPY"]
    found = {
        each.destination.rpartition("/")[2]: each.sources[0].removeprefix("./")
        for each in read
        if not each.origins and len(each.sources) == 1
    }
    return {name: source for name, source in found.items() if name and source in folder.paths}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The constraints (``-c``) that a Dockerfile installs with, each with its reason, and their files.

    ``left`` are lines of these that limit nothing.
    """

    asked: tuple[Asked, ...] = ()
    left: tuple[Placement, ...] = ()
    files: frozenset[str] = frozenset()


NO_LIMITS = Limits()
"""What a Dockerfile without constraints installs with."""


def read_limits(dockerfile: OldDockerfile | None, folder: Folder) -> Limits:
    """Read the constraint files that a Dockerfile installs with: the lock has to keep to them as well.

    Raises:
        StorageError: one cannot be read.
    """
    steps = dockerfile.steps if dockerfile else ()
    named = ((step, word) for step in steps for word in _constraints(step))
    paths = dict.fromkeys(path for step, word in named if (path := _resolved(word, step, folder)) is not None)
    read = [read_asked(folder, path) for path in paths]
    return Limits(
        asked=tuple(item for each in read for item in each.asked),
        left=tuple(item for each in read for item in each.left),
        files=frozenset(path for each in read for path in each.files),
    )


def _constraints(step: OldInstruction) -> Iterator[str]:
    """The constraint files that a RUN instruction names."""
    for command in step.instruction.commands:
        call = pip_call(command)
        words = call.arguments if call is not None else ()
        for word, following in pairwise((*words, "")):
            option, has_value, value = word.partition("=")
            if option in {"-c", "--constraint", "--constraints"}:
                yield value if has_value else following


def not_taken_over(step: OldInstruction, folder: Folder) -> tuple[str, str] | None:
    """Why an install step asks for more than what is taken over, and what to do; None where it does not.

    Raises:
        StorageError: a file that it installs cannot be read.
    """
    if folder.locks is None:
        return None
    problems = [
        f"{word} is not in the folder, and what it limits is not known"
        for word in _constraints(step)
        if _resolved(word, step, folder) is None
    ]
    if not is_install(step):
        return ("; ".join(problems), _NAMED_LIMITS) if problems else None
    for word in _files(step):
        path = _resolved(word, step, folder)
        if path is None:
            problems.append(f"{word} is not in the folder, and what it asks for is not known")
        elif path not in folder.locks:
            names = [pin.text for pin in read_requirements(path, folder.text(path)).pins]
            problems.append(f"{path} is not taken over: {', '.join(names) or 'it pins nothing'}")
    if not problems:
        return None
    solution = "Name what it asks for in [project] dependencies; the template installs the lock."
    return "; ".join(problems), solution


def _installed(dockerfile: OldDockerfile, folder: Folder) -> Iterator[str]:
    for step in dockerfile.steps:
        for word in _files(step) if is_install(step) else ():
            if (path := _resolved(word, step, folder)) is not None:
                yield path


def _files(step: OldInstruction) -> Iterator[str]:
    """The requirements files that an install step names."""
    for command in step.instruction.commands:
        call = pip_call(command)
        if call is not None and call.verb in {"install", "sync"}:
            positional, files = operands(call.arguments[call.arguments.index(call.verb) + 1 :])
            yield from (*files, *(positional if call.verb == "sync" else ()))


def _resolved(word: str, step: OldInstruction, folder: Folder) -> str | None:
    """The file of the folder: of that path, mounted or copied there, or the only one of that name."""
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
    """A lock with the pins of the files that it includes (``-r``)."""
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
    """Whether two locks can be one: no other index, no package at two versions."""
    urls = {each.value.rstrip("/") for each in main.index_urls}
    versions = {pin.name: pin.version for pin in main.pins}
    strange = {each.value.rstrip("/") for each in other.index_urls} - urls
    return not strange and all(versions.get(pin.name, pin.version) == pin.version for pin in other.pins)


def _merged(main: OldLock, other: OldLock) -> OldLock:
    names = {(pin.name, pin.version) for pin in main.pins}
    told = main.asked is not None or other.asked is not None
    return replace(
        main,
        pins=(*main.pins, *(pin for pin in other.pins if (pin.name, pin.version) not in names)),
        asked=frozenset((*_asked(main), *_asked(other))) if told else None,
        places={**{pin.name: other.where(pin) for pin in other.pins}, **_places(main)},
        problems=(*main.problems, *other.problems),
        included=(*main.included, other.path, *other.included),
        index_urls=main.index_urls or other.index_urls,
    )


def _places(lock: OldLock) -> dict[str, str]:
    return {pin.name: lock.where(pin) for pin in lock.pins}


def _asked(lock: OldLock) -> Iterable[str]:
    return lock.asked if lock.asked is not None else (pin.name for pin in lock.pins)
