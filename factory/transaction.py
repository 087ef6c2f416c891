"""Change files of a repository together: all of them or none, however the run ends.

What is new is written beside its place first, then named in a journal, then renamed. A run that is killed
before the journal is there has changed nothing. One that is killed later leaves the journal, from which the
next command finishes the change or reverts it: every command that opens the repository does so first, also
one that only reads.

The journal is a file in ``.factory-journal`` at the repository's root, where git ignores it. It names each
file with its state before and after, and where the new file and a copy of the old one lie. Two locks
(flock(2)) order all of this: a run holds the folders whose files it changes (`open_transaction`), and
``.factory-journal`` while it renames. So a journal that lies there while nobody holds that lock is of a run
that has ended. That lock is the innermost: nothing else is waited for while it is held.

A journal is not trusted (`_read_journal`). It counts only on the file system on which it was written, as the
inode and the change time of a file beside it show, so that one that comes with a clone moves nothing.
"""

import json
import os
import shutil
import signal
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from types import FrameType

from factory.documents import parse_json
from factory.errors import BusyError, FlavorExistsError, JournalError, StorageError
from factory.files import (
    IGNORE_ALL,
    IGNORE_FILE,
    STAGED_SUFFIX,
    acquire,
    clone_folder,
    exclusive,
    is_temporary,
    open_regular,
    read_regular,
    storage_error,
    write_whole,
)
from factory.settings import FLAVORS_FOLDER

JOURNAL_FOLDER = ".factory-journal"
_FORMAT = 1
_ENDING = ".json"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """A file and its new content, None to remove it; ``before`` is its content at the decision."""

    path: Path
    before: bytes | None
    content: bytes | None
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class NewFolder:
    """A folder to create with its files: path in it to content, and whether it is executable.

    The other files of ``source``, an existing folder, come along.
    """

    path: Path
    files: Mapping[str, tuple[bytes, bool]]
    source: Path | None = None


@dataclass(frozen=True, kw_only=True)
class RemovedFolder:
    """A folder to remove with everything in it."""

    path: Path


Change = Replacement | NewFolder | RemovedFolder


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One change, as the journal has it; paths are relative to the repository's root.

    ``staged`` is the folder that holds ``NUMBER.new`` and ``NUMBER.old``. ``before`` and ``after`` are states
    that `_state` returns, None for nothing.
    """

    path: str
    staged: str
    number: int
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class _Journal:
    format: int
    mark: tuple[int, int]
    entries: list[_Entry]


class Transaction:
    """The folders that a run holds, and in which it changes files together."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self._folders: set[Path] = set()

    def take(self, folder: Path) -> None:
        """Hold a folder as well, after finishing what an interrupted run left in it.

        Raises:
            BusyError: another run holds it.
            JournalError: a change was interrupted and can be neither finished nor reverted.
            StorageError: it cannot be opened.
        """
        real = folder.resolve()
        if real in self._folders:
            return
        self._held.enter_context(exclusive(real))
        finish_interrupted(repository_of(real))
        for leftover in real.glob(f".*{STAGED_SUFFIX}"):
            if not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
        self._folders.add(real)

    def commit(self, changes: Iterable[Change]) -> None:
        """Make every change in the order given, or none. Ctrl-C waits until it is made.

        Raises:
            BusyError: a file is no longer what it was when the change was decided; nothing was changed.
            FlavorExistsError: a folder that was to appear is there; nothing was changed.
            JournalError: the file system let some of it through and refused to put that back.
            StorageError: the file system refused; nothing was changed.
        """
        wanted = tuple(changes)
        if not wanted:
            return
        stages: dict[Path, Path] = {}
        identity = os.urandom(8).hex()
        root = self._root()
        journal = root / JOURNAL_FOLDER / f"{identity}{_ENDING}"
        try:
            entries = [self._stage(root, item, identity, at, stages) for at, item in enumerate(wanted)]
            for item in wanted:
                _refuse_changed(item)
            if len(entries) > 1:
                for home, folder in stages.items():
                    _sync(folder)
                    _sync(home)
                _commit_with_journal(root, journal, entries)
            else:
                with _uninterrupted():
                    _carry_out(root, entries)
                    _note_finished(entries)
        finally:
            if not journal.exists():
                for folder in stages.values():
                    shutil.rmtree(folder, ignore_errors=True)

    def _root(self) -> Path:
        roots = {repository_of(folder) for folder in self._folders}
        if len(roots) > 1:
            raise StorageError(
                f"{' and '.join(map(str, sorted(roots)))} are different repositories, and what is in them "
                "cannot change together; nothing was changed",
                solution="Run the command once for each.",
            )
        return roots.pop()

    def _stage(
        self, root: Path, change: Change, identity: str, number: int, stages: dict[Path, Path]
    ) -> _Entry:
        """Write new content, and keep the old, in a folder one rename away from both."""
        path = _real(change.path)
        above = [folder for folder in self._folders if path.is_relative_to(folder) and path != folder]
        if not above:
            message = f"{path} is not in a folder that is held"
            raise ValueError(message)
        home = max(above, key=lambda folder: len(folder.parts))
        try:
            if home not in stages:
                stages[home] = home / f".{identity}{STAGED_SUFFIX}"
                stages[home].mkdir()
                _write(stages[home] / IGNORE_FILE, IGNORE_ALL)
            new, old = _places(stages[home], number)
            if isinstance(change, NewFolder):
                if change.source is not None:
                    clone_folder(change.source, new)
                for name, (content, executable) in change.files.items():
                    (new / name).parent.mkdir(parents=True, exist_ok=True)
                    (new / name).unlink(missing_ok=True)
                    _write(new / name, content, executable=executable)
            elif isinstance(change, Replacement) and change.content is not None:
                _write(new, change.content, executable=change.executable)
            _keep(path, old)
            return _Entry(
                path=path.relative_to(root).as_posix(),
                staged=stages[home].relative_to(root).as_posix(),
                number=number,
                before=_state(path),
                after=_state(new),
            )
        except OSError as error:
            raise storage_error(path, error) from error


