"""Files of several flavors replaced together: all of them, or none.

Everything is written beside its place first, then renamed. What fails in between is undone. What is
killed in between leaves whole files. Callers give ``pyproject.toml`` last of each flavor: until it is
replaced the flavor asks for what it asked before, so that the same command does the rest when it runs
again, and a lock that is newer is found by `factory check`. Where a lock has several files of which
some are newer, they say so (`LockSet.belongs_together`), and `factory lock` mends it first.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.errors import BusyError, StorageError
from factory.files import exclusive, stage, storage_error, write_whole


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """A file and what it is to hold, None for no file; ``before`` is what it held when that was decided."""

    path: Path
    before: bytes | None
    content: bytes | None
    executable: bool = False


@contextmanager
def exclusive_together(folders: Iterable[Path]) -> Iterator[None]:
    """Hold several folders against other runs of the factory, taken in an order that all runs share.

    Raises:
        BusyError: another run holds one of them.
        StorageError: one of them cannot be opened.
    """
    with ExitStack() as held:
        for folder in sorted({folder.resolve() for folder in folders}):
            held.enter_context(exclusive(folder))
        yield


def read_before(path: Path) -> bytes | None:
    """What a file holds now; None where there is none.

    Raises:
        StorageError: it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(path, error) from error


def replace_together(replacements: Sequence[Replacement]) -> None:
    """Replace every file in the order given, or leave every file as it was. The caller holds the folders.

    Raises:
        BusyError: a file is not any more what it was when the replacement was decided.
        StorageError: the file system refused; what was replaced is as it was before.
    """
    staged: list[tuple[Replacement, Path | None]] = []
    done: list[Replacement] = []
    whole = False
    try:
        for item in replacements:
            temporary = (
                None if item.content is None else stage(item.path, item.content, executable=item.executable)
            )
            staged.append((item, temporary))
        for item in replacements:
            _refuse_changed(item)
        for item, temporary in staged:
            done.append(item)
            _put(temporary, item.path)
        whole = True
    finally:
        # However the block is left: by an error, or by an interruption (Ctrl-C, SIGTERM).
        if not whole:
            for _, temporary in staged:
                if temporary is not None:
                    temporary.unlink(missing_ok=True)
            _undo(done)


def _refuse_changed(item: Replacement) -> None:
    if read_before(item.path) != item.before:
        raise BusyError(
            f"{item.path} was changed by somebody else meanwhile; nothing was written",
            solution="Run the command again: it starts from what the file says now.",
        )


def _put(temporary: Path | None, path: Path) -> None:
    """Rename what was written to its place; without that, remove what is there."""
    try:
        if temporary is None:
            path.unlink(missing_ok=True)
        else:
            temporary.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error


def _undo(done: Sequence[Replacement]) -> None:
    """Put back what was there; every file is tried, and those that cannot be are named."""
    failed: list[str] = []
    for item in reversed(done):
        try:
            if item.before is None:
                item.path.unlink(missing_ok=True)
            elif read_before(item.path) != item.before:
                write_whole(item.path, item.before, executable=item.executable)
        except (StorageError, OSError):
            failed.append(str(item.path))
    if failed:
        raise StorageError(
            f"the file system refused, and these are new while others are not: {', '.join(failed)}",
            solution="Mend the file system and run the same command again: it completes what is missing.",
        )
