"""Files that change together: all of them or none, however the run ends, and whatever its journal says."""

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.transactions import NEW, OLD, KilledError, commit, contents, interrupted, leftovers, make

from factory.errors import BusyError, FlavorExistsError, JournalError, StorageError
from factory.files import exclusive
from factory.flavor.repository import find_repository
from factory.transaction import (
    JOURNAL_FOLDER,
    Change,
    NewFolder,
    RemovedFolder,
    Replacement,
    finish_interrupted,
    finished,
    forget_finished,
    open_transaction,
    read_before,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "flavors").mkdir()
    return tmp_path


def every_kind(root: Path) -> list[Change]:
    """In flavors and beside them: files that are replaced, removed, made; a folder, and one that moves."""
    first, second, third = (root / "flavors" / name for name in "abc")
    make(third, "edited", "kept")
    (third / "deep").mkdir(exist_ok=True)
    (third / "deep" / "run").write_bytes(b"3")
    (third / "deep" / "run").chmod(0o755)
    changes = [*make(first, "x", "y"), *make(second, "x")]
    (second / "gone").write_bytes(b"old")
    return [
        *changes,
        Replacement(path=second / "gone", before=b"old", content=None),
        Replacement(path=second / "made", before=None, content=b"#!", executable=True),
        NewFolder(path=root / "images" / "one", files={"deep/file": (b"1", False), "run": (b"2", True)}),
        NewFolder(path=root / "flavors" / "moved", source=third, files={"edited": (b"new edited", False)}),
        RemovedFolder(path=third),
        *make(root, "factory.toml"),
    ]


@contextmanager
def failing_rename(monkeypatch: pytest.MonkeyPatch, target: Path, error: BaseException) -> Iterator[None]:
    """A file system that lets every rename through but the first one onto a path."""
    real, failed = os.replace, [False]

    def rename(source: Path, destination: Path) -> None:
        if Path(destination) == target and not failed[0]:
            failed[0] = True
            raise error
        real(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", rename)
        yield
    assert failed[0]


@contextmanager
def killed_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> Iterator[list[str]]:
    """End at a file system's step as SIGKILL would: nothing after it is done, nothing is cleaned up."""
    done: list[str] = []

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            if len(done) >= steps:
                raise KilledError
            done.append(name)
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for module, names in ((os, ("replace", "unlink", "mkdir", "link", "rmdir", "fsync")),):
            for name in names:
                patch.setattr(module, name, counted(name, getattr(module, name)))
        patch.setattr(shutil, "rmtree", counted("rmtree", shutil.rmtree))
        yield done


def test_every_change_is_made_and_nothing_is_left_beside_them(root: Path) -> None:
    commit(root, every_kind(root))
    assert contents(root) == {
        "flavors/a/x": (b"new x", False),
        "flavors/a/y": (b"new y", False),
        "flavors/b/x": (b"new x", False),
        "flavors/b/made": (b"#!", True),
        "images/one/deep/file": (b"1", False),
        "images/one/run": (b"2", True),
        "flavors/moved/edited": (b"new edited", False),
        "flavors/moved/kept": (b"old kept", False),
        "flavors/moved/deep/run": (b"3", True),
        "factory.toml": (b"new factory.toml", False),
    }
    assert leftovers(root) == []


def test_mode_alone_is_a_change(root: Path) -> None:
    path = root / "flavors" / "a" / "program"
    changes = make(root / "flavors" / "a", "x", "program")
    mode = Replacement(path=path, before=b"old program", content=b"old program", executable=True)
    commit(root, [changes[0], mode])
    assert contents(root)["flavors/a/program"] == (b"old program", True)


@pytest.mark.parametrize("place", range(7))
def test_refusal_in_between_takes_everything_back(
    root: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    changes = every_kind(root)
    before = contents(root)
    full = OSError(errno.ENOSPC, "No space left on device")
    if changes[place].path.name == "gone":
        changes[place : place + 1] = make(root / "flavors" / "b", "other")
        before = contents(root)
    with (
        failing_rename(monkeypatch, changes[place].path, full),
        pytest.raises(StorageError, match="no space is left"),
    ):
        commit(root, changes)
    assert contents(root) == before
    assert leftovers(root) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["mkdir", "open", "link", "fsync"])
@pytest.mark.parametrize("count", range(4))
def test_full_disk_or_read_only_folder_before_the_first_rename_changes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, count: int, number: int
) -> None:
    changes = every_kind(root)
    before = contents(root)
    real, calls = getattr(os, call), [0]

    def refuse(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] > count + (0 if call == "link" else 3) and (call != "open" or _writes(arguments)):
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        if call == "link":
            monkeypatch.setattr(shutil, "copy2", refuse)
        with pytest.raises(StorageError):
            commit(root, changes)
    assert contents(root) == before
    commit(root, changes)
    assert leftovers(root) == []