@contextmanager
def open_transaction(folders: Iterable[Path] = ()) -> Iterator[Transaction]:
    """Hold folders, taken in an order that all runs share, and change files in them together.

    Raises:
        BusyError, JournalError, StorageError: as for `Transaction.take`.
    """
    with ExitStack() as held:
        transaction = Transaction(held)
        for folder in sorted({folder.resolve() for folder in folders}):
            transaction.take(folder)
        yield transaction


def read_before(path: Path) -> bytes | None:
    """Return a file's current content; None if it is missing.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(path, error) from error


def repository_of(folder: Path) -> Path:
    """Return the nearest folder upwards that holds ``flavors/``, else the parent: the journal's place."""
    for above in (folder, *folder.parents):
        if (above / FLAVORS_FOLDER).is_dir():
            return above
    return folder.parent


def finish_interrupted(root: Path) -> tuple[str, ...]:
    """Finish or revert what interrupted runs left in a repository; return descriptions of it.

    Raises:
        JournalError: a journal is damaged or not of this place, or a file was changed since by somebody.
        BusyError: another run holds the journals and does not let go.
        StorageError: the file system refused; the journal is still there.
    """
    with ExitStack() as held:
        while os.path.lexists(root / JOURNAL_FOLDER):
            if _hold_journals(root, held):
                return _recover_all(root)
    return ()


_finished: list[str] = []
_finished_guard = threading.Lock()


def finished() -> tuple[str, ...]:
    """Return what this run has changed so far, for the message of an interruption."""
    with _finished_guard:
        return tuple(dict.fromkeys(_finished))


def forget_finished() -> None:
    """Begin a run: nothing has been changed yet."""
    with _finished_guard:
        _finished.clear()


def _note_finished(entries: Sequence[_Entry]) -> None:
    with _finished_guard:
        _finished.extend(_named(entries))


def _named(entries: Iterable[_Entry]) -> tuple[str, ...]:
    """Name the changed folders, and the changed files of the root."""
    parents = {entry: PurePosixPath(entry.path).parent.as_posix() for entry in entries}
    return tuple(
        dict.fromkeys(
            entry.path if parent in {".", FLAVORS_FOLDER} else parent for entry, parent in parents.items()
        )
    )


def _commit_with_journal(root: Path, journal: Path, entries: Sequence[_Entry]) -> None:
    with ExitStack() as held:
        try:
            journal.parent.mkdir(exist_ok=True)
            while not _hold_journals(root, held):
                journal.parent.mkdir(exist_ok=True)
            if not (journal.parent / IGNORE_FILE).exists():
                _write(journal.parent / IGNORE_FILE, IGNORE_ALL)
        except OSError as error:
            raise storage_error(journal.parent, error) from error
        _recover_all(root)
        content = asdict(_Journal(format=_FORMAT, mark=_mark(journal.parent), entries=list(entries)))
        settled = True
        with _uninterrupted():
            try:
                write_whole(journal, json.dumps(content, indent=1).encode())
                _sync(journal.parent)
                _sync(root)
                _carry_out(root, entries)
                _note_finished(entries)
            except JournalError:
                settled = False
                raise
            finally:
                if settled:
                    _remove_journal(root, journal, entries)


