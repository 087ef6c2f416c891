"""``factory bump`` with real uv and an index on loopback: what is edited, locked and refused."""

import threading
import time
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.upkeep import FIRST, SECOND, THIRD, make_three, outcome, tree
from support.wheels import make_sdist, make_wheel
from support.workshop import ACCESS, AMD, ARM, CONFLICT, GAP, SPEC, Workshop

from factory.cli.main import main
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration

NOT_FOUND, NOT_LOCKED, BUSY = 13, 16, 23


@pytest.fixture
def three(workshop: Workshop) -> Workshop:
    make_three(workshop)
    return workshop


def test_a_floor_goes_where_each_flavor_decides_about_the_package(three: Workshop) -> None:
    before = tree(three.root)
    run = three.run("bump", "Lib>=1.1", "--all", "--reason", "CVE-2026-54058")
    assert run.status == 0, run.err
    after = tree(three.root)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {
        f"flavors/{name}/{file}"
        for name in (FIRST, SECOND)
        for file in ("pyproject.toml", "requirements.txt")
    }
    flavors = three.root / "flavors"
    assert (
        'dependencies = ["lib>=1.1,<1.2", "other"]  # lib>=1.1: CVE-2026-54058\n'
        in (flavors / FIRST / "pyproject.toml").read_text()
    )
    assert (
        'constraint-dependencies = ["lib>=1.1,<1.2"]  # lib>=1.1: CVE-2026-54058\n'
        in (flavors / SECOND / "pyproject.toml").read_text()
    )
    # What is not asked for stays, though the index has something newer.
    assert require_lock(flavors / FIRST).versions() == {"lib": "1.1.2", "other": "1.0"}
    assert require_lock(flavors / SECOND).versions() == {"app": "1.0", "lib": "1.1.2"}
    assert "~ lib 1.0 -> 1.1.2" in run.out
    assert "third: left alone\n  lib is not in it" in run.out
    assert three.lock("--all", "--check").status == 0


def test_a_second_run_has_nothing_to_do(three: Workshop) -> None:
    three.run("bump", "lib>=1.1", "--all")
    before = tree(three.root)
    three.index.requests.clear()
    run = three.run("bump", "lib>=1.1", "--all", "--json")
    assert run.status == 0
    assert [outcome(run, name)["state"] for name in (FIRST, SECOND)] == ["nothing-to-do"] * 2
    assert run.data["written"] is False
    assert tree(three.root) == before
    assert three.index.requests == []


def test_a_dry_run_shows_all_and_writes_nothing(three: Workshop) -> None:
    before = tree(three.root)
    run = three.run("bump", "lib>=1.1", "--all", "--dry-run")
    assert run.status == 0
    assert "first: would change\n  [project] dependencies: lib>=1.1,<1.2  (was lib==1.0)" in run.out
    assert "~ lib 1.0 -> 1.1.2" in run.out
    assert tree(three.root) == before


def test_only_the_named_flavor_changes(three: Workshop) -> None:
    before = tree(three.root / "flavors" / SECOND)
    assert three.run("bump", "lib>=1.1", "--flavor", FIRST).status == 0
    assert tree(three.root / "flavors" / SECOND) == before
    assert require_lock(three.root / "flavors" / FIRST).versions()["lib"] == "1.1.2"


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("lib>=1.1",), 2, "--image, or give --all"),
        (("lib>=1.1", "--all", "--flavor", FIRST), 2, "one of the two"),
        (("--all",), 2, "REQUIREMENT"),
        (("lib", "--all"), SPEC, "has no floor"),
        (("lib==1.1", "--all"), SPEC, "an exact pin would block the next fix"),
        (("lib>=1.1", "Lib>=1.2", "--all"), SPEC, "lib is given twice"),
        (("lib>=1.1", "--all", "--reason", "a\nb"), SPEC, "cannot be a comment"),
        (("lib>=1.1", "--all", "--reason", "CVE-1; other>=2: x"), SPEC, "cannot be a comment"),
        (("lib>=1.1", "--flavor", THIRD), NOT_FOUND, "third: it does not have lib"),
        (("lbi>=1.1", "--all"), NOT_FOUND, "no locked image has lbi"),
        (("lib>=1.1", "--flavor", "nowhere"), NOT_FOUND, "nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    three: Workshop, arguments: tuple[str, ...], status: int, told: str
) -> None:
    before = tree(three.root)
    run = three.run("bump", *arguments)
    assert run.status == status
    assert told in run.err
    assert tree(three.root) == before


