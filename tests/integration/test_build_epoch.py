"""``factory build --epoch``: the time that a build gives its files, for a builder that is not ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository

from factory.errors import ImageError, LockFileError, NotFoundError
from factory.lock.lockfile import LOCK_FILE

pytestmark = pytest.mark.integration

# 2026-01-31 12:00:00 and a second later, UTC.
NEWEST = 1769860801


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose lock tells two upload times."""
    repository = make_repository(tmp_path)
    flavor = make_flavor(repository)
    path = flavor.folder / LOCK_FILE
    text = path.read_text(encoding="utf-8")
    for name, time in (("numpy-2.4.1-cp312-cp312-manylinux_2_28_x86_64.whl", "2026-01-31T12:00:01Z"),
                       ("urllib3-2.6.2-py3-none-any.whl", "2026-01-31T12:00:00Z")):  # fmt: skip
        assert name in text
        text = text.replace(name, f"{name}, 1000 bytes, {time}")
    path.write_text(text, encoding="utf-8")
    return repository.root


def _epoch(root: Path, *words: str, said: str = "", status: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "FACTORY_ENGINE"}
    done = subprocess.run(
        [sys.executable, "-m", "factory", "--root", root, "build", "--epoch", *words],
        env={**environment, "SOURCE_DATE_EPOCH": said},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_the_newest_upload_of_the_lock_is_the_time(root: Path) -> None:
    assert _epoch(root, NAME) == f"{NEWEST}\n"
    assert json.loads(_epoch(root, "--json", NAME)) == {"epoch": NEWEST}


def test_the_variable_comes_first(root: Path) -> None:
    assert _epoch(root, NAME, said="17") == "17\n"


def test_a_variable_that_is_no_time_is_refused(root: Path) -> None:
    assert "SOURCE_DATE_EPOCH is 'noon'" in _epoch(root, NAME, said="noon", status=ImageError.exit_code)


def test_an_image_that_is_not_there_or_not_locked_has_no_time(root: Path) -> None:
    _epoch(root, "th01-none", status=NotFoundError.exit_code)
    (root / "flavors" / NAME / LOCK_FILE).unlink()
    _epoch(root, NAME, status=LockFileError.exit_code)


@pytest.mark.parametrize("names", [(), (NAME, NAME)])
def test_the_time_is_that_of_one_image(root: Path, names: tuple[str, ...]) -> None:
    assert "--epoch goes with one IMAGE" in _epoch(root, *names, status=2)
