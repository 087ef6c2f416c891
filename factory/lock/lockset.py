"""The lock of a flavor as a whole: one file for each of its indexes, together complete.

A flavor of one index has only ``requirements.txt``. With further indexes each has its own file, which names
its index (``# index:``) and carries the digest over the pins of all files (``# together:``), so that a mix of
files of two runs is found without a network.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from factory.errors import LockFileError
from factory.files import open_regular, storage_error
from factory.flavor.project import Project
from factory.flavor.spec import MAIN_INDEX, Spec
from factory.lock.lockfile import (
    LOCK_FILE,
    LOCKED_BY,
    Artifact,
    LockFile,
    Pin,
    format_lock,
    parse_lock,
    read_lock_text,
)

_FURTHER_FILES = "requirements-*.txt"


@dataclass(frozen=True, kw_only=True)
class Misplaced:
    """A pin in another file than that of its package's index."""

    file_name: str
    pin: Pin
    belongs_into: str


@dataclass(frozen=True, kw_only=True)
class LockSet:
    """The existing lock files, by file name, ``requirements.txt`` first."""

    files: Mapping[str, LockFile]

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Every pin, file by file."""
        return tuple(pin for lock in self.files.values() for pin in lock.pins)

    @property
    def inputs(self) -> str | None:
        """Return the digest of the lock's inputs; None if a file has none, or two differ."""
        recorded = {lock.inputs for lock in self.files.values()}
        return recorded.pop() if len(recorded) == 1 else None

    @property
    def parent(self) -> str | None:
        """Return what the lock records of its parent; None if a file has nothing, or two differ."""
        recorded = {lock.parent for lock in self.files.values()}
        return recorded.pop() if len(recorded) == 1 else None

    @property
    def as_locked(self) -> bool:
        """Return whether every file is as the factory wrote it."""
        return all(lock.as_locked for lock in self.files.values())

    @property
    def beside_index(self) -> frozenset[str]:
        """Return the packages that came from a folder of wheels, which no index has."""
        return frozenset(name for lock in self.files.values() for name in lock.beside_index)

    @property
    def belongs_together(self) -> bool:
        """Return whether the files are complete and of one resolution, by the digest in each.

        False for files of two runs that a merge put side by side.
        """
        recorded = {lock.together for lock in self.files.values()}
        if recorded == {None}:
            return list(self.files) == [LOCK_FILE]
        return recorded == {together_digest({name: lock.pins for name, lock in self.files.items()})}

    def versions(self) -> dict[str, str]:
        """Normalized name to pinned version."""
        return {name: version for lock in self.files.values() for name, version in lock.versions().items()}


def lock_file_name(index: str) -> str:
    """Return the name of the lock file for an index."""
    return LOCK_FILE if index == MAIN_INDEX else f"requirements-{index}.txt"


def lock_file_names(spec: Spec) -> tuple[str, ...]:
    """Return the names of the lock files that this spec requires, the main index's first.

    Every index has a file, even one from which nothing is pinned: what installs, copies and downloads the
    files follows from the spec alone. Also the list for ``requirements_files`` in a ``prefetch-input`` of
    Konflux.
    """
    return tuple(lock_file_name(name) for name in spec.index_names)


def index_names(spec: Spec) -> dict[str, str]:
    """Lock file name to the name of the index that it is for."""
    return {lock_file_name(name): name for name in spec.index_names}


def orphans(folder: Path, spec: Spec) -> tuple[str, ...]:
    """Return the lock files in a flavor folder that belong to no index of its spec.

    A file counts by its name and its first line, which ``factory lock`` wrote; others are stray files.
    """
    named = lock_file_names(spec)
    return tuple(
        path.name
        for path in sorted(folder.glob(_FURTHER_FILES))
        if path.name not in named and path.is_file() and _is_ours(path)
    )


def misplaced(locks: LockSet, spec: Spec) -> tuple[Misplaced, ...]:
    """Return the pins in another file than that of their package's index."""
    found = []
    for name, lock in locks.files.items():
        for pin in lock.pins:
            right = lock_file_name(spec.index_of(pin.name))
            if right != name:
                found.append(Misplaced(file_name=name, pin=pin, belongs_into=right))
    return tuple(found)


def keep_recorded(
    pins: Iterable[Pin], before: LockSet | None, *, only_recorded: bool = False
) -> tuple[Pin, ...]:
    """Return new pins with the sizes and times that the previous lock records for the same artifacts.

    The bytes are the same, so another or missing time on an index or a mirror is not a change. An edited lock
    is ignored. With ``only_recorded``, what the previous lock does not record of an artifact stays missing.
    """
    if before is None or not before.as_locked:
        return tuple(pins)
    known = {artifact.sha256: artifact for pin in before.pins for artifact in pin.artifacts}

    def with_record(artifact: Artifact) -> Artifact:
        old = known.get(artifact.sha256)
        if old is None:
            return artifact
        if only_recorded:
            return replace(artifact, size=old.size, uploaded=old.uploaded)
        return replace(
            artifact,
            size=artifact.size if old.size is None else old.size,
            uploaded=artifact.uploaded if old.uploaded is None else old.uploaded,
        )

    return tuple(replace(pin, artifacts=tuple(map(with_record, pin.artifacts))) for pin in pins)


