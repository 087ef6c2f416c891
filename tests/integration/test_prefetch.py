"""Prefetching from a real index on loopback, and everything that must make it fail."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel, sha256

from factory.errors import FactoryError, IndexAccessError, LockFileError, PrefetchError, StorageError
from factory.files import is_temporary
from factory.flavor.repository import Flavor
from factory.hermetic.layout import Layout
from factory.hermetic.partial import partial_path
from factory.hermetic.plan import Fetching
from factory.hermetic.prefetch import Prefetched, plan_prefetch, prefetch_flavor

pytestmark = pytest.mark.integration

_FETCHING = Fetching(timeout_seconds=0.3, jobs=4)


@dataclass
class Site:
    """An index with three projects, a flavor that is locked to them, and where it is prefetched to."""

    index: IndexServer
    flavor: Flavor
    wheels: list[Path]
    output: Path

    @property
    def artifacts(self) -> Path:
        return Layout(self.output).artifacts

    def prefetch(self, fetching: Fetching = _FETCHING, progress: "Counter | None" = None) -> Prefetched:
        return prefetch_flavor(self.flavor, self.output, fetching=fetching, progress=progress)

    def lock(self, *, with_names: bool = True) -> None:
        write_lock(self.flavor, self.wheels, index_url=self.index.url, with_names=with_names)

    def fails(self, fetching: Fetching = _FETCHING) -> FactoryError:
        """Prefetch, expect an error, and check what must hold after every error."""
        with pytest.raises(FactoryError) as caught:
            self.prefetch(fetching)
        right = {path.name: sha256(path) for path in self.wheels}
        for path in self.artifacts.iterdir() if self.artifacts.is_dir() else ():
            if path.name in right and not is_temporary(path):
                assert sha256(path) == right[path.name]
        assert not Layout(self.output).environment.exists()
        return caught.value


@dataclass
class Counter:
    """Progress that adds up."""

    total: int = 0
    done: int = 0
    messages: list[str] = field(default_factory=list)

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        self.done += amount
        self.messages.append(message)

    def extend(self, amount: int) -> None:
        self.total += amount


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "index"
    wheels = [
        make_wheel(folder, "torch", "2.13.0+cpu", tag="cp311-cp311-manylinux_2_28_x86_64", payload=400_000),
        make_wheel(folder, "some-lib", "1.0", payload=1000),
        make_wheel(folder, "tiny", "0.1"),
    ]
    with IndexServer(folder=folder) as index:
        flavor = make_flavor(tmp_path / "repository", index_url=index.url)
        made = Site(index=index, flavor=flavor, wheels=wheels, output=tmp_path / "prefetched")
        made.lock()
        yield made


@pytest.mark.parametrize("json_pages", [True, False])
@pytest.mark.parametrize("with_names", [True, False])
def test_the_folder_holds_exactly_the_lock(site: Site, *, json_pages: bool, with_names: bool) -> None:
    site.index.json_pages = json_pages
    make_wheel(site.index.folder, "tiny", "0.2")
    make_wheel(site.index.folder, "torch", "2.13.0+cpu", tag="cp312-cp312-manylinux_2_28_x86_64")
    site.lock(with_names=with_names)
    progress = Counter()
    done = site.prefetch(progress=progress)
    assert {path.name: sha256(path) for path in site.artifacts.iterdir()} == {
        path.name: sha256(path) for path in site.wheels
    }
    size = sum(path.stat().st_size for path in site.wheels)
    assert (done.artifacts, done.size, done.fetched, done.verified) == (3, size, 3, 0)
    assert (progress.total, progress.done) == (size, size)


def test_a_second_run_only_verifies(site: Site) -> None:
    site.prefetch()
    before = {path: path.stat().st_mtime_ns for path in site.output.rglob("*") if path.is_file()}
    site.index.requests.clear()
    done = site.prefetch()
    assert (done.fetched, done.linked, done.verified) == (0, 0, 3)
    assert site.index.requests == []
    assert {path: path.stat().st_mtime_ns for path in site.output.rglob("*") if path.is_file()} == before


def test_the_environment_serves_pip_and_uv(site: Site) -> None:
    site.prefetch()
    assert (site.output / "cachi2.env").read_text().splitlines() == [
        "export PIP_FIND_LINKS=/cachi2/output/deps/pip",
        "export PIP_NO_INDEX=true",
        "export UV_FIND_LINKS=/cachi2/output/deps/pip",
        "export UV_NO_INDEX=1",
        "export UV_OFFLINE=1",
    ]


def test_the_bill_names_every_artifact_and_does_not_change(site: Site) -> None:
    site.prefetch()
    bill = (site.output / "output" / "bom.json").read_bytes()
    document = json.loads(bill)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    digest = sha256(site.wheels[1])
    component = next(one for one in document["components"] if one["name"] == "some-lib")
    assert component["version"] == "1.0"
    assert component["hashes"] == [{"alg": "SHA-256", "content": digest}]
    purl = component["purl"]
    assert purl.startswith("pkg:pypi/some-lib@1.0?")
    assert f"checksum=sha256:{digest}" in purl
    assert f"file_name={site.wheels[1].name}" in purl
    shutil.rmtree(site.output)
    site.prefetch()
    assert (site.output / "output" / "bom.json").read_bytes() == bill


@pytest.mark.parametrize("umask", [0o077, 0o022])
def test_another_user_can_read_it_whatever_the_umask(site: Site, umask: int) -> None:
    before = os.umask(umask)
    try:
        site.prefetch()
    finally:
        os.umask(before)
    for path in (site.output, *site.output.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_local_folders_go_before_the_index_and_only_with_the_right_bytes(site: Site, tmp_path: Path) -> None:
    local = tmp_path / "wheels"
    local.mkdir()
    shutil.copy(site.wheels[0], local)
    make_wheel(local, "tiny", "0.1", salt="another build")
    done = site.prefetch(Fetching(find_links=(tmp_path / "empty", local)))
    assert (done.linked, done.fetched) == (1, 2)
    assert site.index.requested(f"/files/{site.wheels[0].name}") == []
    assert sha256(site.artifacts / site.wheels[2].name) == sha256(site.wheels[2])


def test_a_local_file_that_others_cannot_read_is_copied_so_that_they_can(site: Site, tmp_path: Path) -> None:
    local = tmp_path / "wheels"
    local.mkdir()
    private = Path(shutil.copy(site.wheels[0], local))
    private.chmod(0o600)
    site.prefetch(Fetching(find_links=(local,)))
    assert (site.artifacts / private.name).stat().st_mode & 0o777 == 0o644
    assert private.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("with_index", [True, False])
def test_the_machines_folders_serve_flavors_of_the_public_index_only(
    site: Site, tmp_path: Path, *, with_index: bool
) -> None:
    url = site.index.url if with_index else None
    flavor = make_flavor(tmp_path / "other", index_url=url)
    write_lock(flavor, site.wheels, index_url=url)
    done = prefetch_flavor(flavor, site.output, fetching=Fetching(public_find_links=(site.index.folder,)))
    assert (done.linked, done.fetched) == ((0, 3) if with_index else (3, 0))


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_gone_on_with(site: Site, *, ranges: bool) -> None:
    torch = site.wheels[0]
    site.index.ranges = ranges
    site.artifacts.mkdir(parents=True)
    partial = partial_path(site.artifacts, torch.name, sha256(torch))
    partial.write_bytes(torch.read_bytes()[:150_000])
    progress = Counter()
    assert site.prefetch(progress=progress).fetched == 3
    assert site.index.requested(f"/files/{torch.name}")[0].headers["Range"] == "bytes=150000-"
    assert [path.name for path in site.artifacts.iterdir() if is_temporary(path)] == []
    assert progress.done == progress.total


def test_a_partial_of_something_else_is_fetched_again_from_nothing(site: Site) -> None:
    torch = site.wheels[0]
    site.artifacts.mkdir(parents=True)
    partial_path(site.artifacts, torch.name, sha256(torch)).write_bytes(b"x" * 1000)
    (site.artifacts / ".gone-1.0-py3-none-any.whl.0123456789abcdef.factory-tmp").write_bytes(b"old")
    assert site.prefetch().fetched == 3
    assert sha256(site.artifacts / torch.name) == sha256(torch)
    assert len(list(site.artifacts.iterdir())) == 3


def test_a_connection_that_breaks_within_a_run_is_gone_on_with(site: Site) -> None:
    torch = site.wheels[0]
    site.index.fault(f"/files/{torch.name}", Fault(close_after=100_000, times=2))
    site.prefetch()
    assert sha256(site.artifacts / torch.name) == sha256(torch)
    ranges = [request.headers.get("Range") for request in site.index.requested(f"/files/{torch.name}")]
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("fault", [Fault(wrong_bytes=True), Fault(truncate=1000)])
@pytest.mark.parametrize("hashes", [True, False])
def test_wrong_bytes_are_refused_and_not_kept(site: Site, fault: Fault, *, hashes: bool) -> None:
    torch = site.wheels[0]
    site.index.hashes = hashes
    site.index.fault(f"/files/{torch.name}", fault)
    error = site.fails()
    assert isinstance(error, PrefetchError)
    assert re.search(rf"{re.escape(torch.name)}: the index sent sha256:\w+, and the lock says", error.reason)
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
    assert "tells no digests, and the lock no file name" in site.fails().reason


def test_an_extra_file_is_refused_named_and_left_alone(site: Site) -> None:
    site.artifacts.mkdir(parents=True)
    (site.artifacts / "mine.txt").write_text("precious")
    (site.artifacts / "folder").mkdir()
    (site.artifacts / "tiny-0.1-py3-none-any.whl").symlink_to(site.wheels[2])
    error = site.fails()
    for name in ("mine.txt", "folder", "tiny-0.1-py3-none-any.whl"):
        assert f"{site.artifacts / name} is not in the lock" in error.reason
    assert (site.artifacts / "mine.txt").read_text() == "precious"
    assert (site.artifacts / "folder").is_dir()


def test_a_file_that_went_bad_is_fetched_again_and_reported(site: Site) -> None:
    site.prefetch()
    broken = site.artifacts / site.wheels[1].name
    broken.write_bytes(b"bit rot")
    done = site.prefetch()
    assert done.replaced == (broken.name,)
    assert (done.verified, done.fetched) == (2, 1)
    broken.write_bytes(b"bit rot")
    site.index.fault("/files/" + broken.name, Fault(wrong_bytes=True))
    site.fails()
    assert not broken.exists()


def test_files_of_an_earlier_lock_are_removed_and_only_those(site: Site) -> None:
    site.prefetch()
    old = site.wheels[2]
    site.wheels[2] = make_wheel(site.index.folder, "tiny", "0.2")
    site.lock()
    done = site.prefetch()
    assert done.removed == (old.name,)
    assert {path.name for path in site.artifacts.iterdir()} == {path.name for path in site.wheels}
    (site.artifacts / old.name).write_bytes(b"not what we fetched")
    with pytest.raises(PrefetchError, match=old.name):
        site.prefetch()


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


def test_a_public_flavor_asks_the_index_that_the_machine_is_set_up_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", site.index.url)
    flavor = make_flavor(tmp_path / "public", index_url=None)
    write_lock(flavor, site.wheels, index_url=None)
    assert prefetch_flavor(flavor, site.output).fetched == 3


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(site: Site, tmp_path: Path) -> None:
    local = tmp_path / "wheels"
    local.mkdir()
    shutil.copy(site.wheels[2], local)
    planned = plan_prefetch(site.flavor, site.output, fetching=Fetching(find_links=(local,)))
    assert not site.output.exists()
    assert {one.artifact: (one.source, one.size) for one in planned} == {
        path.name: (
            str(local / path.name) if path == site.wheels[2] else f"{site.index.root}/files/{path.name}",
            path.stat().st_size,
        )
        for path in site.wheels
    }


def test_a_flavor_without_a_lock_is_an_error(site: Site) -> None:
    (site.flavor.folder / "requirements.txt").unlink()
    assert isinstance(site.fails(), LockFileError)
    assert not site.output.exists()


_HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["tiny==0.1"], "line 2: tiny==0.1 has no sha256 hash"),
        ([f"tiny>=0.1 {_HASH}"], "line 2: tiny>=0.1 is not pinned"),
        ([f"tiny==0.1 {_HASH}", f"Tiny==0.2 {_HASH}"], "line 3: tiny is pinned on line 2 already"),
        (["what is this?"], "line 2 is no requirement"),
        ([f"tiny==0.1 {_HASH}", "--extra-index-url http://other.example/"], "--extra-index-url has no place"),
        ([], "pins nothing"),
        ([f"tiny==0.1 {_HASH}", "    # big-0.1.tar.gz"], "big-0.1.tar.gz is no file of tiny"),
        ([f"tiny==0.1 {_HASH}", "    # ../tiny-0.1.tar.gz"], "../tiny-0.1.tar.gz is no file of tiny"),
        (
            [f"tiny==0.1 {_HASH} {_HASH.replace('0', '1')}", *["    # tiny-0.1.tar.gz"] * 2],
            "tiny-0.1.tar.gz is locked with 2 different hashes",
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


@pytest.mark.parametrize(
    ("line", "spec_has_one", "message"),
    [
        ("", True, "has no --index-url line"),
        ("--index-url http://other.example/simple/", True, "names another index than the spec"),
        ("--index-url http://other.example/simple/", False, "the spec has no index-url"),
        ("-i {url}\n--index-url={url}", True, "names 2 indexes"),
    ],
)
def test_the_locks_index_must_be_the_specs(
    site: Site, tmp_path: Path, line: str, message: str, *, spec_has_one: bool
) -> None:
    site.flavor = make_flavor(tmp_path / "other", index_url=site.index.url if spec_has_one else None)
    lock = write_lock(site.flavor, site.wheels, index_url=None)
    lock.write_text(line.format(url=site.index.url) + "\n" + lock.read_text())
    assert message in site.fails().reason


def test_a_stale_lock_is_told(site: Site) -> None:
    assert not site.prefetch().stale_lock
    lock = site.flavor.folder / "requirements.txt"
    lock.write_text(f"# inputs: sha256:{'0' * 64}\n" + lock.read_text())
    assert site.prefetch().stale_lock


def test_a_full_disk_is_an_error_that_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.prefetch()
    (site.artifacts / site.wheels[0].name).unlink()
    real = os.fdopen

    def full(descriptor: int, mode: str, *, buffering: int) -> object:
        os.close(descriptor)
        return real(os.open("/dev/full", os.O_RDWR), mode, buffering=buffering)

    # A file system that is full cannot be had without root; /dev/full refuses writes as one does.
    monkeypatch.setattr("factory.hermetic.partial.os.fdopen", full)
    monkeypatch.setattr("factory.hermetic.partial._BLOCK", 0)
    error = site.fails()
    assert isinstance(error, StorageError)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.ENOSPC
    assert "no space is left" in error.reason
