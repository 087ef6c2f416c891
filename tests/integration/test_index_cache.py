"""The cache of metadata: what it saves, and that it never speaks for another index or after damage."""

import gc
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.wheels import make_wheel, metadata

from factory.errors import StorageError
from factory.index.cache import MetadataCache, cache_folder
from factory.index.client import IndexClient
from factory.index.pages import IndexFile

pytestmark = pytest.mark.integration

_FILE = IndexFile(
    file_name="lib-1.0-py3-none-any.whl", url="http://a/lib", sha256="1" * 64, size=1, yanked=False
)
_INDEX = "https://index.example/simple/"


def read(index: IndexServer, cache: Path, *, of: str = "lib") -> str:
    """What the only file requires, through a client of its own."""
    with IndexClient(index.url, environment={}, cache=cache) as reader:
        (file,) = reader.project(of) or ()
        return " ".join(str(requirement) for requirement in reader.metadata(file).requires)


def asked_for_files(index: IndexServer) -> int:
    return len([request for request in index.requests if request.path.startswith("/files/")])


@pytest.mark.parametrize("served", [True, False])
def test_metadata_is_read_once(tmp_path: Path, *, served: bool) -> None:
    make_wheel(tmp_path / "files", "lib", "1.0", requires=["attrs"])
    with IndexServer(folder=tmp_path / "files", metadata=served) as index:
        assert read(index, tmp_path / "cache") == "attrs"
        before = asked_for_files(index)
        assert before > 0
        assert read(index, tmp_path / "cache") == "attrs"
        assert asked_for_files(index) == before


def test_a_file_that_is_pushed_again_is_read_again(tmp_path: Path) -> None:
    with IndexServer(folder=tmp_path / "files") as index:
        for requires in ("attrs", "numpy"):
            make_wheel(tmp_path / "files", "lib", "1.0", requires=[requires])
            assert read(index, tmp_path / "cache") == requires


def test_what_one_index_says_of_a_file_counts_for_no_other(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "files", "lib", "1.0", requires=["attrs"])
    lie = metadata("lib", "1.0", requires=["evil"])
    with (
        IndexServer(folder=tmp_path / "files", metadata=True, told_metadata={wheel.name: lie}) as liar,
        IndexServer(folder=tmp_path / "files") as index,
    ):
        assert read(liar, tmp_path / "cache") == "evil"
        assert read(index, tmp_path / "cache") == "attrs"


def test_without_a_digest_nothing_is_kept(tmp_path: Path) -> None:
    make_wheel(tmp_path / "files", "lib", "1.0")
    with IndexServer(folder=tmp_path / "files", hashes=False) as index:
        read(index, tmp_path / "cache")
        before = asked_for_files(index)
        read(index, tmp_path / "cache")
    assert asked_for_files(index) == 2 * before
    assert not (tmp_path / "cache").exists()


def test_of_what_is_large_fewer_stay(tmp_path: Path) -> None:
    cache = MetadataCache(tmp_path, most_bytes=2500)
    files = [replace(_FILE, sha256=f"{number}" * 64) for number in range(4)]
    for age, file in zip((100, 200, 300, 400), files, strict=True):
        before = set(tmp_path.iterdir())
        cache.put(_INDEX, file, b"x" * 1000)
        (entry,) = set(tmp_path.iterdir()) - before
        stamp = entry.stat().st_mtime - age
        os.utime(entry, (stamp, stamp))
    cache.trim()
    assert [cache.get(_INDEX, file) is not None for file in files] == [True, True, False, False]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda old: old[:-1], lambda old: old + b"Requires-Dist: evil\n"]
)
def test_an_entry_that_is_damaged_is_not_there(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cache = MetadataCache(tmp_path)
    cache.put(_INDEX, _FILE, b"Name: lib\n")
    assert cache.get(_INDEX, _FILE) == b"Name: lib\n"
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(damage(entry.read_bytes()))
    assert cache.get(_INDEX, _FILE) is None


def test_an_entry_that_is_not_what_the_page_announces_is_not_there(tmp_path: Path) -> None:
    cache = MetadataCache(tmp_path)
    cache.put(_INDEX, _FILE, b"Name: lib\n")
    assert cache.get(_INDEX, replace(_FILE, metadata_sha256="2" * 64)) is None


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    cache = MetadataCache(tmp_path, most_entries=2)
    files = [replace(_FILE, sha256=f"{number}" * 64) for number in range(3)]
    for age, file in zip((300, 200, 100), files, strict=True):
        before = set(tmp_path.iterdir())
        cache.put(_INDEX, file, b"x")
        (entry,) = set(tmp_path.iterdir()) - before
        stamp = entry.stat().st_mtime - age
        os.utime(entry, (stamp, stamp))
    assert cache.get(_INDEX, files[0]) == b"x"
    cache.trim()
    assert [cache.get(_INDEX, file) for file in files] == [b"x", None, b"x"]


def test_what_an_interrupted_write_left_goes_and_a_write_that_goes_on_stays(tmp_path: Path) -> None:
    old, new = tmp_path / ".x.factory-tmp", tmp_path / ".y.factory-tmp"
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    cache = MetadataCache(tmp_path)
    cache.put(_INDEX, _FILE, b"x")
    cache.trim()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_cache_that_cannot_be_written_keeps_nothing_and_disturbs_nobody(tmp_path: Path) -> None:
    make_wheel(tmp_path / "files", "lib", "1.0", requires=["attrs"])
    (tmp_path / "cache").write_text("a file where the folder is to be")
    with IndexServer(folder=tmp_path / "files") as index:
        assert read(index, tmp_path / "cache") == "attrs"


def _use(folder: Path, number: int) -> bool:
    """Write, read and trim one small cache; whether each entry that was there was right."""
    cache = MetadataCache(folder, most_entries=5)
    right = True
    for turn in range(40):
        file = replace(_FILE, sha256=f"{(turn * (number + 1)) % 10}" * 64)
        content = f"{file.sha256}\n".encode() * 500
        cache.put(_INDEX, file, content)
        right = right and cache.get(_INDEX, file) in {content, None}
        cache.trim()
    return right


def test_two_processes_share_one_cache(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.starmap(_use, [(tmp_path, 0), (tmp_path, 1)])
    assert results == [True, True]
    assert len(list(tmp_path.iterdir())) <= 5


def test_the_cache_stands_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "universal-image-factory"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "universal-image-factory"


def test_a_user_without_a_home_has_the_cache_in_a_folder_that_nobody_else_enters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache_folder() == folder
    folder.chmod(0o777)
    with pytest.raises(StorageError, match="somebody else"):
        cache_folder()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="somebody else"):
        cache_folder()


def test_an_entry_that_vanishes_while_it_is_looked_at_disturbs_nobody(tmp_path: Path) -> None:
    cache = MetadataCache(tmp_path, most_entries=1)
    for number in range(5):
        (tmp_path / f"gone-{number}").symlink_to(tmp_path / "nowhere")
    cache.put(_INDEX, _FILE, metadata("lib", "1.0"))
    cache.trim()
    # An iterator that was left open would be a warning, and a warning is an error here.
    gc.collect()
    assert cache.get(_INDEX, _FILE) is not None
