"""``factory lock`` with real uv against a real index on loopback: what is locked, kept and written."""

import threading

import pytest
from support.index_server import Fault
from support.wheels import make_wheel, sha256
from support.workshop import GAP, SPEC, Workshop, hashes

from factory.cli.main import main
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration


def test_a_lock_names_the_index_and_pins_everything_with_a_hash(workshop: Workshop) -> None:
    aa = make_wheel(
        workshop.pushed, "aa", "1.0", requires=["bb>=1; sys_platform == 'linux'", "win>1; os_name == 'nt'"]
    )
    bb = make_wheel(workshop.pushed, "bb", "1.5")
    folder = workshop.flavor("aa")
    lock = workshop.locked(folder)
    assert lock.index_urls == (workshop.index.url,)
    assert lock.versions() == {"aa": "1.0", "bb": "1.5"}
    assert hashes(lock, "aa") == {sha256(aa)}
    assert hashes(lock, "bb") == {sha256(bb)}
    assert all(pin.marker is None for pin in lock.pins)
    assert not lock.unreadable


def test_a_second_run_changes_no_byte(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    first = (folder / "requirements.txt").read_bytes()
    run = workshop.lock(folder.name)
    assert (folder / "requirements.txt").read_bytes() == first
    assert "no pin has changed" in run.out


def test_versions_are_kept_where_they_are_valid(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    folder = workshop.flavor("aa", "bb")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "aa", "1.1")
    make_wheel(workshop.pushed, "bb", "1.1")
    workshop.flavor("aa", "bb>1.0")
    assert workshop.locked(folder).versions() == {"aa": "1.0", "bb": "1.1"}


def test_upgrade_takes_the_newest_and_upgrade_package_one_of_them(workshop: Workshop) -> None:
    for name in ("aa", "bb"):
        make_wheel(workshop.pushed, name, "1.0")
    folder = workshop.flavor("aa", "bb")
    workshop.locked(folder)
    for name in ("aa", "bb"):
        make_wheel(workshop.pushed, name, "1.1")
    run = workshop.lock(folder.name, "--upgrade-package", "AA")
    assert require_lock(folder).versions() == {"aa": "1.1", "bb": "1.0"}
    assert "~ aa 1.0 -> 1.1" in run.out
    assert workshop.locked(folder, "--upgrade").versions() == {"aa": "1.1", "bb": "1.1"}


@pytest.mark.parametrize("name", ["zz", "no name at all"])
def test_upgrading_a_package_that_is_not_locked_is_said(workshop: Workshop, name: str) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    run = workshop.lock(folder.name, "--upgrade-package", name)
    assert run.status == 0
    assert f"--upgrade-package {name}: it was not in the lock" in run.err


def test_hashes_are_fresh_after_a_push_under_the_same_version(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", salt="first")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    again = make_wheel(workshop.pushed, "aa", "1.0", salt="second")
    run = workshop.lock(folder.name, "--json")
    assert hashes(require_lock(folder), "aa") == {sha256(again)}
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    assert flavors[0]["changes"]["rehashed"] == [
        {"name": "aa", "before": "1.0", "after": "1.0", "files": [again.name]}
    ]


def test_a_broken_lock_serves_for_what_can_be_read_of_it(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "aa", "1.1")
    folder = workshop.flavor("aa")
    (folder / "requirements.txt").write_text("aa==1.0 --hash=sha256:" + "0" * 64 + "\n???\n")
    lock = workshop.locked(folder)
    assert lock.versions() == {"aa": "1.0"}
    assert "0" * 64 not in hashes(lock, "aa")


def test_one_flavor_that_fails_does_not_hide_the_others(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    first = workshop.flavor("aa", name="first")
    workshop.flavor("absent", name="second")
    third = workshop.flavor("aa", name="third")
    run = workshop.lock("--all")
    assert run.status == GAP
    assert require_lock(first).versions() == require_lock(third).versions() == {"aa": "1.0"}
    assert "second: not locked, nothing was written" in run.out
    assert "1 of 3 images could not be locked" in run.out
    assert "absent for linux/amd64" in run.err


def test_jobs_bound_how_many_run_at_a_time_and_give_the_same(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folders = [workshop.flavor("aa", name=f"flavor{number}") for number in range(3)]
    assert workshop.lock("--all", "--jobs", "1").status == 0
    texts = [(folder / "requirements.txt").read_bytes() for folder in folders]
    for folder in folders:
        (folder / "requirements.txt").unlink()
    assert workshop.lock("--all", "--jobs", "3").status == 0
    assert [(folder / "requirements.txt").read_bytes() for folder in folders] == texts


def test_two_runs_at_once_both_succeed(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.index.fault("/simple/aa/", Fault(delay=0.5))
    statuses: list[object] = []

    def run() -> None:
        try:
            main(["--root", str(workshop.root), "lock", folder.name])
        except SystemExit as ended:
            statuses.append(ended.code)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0]
    assert require_lock(folder).versions() == {"aa": "1.0"}


def test_a_dry_run_says_what_would_change_and_writes_nothing(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    run = workshop.lock(folder.name, "--dry-run")
    assert run.status == 0
    assert "would change" in run.out
    assert not (folder / "requirements.txt").exists()


@pytest.mark.parametrize("arguments", [(), ("--all", "some-flavor"), ("--all", "--jobs", "0")])
def test_wrong_usage_is_refused(workshop: Workshop, arguments: tuple[str, ...]) -> None:
    assert workshop.lock(*arguments).status == 2


def test_a_log_tells_which_flavor_is_at_work_before_how_it_ended(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    workshop.flavor("aa", name="first")
    workshop.flavor("absent", name="second")
    run = workshop.lock("--all", "--jobs", "1")
    lines = [line for line in run.err.splitlines() if line.startswith(("locking ", "error: "))]
    assert [line.partition(":")[0] for line in lines] == ["locking first", "locking second", "error"]
    assert "locking" not in workshop.lock("--all", "--json").err


def test_a_package_that_is_required_and_recorded_as_missing_is_refused(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    folder = workshop.flavor("aa", "Bb>=1", missing=["bb"])
    run = workshop.lock(folder.name)
    assert run.status == SPEC
    assert "bb stands in [project] dependencies and under [[tool.factory.missing]]" in run.err
    assert not (folder / "requirements.txt").exists()


@pytest.mark.parametrize("dependencies", [(), ("aa; sys_platform == 'win32'",)], ids=["none", "none here"])
def test_a_flavor_that_would_add_nothing_is_refused(
    workshop: Workshop, dependencies: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor(*dependencies)
    run = workshop.lock(folder.name)
    assert run.status == SPEC
    assert "nothing to lock" in run.err
    assert not (folder / "requirements.txt").exists()
