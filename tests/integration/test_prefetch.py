"""Prefetching from a real index on loopback: what comes to stand in the folder, and from where."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.index_server import Fault
from support.prefetch_site import Counter, Site, prefetch_site
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel, sha256

from factory.errors import PrefetchError
from factory.files import is_temporary
from factory.flavor.repository import Flavor
from factory.prefetch.download import partial_name
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import plan_prefetch, prefetch_flavor

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with prefetch_site(tmp_path) as made:
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


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_never_writes_into_a_file_that_has_another_name_too(
    site: Site, tmp_path: Path, *, ranges: bool
) -> None:
    torch = site.wheels[0]
    users = Path(shutil.copy(torch, tmp_path))
    users.chmod(0o664)
    site.index.ranges = ranges
    site.index.fault(f"/files/{torch.name}", Fault(wrong_bytes=True))
    site.artifacts.mkdir(parents=True)
    os.link(users, site.artifacts / partial_name(torch.name, sha256(torch)))
    site.fails()
    assert sha256(users) == sha256(torch)
    assert users.stat().st_mode & 0o777 == 0o664
    assert users.stat().st_nlink == 1


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
    partial = site.artifacts / partial_name(torch.name, sha256(torch))
    partial.write_bytes(torch.read_bytes()[:150_000])
    progress = Counter()
    assert site.prefetch(progress=progress).fetched == 3
    assert site.index.requested(f"/files/{torch.name}")[0].headers["Range"] == "bytes=150000-"
    assert [path.name for path in site.artifacts.iterdir() if is_temporary(path)] == []
    assert progress.done == progress.total


def test_a_partial_of_something_else_is_fetched_again_from_nothing(site: Site) -> None:
    torch = site.wheels[0]
    site.artifacts.mkdir(parents=True)
    (site.artifacts / partial_name(torch.name, sha256(torch))).write_bytes(b"x" * 1000)
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


def test_a_project_that_requires_nothing_gives_an_empty_folder_that_is_complete(site: Site) -> None:
    site.prefetch()
    site.wheels = []
    site.lock()
    site.index.requests.clear()
    done = site.prefetch()
    assert (done.artifacts, done.size, len(done.removed)) == (0, 0, 3)
    assert list(site.artifacts.iterdir()) == []
    assert (site.output / "cachi2.env").is_file()
    assert site.index.requests == []


def test_a_stale_lock_is_refused_unless_the_spec_waives_that(site: Site) -> None:
    project = site.flavor.folder / "pyproject.toml"
    locked = project.read_text()
    changed = locked.replace("dependencies = []", 'dependencies = ["tiny>=0.1"]')
    waiver = '\n[[tool.factory.waivers]]\nfinding = "FAC321"\nreason = "a test"\nexpires = 2100-01-01\n'

    def with_project(text: str) -> Site:
        project.write_text(text)
        return replace(site, flavor=Flavor(site.flavor.folder))

    reason = with_project(changed).fails().reason
    assert "requirements.txt: pyproject.toml has changed since the lock was made (FAC321)" in reason
    assert with_project(changed + waiver).prefetch().stale_lock
    assert not with_project(locked).prefetch().stale_lock