def test_in_a_repository_of_one_flavor_nothing_has_to_be_named(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "lib", "1.0")
    folder = workshop.flavor("lib")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "lib", "1.1")
    assert workshop.run("bump", "lib>=1.1").status == 0
    assert require_lock(folder).versions() == {"lib": "1.1"}


def test_a_flavor_without_a_lock_is_left_alone_unless_it_is_named(three: Workshop) -> None:
    (three.root / "flavors" / FIRST / "requirements.txt").unlink()
    run = three.run("bump", "lib>=1.1", "--all")
    assert run.status == 0
    assert "first: left alone\n  it is not locked" in run.out
    assert "warning: first is not locked and was left alone" in run.err
    assert "locking first" not in run.err
    named = three.run("bump", "lib>=1.1", "--flavor", FIRST)
    assert named.status == NOT_LOCKED
    assert "factory lock first" in named.err


def test_a_version_that_is_not_there_is_told_with_the_nearest_and_nothing_is_locked(three: Workshop) -> None:
    make_wheel(three.pushed, "lib", "1.3.1")
    make_wheel(three.pushed, "lib", "1.4", requires_python=">=3.13")
    make_sdist(three.pushed, "lib", "1.2.5")
    before = tree(three.root)
    three.index.requests.clear()
    run = three.run("bump", "lib>=1.2", "--all", "--json")
    assert run.status == GAP
    assert tree(three.root) == before
    found = outcome(run, FIRST)
    assert found["state"] == "failed"
    error = found["error"]
    assert isinstance(error, dict)
    assert "has no lib>=1.2,<1.3 for linux/amd64: the index has 1.2.5 as sdist only" in error["reason"]
    assert "nearest that serves this flavor: 1.1.2 below and 1.3.1 above" in error["reason"]
    assert "`factory bump 'lib>=1.3.1' --image first`" in error["solution"]
    gaps = found["gaps"]
    assert isinstance(gaps, list)
    assert gaps[0]["requirement"] == "lib>=1.2,<1.3"
    # uv was not started: only the page of lib was asked for.
    assert {request.path for request in three.index.requests} == {"/simple/lib/"}


def test_the_nearest_version_has_wheels_for_every_platform(workshop: Workshop) -> None:
    def push(version: str, machine: str) -> None:
        make_wheel(workshop.pushed, "lib", version, tag=f"cp312-cp312-manylinux_2_28_{machine}")

    push("1.0", "x86_64")
    push("1.0", "aarch64")
    workshop.locked(workshop.flavor("lib", platforms=(AMD, ARM)))
    push("1.1", "x86_64")
    push("1.2", "aarch64")
    run = workshop.run("bump", "lib>=1.1", "--cap", "none")
    assert run.status == GAP
    assert "nearest that serves this flavor: 1.0 below" in run.err
    assert "above" not in run.err


def test_a_floor_that_is_not_there_itself_is_told_where_something_above_it_is(three: Workshop) -> None:
    run = three.run("bump", "lib>=1.1.1", "--flavor", FIRST)
    assert run.status == 0
    assert "does not have lib 1.1.1 itself: the lowest above it that serves this flavor is 1.1.2" in run.out


def test_no_flavor_changes_where_one_cannot_be_locked(three: Workshop) -> None:
    make_wheel(three.pushed, "app", "1.0", requires=["lib<1.1"], salt="pushed again")
    before = tree(three.root)
    run = three.run("bump", "lib>=1.1", "--all")
    assert run.status == CONFLICT
    assert "second: cannot be changed (ResolutionError)" in run.out
    assert "first: not changed, since another image cannot be" in run.out
    assert "nothing was written in any image" in run.out
    assert tree(three.root) == before


def test_an_index_that_fails_changes_nothing(three: Workshop) -> None:
    before = tree(three.root)
    three.index.fault("/simple/app/", Fault(status=403))
    assert three.run("bump", "lib>=1.1", "--all").status == ACCESS
    three.index.fault("/simple/lib/", Fault(status=403))
    assert three.run("bump", "lib>=1.1", "--all").status == ACCESS
    assert tree(three.root) == before


def test_an_override_is_where_the_floor_goes_since_it_wins(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "lib", "1.0")
    make_wheel(workshop.pushed, "lib", "1.1")
    make_wheel(workshop.pushed, "app", "1.0", requires=["lib<1"])
    folder = workshop.flavor("app", overrides=["lib==1.0"])
    workshop.locked(folder)
    run = workshop.run("bump", "lib>=1.1")
    assert run.status == 0, run.err
    assert "override-dependencies, which wins over every other: lib>=1.1,<1.2  (was lib==1.0)" in run.out
    assert require_lock(folder).versions()["lib"] == "1.1"


