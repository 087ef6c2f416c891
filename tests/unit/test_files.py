"""Files and folders appear whole or not at all, and one writer at a time."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.errors import BusyError, FlavorExistsError, StorageError, TemplateError
from factory.files import (
    TEMPORARY_SUFFIX,
    exclusive,
    is_temporary,
    staged_folder,
    storage_error,
    write_whole,
)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("executable", "mode"), [(False, 0o644), (True, 0o755)])
def test_a_file_is_written_with_its_mode(tmp_path: Path, umask: None, *, executable: bool, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_whole(path, b"new\r\n", executable=executable)
    assert path.read_bytes() == b"new\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert _names(tmp_path) == {"file"}


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    versions = [bytes([number]) * 300_000 for number in range(20)]
    write_whole(path, versions[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for version in versions:
        write_whole(path, version)
    done.set()
    reader.join()
    assert seen <= set(versions)


def test_a_write_that_is_refused_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.mkdir()  # a file cannot replace a folder
    (target / "inside").touch()
    with pytest.raises(StorageError):
        write_whole(target, b"new")
    assert _names(tmp_path) == {"file"}
    assert _names(target) == {"inside"}


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        write_whole(tmp_path / "none" / "file", b"")


def test_a_full_disk_is_told_in_plain_words() -> None:
    error = storage_error(Path("/data/x"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert "no space is left" in error.reason
    assert "/data/x" in error.reason


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "flavor") as staged:
        (staged / "file").touch()
        assert is_temporary(staged)
        assert not (tmp_path / "flavor").exists()
    assert _names(tmp_path) == {"flavor"}
    assert _names(tmp_path / "flavor") == {"file"}


def test_a_folder_whose_making_fails_leaves_nothing(tmp_path: Path) -> None:
    def make() -> None:
        with staged_folder(tmp_path / "flavor") as staged:
            (staged / "file").touch()
            raise TemplateError("it broke", solution="Mend it.")

    with pytest.raises(TemplateError):
        make()
    assert _names(tmp_path) == set()


def test_a_folder_that_came_to_be_meanwhile_is_left_alone(tmp_path: Path) -> None:
    def make() -> None:
        with staged_folder(tmp_path / "flavor") as staged:
            (staged / "file").touch()
            (tmp_path / "flavor").mkdir()

    with pytest.raises(FlavorExistsError):
        make()
    assert _names(tmp_path) == {"flavor"}
    assert _names(tmp_path / "flavor") == set()


def test_a_second_writer_waits_and_then_gives_up(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path),
        pytest.raises(BusyError, match="another run"),
        exclusive(tmp_path, wait_seconds=0.2),
    ):
        pass
    with exclusive(tmp_path, wait_seconds=0):
        pass


def test_what_an_interrupted_run_left_is_swept_away_by_the_next(tmp_path: Path) -> None:
    (tmp_path / f".file.1234{TEMPORARY_SUFFIX}").touch()
    leftover = tmp_path / f".flavor.1234{TEMPORARY_SUFFIX}"
    (leftover / "deep").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (tmp_path / f".link{TEMPORARY_SUFFIX}").symlink_to(outside)
    with exclusive(tmp_path):
        assert _names(tmp_path) == {"outside"}
    assert _names(outside) == {"kept"}


def test_a_folder_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError), exclusive(tmp_path / "none"):
        pass
