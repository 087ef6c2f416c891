"""Folders of wheels: what uv is shown, and whose digest goes into the lock."""

import zipfile
from pathlib import Path

import pytest
from support.wheels import make_wheel, sha256

from factory.errors import IndexContentError, NotFoundError
from factory.lock.find_links import WheelFolder, folders_in_environment, open_wheel_folder


def opened(source: Path, cache: Path) -> WheelFolder:
    return open_wheel_folder(source, python="3.12", platforms=("linux/amd64",), glibc="2.34", cache=cache)


def test_uv_is_shown_the_metadata_and_the_lock_gets_the_real_digest(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "aa", "1.0", requires=["bb>=2"], payload=100_000)
    folder = opened(tmp_path / "wheels", tmp_path / "cache")
    shown = folder.shown / wheel.name
    assert shown.stat().st_size < 2_000
    with zipfile.ZipFile(shown) as archive:
        assert b"Requires-Dist: bb>=2" in archive.read("aa-1.0.dist-info/METADATA")
        assert archive.read("aa-1.0.dist-info/RECORD")
    assert folder.sha256(wheel.name) == sha256(wheel)
    assert folder.sha256(wheel.name) == sha256(wheel)


def test_wheels_of_other_platforms_are_not_shown(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "aa", "1.0", tag="cp312-cp312-win_amd64")
    kept = make_wheel(tmp_path / "wheels", "aa", "1.0", tag="cp312-cp312-linux_x86_64")
    (tmp_path / "wheels" / "README.txt").write_text("not a wheel")
    folder = opened(tmp_path / "wheels", tmp_path / "cache")
    assert [path.name for path in folder.shown.iterdir()] == [kept.name]


def test_a_wheel_that_is_replaced_is_read_and_hashed_anew(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "aa", "1.0", salt="1")
    first = opened(tmp_path / "wheels", tmp_path / "cache")
    first_digest = first.sha256(wheel.name)
    make_wheel(tmp_path / "wheels", "aa", "1.0", salt="2")
    second = opened(tmp_path / "wheels", tmp_path / "cache")
    assert second.shown != first.shown
    assert second.sha256(wheel.name) == sha256(wheel) != first_digest


def test_a_wheel_that_is_taken_away_is_shown_no_more(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "aa", "1.0")
    make_wheel(tmp_path / "wheels", "aa", "2.0")
    opened(tmp_path / "wheels", tmp_path / "cache")
    wheel.unlink()
    shown = opened(tmp_path / "wheels", tmp_path / "cache").shown
    assert [path.name for path in shown.iterdir()] == ["aa-2.0-py3-none-any.whl"]


@pytest.mark.parametrize("content", [b"no archive", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_wheel_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "aa-1.0-py3-none-any.whl").write_bytes(content)
    with pytest.raises(IndexContentError, match=r"aa-1\.0-py3-none-any\.whl is not a valid wheel"):
        opened(tmp_path, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "find-links").iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        opened(tmp_path / "nowhere", tmp_path / "cache")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ()),
        ({"UV_FIND_LINKS": "/a,/b"}, ("/a", "/b")),
        ({"UV_FIND_LINKS": "/a", "PIP_FIND_LINKS": "/b"}, ("/a",)),
        ({"UV_FIND_LINKS": "", "PIP_FIND_LINKS": "/b /c"}, ("/b", "/c")),
        ({"PIP_FIND_LINKS": "https://example.com/wheels file:///b"}, ("/b",)),
    ],
)
def test_folders_in_the_environment(variables: dict[str, str], expected: tuple[str, ...]) -> None:
    assert folders_in_environment(variables) == tuple(map(Path, expected))
