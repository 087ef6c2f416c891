"""The command ``factory``: finds the module of a command when it is asked for, and ends the run."""

import importlib
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import NoReturn

import click

from factory import __version__
from factory.cli.options import Invocation
from factory.console import Console, Failure, failure_of, print_everything
from factory.errors import DefectError, FactoryError
from factory.files import storage_error
from factory.masking import masked
from factory.transaction import finished, forget_finished

# Name on the command line: the module under factory.cli that holds it, as `command`.
# The order is that of the job: make, look, lock, prove, build.
COMMANDS = {
    "new-flavor": "new_flavor",
    "new-image": "new_image",
    "list": "list_",
    "show": "show",
    "sync": "sync",
    "lock": "lock",
    "rehash": "rehash",
    "index-gaps": "index_gaps",
    "align": "align",
    "bump": "bump",
    "promote": "promote",
    "diff": "diff",
    "drift-report": "drift_report",
    "adopt": "adopt",
    "audit": "audit",
    "sbom": "sbom",
    "strip": "strip",
    "check": "check",
    "prefetch": "prefetch",
    "layers": "layers",
    "plan": "plan",
    "build": "build",
    "test": "test",
    "push": "push",
    "registry": "registry",
    "status": "status",
    "konflux": "konflux",
    "test-output": "test_output",
    "gate": "gate",
}
# Words that ask for a TEST_OUTPUT: whoever does gets one in every case, for a pipeline's result.
_TEST_OUTPUT_WORDS = frozenset({"test-output", "--format=test-output"})
_INTERRUPTED = 130
# As a shell tells SIGPIPE. Not 0: whoever stopped reading has not seen that there are no findings.
_PIPE_CLOSED = 141
# Of a defect: the innermost calls, and so much of what the exception says.
_FRAMES, _SHOWN = 6, 500


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is used or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"factory.cli.{COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still buffered goes nowhere, so that the interpreter does not fail on it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(_PIPE_CLOSED) from None
        return result


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="factory")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The repository; default: the nearest folder upwards that holds flavors/.",
)
@click.option("--json", "json_output", is_flag=True, help="Print the result as one JSON document.")
@click.pass_context
def group(context: click.Context, root: Path | None, *, json_output: bool) -> None:
    """Create, lock, prove and build universal training images.

    A FLAVOR is a folder name under flavors/, or the path of such a folder.
    """
    invocation: Invocation = context.obj
    invocation.root = root
    invocation.console.json_output = json_output


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 done, 1 findings, 2 wrong usage, else as `factory.errors` says."""
    print_everything()
    invocation = Invocation(console=Console())
    if threading.current_thread() is threading.main_thread():
        # As Ctrl-C: what runs is ended and cleaned up. The default would leave programs behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_run(arguments, invocation))


def _run(arguments: list[str] | None, invocation: Invocation) -> int:
    console = invocation.console
    forget_finished()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = group.main(args=arguments, prog_name="factory", standalone_mode=False, obj=invocation)
    except FactoryError as error:
        console.error(error)
        return error.exit_code
    except click.ClickException as error:
        said = {"reason": masked(error.format_message()), "solution": "See --help."}
        _tell(console, words, Failure(kind="UsageError", **said, exit_code=error.exit_code))
        if not console.json_output:
            # By way of the console, since an argument may be the name of a file of somebody else.
            error.show(shown := StringIO())
            console.note(shown.getvalue().rstrip())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        said = {"reason": _what_is_so(), "solution": "Run it again."}
        _tell(console, words, Failure(kind="Interrupted", **said, exit_code=_INTERRUPTED))
        if not console.json_output:
            console.note(said["reason"])
        return _INTERRUPTED
    except OSError as error:
        named = error.filename if isinstance(error.filename, str | bytes) else "."
        refused = storage_error(Path(os.fsdecode(named)), error)
        # On standard error, whatever was asked for: standard output may be what is full.
        console.report(refused)
        if console.error_form is not None:
            with suppress(OSError):
                console.failed(failure_of(refused))
                sys.stdout.flush()
        return refused.exit_code
    except Exception as error:  # noqa: BLE001 - the last net: what no error of the family says is a defect
        return _defect(console, words, error)
    return status if isinstance(status, int) else 0


def _what_is_so() -> str:
    """What an interruption has left: transactions are made wholly or not at all."""
    changed = finished()
    if not changed:
        return "interrupted; no file of the repository was changed"
    names = ", ".join(changed)
    return f"interrupted; finished before that, and nothing else of the repository was changed: {names}"


def _defect(console: Console, words: list[str], error: Exception) -> int:
    """Say that the factory itself failed, and where; the innermost lines are enough to find it."""
    said = str(error)[:_SHOWN] or "nothing more is known"
    defect = DefectError(
        f"this is a defect of the factory: {type(error).__name__}: {said}",
        solution="Open an issue in the factory's repository with the command and the lines above. "
        "What was asked for may be done in part.",
    )
    console.note("".join(traceback.format_exception(error, limit=-_FRAMES, chain=False)).rstrip())
    _tell(console, words, failure_of(defect))
    if not console.json_output:
        console.report(defect)
    return defect.exit_code


def _tell(console: Console, words: list[str], failure: Failure) -> None:
    """Tell why there is no result in the form that was asked for, also before a command came to read it."""
    if console.error_form is None and _TEST_OUTPUT_WORDS.intersection(words):
        from factory.konflux.test_output import failure_line  # noqa: PLC0415

        console.error_form = failure_line
    console.json_output = console.error_form is None and (console.json_output or "--json" in words)
    console.failed(failure)
