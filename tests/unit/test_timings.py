"""`--timings`: how long each kind of operation took, on standard error or in the JSON."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from factory.cli.main import main
from factory.clock import read_timings, restart_timings, timed

_NOT_FOUND = 13


@pytest.fixture(autouse=True)
def _restarted() -> None:
    restart_timings()


def test_operations_side_by_side_count_once_and_keep_their_own_time() -> None:
    both = threading.Barrier(2)

    @timed("send")
    def send() -> None:
        both.wait()
        time.sleep(0.05)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (timing,) = read_timings().operations
    assert (timing.kind, timing.count) == ("send", 2)
    assert 0.05 <= timing.seconds < timing.busy_seconds
    assert timing.busy_seconds >= 0.1


def test_an_operation_that_fails_is_measured_and_one_that_runs_too() -> None:
    @timed("resolve")
    def fail() -> None:
        time.sleep(0.01)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with timed("build"):
        time.sleep(0.02)
        found = {timing.kind: timing for timing in read_timings().operations}
    assert found["resolve"].seconds >= 0.01
    assert found["build"].seconds >= 0.02
    assert found["build"].busy_seconds == 0
    assert read_timings().seconds >= 0.03


def test_the_longest_comes_first() -> None:
    with timed("hash"):
        time.sleep(0.01)
    with timed("build"):
        time.sleep(0.03)
    assert [timing.kind for timing in read_timings().operations] == ["build", "hash"]


def _run(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "factory", "--root", root, *words], capture_output=True, text=True, check=False
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "flavors").mkdir()
    return tmp_path


@pytest.mark.parametrize("words", [("--timings", "list"), ("list", "--timings")])
def test_the_times_are_on_standard_error_and_the_result_is_unchanged(
    repository: Path, words: tuple[str, ...]
) -> None:
    done = _run(repository, *words)
    assert done.stdout == _run(repository, "list").stdout
    heading, *_, whole = done.stderr.splitlines()
    assert heading.split() == ["OPERATION", "COUNT", "SECONDS"]
    assert whole.startswith("in all")


@pytest.mark.parametrize(
    ("words", "status", "key"),
    [(("plan", "--offline"), 0, "images"), (("plan", "nothing-such"), _NOT_FOUND, "error")],
)
def test_json_has_the_times_beside_the_result_and_beside_an_error(
    repository: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int, key: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(repository), *words, "--json", "--timings"])
    out, err = capsys.readouterr()
    assert ended.value.code == status
    document = json.loads(out)
    assert key in document
    assert set(document["timings"]) == {"seconds", "operations"}
    assert "OPERATION" not in err


def test_a_result_that_is_a_list_becomes_a_key_of_its_own(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--root", str(repository), "list", "--json", "--timings"])
    document = json.loads(capsys.readouterr().out)
    assert document["result"] == []


def test_without_the_option_nothing_is_said(repository: Path) -> None:
    assert _run(repository, "list").stderr == ""


def test_a_subcommand_says_its_times_once(repository: Path) -> None:
    done = _run(repository, "registry", "status", "--timings")
    assert done.stderr.count("OPERATION") == 1
