"""The lock of a flavor as a whole: one file for each of its indexes, together complete."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.errors import LockFileError
from factory.flavor.indexes import MAIN_INDEX
from factory.flavor.spec import Spec
from factory.lock.lockfile import LOCK_FILE, LockFile, Pin, parse_lock


@dataclass(frozen=True, kw_only=True)
class LockSet:
    """The lock files that are there, by file name, ``requirements.txt`` first."""

    files: Mapping[str, LockFile]

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Every pin, file by file."""
        return tuple(pin for lock in self.files.values() for pin in lock.pins)

    def versions(self) -> dict[str, str]:
        """Normalized name to pinned version."""
        return {name: version for lock in self.files.values() for name, version in lock.versions().items()}


def lock_file_name(index: str) -> str:
    """The file that holds what comes from an index, by the index's name."""
    return LOCK_FILE if index == MAIN_INDEX else f"requirements-{index}.txt"


def lock_file_names(spec: Spec) -> tuple[str, ...]:
    """The names of the lock files that a flavor with this spec has, the main index's first."""
    return tuple(lock_file_name(name) for name in spec.index_names)


def read_lock_set(folder: Path, spec: Spec) -> LockSet | None:
    """The lock files of a flavor folder that are there; None where it is not locked.

    Raises:
        LockFileError: one of them is not UTF-8.
    """
    texts = {}
    for name in lock_file_names(spec):
        try:
            texts[name] = (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except UnicodeDecodeError as error:
            raise LockFileError(
                f"{folder / name} is not UTF-8", solution="Lock again: `factory lock`."
            ) from error
    return parse_lock_set(texts) if LOCK_FILE in texts else None


def require_lock_set(folder: Path, spec: Spec) -> LockSet:
    """The lock files of a flavor folder, all of those that its spec asks for.

    Raises:
        LockFileError: one is not there, or is not UTF-8.
    """
    found = read_lock_set(folder, spec)
    missing = [name for name in lock_file_names(spec) if found is None or name not in found.files]
    if found is None or missing:
        raise LockFileError(
            f"{folder.name} is not locked: it has no {' and no '.join(missing)}",
            solution=f"Run `factory lock {folder.name}` first.",
        )
    return found


def parse_lock_set(texts: Mapping[str, str]) -> LockSet:
    """Read lock files by name, as `parse_lock` reads each."""
    return LockSet(files={name: parse_lock(text) for name, text in texts.items()})
