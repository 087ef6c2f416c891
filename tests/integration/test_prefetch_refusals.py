"""Everything that must make a prefetch fail, and what it leaves behind then."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.prefetch_site import Site, prefetch_site
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel, sha256

from factory.errors import IndexAccessError, LockFileError, PrefetchError, StorageError
from factory.prefetch.prefetch import plan_prefetch

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with prefetch_site(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("fault", "sizes", "message"),
    [
        (Fault(wrong_bytes=True), True, r"the index sent sha256:\w+, and the lock says"),
        (
            Fault(truncate=1000),
            True,
            "is cut short: it has 1,000 bytes, and the index says 401,",
        ),
        (Fault(truncate=1000), False, r"the index sent sha256:\w+, .*; what it sent is no whole wheel"),
    ],
)
@pytest.mark.parametrize("hashes", [True, False])
def test_wrong_bytes_are_refused_and_not_kept(
    site: Site, fault: Fault, message: str, *, sizes: bool, hashes: bool
) -> None:
    torch = site.wheels[0]
    site.index.hashes, site.index.sizes = hashes, sizes
    site.index.fault(f"/files/{torch.name}", fault)
    error = site.fails()
    assert isinstance(error, PrefetchError)
    assert re.search(rf"{re.escape(torch.name)}: .*{message}", error.reason)
    assert [path.name for path in site.artifacts.iterdir() if torch.name in path.name] == []
    site.index.fault(f"/files/{torch.name}", None)
    assert site.prefetch().verified == 2


def test_a_push_again_is_told_apart_from_wrong_bytes_before_anything_is_fetched(site: Site) -> None:
    before = sha256(site.wheels[1])
    site.index.fault("/simple/tiny/", Fault(status=404))
    make_wheel(site.index.folder, "some-lib", "1.0", salt="pushed again")
    error = site.fails()
    assert isinstance(error, PrefetchError)
    assert "some_lib-1.0-py3-none-any.whl: the index was pushed again" in error.reason
    assert before in error.reason
    assert sha256(site.wheels[1]) in error.reason
    assert f"{site.index.url} has no project tiny" in error.reason
    assert list(site.artifacts.iterdir()) == []


def test_a_file_that_is_gone_is_named(site: Site) -> None:
    site.wheels[1].rename(site.index.folder / "some_lib-2.0-py3-none-any.whl")
    site.wheels.pop(1)
    error = site.fails()
    assert f"some_lib-1.0-py3-none-any.whl is not on {site.index.url}" in error.reason
    assert "--find-links" in error.solution


def test_a_file_that_is_listed_and_not_there_is_named(site: Site) -> None:
    site.index.fault(f"/files/{site.wheels[1].name}", Fault(status=404))
    assert "some_lib-1.0-py3-none-any.whl is on its project's page, and not" in site.fails().reason


def test_without_digests_and_names_nothing_is_guessed(site: Site) -> None:
    site.index.hashes = False
    site.lock(with_names=False)
    assert "gives no digests, and the lock no file name" in site.fails().reason


def test_an_extra_file_is_refused_named_and_left_alone(site: Site) -> None:
    site.artifacts.mkdir(parents=True)
    (site.artifacts / "mine.txt").write_text("precious")
    (site.artifacts / "folder").mkdir()
    (site.artifacts / "tiny-0.1-py3-none-any.whl").symlink_to(site.wheels[2])
    error = site.fails()
    for name, why in (
        ("mine.txt", "not in the lock"),
        ("folder", "a folder"),
        ("tiny-0.1-py3-none-any.whl", "a symbolic link"),
    ):
        assert f"{site.artifacts / name} is {why}" in error.reason
    assert (site.artifacts / "mine.txt").read_text() == "precious"
    assert (site.artifacts / "folder").is_dir()


def _overwritten(path: Path) -> None:
    path.write_bytes(b"evil")


def _joined_by_another(path: Path) -> None:
    path.with_name("mine.txt").write_text("precious")


@pytest.mark.parametrize("spoil", [_overwritten, Path.unlink, _joined_by_another])
@pytest.mark.parametrize("fault", [Fault(status=404), Fault(hang=True), Fault(status=403)])
def test_a_folder_that_was_complete_and_is_spoilt_is_none_whatever_the_index_does(
    site: Site, spoil: Callable[[Path], None], fault: Fault
) -> None:
    site.prefetch()
    spoil(site.artifacts / site.wheels[1].name)
    site.index.fault("/simple/some-lib/", fault)
    site.fails()
    rest = {site.wheels[0].name, site.wheels[2].name}
    found = {path.name for path in site.artifacts.iterdir()}
    assert found - {"mine.txt", site.wheels[1].name} == rest
    if "mine.txt" in found:
        assert (site.artifacts / "mine.txt").read_text() == "precious"
        (site.artifacts / "mine.txt").unlink()
    site.index.fault("/simple/some-lib/", None)
    assert site.prefetch().verified == len(found & {path.name for path in site.wheels})
    assert (site.output / "cachi2.env").is_file()


def test_a_dry_run_on_a_spoilt_folder_changes_nothing(site: Site) -> None:
    site.prefetch()
    (site.artifacts / site.wheels[1].name).write_bytes(b"evil")
    before = {path: path.read_bytes() for path in site.output.rglob("*") if path.is_file()}
    site.index.fault("/simple/some-lib/", Fault(status=404))
    with pytest.raises(PrefetchError):
        plan_prefetch(site.flavor, site.output)
    assert {path: path.read_bytes() for path in site.output.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_an_access_error_and_credentials_from_netrc_pass(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    site.index.fault("/simple/tiny/", Fault(status=status))
    error = site.fails()
    assert isinstance(error, IndexAccessError)
    assert f"refuses access (HTTP {status})" in error.reason
    site.index.fault("/simple/tiny/", None)
    site.index.credentials = ("me", "s3cret")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert site.prefetch().fetched == 3


@pytest.mark.parametrize(
    "path", ["/simple/torch/", "/files/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"]
)
def test_an_index_that_hangs_ends_in_an_error(site: Site, path: str) -> None:
    site.index.fault(path, Fault(hang=True))
    error = site.fails()
    assert isinstance(error, IndexAccessError)
    assert "did not answer in time" in error.reason


def test_every_wrong_download_is_reported_in_one_error(site: Site) -> None:
    site.index.fault(f"/files/{site.wheels[0].name}", Fault(wrong_bytes=True))
    site.index.fault(f"/files/{site.wheels[1].name}", Fault(status=404))
    site.index.fault(f"/files/{site.wheels[2].name}", Fault(status=403))
    error = site.fails()
    assert isinstance(error, PrefetchError)
    assert all(path.name in error.reason for path in site.wheels)
    assert len(error.reason.splitlines()) == 4


def test_a_private_flavor_never_asks_another_index(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = site.wheels.pop(2)
    shutil.copytree(site.index.folder, tmp_path / "public")
    missing.unlink()
    with IndexServer(folder=tmp_path / "public") as public:
        for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX"):
            monkeypatch.setenv(name, public.url)
        assert "has no project tiny" in site.fails().reason
        assert public.requests == []


def test_a_flavor_without_a_lock_is_an_error(site: Site) -> None:
    (site.flavor.folder / "requirements.txt").unlink()
    assert isinstance(site.fails(), LockFileError)
    assert not site.output.exists()


_HASH = "--hash=sha256:" + "0" * 64
_UNFIT = "fits no platform of the flavor, or is not of tiny==0.1"
_OTHER = "--extra-index-url http://other.example/"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["tiny==0.1"], "requirements.txt line 2: tiny==0.1 has no SHA-256"),
        ([f"tiny>=0.1 {_HASH}"], "line 2: tiny>=0.1 is not pinned"),
        (
            [f"tiny==0.1 {_HASH}", f"Tiny==0.2 {_HASH}"],
            "line 3: Tiny==0.2 is locked a second time, after tiny==0.1 in line 2",
        ),
        (["what is this?"], "line 2: 'what is this?' is no requirement"),
        ([f"tiny==0.1 {_HASH}", _OTHER], f"line 3: Hermeto refuses `{_OTHER}`"),
        ([f"tiny==0.1 {_HASH}", "    # big-0.1.tar.gz"], f"big-0.1.tar.gz {_UNFIT}"),
        ([f"tiny==0.1 {_HASH}", "    # ../tiny-0.1.tar.gz"], f"../tiny-0.1.tar.gz {_UNFIT}"),
        (
            [f"tiny==0.1 {_HASH} {_HASH.replace('0', '1')}", *["    # tiny-0.1.tar.gz"] * 2],
            "tiny-0.1.tar.gz is locked with 2 hashes",
        ),
    ],
)  # fmt: skip
def test_a_lock_that_cannot_be_fetched_as_it_stands_is_refused(
    site: Site, lines: list[str], message: str
) -> None:
    text = "\n".join([f"--index-url {site.index.url}", *lines])
    (site.flavor.folder / "requirements.txt").write_text(text + "\n")
    error = site.fails()
    assert isinstance(error, PrefetchError)
    assert message in error.reason
    assert site.index.requests == []


def test_a_lock_of_nothing_is_refused_where_the_project_requires_something(
    site: Site, tmp_path: Path
) -> None:
    flavor = make_flavor(tmp_path / "other", index_url=site.index.url, dependencies=["tiny"])
    write_lock(flavor, [], index_url=site.index.url)
    site.flavor = flavor
    assert "the dependency tiny is not in the lock" in site.fails().reason


@pytest.mark.parametrize(
    ("line", "spec_has_one", "message"),
    [
        ("", True, "the line `--index-url"),
        (
            "--index-url http://other.example/simple/",
            True,
            "the lock names the index http://other.example/simple/, and the spec http",
        ),
        (
            "--index-url http://other.example/simple/",
            False,
            "the lock names the index http://other.example/simple/, and the spec none",
        ),
        ("-i {url}\n--index-url={url}", True, "a second index, after the one of line 1"),
    ],
)
def test_the_locks_index_must_be_the_specs(
    site: Site, tmp_path: Path, line: str, message: str, *, spec_has_one: bool
) -> None:
    site.flavor = make_flavor(tmp_path / "other", index_url=site.index.url if spec_has_one else None)
    lock = write_lock(site.flavor, site.wheels, index_url=None)
    lock.write_text(line.format(url=site.index.url) + "\n" + lock.read_text())
    assert message in site.fails().reason


def test_a_full_disk_is_an_error_that_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.prefetch()
    (site.artifacts / site.wheels[0].name).unlink()
    real = os.fdopen

    def full(descriptor: int, mode: str, *, buffering: int = -1) -> object:
        if mode != "r+b":
            return real(descriptor, mode, buffering=buffering)
        os.close(descriptor)
        return real(os.open("/dev/full", os.O_RDWR), mode, buffering=buffering)

    # A file system that is full cannot be had without root; /dev/full refuses writes as one does.
    monkeypatch.setattr("factory.prefetch.download.os.fdopen", full)
    monkeypatch.setattr("factory.prefetch.download._BLOCK", 0)
    error = site.fails()
    assert isinstance(error, StorageError)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.ENOSPC
    assert "no space is left" in error.reason
