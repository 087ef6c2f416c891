"""``factory rehash``: the same versions, hashed again after the index was pushed again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_sdist, make_wheel, sha256
from support.workshop import AMD, ARM, GAP, Workshop, hashes

from factory.lock.lockfile import LOCK_FILE, require_lock

pytestmark = pytest.mark.integration

_X86, _AARCH64 = "cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_aarch64"
_NOT_OURS = 16
_CONTENT = 26


@pytest.fixture
def locked(workshop: Workshop) -> Path:
    """A flavor that pins aa, which is pure, and bb, which is not; the index has newer versions since."""
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb"])
    make_wheel(workshop.pushed, "bb", "1.0", tag=_X86)
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    make_wheel(workshop.pushed, "aa", "2.0")
    return folder


def test_new_bytes_under_old_versions_are_locked_and_told_file_by_file(
    workshop: Workshop, locked: Path
) -> None:
    before = require_lock(locked)
    (old,) = hashes(before, "bb")
    pushed = make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    run = workshop.run("rehash", locked.name)
    assert run.status == 0, run.err
    assert f"new hashes of 1 file, 2 packages at the versions that they had\n  {pushed.name}\n" in run.out
    assert f"was sha256:{old}\n" in run.out
    assert f"is  sha256:{sha256(pushed)}\n" in run.out
    assert f"factory lock {locked.name} --check" in run.out
    after = require_lock(locked)
    assert after.versions() == before.versions()
    assert hashes(after, "bb") == {sha256(pushed)}
    assert hashes(after, "aa") == hashes(before, "aa")
    assert after.inputs == before.inputs
    assert workshop.lock(locked.name, "--check").status == 0
    assert workshop.lock(locked.name, "--verify").status == 0


def test_what_is_as_it_was_is_not_written(workshop: Workshop, locked: Path) -> None:
    before = (locked / LOCK_FILE).stat().st_mtime_ns, (locked / LOCK_FILE).read_bytes()
    run = workshop.run("rehash", "--all")
    assert run.status == 0
    assert "every hash is what it was" in run.out
    assert ((locked / LOCK_FILE).stat().st_mtime_ns, (locked / LOCK_FILE).read_bytes()) == before


def test_a_dry_run_tells_the_same_and_writes_nothing(workshop: Workshop, locked: Path) -> None:
    before = (locked / LOCK_FILE).read_bytes()
    pushed = make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    run = workshop.run("rehash", locked.name, "--dry-run", "--json")
    assert run.status == 0
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    assert [(item["file_name"], item["after"]) for item in flavors[0]["changes"]] == [
        (pushed.name, sha256(pushed))
    ]
    assert (locked / LOCK_FILE).read_bytes() == before


def test_every_version_that_is_gone_is_named_and_nothing_is_written(workshop: Workshop) -> None:
    for name in ("aa", "bb", "cc", "dd"):
        for tag in (_X86, _AARCH64):
            make_wheel(workshop.pushed, name, "1.0", tag=tag)
    folder = workshop.flavor("aa", "bb", "cc", "dd", platforms=(AMD, ARM))
    workshop.locked(folder)
    before = (folder / LOCK_FILE).read_bytes()
    for path in workshop.pushed.iterdir():
        path.unlink()
    make_wheel(workshop.pushed, "aa", "2.0", tag=_X86)
    make_wheel(workshop.pushed, "bb", "1.0", tag=_X86)
    make_sdist(workshop.pushed, "cc", "1.0")
    run = workshop.run("rehash", folder.name)
    assert run.status == GAP
    assert run.err.startswith(f"error: {folder.name}: 4 locked versions cannot be hashed again")
    assert "aa 1.0 for linux/amd64, linux/arm64" in run.err
    assert "bb 1.0 for linux/arm64:" in run.err
    assert "wheels of it for linux/amd64" in run.err
    assert "cc 1.0 for linux/amd64, linux/arm64" in run.err
    assert "only an sdist" in run.err
    assert "has no project dd any more" in run.err
    assert (folder / LOCK_FILE).read_bytes() == before


def test_a_wheel_that_was_pushed_beside_is_taken_as_a_new_lock_takes_it(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    folder = workshop.flavor("aa")
    workshop.locked(folder)
    better = make_wheel(workshop.pushed, "aa", "1.0", tag=_X86)
    assert workshop.run("rehash", folder.name).status == 0
    assert hashes(require_lock(folder), "aa") == {sha256(better)}
    assert workshop.lock(folder.name, "--check").status == 0


def test_an_index_without_digests_is_refused(workshop: Workshop, locked: Path) -> None:
    before = (locked / LOCK_FILE).read_bytes()
    workshop.index.hashes = False
    run = workshop.run("rehash", locked.name)
    assert run.status == GAP
    assert run.err.count("gives no digest of") == 2
    assert (locked / LOCK_FILE).read_bytes() == before


@pytest.mark.parametrize("served", [True, False], ids=["metadata served", "in the wheel"])
def test_a_wheel_whose_metadata_names_another_package_is_refused(
    workshop: Workshop, locked: Path, *, served: bool
) -> None:
    workshop.index.metadata = served
    before = (locked / LOCK_FILE).read_bytes()
    other = make_wheel(workshop.pushed, "zz", "1.0", tag=_X86)
    other.rename(workshop.pushed / f"bb-1.0-{_X86}.whl")
    run = workshop.run("rehash", locked.name)
    assert run.status == _CONTENT
    assert "holds the metadata of zz 1.0" in run.err
    assert (locked / LOCK_FILE).read_bytes() == before


def test_a_stale_lock_is_for_lock_and_not_for_rehash(workshop: Workshop, locked: Path) -> None:
    before = (locked / LOCK_FILE).read_bytes()
    workshop.flavor("aa", constraints=["bb<5"])
    make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    run = workshop.run("rehash", locked.name)
    assert run.status == _NOT_OURS
    assert "pyproject.toml has changed since the lock was made" in run.err
    assert f"factory lock {locked.name}" in run.err
    assert (locked / LOCK_FILE).read_bytes() == before


def _without_hashes(text: str) -> str:
    lines = [line for line in text.splitlines() if "--hash" not in line and ".whl" not in line]
    return "".join(line.removesuffix(" \\") + "\n" for line in lines)


@pytest.mark.parametrize(
    "edit",
    [
        _without_hashes,
        lambda text: text.replace("--index-url", "# --index-url"),
        lambda text: text + "# mine\n",
    ],
    ids=["no hashes", "no index line", "a remark"],
)
def test_an_edited_lock_with_the_versions_of_a_resolution_is_mended(
    workshop: Workshop, locked: Path, edit: Callable[[str], str]
) -> None:
    lock = locked / LOCK_FILE
    whole = lock.read_bytes()
    lock.write_text(edit(lock.read_text()))
    run = workshop.run("rehash", locked.name)
    assert run.status == 0, run.err
    assert "the lock had been edited: a resolution gave the same versions" in run.out
    assert lock.read_bytes() == whole


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("bb==1.0", "bb==0.9"),
        lambda text: text + "zz==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n",
        lambda text: text.replace("# Locked by", "# Made by"),
        lambda text: "".join(line + "\n" for line in text.splitlines() if "inputs" not in line),
    ],
    ids=["another version", "one more", "foreign", "no inputs"],
)
def test_a_lock_whose_versions_nobody_vouches_for_is_refused(
    workshop: Workshop, locked: Path, edit: Callable[[str], str]
) -> None:
    make_wheel(workshop.pushed, "bb", "0.9", tag=_X86)
    workshop.flavor("aa", constraints=["bb>=1"])
    lock = locked / LOCK_FILE
    lock.write_text(edit(lock.read_text()))
    before = lock.read_bytes()
    run = workshop.run("rehash", locked.name)
    assert run.status == _NOT_OURS, run.out
    assert f"factory lock {locked.name}" in run.err
    assert run.err.count(f"{locked.name}: ") == 1
    assert lock.read_bytes() == before


def test_what_came_from_a_folder_keeps_its_hash_unless_the_folder_is_given(
    workshop: Workshop, tmp_path: Path
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["tt"])
    local = make_wheel(tmp_path / "wheels", "tt", "2.0+cpu")
    folder = workshop.flavor("aa")
    assert workshop.lock(folder.name, "--find-links", str(tmp_path / "wheels")).status == 0
    make_wheel(workshop.pushed, "aa", "1.0", requires=["tt"], salt="again")
    asked = len(workshop.index.requested("/simple/tt/"))
    run = workshop.run("rehash", folder.name)
    assert run.status == 0, run.err
    assert "kept, since they came from a folder of wheels and not from the index: tt" in run.out
    lock = require_lock(folder)
    assert hashes(lock, "tt") == {sha256(local)}
    assert lock.beside_index == ("tt",)
    assert len(workshop.index.requested("/simple/tt/")) == asked
    again = make_wheel(tmp_path / "wheels", "tt", "2.0+cpu", salt="again")
    assert workshop.run("rehash", folder.name, "--find-links", str(tmp_path / "wheels")).status == 0
    rehashed = require_lock(folder)
    assert hashes(rehashed, "tt") == {sha256(again)}
    assert {item.size for item in rehashed.pins[-1].artifacts} == {again.stat().st_size}


def test_one_flavor_that_is_refused_does_not_keep_the_others(workshop: Workshop, locked: Path) -> None:
    gone = make_wheel(workshop.pushed, "gone", "1.0")
    other = workshop.flavor("gone", name="other")
    workshop.locked(other)
    gone.unlink()
    pushed = make_wheel(workshop.pushed, "bb", "1.0", tag=_X86, salt="again")
    run = workshop.run("rehash", "--all")
    assert run.status == GAP
    assert "other: not rehashed, nothing was written (IndexGapError)" in run.out
    assert hashes(require_lock(locked), "bb") == {sha256(pushed)}


def test_an_index_that_does_not_answer_changes_nothing(workshop: Workshop, locked: Path) -> None:
    before = (locked / LOCK_FILE).read_bytes()
    workshop.index.fault("/simple/bb/", Fault(status=403))
    assert workshop.run("rehash", locked.name).status == 19
    assert (locked / LOCK_FILE).read_bytes() == before


def test_a_package_that_moved_to_another_index_is_for_lock_and_not_for_rehash(
    workshop: Workshop, locked: Path
) -> None:
    project = locked / "pyproject.toml"
    with IndexServer(folder=workshop.pushed) as other:
        further = f'[[tool.factory.indexes]]\nname = "own"\nurl = "{other.url}"\npackages = ["aa"]\n'
        project.write_text(f"{project.read_text()}\n{further}")
        workshop.locked(locked)
        files = (locked / LOCK_FILE, locked / "requirements-own.txt")
        before = [path.read_bytes() for path in files]
        project.write_text(project.read_text().replace('["aa"]\n', '["aa", "bb"]\n'))
        run = workshop.run("rehash", locked.name)
    assert run.status == _NOT_OURS
    assert "bb (in requirements.txt, belongs into requirements-own.txt)" in run.err
    assert [path.read_bytes() for path in files] == before
