"""``factory lock --verify``: whether every locked file is still on its index, as it was locked."""

import json
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.locks import resealed
from support.wheels import make_wheel, sha256
from support.workshop import ACCESS, Run, Workshop

from factory.lock.lockfile import LOCK_FILE

pytestmark = pytest.mark.integration

_X86 = "cp312-cp312-manylinux_2_28_x86_64"


@pytest.fixture
def locked(workshop: Workshop) -> Path:
    """A flavor that pins aa and bb, locked."""
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb"])
    make_wheel(workshop.pushed, "bb", "1.0", tag=_X86)
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    return folder


def _findings(run: Run) -> list[dict[str, object]]:
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    return [finding for flavor in flavors for finding in flavor["findings"]]


def _kinds(run: Run) -> list[tuple[object, object]]:
    return [(finding["kind"], finding["file_name"] or finding["package"]) for finding in _findings(run)]


def test_a_lock_whose_files_are_all_there_passes_without_a_resolution(
    workshop: Workshop, locked: Path
) -> None:
    make_wheel(workshop.pushed, "bb", "2.0")
    before = len(workshop.index.requests)
    run = workshop.lock(locked.name, "--verify")
    assert run.status == 0, run.out
    assert "as it was locked, 2 of 2 artifacts verified" in run.out
    paths = [request.path for request in workshop.index.requests[before:]]
    assert sorted(paths) == ["/simple/aa/", "/simple/bb/"]


def test_a_push_under_the_same_version_is_told_file_by_file(workshop: Workshop, locked: Path) -> None:
    old = {path.name: sha256(path) for path in workshop.pushed.iterdir()}
    aa = make_wheel(workshop.pushed, "aa", "1.0", requires=["bb"], salt="again")
    bb = make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    run = workshop.lock(locked.name, "--verify")
    assert run.status == 1
    for path in (aa, bb):
        assert f"re-pushed: {path.name}" in run.out
        assert f"locked sha256:{old[path.name]}\n    now    sha256:{sha256(path)}" in run.out
    assert f"factory rehash {locked.name}" in run.out
    assert _kinds(workshop.lock(locked.name, "--verify", "--json")) == [
        ("re-pushed", aa.name),
        ("re-pushed", bb.name),
    ]


def test_what_is_gone_is_told_as_a_file_a_version_or_a_project(workshop: Workshop) -> None:
    for name in ("aa", "bb", "cc"):
        make_wheel(workshop.pushed, name, "1.0", tag=_X86)
    folder = workshop.flavor("aa", "bb", "cc")
    workshop.locked(folder)
    for path in workshop.pushed.iterdir():
        path.unlink()
    make_wheel(workshop.pushed, "aa", "1.0", tag="cp312-cp312-manylinux_2_28_aarch64")
    make_wheel(workshop.pushed, "bb", "2.0", tag=_X86)
    run = workshop.lock(folder.name, "--verify", "--json")
    assert run.status == 1
    assert _kinds(run) == [
        ("file gone", f"aa-1.0-{_X86}.whl"),
        ("version gone", "bb"),
        ("project gone", "cc"),
    ]


def test_an_index_without_digests_cannot_verify(workshop: Workshop, locked: Path) -> None:
    workshop.index.hashes = False
    run = workshop.lock(locked.name, "--verify")
    assert run.status == 1
    assert run.out.count("cannot be verified") == 2
    assert "gives no digest of aa-1.0-py3-none-any.whl" in run.out
    assert "0 of 2 artifacts verified" in run.out


def test_a_yanked_file_is_a_warning(workshop: Workshop, locked: Path) -> None:
    workshop.index.yanked = frozenset({"aa-1.0-py3-none-any.whl"})
    run = workshop.lock(locked.name, "--verify")
    assert run.status == 0
    assert "warning: yanked: aa-1.0-py3-none-any.whl" in run.out


def test_a_lock_without_hashes_does_not_pass(workshop: Workshop, locked: Path) -> None:
    lock = locked / LOCK_FILE
    lines = [line for line in lock.read_text().splitlines() if "--hash" not in line]
    lock.write_text("\n".join(line.removesuffix(" \\") for line in lines) + "\n")
    run = workshop.lock(locked.name, "--verify", "--json")
    assert run.status == 1
    assert _kinds(run) == [("no hash", "aa"), ("no hash", "bb"), ("edited", None)]


