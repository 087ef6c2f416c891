"""Hostile values in every parameter of our Tasks that a caller reaches: nothing runs, and the error is clear.

That no value becomes part of a program is a check of its own (test_semantic_task.py). Here the scripts run as
they stand, with the real factory, and a value that is run leaves a file.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository
from tekton.changing import changed
from tekton.scripts import Ran, run_step
from tekton.semantic import Node
from tekton.semantic.references import references
from tekton.sources import known

pytestmark = pytest.mark.integration

# {mark} is a file that is there afterwards where a value was run.
COMMANDS = (
    "$(touch {mark})",
    "`touch {mark}`",
    "; touch {mark}",
    "' ; touch {mark} ; '",
    '" ; touch {mark} ; "',
    "| touch {mark}",
    "a && touch {mark}",
    "a\ntouch {mark}\n",
    "x'); import os; os.system('touch {mark}') #",
    "a[$(touch {mark})]",
)
ODD = (
    "",
    " ",
    "a b",
    '"',
    "'",
    "y",
    "N",
    "1.10",
    "null",
    "*",
    "~",
    "..",
    "../../etc",
    "/etc",
    "-rf",
    "-",
    "--",
    "--all",
    "--help",
    "--version",
    "--output=/tmp/x",
    "{{{{ 7 * 7 }}}}",
    "{{{{ revision }}}}",
    "$(params.flavor)",
    "$(results.TEST_OUTPUT.path)",
    "${{HOME}}",
    "%s%n",
    "\\x41",
    "\u202egnp.exe",
    "n" * 5000,
)
HOSTILE = (*COMMANDS, *ODD)
HARMLESS = {
    # Odd, but a base image may be called so; an empty one is that of the Dockerfile.
    "base-image": frozenset({"", "y", "N", "1.10", "null", "n" * 5000}),
    # The time that follows from the lock.
    "source-date-epoch": frozenset({""}),
}
# Of these each stands for a way in: a command, an option, a blank, a newline, a path.
SOME = ("$(touch {mark})", "' ; touch {mark} ; '", "a\ntouch {mark}\n", "--help", "a b", "../../etc")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = make_repository(tmp_path_factory.mktemp("repository"))
    make_flavor(repository)
    return repository.root


def _task(name: str) -> Node:
    spec: Node = known().tasks[name]["spec"]
    return spec


def _filled(value: str, mark: Path) -> str:
    return value.format(mark=mark)


def _state(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _nothing_ran(ran: Ran, mark: Path, folder: Path) -> None:
    assert not mark.exists()
    assert not list((folder / "current").iterdir())
    assert "Traceback" not in ran.stderr
    assert "command not found" not in ran.stderr
    assert "syntax error" not in ran.stderr


def _refused(ran: Ran, mark: Path, folder: Path) -> None:
    _nothing_ran(ran, mark, folder)
    assert ran.status != 0
    assert "error:" in ran.stderr.lower()
    assert "Usage: factory [OPTIONS]" not in ran.stdout


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_flavor_is_an_error_in_the_report_of_check(
    value: str, tmp_path: Path, repository: Path, mark: Path
) -> None:
    before = _state(repository)
    folder = tmp_path / "run"
    ran = run_step(
        _task("factory-check"), "check", folder, {"flavor": _filled(value, mark)}, {"source": repository}
    )
    _nothing_ran(ran, mark, folder)
    _is_error(ran)
    assert _state(repository) == before


@pytest.mark.parametrize("value", SOME)
def test_a_hostile_flavor_is_an_error_in_the_report_of_lock_verify(
    value: str, tmp_path: Path, repository: Path, mark: Path
) -> None:
    folder = tmp_path / "run"
    ran = run_step(
        _task("factory-lock-verify"),
        "verify",
        folder,
        {"flavor": _filled(value, mark)},
        {"source": repository},
    )
    _nothing_ran(ran, mark, folder)
    _is_error(ran)


def _is_error(ran: Ran) -> None:
    assert ran.status == 0, ran.stderr
    told = json.loads(ran.results["TEST_OUTPUT"])
    assert told["result"] == "ERROR"
    assert told["note"]
    assert len(ran.results["TEST_OUTPUT"].encode()) <= 1000
    assert "\n" not in ran.results["TEST_OUTPUT"].rstrip("\n")


@pytest.mark.parametrize("value", SOME)
def test_a_hostile_flavor_is_not_stripped(value: str, tmp_path: Path, repository: Path, mark: Path) -> None:
    folder, context = tmp_path / "run", tmp_path / "context"
    context.mkdir()
    ran = run_step(
        _task("factory-strip"),
        "strip",
        folder,
        {"flavor": _filled(value, mark)},
        {"source": repository, "context": context},
    )
    _refused(ran, mark, folder)
    assert not list(context.iterdir())
    assert not ran.results


@pytest.mark.parametrize("value", SOME)
def test_a_hostile_flavor_is_not_prefetched(value: str, tmp_path: Path, repository: Path, mark: Path) -> None:
    folder, prefetched = tmp_path / "run", tmp_path / "prefetched"
    prefetched.mkdir()
    ran = run_step(
        _task("factory-prefetch"),
        "prefetch",
        folder,
        {"flavor": _filled(value, mark)},
        {"source": repository, "prefetched": prefetched},
    )
    _refused(ran, mark, folder)
    assert not list(prefetched.iterdir())
    assert not ran.results


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (parameter, value)
        for parameter in ("image", "base-image", "tls-verify", "source-date-epoch")
        for value in HOSTILE
        if value not in HARMLESS.get(parameter, ())
    ],
)
def test_a_hostile_image_is_not_built(
    parameter: str, value: str, tmp_path: Path, repository: Path, mark: Path
) -> None:
    folder = tmp_path / "run"
    ran = _prepared(folder, repository, {parameter: _filled(value, mark)})
    _refused(ran, mark, folder)
    assert f"the parameter {parameter} is" in ran.stderr


@pytest.mark.parametrize("value", SOME)
def test_a_hostile_flavor_is_not_built(value: str, tmp_path: Path, repository: Path, mark: Path) -> None:
    folder = tmp_path / "run"
    _refused(_prepared(folder, repository, {"flavor": _filled(value, mark)}), mark, folder)


def _prepared(folder: Path, repository: Path, params: Mapping[str, str]) -> Ran:
    context, prefetched = folder.parent / "context", folder.parent / "prefetched"
    for made, name in ((context, "Dockerfile"), (prefetched, "cachi2.env")):
        made.mkdir()
        (made / name).write_text("FROM registry.example.com/base:1\n")
    workspaces = {"source": repository, "context": context, "prefetched": prefetched}
    given = {"image": "registry.example.com/team/image:1", "flavor": NAME, **params}
    work = {"WORK": str(folder.parent / "work")}
    return run_step(_task("factory-build"), "prepare", folder, given, workspaces, work)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("parameter", ["url", "revision", "depth"])
def test_nothing_is_cloned_for_a_hostile_value(
    parameter: str, value: str, tmp_path: Path, git_repository: Path, mark: Path
) -> None:
    if (parameter, value) == ("revision", ""):
        return  # the default branch
    folder, source = tmp_path / "run", tmp_path / "source"
    source.mkdir()
    given = {
        "url": f"file://{git_repository}",
        "revision": "main",
        "depth": "0",
        parameter: _filled(value, mark),
    }
    ran = run_step(_task("factory-clone"), "clone", folder, given, {"source": source})
    _refused(ran, mark, folder)
    assert not ran.results
    assert not [path for path in source.iterdir() if path.name != ".git"]


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% {mark}", "--upload-pack=touch {mark}", "ssh://-oProxyCommand=touch {mark}/x"]
)
def test_a_url_that_git_would_run_is_not_run(url: str, tmp_path: Path, mark: Path) -> None:
    folder, source = tmp_path / "run", tmp_path / "source"
    source.mkdir()
    ran = run_step(_task("factory-clone"), "clone", folder, {"url": _filled(url, mark)}, {"source": source})
    _refused(ran, mark, folder)


def test_a_clone_that_is_not_hostile_works(tmp_path: Path, git_repository: Path) -> None:
    folder, source = tmp_path / "run", tmp_path / "source"
    source.mkdir()
    given = {"url": f"file://{git_repository}", "revision": "main"}
    ran = run_step(_task("factory-clone"), "clone", folder, given, {"source": source})
    assert ran.status == 0, ran.stderr
    assert (source / "file").read_text() == "text\n"
    assert ran.results["COMMIT"] == _git(git_repository, "rev-parse", "HEAD").strip()


@pytest.fixture(scope="module")
def git_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("git")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "file").write_text("text\n")
    _git(folder, "add", ".")
    _git(folder, "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", "One")
    return folder


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("value", [*SOME, "y", "{{}}", "--help=", 'a={{"result": "SUCCESS"', "\n"])
def test_the_gate_fails_on_what_is_no_test_output(value: str, tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "run"
    ran = run_step(_task("factory-gate"), "gate", folder, {"test-outputs": [_filled(value, mark)]}, {})
    _nothing_ran(ran, mark, folder)
    assert ran.status == 1, ran.stderr


@pytest.mark.parametrize("value", SOME)
@pytest.mark.parametrize("parameter", ["flavor", "image"])
def test_a_hostile_note_stays_a_note(parameter: str, value: str, tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for step in ("inspect", "training", "workbench"):
        (folder / step).write_text("0")
    given = {"image": "registry.example.com/image:1", "flavor": "x", parameter: _filled(value, mark)}
    ran = run_step(_task("factory-image-test"), "report", folder, given, {})
    _nothing_ran(ran, mark, folder)
    assert ran.status == 0, ran.stderr
    assert json.loads(ran.results["TEST_OUTPUT"])["result"] == "SUCCESS"


def test_the_table_holds_what_the_issue_names() -> None:
    table = "".join(HOSTILE)
    assert all(part in table for part in ("'", '"', " ", "\n", "$(", "`", ";"))
    assert {"y", "N", "1.10"} <= set(HOSTILE)
    assert [value for value in HOSTILE if list(references(value))]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("echo $(params.flavor)", "; touch {mark}"),
        ('echo "$(params.flavor)"', "`touch {mark}`"),
        ('eval "echo $FLAVOR"', "$(touch {mark})"),
        ("bash -c \"echo '$FLAVOR'\"", "' ; touch {mark} ; '"),
    ],
)
def test_a_script_that_runs_a_value_is_found_out(line: str, value: str, tmp_path: Path, mark: Path) -> None:
    """Else every test above could pass without a reason."""
    script = f"#!/usr/bin/env bash\nset -euo pipefail\n{line}\n"
    spec = changed(_task("factory-check"), {"steps[0].script": script})
    ran = run_step(spec, "check", tmp_path / "run", {"flavor": _filled(value, mark)}, {})
    with pytest.raises(AssertionError):
        _nothing_ran(ran, mark, tmp_path / "run")