def _carry_out(root: Path, entries: Sequence[_Entry]) -> None:
    """Rename everything into its place; if one rename fails, restore what was before.

    Raises:
        StorageError: one failed; everything is as before.
        JournalError: one failed, and another could not be put back.
    """
    done: list[_Entry] = []
    whole = False
    try:
        for entry in entries:
            done.append(entry)
            _put(root, entry)
        whole = True
    except OSError as error:
        raise storage_error(root / done[-1].path, error) from error
    finally:
        failed = [] if whole else [each.path for each in reversed(done) if not _was_put_back(root, each)]
        if failed:
            raise JournalError(
                f"the file system refused, and these are new while others are not: {', '.join(failed)}",
                solution="Put the file system right. The next factory command finishes the change, or takes "
                "it back.",
            )


def _put(root: Path, entry: _Entry) -> None:
    path, (new, old) = root / entry.path, _places(root / entry.staged, entry.number)
    if entry.after is None:
        if path.is_dir() and not path.is_symlink():
            path.replace(old)
        else:
            path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new.replace(path)


def _was_put_back(root: Path, entry: _Entry) -> bool:
    try:
        _put_back(root, entry)
    except OSError:
        return False
    return True


def _put_back(root: Path, entry: _Entry) -> None:
    path, (new, old) = root / entry.path, _places(root / entry.staged, entry.number)
    if _state(path) == entry.before:
        return
    if entry.before is None:
        path.replace(new)
    else:
        old.replace(path)


def _refuse_changed(change: Change) -> None:
    if isinstance(change, NewFolder):
        if os.path.lexists(change.path):
            raise FlavorExistsError(
                f"{change.path} is there already",
                solution="Choose another name, or remove the folder first.",
            )
    elif isinstance(change, Replacement) and read_before(change.path) != change.before:
        raise BusyError(
            f"{change.path} was changed by somebody else meanwhile; nothing was written",
            solution="Run the command again: it starts from what the file says now.",
        )


def _recover_all(root: Path) -> tuple[str, ...]:
    """Finish or revert every journal; the caller holds the folder of journals."""
    notes = []
    for path in sorted((root / JOURNAL_FOLDER).iterdir()):
        if is_temporary(path):
            with suppress(OSError):
                path.unlink()
        elif path.name.endswith(_ENDING):
            notes += _recover(root, path)
    return tuple(notes)


def _recover(root: Path, journal: Path) -> list[str]:
    entries = _read_journal(root, journal)
    try:
        found = {entry: _state(root / entry.path) for entry in entries}
        old = [entry for entry, state in found.items() if state == entry.before]
        new = [entry for entry, state in found.items() if state == entry.after]
        others = [entry.path for entry in entries if entry not in old and entry not in new]
        names = ", ".join(_named(entries))
        if len(new) == len(entries):
            said = f"an interrupted run had changed {names}, wholly"
        elif len(old) == len(entries):
            said = f"an interrupted run was about to change {names}, and had not begun"
        elif not others and all(_is_staged(root, entry) for entry in old if entry not in new):
            for entry in old:
                if entry not in new:
                    _put(root, entry)
            said = f"finished what an interrupted run had begun: {names}"
        elif not others and all(_is_kept(root, entry) for entry in new if entry not in old):
            for entry in new:
                if entry not in old:
                    _put_back(root, entry)
            said = f"took back what an interrupted run had begun: {names}"
        else:
            raise _not_recoverable(root, journal, others or [entry.path for entry in entries])
    except OSError as error:
        raise storage_error(journal, error) from error
    _remove_journal(root, journal, entries)
    return [said]


def _not_recoverable(root: Path, journal: Path, paths: Sequence[str]) -> JournalError:
    return JournalError(
        f"a change of several files in {root} was interrupted, and these are neither as before nor as it "
        f"would have made them: {', '.join(paths)}",
        solution=f"Look at them (`git diff`) and keep what you want. Then remove {journal} and run the "
        "command again. Nothing was changed.",
    )


def _is_staged(root: Path, entry: _Entry) -> bool:
    return entry.after is None or _state(_places(root / entry.staged, entry.number)[0]) == entry.after


def _is_kept(root: Path, entry: _Entry) -> bool:
    return entry.before is None or _state(_places(root / entry.staged, entry.number)[1]) == entry.before


def _read_journal(root: Path, journal: Path) -> tuple[_Entry, ...]:
    """Read a journal without trusting it.

    Raises:
        JournalError: it is damaged, was not written here, or names a place that no transaction has.
    """
    solution = (
        f"Look at the repository (`git status`) and keep what you want. Then remove {journal} and run the "
        "command again. Nothing was changed."
    )
    try:
        content = read_regular(journal)
    except OSError as error:
        raise storage_error(journal, error) from error
    read = parse_json(content, _Journal, source=str(journal), error=JournalError, solution=solution)
    if read.format != _FORMAT:
        raise JournalError(f"{journal} is of another release of the factory", solution=solution)
    if tuple(read.mark) != _mark(journal.parent):
        raise JournalError(
            f"{journal} was not written on this file system: it came with a copy or a clone",
            solution=solution,
        )
    name = f".{journal.name.removesuffix(_ENDING)}{STAGED_SUFFIX}"
    for entry in read.entries:
        if not _is_rooted(root, entry, name):
            raise JournalError(f"{journal} names {entry.path!r}, which no command changes", solution=solution)
    return tuple(read.entries)


