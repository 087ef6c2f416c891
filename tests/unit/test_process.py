"""Programs are run to their end, and none of them outlives the call."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from factory.errors import ProgramError
from factory.http.parallel import in_parallel
from factory.process import Cancellation, current_cancellation, run


def _sleeper(beside: Path) -> tuple[str, ...]:
    """A program that says that it has started, and after ten seconds that it went on."""
    code = (
        "import pathlib, sys, time\n"
        f"path = pathlib.Path({str(beside)!r})\n"
        "path.write_text('started')\ntime.sleep(10)\npath.write_text('went on')\n"
    )
    return (sys.executable, "-c", code)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 10
    # Opening the file makes it; what it says comes a moment later.
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_outputs_and_status_are_given_apart() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    finished = run((sys.executable, "-c", code), accept_failure=True)
    assert (finished.status, finished.stdout, finished.stderr) == (3, "out\n", "err\n")


def test_a_failure_tells_the_last_words_and_a_command_that_can_be_pasted() -> None:
    with pytest.raises(ProgramError) as caught:
        run((sys.executable, "-c", "raise SystemExit('a b')"))
    assert "status 1:\na b" in caught.value.reason
    assert "-c 'raise SystemExit('\"'\"'a b'\"'\"')'" in caught.value.solution


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramError, match="no-such-program could not be started"):
        run(("no-such-program",))


def test_a_program_that_runs_past_the_timeout_is_ended() -> None:
    with pytest.raises(ProgramError, match="did not end within 0 seconds"):
        run((sys.executable, "-c", "import time; time.sleep(60)"), timeout=0.2)


def test_what_a_program_reads_and_prints_may_be_larger_than_a_pipe() -> None:
    given = "line\r\n\N{SNOWMAN}" * 100_000
    finished = run(("cat",), given=given)
    assert finished.stdout == given.replace("\r\n", "\n")
    assert run(("true",), given=given).status == 0
    # Both outputs are there before the program looks at what it reads, which is nothing.
    program = "echo out; echo err >&2; cat; echo end"
    assert run(("sh", "-c", program), given="").stdout == "out\nend\n"


def test_a_program_that_reads_past_the_timeout_is_ended() -> None:
    with pytest.raises(ProgramError, match="did not end within 0 seconds"):
        run((sys.executable, "-c", "import time; time.sleep(60)"), given="x" * 1_000_000, timeout=0.2)


def test_stop_ends_the_programs_of_another_thread_and_lets_it_start_no_more(tmp_path: Path) -> None:
    stop = Cancellation()
    first, second = tmp_path / "first", tmp_path / "second"

    def work() -> list[str]:
        reasons = []
        with stop.active():
            for beside in (first, second):
                try:
                    run(_sleeper(beside))
                except ProgramError as error:
                    reasons.append(error.reason)
        return reasons

    with ThreadPoolExecutor() as pool:
        future = pool.submit(work)
        _wait_for(first)
        stop.stop()
        assert future.result(timeout=5) == ["the run was interrupted", "the run was interrupted"]
    assert first.read_text() == "started"
    assert not second.exists()


def test_stop_leaves_alone_what_it_does_not_govern() -> None:
    stop = Cancellation()
    stop.stop()
    with stop.active(), pytest.raises(ProgramError, match="interrupted"):
        run((sys.executable, "-c", ""))
    assert run((sys.executable, "-c", "")).status == 0


def test_the_cancellation_of_a_thread_is_active_in_the_threads_that_it_starts() -> None:
    stop = Cancellation()
    with stop.active():
        found = in_parallel(lambda _: current_cancellation(), range(3), jobs=3)
    assert [one is stop for one in found] == [True, True, True]