def test_a_package_that_an_override_takes_out_is_not_in_the_flavor(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "lib", "1.0")
    make_wheel(workshop.pushed, "app", "1.0", requires=["lib"])
    folder = workshop.flavor("app", overrides=["lib; sys_platform == 'never'"])
    workshop.locked(folder)
    assert workshop.run("bump", "lib>=1.0", "--flavor", folder.name).status == NOT_FOUND


@pytest.mark.parametrize(("floor", "status"), [("torch>=2.11", 0), ("torch>=2.12", SPEC)])
def test_what_the_spec_names_is_not_bumped(workshop: Workshop, floor: str, status: int) -> None:
    make_wheel(workshop.pushed, "torch", "2.11.0")
    make_wheel(workshop.pushed, "torch", "2.12.0")
    folder = workshop.flavor("torch==2.11.0")
    workshop.locked(folder)
    before = tree(workshop.root)
    run = workshop.run("bump", floor)
    assert run.status == status
    assert tree(workshop.root) == before
    assert ("factory new-flavor --from" in run.err) == bool(status)


def test_a_lock_above_the_default_cap_is_not_taken_down(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "app", "1.0", requires=["lib"])
    for version in ("1.1", "3.5"):
        make_wheel(workshop.pushed, "lib", version)
    folder = workshop.flavor("app")
    workshop.locked(folder)
    run = workshop.run("bump", "lib>=1.0")
    assert run.status == 0
    assert require_lock(folder).versions()["lib"] == "3.5"
    assert "itself" not in run.out
    assert '"lib>=1.0,<3.6"' in (folder / "pyproject.toml").read_text()


def test_a_private_package_is_asked_for_at_its_own_index_only(workshop: Workshop, tmp_path: Path) -> None:
    further = tmp_path / "further"
    make_wheel(further, "kernel", "1.0")
    make_wheel(workshop.pushed, "kernel", "9.0")
    make_wheel(workshop.pushed, "lib", "1.0")
    with IndexServer(folder=further) as second:
        folder = workshop.flavor("lib", "kernel", indexes={"own": (second.url, ["kernel"])})
        workshop.locked(folder)
        make_wheel(further, "kernel", "1.1")
        run = workshop.run("bump", "kernel>=1.1")
        assert run.status == 0, run.err
        refused = workshop.run("bump", "kernel>=9")
    assert "kernel==1.1" in (folder / "requirements-own.txt").read_text()
    assert refused.status == GAP
    assert "9.0" not in refused.err.replace("kernel>=9,<9.1", "")
    assert workshop.index.requested("/simple/kernel/") == []


def test_somebody_elses_edit_during_the_run_is_not_overwritten(three: Workshop) -> None:
    path = three.root / "flavors" / FIRST / "pyproject.toml"
    mine = path.read_bytes() + b"# mine\n"
    three.index.fault("/simple/app/", Fault(delay=0.6))

    def edit() -> None:
        while not three.index.requested("/simple/app/"):
            time.sleep(0.01)
        path.write_bytes(mine)

    three.index.requests.clear()
    editor = threading.Thread(target=edit)
    editor.start()
    lock = (path.parent / "requirements.txt").read_bytes()
    run = three.run("bump", "lib>=1.1", "--all")
    editor.join()
    assert run.status == BUSY
    assert "was changed by somebody else meanwhile; nothing was written" in run.err
    assert path.read_bytes() == mine
    assert (path.parent / "requirements.txt").read_bytes() == lock


def test_two_runs_at_once_both_succeed(three: Workshop) -> None:
    statuses: list[object] = []

    def bump() -> None:
        try:
            main(["--root", str(three.root), "bump", "lib>=1.1", "--all"])
        except SystemExit as ended:
            statuses.append(ended.code)

    threads = [threading.Thread(target=bump) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0]
    assert require_lock(three.root / "flavors" / FIRST).versions()["lib"] == "1.1.2"


def test_a_folder_of_wheels_counts_beside_the_index(three: Workshop, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "lib", "1.2")
    assert three.run("bump", "lib>=1.2", "--flavor", FIRST).status == GAP
    run = three.run("bump", "lib>=1.2", "--flavor", FIRST, "--find-links", str(tmp_path / "wheels"))
    assert run.status == 0, run.err
    assert f"lib comes from {tmp_path / 'wheels'}, not from the index" in run.out
    assert require_lock(three.root / "flavors" / FIRST).versions()["lib"] == "1.2"
