"""The script of factory-clone: what is a person's stays, what a killed run left is finished."""

import itertools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tekton.scripts import Ran, run_step
from tekton.semantic import Node
from tekton.sources import ROOT

Clone = Callable[..., Ran]
MARK = ".git/factory-clone-unfinished"


def _spec() -> Node:
    path = ROOT / "tekton" / "tasks" / "factory-clone" / "factory-clone.yaml"
    spec: Node = yaml.safe_load(path.read_text())["spec"]
    return spec


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", folder, "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def _commit(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "--message", "Next")
    return _git(folder, "rev-parse", "HEAD")


def _repository(folder: Path, **files: str) -> Path:
    folder.mkdir()
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _commit(folder, **files)
    return folder


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return _repository(tmp_path / "an origin", first="1\n", second="a line\n" * 100)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def clone(tmp_path: Path, origin: Path, source: Path) -> Clone:
    """Runs the step on the workspace; each run is a Pod with a home of its own."""
    count = itertools.count()

    def run(*, path: str = os.environ["PATH"], **params: str) -> Ran:
        folder = tmp_path / f"run-{next(count)}"
        given = {"url": f"file://{origin}", **params}
        # No test asks another machine, nor this one, for its ssh.
        environment = {"PATH": path, "GIT_SSH_COMMAND": "false"}
        return run_step(_spec(), "clone", folder, given, {"source": source}, environment)

    return run


def _cut_off(tmp_path: Path) -> str:
    """A PATH on which a git is killed as it starts to check out, as a Pod is."""
    folder = tmp_path / "killing"
    folder.mkdir()
    git = folder / "git"
    git.write_text(
        "#!/bin/bash\n"
        'if [ "$1" = checkout ]; then kill -9 "$PPID"; exit 1; fi\n'
        'PATH=${PATH#*:} exec git "$@"\n'
    )
    git.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def _killed_in_checkout(clone: Clone, tmp_path: Path) -> None:
    assert clone(path=_cut_off(tmp_path)).status < 0


def test_twice_the_same_and_then_the_next_commit(clone: Clone, origin: Path, source: Path) -> None:
    head = _git(origin, "rev-parse", "HEAD")
    for _ in range(2):
        ran = clone()
        assert ran.status == 0, ran.stderr
        assert ran.results["COMMIT"] == head
    newer = _commit(origin, first="2\n")
    assert clone().results["COMMIT"] == newer
    assert (source / "first").read_text() == "2\n"
    assert not (source / MARK).exists()


@pytest.mark.parametrize("edited", ["first", "notes"])
def test_an_edit_after_a_failed_fetch_is_kept(edited: str, clone: Clone, source: Path) -> None:
    assert clone().status == 0
    assert clone(revision="no-such").status == 1
    (source / edited).write_text("a person's work\n")
    ran = clone()
    assert ran.status == 1
    assert edited in ran.stderr
    assert "changes that no commit has" in ran.stderr
    assert (source / edited).read_text() == "a person's work\n"


def test_a_first_fetch_that_fails_is_followed_by_one_that_works(clone: Clone, source: Path) -> None:
    assert clone(revision="no-such").status == 1
    assert clone().status == 0
    assert (source / "first").read_text() == "1\n"


@pytest.mark.parametrize("when", ["after a fetch that failed", "after a checkout that was killed"])
def test_another_origin_never_gets_in(when: str, clone: Clone, source: Path, tmp_path: Path) -> None:
    other = _repository(tmp_path / "other", first="other\n")
    if "fetch" in when:
        assert clone(revision="no-such").status == 1
    else:
        _killed_in_checkout(clone, tmp_path)
    ran = clone(url=f"file://{other}")
    assert ran.status == 1
    assert "the workspace holds another clone" in ran.stderr
    assert not (source / "first").exists()
    assert clone().status == 0


@pytest.mark.parametrize("before", ["a commit", "none"])
@pytest.mark.parametrize("left", ["nothing", "a whole file", "a part of a file", "no file"])
def test_a_killed_checkout_is_finished(
    left: str, before: str, clone: Clone, origin: Path, source: Path, tmp_path: Path
) -> None:
    if before == "a commit":
        assert clone().status == 0
    newer = _commit(origin, second="other\n" * 100, third="3\n")
    _killed_in_checkout(clone, tmp_path)
    assert (source / MARK).read_text().strip() == newer
    if left == "no file":
        (source / "second").unlink(missing_ok=True)
    elif left != "nothing":
        written = "other\n" * (100 if "whole" in left else 7)
        (source / "second").write_text(written)
    for lock in ("index.lock", "HEAD.lock"):
        (source / ".git" / lock).touch()
    ran = clone()
    assert ran.status == 0, ran.stderr
    assert ran.results["COMMIT"] == newer
    assert _git(source, "status", "--porcelain") == ""
    assert (source / "second").read_text() == "other\n" * 100
    assert not (source / MARK).exists()


