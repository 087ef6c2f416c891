"""End a failed run: what to print, and the exit code."""

import os
import sys
import traceback
from contextlib import suppress
from io import StringIO
from pathlib import Path

import click

from factory.cli.options import Invocation
from factory.console import Console, Failure, failure_of
from factory.errors import DefectError, FactoryError
from factory.files import storage_error
from factory.konflux.test_output import failure_line
from factory.masking import masked
from factory.transaction import finished

# Words that ask for a TEST_OUTPUT, which a pipeline needs in every case.
_TEST_OUTPUT_WORDS = frozenset({"test-output", "--format=test-output"})
_INTERRUPTED = 130
# Of a defect: how many of the innermost calls are shown, and how much of the exception's text.
_FRAMES, _SHOWN = 6, 500


def report_failure(error: BaseException, words: list[str], invocation: Invocation | None) -> int:
    """Report why a run failed; return its exit code.

    Args:
        error: what ended the run.
        words: the command line.
        invocation: None if the command line could not be read.
    """
    console = invocation.console if invocation is not None else Console()
    match error:
        case FactoryError():
            console.error(error)
            return error.exit_code
        case click.ClickException():
            said = {"reason": masked(error.format_message()), "solution": "See --help."}
            _fail(console, words, Failure(kind="UsageError", **said, exit_code=error.exit_code))
            if not console.json_output:
                # By way of the console, which escapes what an argument may hold.
                error.show(shown := StringIO())
                console.note(shown.getvalue().rstrip())
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            said = {"reason": _interrupted(), "solution": "Run it again."}
            _fail(console, words, Failure(kind="Interrupted", **said, exit_code=_INTERRUPTED))
            if not console.json_output:
                console.note(said["reason"])
            return _INTERRUPTED
        case OSError():
            return _refused(console, error)
    return _defect(console, words, error)


def _interrupted() -> str:
    """Return what an interrupted run has changed: each transaction is made wholly or not at all."""
    changed = finished()
    if not changed:
        return "interrupted; no file of the repository was changed"
    names = ", ".join(changed)
    return f"interrupted; finished before that, and nothing else of the repository was changed: {names}"


def _refused(console: Console, error: OSError) -> int:
    named = error.filename if isinstance(error.filename, str | bytes) else "."
    refused = storage_error(Path(os.fsdecode(named)), error)
    # On standard error, whatever the form: standard output may be what is full.
    console.report(refused)
    if console.error_form is not None:
        with suppress(OSError):
            console.failed(failure_of(refused))
            sys.stdout.flush()
    return refused.exit_code


def _defect(console: Console, words: list[str], error: BaseException) -> int:
    """Report that the factory itself failed, and where; the innermost calls are enough to find it."""
    said = str(error)[:_SHOWN] or "nothing more is known"
    defect = DefectError(
        f"this is a defect of the factory: {type(error).__name__}: {said}",
        solution="Open an issue in the factory's repository with the command and the lines above. "
        "What was asked for may be done in part.",
    )
    console.note("".join(traceback.format_exception(error, limit=-_FRAMES, chain=False)).rstrip())
    _fail(console, words, failure_of(defect))
    if not console.json_output:
        console.report(defect)
    return defect.exit_code


def _fail(console: Console, words: list[str], failure: Failure) -> None:
    """Print a failure in the requested form, even if no command has parsed the words."""
    if console.error_form is None and _TEST_OUTPUT_WORDS.intersection(words):
        console.error_form = failure_line
    console.json_output = console.error_form is None and (console.json_output or "--json" in words)
    console.failed(failure)
