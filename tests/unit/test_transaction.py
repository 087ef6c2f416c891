"""Files of several flavors replaced together: all of them, or none, however the run ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from factory.errors import BusyError, StorageError
from factory.files import is_temporary
from factory.upkeep.transaction import Replacement, exclusive_together, read_before, replace_together


def make(folder: Path, *names: str) -> list[Replacement]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"old " + name.encode())
    return [
        Replacement(path=folder / name, before=b"old " + name.encode(), content=b"new " + name.encode())
        for name in names
    ]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@contextmanager
def failing_rename(monkeypatch: pytest.MonkeyPatch, target: Path, error: BaseException) -> Iterator[None]:
    """A file system, or a signal, that lets every rename through but the first one onto a path."""
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


def test_every_file_is_replaced(tmp_path: Path) -> None:
    items = [*make(tmp_path / "a", "x", "y"), *make(tmp_path / "b", "x")]
    new = Replacement(path=tmp_path / "b" / "program", before=None, content=b"#!", executable=True)
    replace_together([*items, new])
    assert contents(tmp_path) == {"a/x": b"new x", "a/y": b"new y", "b/x": b"new x", "b/program": b"#!"}
    assert os.access(new.path, os.X_OK)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), StorageError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["disk full", "interrupted"],
)
@pytest.mark.parametrize("place", range(4))
def test_what_ends_in_between_is_undone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    place: int,
) -> None:
    items = [*make(tmp_path / "a", "x", "y"), *make(tmp_path / "b", "x")]
    items.insert(0, Replacement(path=tmp_path / "a" / "new", before=None, content=b"new"))
    before = contents(tmp_path)
    with failing_rename(monkeypatch, items[place].path, error), pytest.raises(raised):
        replace_together(items)
    assert contents(tmp_path) == before


def test_nothing_is_replaced_where_something_cannot_be_written(tmp_path: Path) -> None:
    items = make(tmp_path / "a", "x")
    items.append(Replacement(path=tmp_path / "gone" / "y", before=None, content=b"new"))
    with pytest.raises(StorageError):
        replace_together(items)
    assert contents(tmp_path) == {"a/x": b"old x"}


@pytest.mark.parametrize("content", [b"somebody else's", None], ids=["edited", "removed"])
def test_what_was_changed_meanwhile_is_not_overwritten(tmp_path: Path, content: bytes | None) -> None:
    items = make(tmp_path / "a", "x", "y")
    if content is None:
        items[1].path.unlink()
    else:
        items[1].path.write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(BusyError, match="changed by somebody else meanwhile"):
        replace_together(items)
    assert contents(tmp_path) == before


def test_a_file_that_came_to_be_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(BusyError):
        replace_together([Replacement(path=tmp_path / "x", before=None, content=b"new")])
    assert contents(tmp_path) == {"x": b"mine"}


def test_what_cannot_be_put_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = make(tmp_path / "a", "x", "y")
    real = os.replace

    def rename(source: Path, destination: Path) -> None:
        if Path(destination).name == "y" or Path(destination).read_bytes().startswith(b"new"):
            raise OSError(5, "Input/output error")
        real(source, destination)

    monkeypatch.setattr(os, "replace", rename)
    with pytest.raises(StorageError) as failed:
        replace_together(items)
    assert str(items[0].path) in failed.value.reason
    assert str(items[1].path) not in failed.value.reason
    assert not [path for path in (tmp_path / "a").iterdir() if is_temporary(path)]


def test_a_folder_that_is_named_twice_is_held_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with exclusive_together([tmp_path / "a", tmp_path / "link", tmp_path / "a"]):
        pass


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert read_before(tmp_path / "nothing") is None
    with pytest.raises(StorageError):
        read_before(tmp_path)
