"""``factory bump``: what is held still, what is refused for it, and what is written where nothing moves."""

import shlex
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.upkeep import FIRST, SECOND, make_three, outcome, tree
from support.wheels import make_wheel
from support.workshop import GAP, Workshop

from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration

LOCK_FILE = 16


@pytest.fixture
def three(workshop: Workshop) -> Workshop:
    make_three(workshop)
    return workshop


_EDITS = {
    "a pin is gone": ("other==1.0", "# other==1.0"),
    "a pin without version": ("other==1.0", "other>=1.0"),
    "another version": ("lib==1.0", "lib==1.1"),
    "no digest": ("# contents: ", "# "),
}


def test_a_lock_that_was_edited_is_refused(three: Workshop) -> None:
    path = three.root / "flavors" / FIRST / "requirements.txt"
    text = path.read_text()
    edited = {name: text.replace(*edit) for name, edit in _EDITS.items()}
    edited["no header"] = "".join(line for line in text.splitlines(keepends=True) if line[0] != "#")
    for name, content in edited.items():
        assert content != text, name
        path.write_text(content)
        before = tree(three.root)
        run = three.run("bump", "lib>=1.1", "--all")
        assert run.status == LOCK_FILE, name
        assert "error: first: its lock was edited, or not made by `factory lock`" in run.err
        assert "`factory lock first`" in run.err
        assert tree(three.root) == before, name
    assert three.lock(FIRST).status == 0
    assert three.run("bump", "lib>=1.1", "--all").status == 0


def test_a_lock_that_lacks_a_file_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    make_wheel(tmp_path / "further", "kernel", "1.0")
    make_wheel(workshop.pushed, "lib", "1.0")
    with IndexServer(folder=tmp_path / "further") as second:
        folder = workshop.flavor("lib", "kernel", indexes={"own": (second.url, ["kernel"])})
        workshop.locked(folder)
        make_wheel(workshop.pushed, "lib", "1.1")
        own = folder / "requirements-own.txt"
        content = own.read_bytes()
        own.unlink()
        before = tree(workshop.root)
        run = workshop.run("bump", "lib>=1.1")
        assert run.status == LOCK_FILE
        assert "are not all those of one run: it has no requirements-own.txt" in run.err
        assert tree(workshop.root) == before
        # The same where the spec knows that index no more: what the other file held is lost.
        own.write_bytes(content)
        workshop.flavor("lib", "kernel")
        assert workshop.run("bump", "lib>=1.1").status == LOCK_FILE


def test_a_lock_file_of_an_index_that_the_spec_has_no_more_goes(three: Workshop) -> None:
    folder = three.root / "flavors" / FIRST
    (folder / "requirements-own.txt").write_bytes((folder / "requirements.txt").read_bytes())
    (folder / "requirements-mine.txt").write_text("lib\n")
    assert three.run("bump", "lib>=1.1", "--flavor", FIRST).status == 0
    assert sorted(path.name for path in folder.glob("requirements*")) == [
        "requirements-mine.txt",
        "requirements.txt",
    ]


def test_what_bounds_the_range_is_put_below_a_higher_floor_as_well(workshop: Workshop) -> None:
    for version in ("1.2.4", "1.2.5"):
        make_wheel(workshop.pushed, "lib", version)
    folder = workshop.flavor("lib>=1.2,<1.3")
    workshop.locked(folder)
    run = workshop.run("bump", "lib>=1.1,!=1.2.5", "--reason", "CVE-1")
    assert run.status == 0, run.err
    assert "~ lib 1.2.5 -> 1.2.4" in run.out
    assert require_lock(folder).versions() == {"lib": "1.2.4"}


def test_a_reason_for_a_floor_that_stands_is_noted_and_nothing_is_locked(three: Workshop) -> None:
    assert three.run("bump", "lib>=1.1", "--all", "--reason", "CVE-9").status == 0
    locks = {path: content for path, content in tree(three.root).items() if path.endswith(".txt")}
    three.index.requests.clear()
    dry = three.run("bump", "lib>=1.1", "--all", "--reason", "CVE-10", "--dry-run", "--json")
    assert outcome(dry, FIRST)["state"] == "would-change"
    run = three.run("bump", "lib>=1.1", "--all", "--reason", "CVE-10")
    assert run.status == 0
    assert "[project] dependencies: lib>=1.1,<1.2 stays, with the reason beside it" in run.out
    assert three.index.requests == []
    after = tree(three.root)
    for name in (FIRST, SECOND):
        assert b"# lib>=1.1: CVE-9, CVE-10\n" in after[f"flavors/{name}/pyproject.toml"]
    assert {path: after[path] for path in locks} == locks
    again = three.run("bump", "lib>=1.1", "--all", "--reason", "CVE-10", "--json")
    assert [outcome(again, name)["state"] for name in (FIRST, SECOND)] == ["nothing-to-do"] * 2
    assert "locking" not in again.err


def test_the_command_that_takes_what_is_there_runs_as_it_stands(three: Workshop) -> None:
    make_wheel(three.pushed, "lib", "1.3.1")
    run = three.run(
        "bump", "lib>=1.2", "other>=1.0", "--flavor", FIRST, "--reason", "two words", "--cap", "major"
    )
    assert run.status == 0
    run = three.run("bump", "lib>=1.4,!=2.1", "--flavor", FIRST, "--flavor", SECOND, "--reason", "two words")
    assert run.status == GAP
    assert "Or take" not in run.err
    make_wheel(three.pushed, "lib", "2.1")
    make_wheel(three.pushed, "lib", "2.2")
    run = three.run("bump", "lib>=1.4,!=2.1", "--flavor", FIRST, "--flavor", SECOND, "--reason", "two words")
    assert run.status == GAP
    command = run.err.split("Or take what is there: `")[1].split("`")[0]
    assert command == "factory bump 'lib>=2.2,!=2.1' --image first --reason 'two words'"
    assert three.run(*shlex.split(command)[1:]).status == 0
    assert require_lock(three.root / "flavors" / FIRST).versions()["lib"] == "2.2"


def test_what_is_locked_and_was_yanked_since_meets_a_floor(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "lib", "1.0")
    make_wheel(workshop.pushed, "app", "1.0", requires=["lib"])
    yanked = make_wheel(workshop.pushed, "lib", "1.1")
    folder = workshop.flavor("app")
    workshop.locked(folder)
    workshop.index.yanked = frozenset({yanked.name})
    run = workshop.run("bump", "lib>=1.1", "--reason", "CVE-1")
    assert run.status == 0, run.err
    assert require_lock(folder).versions()["lib"] == "1.1"
