"""The entry point, run by bash with stand-ins for what it starts."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.clean_flavor import make_flavor, make_repository

# Says what it was started as, with which arguments and in which process.
_STUB = f"""#!{sys.executable}
import json, os, sys
print(json.dumps({{
    "program": os.path.basename(sys.argv[0]), "arguments": sys.argv[1:], "pid": os.getpid(),
    "environment": dict(os.environ), "here": os.listdir(),
}}))
"""


@pytest.fixture(scope="module")
def entrypoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flavor(make_repository(tmp_path_factory.mktemp("root"))).folder / "entrypoint-universal.sh"


class Box:
    """A folder with stand-ins on PATH and a home."""

    def __init__(self, folder: Path, entrypoint: Path) -> None:
        self.entrypoint = entrypoint
        self.work = folder / "work"
        self.home = folder / "home"
        programs = folder / "bin"
        for made in (self.work, self.home, programs):
            made.mkdir()
        for name in ("start-notebook.sh", "torchrun", "train"):
            (programs / name).write_text(_STUB)
            (programs / name).chmod(0o755)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(self.home)}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.entrypoint), *arguments],
            env=self.environment | environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
        )

    def started(self, *arguments: str, **environment: str) -> dict[str, Any]:
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        what: dict[str, Any] = json.loads(done.stdout)
        return what


@pytest.fixture
def box(tmp_path: Path, entrypoint: Path) -> Box:
    return Box(tmp_path, entrypoint)


def test_no_command_starts_jupyterlab_without_arguments(box: Box) -> None:
    started = box.started()
    assert (started["program"], started["arguments"]) == ("start-notebook.sh", [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", []),
        (" \t\n ", []),
        ("--ServerApp.port=8888", ["--ServerApp.port=8888"]),
        ("  --a=1\n--b=2\t--c=3  ", ["--a=1", "--b=2", "--c=3"]),
        ("--a=$(touch made) `touch made` ; touch made",
         ["--a=$(touch", "made)", "`touch", "made`", ";", "touch", "made"]),
        ("$HOME ${PATH} ~ && exit 3", ["$HOME", "${PATH}", "~", "&&", "exit", "3"]),
        ("* ?ile [a-z]*", ["*", "?ile", "[a-z]*"]),
        ("--token='' \"two words\" \\n", ["--token=''", '"two', 'words"', "\\n"]),
    ],
)  # fmt: skip
def test_notebook_args_are_split_into_words_and_never_evaluated(
    box: Box, arguments: str, words: list[str]
) -> None:
    (box.work / "file").touch()
    started = box.started(NOTEBOOK_ARGS=arguments)
    assert (started["program"], started["arguments"]) == ("start-notebook.sh", words)
    assert started["environment"]["NOTEBOOK_ARGS"] == arguments
    assert started["here"] == ["file"]


@pytest.mark.parametrize("notebook_args", [None, "", "--ServerApp.port=8888"])
@pytest.mark.parametrize(
    "command",
    [["train"], ["train", "--lr", "1"], ["train", "two words", "", "$HOME", "*"], ["train", "x.py"]],
)
def test_a_command_is_run_exactly(box: Box, command: list[str], notebook_args: str | None) -> None:
    environment = {} if notebook_args is None else {"NOTEBOOK_ARGS": notebook_args}
    started = box.started(*command, **environment)
    assert (started["program"], started["arguments"]) == ("train", command[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ["train.py"],
        ["/data/some train.py", "--epochs", "3"],
        ["--nproc_per_node=2", "train.py"],
        ["-m", "package.train"],
        ["-"],
    ],
)
def test_a_script_or_an_option_goes_to_torchrun_with_all_arguments(box: Box, arguments: list[str]) -> None:
    started = box.started(*arguments, NOTEBOOK_ARGS="--x", PET_NNODES="2")
    assert (started["program"], started["arguments"]) == ("torchrun", arguments)
    assert started["environment"]["PET_NNODES"] == "2"


@pytest.mark.parametrize("arguments", [[], ["train"], ["train.py"]])
def test_what_is_started_takes_the_place_of_the_shell(box: Box, arguments: list[str]) -> None:
    with subprocess.Popen(
        ["bash", str(box.entrypoint), *arguments], env=box.environment, cwd=box.work, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert json.load(process.stdout)["pid"] == process.pid


def test_the_status_of_the_command_is_the_status(box: Box) -> None:
    assert box.run("bash", "-c", "exit 7").returncode == 7


def test_a_command_that_is_not_there_is_named(box: Box) -> None:
    done = box.run("no-such-program")
    assert done.returncode == 127
    assert "no-such-program" in done.stderr


def test_nothing_is_said_and_nothing_changed_where_nothing_is_amiss(box: Box) -> None:
    done = box.run("train", USER="me", LOGNAME="me")
    environment = json.loads(done.stdout)["environment"]
    assert done.stderr == ""
    assert {name: environment[name] for name in ("HOME", "USER", "LOGNAME")} == {
        "HOME": str(box.home),
        "USER": "me",
        "LOGNAME": "me",
    }
    assert "JUPYTER_RUNTIME_DIR" not in environment


@pytest.mark.parametrize("home", ["", "/etc/passwd", "/nonexistent"])
def test_a_home_that_cannot_be_written_is_replaced_by_a_private_one(
    box: Box, tmp_path: Path, home: str
) -> None:
    temporary = tmp_path / "tmp with space"
    temporary.mkdir()
    done = box.run("train", HOME=home, TMPDIR=str(temporary))
    environment = json.loads(done.stdout)["environment"]
    (made,) = temporary.iterdir()
    assert environment["HOME"] == str(made)
    assert made.stat().st_mode & 0o777 == 0o700
    assert environment["JUPYTER_RUNTIME_DIR"].startswith(f"{made}/")
    assert re.search(r"HOME .* cannot be written; HOME is .* now", done.stderr)


def test_jupyterlab_starts_with_a_new_home_too(box: Box, tmp_path: Path) -> None:
    started = box.started(HOME="/nonexistent", TMPDIR=str(tmp_path / "work"))
    assert started["program"] == "start-notebook.sh"
    assert started["environment"]["HOME"].startswith(str(tmp_path / "work"))


def test_a_user_without_a_name_gets_one(box: Box, tmp_path: Path) -> None:
    # `id -un` fails for a UID without an entry in /etc/passwd, as OpenShift's are.
    nameless = tmp_path / "bin" / "id"
    nameless.write_text('#!/bin/sh\n[ "$1" = -un ] && exit 1\necho 1234567\n')
    nameless.chmod(0o755)
    environment = box.started("train")["environment"]
    assert (environment["USER"], environment["LOGNAME"]) == ("uid-1234567", "uid-1234567")
