"""A journal in a repository as an attacker would write it: it moves nothing, and nothing is lost."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.transactions import OLD, commit, contents, interrupted, make

from factory.errors import JournalError, StorageError
from factory.flavor.repository import find_repository
from factory.transaction import JOURNAL_FOLDER, finish_interrupted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "flavors").mkdir(parents=True)
    return root


def _edit(journal: Path, change: Callable[[dict[str, list[dict[str, str]]]], None]) -> None:
    content = json.loads(journal.read_text())
    change(content)
    journal.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "path",
    ["../outside", "flavors/../../outside", ".git/config", "flavors/link/outside", "", "flavors/a/../../x"],
)
def test_journal_names_no_place_that_is_not_the_repositorys(
    root: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    journal = interrupted(root, monkeypatch)
    outside = root.parent / f"{root.name}-outside"
    outside.mkdir()
    (outside / "outside").write_bytes(b"old y")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"old y")
    (root / "flavors" / "link").symlink_to(outside)
    _edit(journal, lambda content: content["entries"][1].update(path=path))
    before = contents(root)
    with pytest.raises(JournalError, match="which no command changes"):
        finish_interrupted(root)
    assert contents(root) == before
    assert (outside / "outside").read_bytes() == (root / ".git" / "config").read_bytes() == b"old y"


@pytest.mark.parametrize("staged", ["/etc", "flavors", "flavors/b/.0.factory-staged", "../x", ".git"])
def test_journal_takes_files_from_its_own_folders_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, staged: str
) -> None:
    journal = interrupted(root, monkeypatch)
    _edit(journal, lambda content: content["entries"][0].update(staged=staged))
    with pytest.raises(JournalError, match="which no command changes"):
        finish_interrupted(root)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', "[" * 100_000, "\0" * 100])
def test_garbled_journal_is_said_and_nothing_is_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    journal = interrupted(root, monkeypatch)
    journal.write_text(text)
    before = contents(root)
    with pytest.raises(JournalError) as refused:
        find_repository(root, start=root)
    assert str(journal) in refused.value.reason + refused.value.solution
    assert contents(root) == before
    assert list((root / "flavors" / "a").glob(".*.factory-staged/*.old"))


@pytest.mark.parametrize("how", ["copied", "cloned"])
def test_journal_that_comes_with_a_copy_of_the_repository_moves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """As an attacker would commit it: git gives no inode and no change time."""
    interrupted(root, monkeypatch)
    copy = root.parent / f"{root.name}-copy"
    shutil.copytree(root, copy)
    if how == "cloned":
        (copy / JOURNAL_FOLDER / ".gitignore").unlink()
    before = contents(copy)
    with pytest.raises(JournalError, match="came with a copy or a clone"):
        find_repository(copy, start=copy)
    assert contents(copy) == before


def test_link_in_the_place_of_the_journals_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / JOURNAL_FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="no folder of the factory's"):
        finish_interrupted(root)
    with pytest.raises(JournalError, match="no folder of the factory's"):
        commit(root, make(root / "flavors" / "a", "x", "y"))
    assert contents(root) == OLD


def test_fifo_in_the_place_of_a_journal_hangs_nothing(root: Path) -> None:
    (root / JOURNAL_FOLDER).mkdir()
    os.mkfifo(root / JOURNAL_FOLDER / "0.json")
    with pytest.raises(StorageError):
        finish_interrupted(root)
