"""The command ``factory``: finds the module of a command when it is asked for, and ends the run."""

import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

import click

from factory import __version__
from factory.cli.options import Invocation
from factory.console import Console
from factory.errors import FactoryError
from factory.files import storage_error

# Name on the command line: the module under factory.cli that holds it, as `command`.
# The order is that of the job: make, look, lock, prove, build.
COMMANDS = {
    "new-flavor": "new_flavor",
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
    "strip": "strip",
    "check": "check",
    "prefetch": "prefetch",
    "build": "build",
}
_INTERRUPTED = 130
# As a shell tells SIGPIPE. Not 0: whoever stopped reading has not seen that there are no findings.
_PIPE_CLOSED = 141


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
    invocation = Invocation(console=Console())
    if threading.current_thread() is threading.main_thread():
        # As Ctrl-C: what runs is ended and cleaned up. The default would leave programs behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_run(arguments, invocation))


def _run(arguments: list[str] | None, invocation: Invocation) -> int:
    try:
        status = group.main(args=arguments, prog_name="factory", standalone_mode=False, obj=invocation)
    except FactoryError as error:
        invocation.console.error(error)
        return error.exit_code
    except click.ClickException as error:
        if _asks_for_json(arguments):
            invocation.console.json_output = True
            invocation.console.usage_error(error.format_message(), error.exit_code)
        else:
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _tell_interrupted(invocation.console, in_json=_asks_for_json(arguments))
        return _INTERRUPTED
    except OSError as error:
        refused = storage_error(Path(error.filename or "."), error)
        # On standard error, whatever was asked for: standard output may be what is full.
        invocation.console.report(refused)
        return refused.exit_code
    return status if isinstance(status, int) else 0


def _asks_for_json(arguments: list[str] | None) -> bool:
    """Whether ``--json`` is among the words, also where a command had not come to read them."""
    return "--json" in (sys.argv[1:] if arguments is None else arguments)


def _tell_interrupted(console: Console, *, in_json: bool) -> None:
    reason = "interrupted; nothing was left half-written"
    if in_json:
        body = {"kind": "Interrupted", "reason": reason, "solution": "Run it again."}
        console.json_output = True
        console.result({"error": body | {"exit_code": _INTERRUPTED}})
    else:
        console.note(reason)
