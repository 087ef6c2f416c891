"""Which time an image gets."""

from pathlib import Path

import pytest

from factory.errors import ImageError
from factory.image.epoch import VARIABLE, choose_epoch, commit_epoch
from factory.process import run

COMMITTED = 1_700_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in a repository that was committed at a known time, beside one that was never."""
    for name in ("known", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "known" / "file").write_text("x")
    git = ("git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.com")
    date = f"@{COMMITTED} +0000"
    run(("git", "-C", tmp_path, "init", "--quiet"))
    run((*git, "add", "known"))
    run(
        (*git, "commit", "--quiet", "-m", "x"),
        environment={"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date},
    )
    return tmp_path / "known"


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
    assert choose_epoch(environment, newest_upload=newest, folder=folder) == expected


def test_without_any_of_them_it_is_0(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert commit_epoch(folder.parent / "new") is None
    assert choose_epoch({}, newest_upload=None, folder=folder.parent / "new") == 0
    assert choose_epoch({}, newest_upload=None, folder=tmp_path_factory.mktemp("outside")) == 0


@pytest.mark.parametrize("value", ["now", "-1", "1.5", "\uff11"])
def test_a_variable_that_is_no_time_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ImageError, match="no time"):
        choose_epoch({VARIABLE: value}, newest_upload=None, folder=tmp_path)
