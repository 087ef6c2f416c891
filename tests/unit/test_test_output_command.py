"""``TEST_OUTPUT`` on the command line: one line on standard output in every case. Each run is a process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository

from factory.files import exclusive
from factory.flavor.repository import Flavor

CHECK = ("check", "--format", "test-output")
VERIFY = ("lock", "--verify", "--format", "test-output")


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _factory(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "factory", *arguments],
        cwd=cwd, env=os.environ | (environment or {}), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


def _told(output: str) -> dict[str, Any]:
    """What the one line on standard output says."""
    assert output.endswith("\n")
    (text,) = output.splitlines()
    assert len(text.encode()) <= 1000
    told: dict[str, Any] = json.loads(text)
    assert set(told) == {
        "result", "timestamp", "note", "namespace", "successes", "failures", "warnings",
    }  # fmt: skip
    return told


def test_a_check_tells_its_result_and_exits_as_ever(flavor: Flavor) -> None:
    before = _factory(*CHECK, NAME, cwd=flavor.folder)
    (flavor.folder / "LICENSE.md").unlink()
    after = _factory(*CHECK, NAME, cwd=flavor.folder)
    assert [run.returncode for run in (before, after)] == [0, 1]
    assert [_told(run.stdout)["result"] for run in (before, after)] == ["WARNING", "FAILURE"]
    told = _told(after.stdout)
    assert told["note"].startswith(
        f"{NAME}: 1 error, 1 warning; FAC101 missing-file flavors/{NAME}/LICENSE.md:"
    )
    assert (told["failures"], told["warnings"]) == (1, 1)
    # Whoever reads the log of the step wants more than fits into a line.
    assert f"what to do: Run `factory sync {NAME}`." in after.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "note"),
    [
        ((*CHECK, "th99"), 13, "th99: NotFoundError: there is no image 'th99'"),
        (("--json", *CHECK, "th99"), 13, "th99: NotFoundError: there is no image 'th99'"),
        ((*CHECK, "th99", "--json"), 13, "th99: NotFoundError: there is no image 'th99'"),
        (("check", "--format=test-output", "th99"), 13, "th99: NotFoundError: "),
        ((*CHECK, "--all", NAME), 2, f"{NAME}: UsageError: give images or --all"),
        ((*CHECK, "--bogus"), 2, "UsageError: No such option '--bogus'"),
        ((*CHECK, "--root", "/nowhere", NAME), 13, f"{NAME}: NotFoundError: "),
        ((*CHECK, "$(touch x)\n'\""), 13, "$(touch x) '\": NotFoundError: "),
        ((*VERIFY, "th99"), 13, "th99: NotFoundError: there is no image 'th99'"),
        ((*VERIFY, "th99", "--json"), 13, "th99: NotFoundError: "),
        ((*VERIFY,), 2, "UsageError: Name images, or give --all"),
        (("lock", NAME, "--format", "test-output"), 2, f"{NAME}: UsageError: --format test-output is a form"),
        (("test-output",), 2, "UsageError: Missing option '--case'"),
        (("test-output", "--json", "--case"), 2, "UsageError: Option '--case' requires an argument"),
    ],
)
def test_an_error_is_told_in_the_line_with_its_exit_code(
    flavor: Flavor, arguments: tuple[str, ...], status: int, note: str
) -> None:
    run = _factory(*arguments, cwd=flavor.folder)
    told = _told(run.stdout)
    assert (run.returncode, told["result"]) == (status, "ERROR")
    assert told["note"].startswith(note)
    assert run.stderr


def test_a_flavor_that_is_not_locked_is_nothing_to_verify(flavor: Flavor) -> None:
    (flavor.folder / "requirements.txt").unlink()
    run = _factory(*VERIFY, NAME, cwd=flavor.folder)
    told = _told(run.stdout)
    assert (run.returncode, told["result"]) == (16, "SKIPPED")
    assert told["note"].startswith(f"{NAME}: not verified; {NAME} is not locked")


def test_a_lock_that_cannot_be_read_is_an_error_of_its_flavor(flavor: Flavor) -> None:
    (flavor.folder / "requirements.txt").write_bytes(b"\xff")
    run = _factory(*VERIFY, NAME, cwd=flavor.folder)
    told = _told(run.stdout)
    assert (run.returncode, told["result"]) == (16, "ERROR")
    assert told["note"].startswith(f"{NAME}: not verified; LockFileError: ")


def test_the_line_is_the_same_in_every_locale(flavor: Flavor) -> None:
    words = ("test-output", "--case", "größe=1", "--note", "naïve")
    environments = [{"LC_ALL": "C", "PYTHONUTF8": "1"}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}]
    notes = [
        _told(_factory(*words, cwd=flavor.folder, environment=given).stdout)["note"] for given in environments
    ]
    assert notes == ["naïve: 0 of 1 passed; größe ended with 1"] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_an_error_too(flavor: Flavor, number: signal.Signals) -> None:
    """It waits for another run that holds the folder, and is told to stop."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\n"
        "import factory.cli.check\n"
        "from factory.files import exclusive\n"
        "def wait(*given, **named):\n"
        "    print('waiting', file=sys.stderr, flush=True)\n"
        "    with exclusive(Path(sys.argv[1]), wait_seconds=30):\n"
        "        raise SystemExit('it had to wait')\n"
        "factory.cli.check.check_flavors = wait\n"
        "from factory.cli.main import main\n"
        f"main(['check', '--format', 'test-output', {NAME!r}])\n"
    )
    with (
        exclusive(flavor.folder),
        subprocess.Popen(
            [sys.executable, "-c", code, str(flavor.folder)],
            cwd=flavor.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        time.sleep(0.1)
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    told = _told(output)
    assert (process.returncode, told["result"]) == (130, "ERROR")
    assert told["note"].startswith(f"{NAME}: Interrupted: ")
    assert "interrupted" in errors


def test_a_test_output_is_no_failure_of_its_command(tmp_path: Path) -> None:
    run = _factory(
        "test-output", "--case", "training=0", "--case", "workbench=1", "--note", NAME, cwd=tmp_path
    )
    told = _told(run.stdout)
    assert (run.returncode, told["result"], told["successes"], told["failures"]) == (0, "FAILURE", 1, 1)
    assert told["note"] == f"{NAME}: 1 of 2 passed; workbench ended with 1"


def test_the_gate_passes_and_fails_on_what_the_commands_print(flavor: Flavor) -> None:
    folder = flavor.folder
    warned = _factory(*CHECK, NAME, cwd=folder).stdout
    (folder / "LICENSE.md").unlink()
    failed = _factory(*CHECK, NAME, cwd=folder).stdout
    error = _factory(*CHECK, "th99", cwd=folder).stdout
    runs = [_factory("gate", *words, cwd=folder) for words in ([f"check={warned}"], [warned, failed, error])]
    assert [run.returncode for run in runs] == [0, 1]
    assert runs[1].stdout.splitlines()[-1] == f"2 of 3 did not pass: {NAME}, th99"
    assert "LICENSE.md" in runs[1].stdout


def test_the_gate_in_json_is_one_document(tmp_path: Path) -> None:
    run = _factory("gate", "--json", "image-test=", cwd=tmp_path)
    verdict = json.loads(run.stdout)
    assert (run.returncode, verdict["passed"], verdict["outcomes"][0]["task"]) == (1, False, "image-test")


def test_a_gate_of_nothing_does_not_pass(tmp_path: Path) -> None:
    run = _factory("gate", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert "nothing was checked" in run.stderr


def test_256_lines_are_judged_at_once(tmp_path: Path) -> None:
    lines = [
        _factory("test-output", "--case", "x" * 900 + "=0", "--note", "y" * 900, cwd=tmp_path).stdout.strip()
    ] * 256
    assert _factory("gate", *lines, cwd=tmp_path).returncode == 0
