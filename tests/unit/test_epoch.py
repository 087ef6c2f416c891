"""Which time an image gets."""

from pathlib import Path

import pytest

from factory.build.prepare import VARIABLE, choose_epoch, commit_epoch
from factory.errors import ImageError
from factory.process import run

COMMITTED = 1_700_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in a repository that was committed at a known time, beside one that was never."""
    for name in ("known", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "known" / "file").write_text("x")
    run(("git", "-C", tmp_path, "init", "--quiet"))
    _commit(tmp_path, COMMITTED)
    return tmp_path / "known"


def _commit(root: Path, time: int) -> None:
    git = ("git", "-C", root, "-c", "user.name=a", "-c", "user.email=a@example.com")
    date = f"@{time} +0000"
    run((*git, "add", "known"))
    run(
        (*git, "commit", "--quiet", "-m", "x"),
        environment={"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date},
    )


@pytest.mark.parametrize(
    ("variable", "newest", "expected"),
    [
        ("5", 7, 5),
        ("0", 7, 0),
        ("", 7, 7),
        (None, 7, 7),
        (None, 0, 0),
        (None, None, COMMITTED),
    ],
)
def test_the_variable_goes_before_the_lock_and_the_lock_before_the_commit(
    folder: Path, variable: str | None, newest: int | None, expected: int
) -> None:
    environment = {} if variable is None else {VARIABLE: variable}
    assert choose_epoch(environment, newest_upload=newest, folder=folder, inputs=["file"]) == expected


def test_without_any_of_them_it_is_0(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    new = folder.parent / "new"
    (new / "file").write_text("x")
    assert commit_epoch(new, ["file"]) is None
    assert commit_epoch(folder, []) is None
    assert choose_epoch({}, newest_upload=None, folder=new, inputs=["file"]) == 0
    outside = tmp_path_factory.mktemp("outside")
    assert choose_epoch({}, newest_upload=None, folder=outside, inputs=["file"]) == 0


def test_only_a_commit_that_changed_an_input_counts(folder: Path) -> None:
    (folder / "notes").write_text("no input")
    _commit(folder.parent, COMMITTED + 100)
    assert commit_epoch(folder, ["file"]) == COMMITTED
    (folder / "b*").write_text("its name is no pattern")
    (folder / "be").write_text("")
    _commit(folder.parent, COMMITTED + 200)
    (folder / "be").write_text("changed")
    _commit(folder.parent, COMMITTED + 300)
    assert commit_epoch(folder, ["file", "b*"]) == COMMITTED + 200


def test_a_shallow_clone_tells_no_time(folder: Path, tmp_path: Path) -> None:
    (folder / "notes").write_text("no input")
    _commit(folder.parent, COMMITTED + 100)
    clone = tmp_path / "shallow clone"
    run(("git", "clone", "--quiet", "--depth", "1", f"file://{folder.parent}", clone))
    assert commit_epoch(clone / "known", ["file"]) is None
    run(("git", "-C", clone, "fetch", "--quiet", "--unshallow"))
    assert commit_epoch(clone / "known", ["file"]) == COMMITTED


@pytest.mark.parametrize("value", ["now", "-1", "1.5", "\uff11"])
def test_a_variable_that_is_no_time_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ImageError, match="no time"):
        choose_epoch({VARIABLE: value}, newest_upload=None, folder=tmp_path, inputs=[])