def _writes(arguments: tuple[object, ...]) -> bool:
    return isinstance(arguments[1], int) and bool(arguments[1] & os.O_CREAT)


def test_file_system_without_hard_links_serves_as_well(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    changes = every_kind(root)
    before = contents(root)
    with (
        failing_rename(monkeypatch, changes[-1].path, OSError(5, "Input/output error")),
        pytest.raises(StorageError),
    ):
        commit(root, changes)
    assert contents(root) == before


def test_killed_at_any_step_is_one_of_two_states_after_the_next_command(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of the file system in turn, and the recovery killed at its steps as well."""
    changes = every_kind(root)
    before = contents(root)
    commit(root, changes)
    after = contents(root)
    seen = set()
    for steps in range(1000):  # until one is not reached
        shutil.rmtree(root)
        (root / "flavors").mkdir(parents=True)
        changes = every_kind(root)
        with killed_after(monkeypatch, steps), suppress(KilledError):
            commit(root, changes)
            break
        for again in range(steps % 4):
            with killed_after(monkeypatch, again), suppress(KilledError):
                finish_interrupted(root)
        finish_interrupted(root)
        found = contents(root)
        assert found in (before, after)
        seen.add(found == after)
        with open_transaction([root, root / "flavors" / "a", root / "flavors" / "b"]):
            pass
        assert leftovers(root) == []
    assert seen == {False, True}
    assert steps > 30


@pytest.mark.parametrize("content", [b"somebody else's", None], ids=["edited", "removed"])
def test_what_was_changed_meanwhile_is_not_overwritten(root: Path, content: bytes | None) -> None:
    changes = make(root / "flavors" / "a", "x", "y")
    if content is None:
        changes[1].path.unlink()
    else:
        changes[1].path.write_bytes(content)
    before = contents(root)
    with pytest.raises(BusyError, match="changed by somebody else meanwhile"):
        commit(root, changes)
    assert contents(root) == before
    assert leftovers(root) == []


@pytest.mark.parametrize("several", [False, True])
def test_what_came_to_be_meanwhile_is_not_overwritten(root: Path, several: bool) -> None:  # noqa: FBT001
    changes = make(root / "flavors" / "a", "x") if several else []
    (root / "images" / "one").mkdir(parents=True)
    with pytest.raises(FlavorExistsError):
        commit(root, [*changes, NewFolder(path=root / "images" / "one", files={})])
    (root / "flavors" / "mine").write_bytes(b"mine")
    with pytest.raises(BusyError):
        commit(root, [*changes, Replacement(path=root / "flavors" / "mine", before=None, content=b"new")])
    assert (root / "flavors" / "mine").read_bytes() == b"mine"
    assert leftovers(root) == []


def test_what_cannot_be_put_back_is_named_and_the_next_command_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = make(root / "flavors" / "a", "x", "y")
    real = os.replace

    def rename(source: Path, destination: Path) -> None:
        if Path(destination).name == "y" or str(source).endswith(".old"):
            raise OSError(errno.EIO, "Input/output error")
        real(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", rename)
        with pytest.raises(JournalError, match=r"new while others are not: flavors/a/x$"):
            commit(root, changes)
    (said,) = find_repository(root, start=root).finished
    assert said == "finished what an interrupted run had begun: flavors/a"
    assert contents(root) == {"flavors/a/x": (b"new x", False), "flavors/a/y": (b"new y", False)}
    assert leftovers(root) == []


def test_sweep_of_a_folder_leaves_what_a_journal_names(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(root, monkeypatch)
    with exclusive(root / "flavors" / "a"):
        pass
    finish_interrupted(root)
    assert contents(root) == NEW


def test_next_writer_of_one_of_the_folders_finishes_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(root, monkeypatch)
    with open_transaction([root / "flavors" / "a"]):
        assert contents(root) == NEW
    assert leftovers(root) == []


def test_lost_staged_file_has_the_change_taken_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(root, monkeypatch)
    for staged in (root / "flavors" / "a").glob(".*.factory-staged/1.new"):
        staged.write_bytes(b"garbled")
    assert finish_interrupted(root) == ("took back what an interrupted run had begun: flavors/a",)
    assert contents(root) == OLD


def test_reader_of_a_read_only_repository_is_refused_a_state_between(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = interrupted(root, monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        for call in ("replace", "unlink", "mkdir", "rmdir"):
            patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="Read-only file system"):
            find_repository(root, start=root)
        assert journal.exists()
        # Both are as they were to become: nothing is to be done, and a reader may go on.
        (root / "flavors" / "a" / "y").write_bytes(b"new y")
        assert find_repository(root, start=root).finished
    finish_interrupted(root)
    assert contents(root) == NEW
    assert leftovers(root) == []


def test_change_that_somebody_reverted_since_is_not_made_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(root, monkeypatch)
    (root / "flavors" / "a" / "x").write_bytes(b"old x")
    finish_interrupted(root)
    assert contents(root) == OLD


def test_file_that_somebody_edited_since_is_kept_and_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = interrupted(root, monkeypatch)
    (root / "flavors" / "a" / "y").write_bytes(b"mine")
    before = contents(root)
    with pytest.raises(JournalError, match=r"neither as before nor .* flavors/a/y$") as refused:
        find_repository(root, start=root)
    assert str(journal) in refused.value.solution
    assert contents(root) == before
    journal.unlink()
    find_repository(root, start=root)
    assert contents(root) == before


def test_reader_waits_for_the_run_that_is_renaming(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = make(root / "flavors" / "a", "x", "y")
    real, begun, seen = os.replace, threading.Event(), []

    def rename(source: Path, destination: Path) -> None:
        real(source, destination)
        if Path(destination).name == "x":
            begun.set()
            time.sleep(0.3)

    def read() -> None:
        begun.wait()
        find_repository(root, start=root)
        seen.append(contents(root))

    monkeypatch.setattr(os, "replace", rename)
    reader = threading.Thread(target=read)
    reader.start()
    commit(root, changes)
    reader.join()
    assert seen == [NEW]


def test_two_runs_of_the_same_folder_are_one_after_the_other(root: Path) -> None:
    make(root / "flavors" / "a", "x", "y")
    counted: list[int] = []

    def count() -> None:
        with open_transaction([root / "flavors" / "a"]) as transaction:
            paths = [root / "flavors" / "a" / name for name in ("x", "y")]
            number = len(counted)
            transaction.commit(
                Replacement(path=path, before=read_before(path), content=b"%d" % number) for path in paths
            )
            counted.append(number)

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == [0, 1, 2, 3, 4]
    assert contents(root) == {"flavors/a/x": (b"4", False), "flavors/a/y": (b"4", False)}


def test_runs_in_different_folders_do_not_finish_each_other(root: Path) -> None:
    names = [f"flavor{number}" for number in range(6)]
    changes = {name: make(root / "flavors" / name, "x", "y") for name in names}

    def change(name: str) -> None:
        with open_transaction([root / "flavors" / name]) as transaction:
            transaction.commit(changes[name])

    threads = [threading.Thread(target=change, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {content for content, _ in contents(root).values()} == {b"new x", b"new y"}
    assert leftovers(root) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_renaming_waits_until_the_change_is_made(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    changes = make(root / "flavors" / "a", "x", "y")
    real = os.replace

    def rename(source: Path, destination: Path) -> None:
        real(source, destination)
        if Path(destination).name == "x":
            signal.raise_signal(number)

    monkeypatch.setattr(os, "replace", rename)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    forget_finished()
    with pytest.raises(KeyboardInterrupt):
        commit(root, changes)
    assert contents(root) == NEW
    assert finished() == ("flavors/a",)
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_flavors_of_two_repositories_do_not_change_together(root: Path) -> None:
    changes = [*make(root / "one" / "flavors" / "a", "x"), *make(root / "two" / "flavors" / "a", "x")]
    before = contents(root)
    with (
        open_transaction([change.path.parent for change in changes]) as transaction,
        pytest.raises(StorageError, match="are different repositories"),
    ):
        transaction.commit(changes)
    assert contents(root) == before


def test_folder_that_is_named_twice_is_held_once(root: Path) -> None:
    (root / "a").mkdir()
    (root / "link").symlink_to(root / "a")
    with open_transaction([root / "a", root / "link", root / "a"]):
        pass


def test_journal_of_a_linked_flavor_lies_where_the_flavor_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    for place in (elsewhere, here):
        (place / "flavors").mkdir(parents=True)
    interrupted(elsewhere, monkeypatch)
    (here / "flavors" / "a").symlink_to(elsewhere / "flavors" / "a")
    assert find_repository(here, start=here).finished
    assert contents(elsewhere) == NEW


def test_file_that_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    assert read_before(tmp_path / "nothing") is None
    with pytest.raises(StorageError):
        read_before(tmp_path)


def test_journal_is_hidden_from_git(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(root, monkeypatch)
    (staged,) = (root / "flavors" / "a").glob(".*.factory-staged")
    for folder in (root / JOURNAL_FOLDER, staged):
        assert (folder / ".gitignore").read_text().endswith("\n*\n")