def together_digest(pins: Mapping[str, Iterable[Pin]]) -> str:
    """Return ``sha256:…`` over all pins of a lock (file, name, version, digests), in any order."""
    content = {
        file_name: sorted(
            [pin.name, pin.version, *sorted(a.sha256 for a in pin.artifacts)] for pin in of_file
        )
        for file_name, of_file in pins.items()
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def format_lock_set(
    name: str,
    spec: Spec,
    pins: Iterable[Pin],
    *,
    inputs: str,
    beside_index: Collection[str] = (),
    parent: str | None = None,
) -> dict[str, bytes]:
    """Return each lock file's content, by file name; equal pins give equal bytes.

    Args:
        name: the flavor's.
        spec: its spec, which says what comes from where.
        pins: all of them, in any order.
        inputs: the digest of their inputs (`inputs_digest`).
        beside_index: the packages among them that came from a folder of wheels.
        parent: what the lock records of the image's parent; None for an image without one.
    """
    by_file: dict[str, list[Pin]] = {file_name: [] for file_name in lock_file_names(spec)}
    for pin in pins:
        by_file[lock_file_name(spec.index_of(pin.name))].append(pin)
    several = len(by_file) > 1
    together = together_digest(by_file) if several else None
    return {
        file_name: format_lock(
            by_file[file_name],
            index_url=spec.url_of(index),
            inputs=inputs,
            command=f"factory lock {name}",
            platforms=spec.platforms,
            beside_index={pin.name for pin in by_file[file_name]} & set(beside_index),
            index=index if several else None,
            together=together,
            parent=parent,
        ).encode()
        for file_name, index in index_names(spec).items()
    }


def read_lock_set(folder: Path, spec: Spec) -> LockSet | None:
    """Return the existing lock files of a flavor folder; None without any.

    Raises:
        LockFileError: one of them is not UTF-8.
        StorageError: one cannot be read.
    """
    texts = {}
    for name in lock_file_names(spec):
        try:
            texts[name] = read_lock_text(folder / name)
        except FileNotFoundError:
            continue
        except UnicodeDecodeError as error:
            raise LockFileError(
                f"{folder / name} is not UTF-8", solution="Lock again: `factory lock`."
            ) from error
        except OSError as error:
            raise storage_error(folder / name, error) from error
    return parse_lock_set(texts) if LOCK_FILE in texts else None


def require_lock_set(folder: Path, spec: Spec) -> LockSet:
    """Return the lock files of a flavor folder, all that its spec requires.

    Raises:
        LockFileError: one is missing or not UTF-8, or they are of different runs.
    """
    found = read_lock_set(folder, spec)
    missing = [name for name in lock_file_names(spec) if found is None or name not in found.files]
    if found is None or missing:
        raise LockFileError(
            f"{folder.name} is not locked: it has no {' and no '.join(missing)}",
            solution=f"Run `factory lock {folder.name}` first.",
            not_locked=found is None,
        )
    if spec.indexes and not found.belongs_together:
        raise LockFileError(
            f"{folder.name}: {', '.join(found.files)} are not the files of one lock",
            solution=f"Lock again: `factory lock {folder.name}`; versions that are valid are kept.",
        )
    return found


def parse_lock_set(texts: Mapping[str, str]) -> LockSet:
    """Read lock files by name, as `parse_lock` reads each."""
    return LockSet(files={name: parse_lock(text) for name, text in texts.items()})


def _is_ours(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(len(LOCKED_BY)) == LOCKED_BY.encode()


def inputs_digest(project: Project) -> str:
    """Return ``sha256:…`` over everything in ``pyproject.toml`` that decides what is locked.

    The digest depends neither on the order of requirements nor on what cannot change a lock: base images, the
    name, the reasons for what is missing.
    """
    spec = project.spec
    inputs: dict[str, object] = {
        "dependencies": sorted(project.dependencies),
        "constraints": sorted(project.constraints),
        "overrides": sorted(project.overrides),
        "missing": sorted(missing.requirement for missing in spec.missing),
        "python": spec.python,
        "platforms": sorted(spec.platforms),
        "glibc": spec.glibc,
        "index-url": spec.index_url,
    }
    if spec.indexes:
        inputs["indexes"] = sorted((index.name, index.url, *sorted(index.packages)) for index in spec.indexes)
    if spec.replaces:
        inputs["replaces"] = sorted(spec.replaces)
    if spec.provides:
        inputs["provides"] = sorted(spec.provides)
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