def _is_rooted(root: Path, entry: _Entry, staged_name: str) -> bool:
    """Return whether an entry's file and stage are rooted below the root, by no link, not git's."""
    paths = (PurePosixPath(entry.path), PurePosixPath(entry.staged))
    if any(path.is_absolute() or {"..", ".git"} & set(path.parts) or "\0" in str(path) for path in paths):
        return False
    path, staged = paths
    real = root.resolve()
    folders = (root / path.parent, root / staged)
    # What is missing resolves to itself.
    by_link = any(folder.resolve() != real / folder.relative_to(root) for folder in folders)
    return (
        not by_link and path.name != "" and staged.name == staged_name and path.is_relative_to(staged.parent)
    )


def _hold_journals(root: Path, held: ExitStack) -> bool:
    """Hold the folder of journals; return False if it is missing or was removed meanwhile.

    It is removed when it is let go, unless a journal is in it.

    Raises:
        BusyError: another run holds it and does not let go.
        JournalError: something else lies in its place.
        StorageError: the file system refused.
    """
    folder = root / JOURNAL_FOLDER
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(
            f"{folder} is no folder of the factory's: {error.strerror}", solution="Look at it and remove it."
        ) from error
    with ExitStack() as opened:
        opened.callback(os.close, descriptor)
        acquire(descriptor, folder)
        status = os.fstat(descriptor)
        if not _is_same(folder, status):
            return False
        if status.st_uid not in {os.geteuid(), 0, root.stat().st_uid}:
            raise JournalError(
                f"{folder} belongs to another user (uid {status.st_uid})",
                solution="Have that user run a factory command here, or remove it.",
            )
        held.push(opened.pop_all())
    held.callback(_remove_if_unused, folder)
    return True


def _is_same(folder: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(folder.lstat(), status)
    except FileNotFoundError:
        return False


def _remove_if_unused(folder: Path) -> None:
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [IGNORE_FILE]:
            (folder / IGNORE_FILE).unlink()
        folder.rmdir()


def _mark(folder: Path) -> tuple[int, int]:
    """Return the inode and change time of a file, which show that a journal was written here."""
    try:
        status = (folder / IGNORE_FILE).lstat()
    except FileNotFoundError:
        return (0, 0)
    except OSError as error:
        raise storage_error(folder, error) from error
    return (status.st_ino, status.st_ctime_ns)


def _remove_journal(root: Path, journal: Path, entries: Iterable[_Entry]) -> None:
    """Remove a journal once the disk has its change, made or reverted.

    If the file system refuses, the journal stays, and the next command finds nothing to do.
    """
    with suppress(OSError, StorageError):
        for folder in {(root / entry.path).parent for entry in entries}:
            if folder.is_dir():
                _sync(folder)
        for staged in {root / entry.staged for entry in entries}:
            shutil.rmtree(staged, ignore_errors=True)
        journal.unlink()


def _state(path: Path) -> str | None:
    """Return a word for a path's state, without following links; None for nothing."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(status.st_mode):
        return f"link:{sha256(os.fsencode(path.readlink())).hexdigest()}"
    if stat.S_ISDIR(status.st_mode):
        inside = "".join(f"{child.name}\0{_state(child)}\n" for child in sorted(path.iterdir()))
        return f"folder:{sha256(os.fsencode(inside)).hexdigest()}"
    if not stat.S_ISREG(status.st_mode):
        return "other"
    with open_regular(path) as file:
        digest = sha256(file.read()).hexdigest()
    return f"{'program' if status.st_mode & stat.S_IXUSR else 'file'}:{digest}"


def _keep(path: Path, old: Path) -> None:
    """Keep a path's content under a second name, as a hard link if possible."""
    if not os.path.lexists(path) or (path.is_dir() and not path.is_symlink()):
        return
    try:
        os.link(path, old, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, old, follow_symlinks=False)


def _places(staged: Path, number: int) -> tuple[Path, Path]:
    return staged / f"{number}.new", staged / f"{number}.old"


def _real(path: Path) -> Path:
    """Resolve the links of a path except for the last part, which is what is replaced."""
    return path.parent.resolve() / path.name


def _write(path: Path, content: bytes, *, executable: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if executable else 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Flush a folder's names to the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(folder, error) from error


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the block.

    Other threads than the first are not interrupted by signals, and need nothing for it.
    """
    caught: list[int] = []

    def record(number: int, frame: FrameType | None) -> None:
        del frame
        caught.append(number)

    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before[number] = signal.signal(number, record)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    if caught:
        raise KeyboardInterrupt
