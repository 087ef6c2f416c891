"""A folder from outside: links, FIFOs and paths that leave it are refused, also when swapped in between."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from factory.errors import StorageError
from factory.files import open_regular, read_regular
from factory.tree import Tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    inside = tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "b" / "file").write_text("content")
    (inside / "a" / "to-file").symlink_to(tmp_path / "outside" / "secret")
    (inside / "a" / "to-folder").symlink_to(tmp_path / "outside")
    os.mkfifo(inside / "a" / "fifo")
    return inside


@pytest.mark.parametrize(
    "path",
    [
        "a/to-file",
        "a/to-folder/secret",
        "a/fifo",
        "a/b",
        "a/../../outside/secret",
        "/etc/hostname",
        "a//b/file",
        "./a/b/file",
        "",
        "a/b/file\0",
    ],
)
def test_only_a_regular_file_inside_is_read(folder: Path, path: str) -> None:
    with Tree.opened(folder) as tree, pytest.raises(StorageError):
        tree.read(path)


def test_a_link_is_named_as_the_reason(folder: Path) -> None:
    with Tree.opened(folder) as tree, pytest.raises(StorageError, match="is a link"):
        tree.read("a/to-file")


def test_a_root_that_is_a_link_is_refused_unless_a_person_named_it(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    with pytest.raises(StorageError, match="is a link"), Tree.opened(link):
        pass
    with Tree.opened(link, root_may_be_link=True) as tree:
        assert tree.read("a/b/file") == b"content"


def test_a_walk_shows_links_and_follows_none(folder: Path) -> None:
    with Tree.opened(folder) as tree:
        found = {entry.path: (entry.is_folder, entry.is_file, entry.is_link) for entry in tree.walk()}
        assert tree.link_target("a/to-folder") == str(folder.parent / "outside")
    assert found == {
        "a": (True, False, False),
        "a/b": (True, False, False),
        "a/b/file": (False, True, False),
        "a/fifo": (False, False, False),
        "a/to-file": (False, False, True),
        "a/to-folder": (False, False, True),
    }


def test_removing_through_a_link_removes_nothing_outside(folder: Path) -> None:
    with Tree.opened(folder) as tree:
        with pytest.raises(StorageError):
            tree.remove("a/to-folder/secret")
        tree.remove("a/to-file")
        tree.remove("a/not-there")
    assert (folder.parent / "outside" / "secret").read_text() == "secret"
    assert not (folder / "a" / "to-file").is_symlink()


def test_a_folder_swapped_for_a_link_again_and_again_never_shows_what_it_leads_to(folder: Path) -> None:
    (folder / "x").mkdir()
    (folder / "x" / "secret").write_text("decoy")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (folder / "x").rename(folder / "away")
            (folder / "x").symlink_to(folder.parent / "outside")
            (folder / "x").unlink()
            (folder / "away").rename(folder / "x")

    swapper = threading.Thread(target=swap)
    swapper.start()
    read = set()
    try:
        with Tree.opened(folder) as tree:
            for _ in range(2_000):
                try:
                    read.add(tree.read("x/secret"))
                except StorageError:
                    continue
    finally:
        stop.set()
        swapper.join()
    assert read <= {b"decoy"}


def test_a_missing_path_has_no_status(folder: Path) -> None:
    with Tree.opened(folder) as tree:
        assert tree.status("a/b/none") is None
        assert tree.status("none/none") is None
        with pytest.raises(StorageError):
            tree.status("a/to-folder/secret")


def test_a_fifo_or_a_device_is_no_file_to_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(path)


def test_a_file_is_read_to_its_limit_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", limit=5) == b"12345"
    with pytest.raises(OSError, match="larger than the 4 bytes"):
        read_regular(tmp_path / "file", limit=4)


@pytest.mark.parametrize("path", ["a/to-folder/new", "a/to-folder", "../new", "a/to-file/new"])
def test_nothing_is_made_through_a_link(folder: Path, path: str) -> None:
    with Tree.opened(folder) as tree:
        with pytest.raises(StorageError):
            tree.make_folder(path)
        with pytest.raises(StorageError):
            tree.write(f"{path}/file", b"new")
    assert [found.name for found in (folder.parent / "outside").iterdir()] == ["secret"]


def test_a_file_takes_the_place_of_a_link_and_leaves_what_that_leads_to(folder: Path) -> None:
    with Tree.opened(folder) as tree:
        tree.make_folder("new/below", mode=0o775)
        tree.write("new/below/file", b"new")
        tree.rename("new/below/file", "a/to-file")
    assert (folder / "a" / "to-file").read_bytes() == b"new"
    assert not (folder / "a" / "to-file").is_symlink()
    assert (folder.parent / "outside" / "secret").read_text() == "secret"
    assert (folder / "new" / "below").stat().st_mode & 0o777 == 0o775


def test_a_write_that_fails_leaves_what_was_there(folder: Path) -> None:
    with (
        Tree.opened(folder) as tree,
        pytest.raises(StorageError),
        tree.writing("a/b/file") as file,
    ):
        file.truncate(-1)
    assert [found.name for found in (folder / "a" / "b").iterdir()] == ["file"]
    assert (folder / "a" / "b" / "file").read_text() == "content"


def test_threads_that_list_one_folder_each_see_all_of_it(tmp_path: Path) -> None:
    names = {f"file-{number}" for number in range(300)}
    for name in names:
        (tmp_path / name).touch()
    with Tree.opened(tmp_path) as tree, ThreadPoolExecutor(8) as pool:
        listings = list(pool.map(lambda _: {entry.path for entry in tree.entries()}, range(200)))
    assert [len(names - listing) for listing in listings if listing != names] == []