@pytest.mark.parametrize("edited", ["first", "second", "notes", "folder with a name/notes"])
def test_an_edit_after_a_killed_checkout_is_kept(
    edited: str, clone: Clone, origin: Path, source: Path, tmp_path: Path
) -> None:
    assert clone().status == 0
    _commit(origin, second="other\n" * 100)
    _killed_in_checkout(clone, tmp_path)
    (source / edited).parent.mkdir(exist_ok=True)
    (source / edited).write_text("a person's work\n")
    for _ in range(2):
        ran = clone()
        assert ran.status == 1
        assert edited in ran.stderr
        assert (source / edited).read_text() == "a person's work\n"


def test_an_ignored_file_in_the_way_of_a_commit_is_kept(clone: Clone, origin: Path, source: Path) -> None:
    _commit(origin, **{".gitignore": "cache\n"})
    assert clone().status == 0
    (source / "cache").write_text("mine\n")
    (origin / "cache").write_text("theirs\n")
    _git(origin, "add", "--force", "cache")
    _commit(origin)
    ran = clone()
    assert ran.status == 1
    assert "could not be checked out" in ran.stderr
    assert (source / "cache").read_text() == "mine\n"
    (source / "cache").unlink()
    assert clone().status == 0


def test_a_run_that_is_killed_while_it_makes_the_clone_is_followed_by_one_that_works(
    clone: Clone, source: Path
) -> None:
    (source / ".factory-clone-new" / ".git").mkdir(parents=True)
    (source / "lost+found").mkdir()
    ran = clone()
    assert ran.status == 0, ran.stderr
    assert sorted(path.name for path in source.iterdir()) == [".git", "first", "lost+found", "second"]
    assert clone().status == 0


def test_what_is_no_clone_is_left_alone(clone: Clone, source: Path) -> None:
    source.mkdir()
    (source / "notes").write_text("mine\n")
    ran = clone()
    assert ran.status == 1
    assert "it holds notes" in ran.stderr
    assert [path.name for path in source.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    "url",
    [
        "https://me:s3cret@127.0.0.1:1/x",
        "HTTPS://me:s3cret@127.0.0.1:1/x",
        "https://s3cret@127.0.0.1:1/x",
        "ssh://me:s3cret@127.0.0.1:1/x",
        "git+SSH://me:s3cret@127.0.0.1:1/x",
        "ftp://me:s3cret@127.0.0.1:1/x",
        "http::https://me:s3cret@127.0.0.1:1/x",
        "https://me:s3cr/et@127.0.0.1:1/x",
        "https://me:s3cr?et@127.0.0.1:1/x",
        "me:s3cret@127.0.0.1:x",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_shown(url: str, clone: Clone, source: Path) -> None:
    ran = clone(url=url)
    assert ran.status == 1
    assert "the parameter url" in ran.stderr
    assert "s3cr" not in ran.stderr + ran.stdout
    assert not (source / ".git").exists()


@pytest.mark.parametrize(
    "url", ["ssh://git@127.0.0.1:1/x", "ssh://git@[::1]:1/x", "http://127.0.0.1:1/x@1", "git@127.0.0.1:x"]
)
def test_a_url_without_a_password_is_tried(url: str, clone: Clone) -> None:
    assert "could not be fetched from" in clone(url=url).stderr


def test_a_password_in_another_clone_s_origin_is_not_shown(clone: Clone, source: Path) -> None:
    assert clone().status == 0
    _git(source, "config", "remote.origin.url", "https://me:s3cret@git.example.com/x")
    ran = clone()
    assert ran.status == 1
    assert "https://git.example.com/x" in ran.stderr
    assert "s3cret" not in ran.stderr


@pytest.mark.parametrize("depth", ["08", "00", "-1", "1.5", "1000000000"])
def test_a_depth_that_git_would_not_take_is_refused(depth: str, clone: Clone) -> None:
    ran = clone(depth=depth)
    assert ran.status == 1
    assert "the parameter depth is not a number" in ran.stderr


def test_all_of_the_history_and_one_commit_of_it(clone: Clone, origin: Path, source: Path) -> None:
    _commit(origin, first="2\n")
    for depth, commits in (("1", "1"), ("0", "2"), ("1", "1"), ("0", "2")):
        assert clone(depth=depth).status == 0
        assert _git(source, "rev-list", "--count", "HEAD") == commits