def test_a_lock_without_file_names_is_verified_by_its_digests(workshop: Workshop, locked: Path) -> None:
    lock = locked / LOCK_FILE
    lines = lock.read_text().splitlines(keepends=True)
    lock.write_text(resealed("".join(line for line in lines if ".whl" not in line)))
    assert workshop.lock(locked.name, "--verify").status == 0
    pushed = make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    run = workshop.lock(locked.name, "--verify", "--json")
    assert [(item["kind"], item["package"], item["found"]) for item in _findings(run)] == [
        ("re-pushed", "bb", [sha256(pushed)])
    ]


def test_a_lock_that_names_another_index_is_a_finding_and_only_the_specs_is_asked(
    workshop: Workshop, locked: Path, tmp_path: Path
) -> None:
    make_wheel(tmp_path / "other", "aa", "1.0")
    with IndexServer(folder=tmp_path / "other") as other:
        lock = locked / LOCK_FILE
        lock.write_text(lock.read_text().replace(workshop.index.url, other.url))
        run = workshop.lock(locked.name, "--verify")
        assert run.status == 1
        assert f"requirements.txt names {other.url}, and the spec {workshop.index.url}" in run.out
        assert not other.requests


def test_what_came_from_a_folder_is_said_not_to_be_verified_unless_the_folder_is_given(
    workshop: Workshop, tmp_path: Path
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["tt"])
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "tt", "2.0+cpu")
    folder = workshop.flavor("aa")
    assert workshop.lock(folder.name, "--find-links", str(wheels)).status == 0
    run = workshop.lock(folder.name, "--verify")
    assert run.status == 0
    assert "not verified, since they came from a folder of wheels and not from the index: tt" in run.out
    assert "1 of 2 artifacts verified" in run.out
    assert not workshop.index.requested("/simple/tt/")[1:]
    given = workshop.lock(folder.name, "--verify", "--find-links", str(wheels))
    assert given.status == 0
    assert "2 of 2 artifacts verified" in given.out
    make_wheel(wheels, "tt", "2.0+cpu", salt="again")
    again = workshop.lock(folder.name, "--verify", "--find-links", str(wheels))
    assert again.status == 1
    assert "re-pushed: tt-2.0+cpu-py3-none-any.whl" in again.out


def test_each_project_is_asked_for_once_over_all_flavors(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "aa", "2.0")
    workshop.locked(workshop.flavor("aa<2", name="first"))
    workshop.locked(workshop.flavor("aa", name="second"))
    before = len(workshop.index.requested("/simple/aa/"))
    assert workshop.lock("--all", "--verify").status == 0
    assert len(workshop.index.requested("/simple/aa/")) == before + 1


def test_a_flavor_that_is_not_locked_does_not_hide_the_others(workshop: Workshop, locked: Path) -> None:
    workshop.flavor("aa", name="unlocked")
    make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    run = workshop.lock("--all", "--verify")
    assert run.status == 16
    assert "unlocked: not verified (LockFileError)" in run.out
    assert f"{locked.name}: 1 finding" in run.out


@pytest.mark.parametrize("status", [401, 403])
def test_an_index_that_refuses_is_not_one_where_everything_is_gone(
    workshop: Workshop, locked: Path, status: int
) -> None:
    for name in ("aa", "bb"):
        workshop.index.fault(f"/simple/{name}/", Fault(status=status))
    run = workshop.lock(locked.name, "--verify")
    assert run.status == ACCESS
    assert "gone" not in run.out


def test_a_pipeline_is_told_in_one_line_whatever_the_index_does(workshop: Workshop, locked: Path) -> None:
    words = (locked.name, "--verify", "--format", "test-output")
    runs = [workshop.lock(*words)]
    make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    runs.append(workshop.lock(*words))
    workshop.index.fault("/simple/bb/", Fault(status=403))
    runs.append(workshop.lock(*words))
    told = [json.loads(line) for run in runs for line in run.out.splitlines()]
    assert [run.status for run in runs] == [0, 1, 19]
    assert [line["result"] for line in told] == ["SUCCESS", "FAILURE", "ERROR"]
    assert [(line["successes"], line["failures"]) for line in told[:2]] == [(2, 0), (1, 1)]
    assert all(line["note"].startswith(f"{locked.name}: ") for line in told)
    assert f"re-pushed: bb-1.0-{_X86}.whl" in told[1]["note"]
    assert "re-pushed" in runs[1].err, "the log has more than the line"
