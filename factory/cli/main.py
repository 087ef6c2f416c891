"""The command ``factory``: import the module of a command when it is used, and end the run."""

import importlib
import os
import signal
import sys
import threading
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from factory import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from factory.cli.options import Invocation

# By name on the command line: the module under factory.cli that holds the command, and the command's short
# help, so that `factory --help` imports none. The order is that of the job: make, look, lock, prove, build.
COMMANDS = {
    "init": ("init_", "Start a repository of images, with its CI files."),
    "new-flavor": ("new_flavor", "Make a flavor folder from templates, or from another flavor."),
    "new-image": ("new_image", "Start an image that is not a flavor, such as a stack."),
    "rename": ("rename", "Rename an image, with all that is named after it."),
    "list": ("list_", "List the images with their versions and states."),
    "show": ("show", "Show an image: its spec, its files and their state."),
    "sync": ("sync", "Render the generated files of images again."),
    "lock": ("lock", "Resolve and lock images, or prove that a lock holds."),
    "rehash": ("rehash", "Keep the locked versions and take their hashes again."),
    "index-gaps": ("index_gaps", "List all that an image's index lacks, in one pass."),
    "align": ("align", "Compare Training Hub's requirements with flavors."),
    "bump": ("bump", "Raise the floor of packages, as for a security fix."),
    "promote": ("promote", "Move flavors to the next release in one step."),
    "diff": ("diff", "Show what differs between images or revisions."),
    "drift-report": ("drift_report", "Find packages whose versions differ by image."),
    "adopt": ("adopt", "Make a flavor of a folder that was kept by hand."),
    "audit": ("audit", "Report known vulnerabilities of locked versions."),
    "sbom": ("sbom", "Write the bill of materials of an image, from its lock."),
    "strip": ("strip", "Remove the MIDSTREAM ONLY blocks, and nothing else."),
    "check": ("check", "Apply every rule to images, without a network."),
    "prefetch": ("prefetch", "Fetch and verify all artifacts of an image's lock."),
    "layers": ("layers", "Show or choose which packages share a layer of the image."),
    "plan": ("plan", "Show which images have to be built, in order, and why."),
    "build": ("build", "Build the images that have to be built, parents first."),
    "test": ("test", "Test built images: in containers of them, at three levels."),
    "push": ("push", "Push images into one registry, or several at once."),
    "registry": ("registry", "Set up, look at, prune or empty container registries."),
    "status": ("status", "Show which images are locked, built, tested, pushed."),
    "konflux": ("konflux", "Write the PipelineRuns that build images in Konflux."),
    "test-output": ("test_output", "Print as TEST_OUTPUT how the steps of a task ended."),
    "gate": ("gate", "Fail if one of the checks of a pipeline did not pass."),
    "docs": ("docs", "Show a page of the documentation, or list the pages."),
    "help": ("help_", "Show the help of a command, or of all."),
    "completion": ("completion", "Print the script that completes names in a shell."),
}
# Commands whose first words are no names of images; a shell completes such names for all others.
_WITHOUT_IMAGES = frozenset(
    {
        "new-flavor",
        "new-image",
        "list",
        "bump",
        "adopt",
        "registry",
        "test-output",
        "gate",
        "completion",
        "docs",
        "init",
    }
)
# As a shell reports SIGPIPE. Not 0: the reader that went away has not seen that there are no findings.
_PIPE_CLOSED = 141


class LazyGroup(click.Group):
    """A group that imports the module of a command only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"factory.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if ctx.resilient_parsing:
            return name, self._completing(ctx, name, args[1:]), args[1:]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(f"No such command {name!r}.{_meant(name)}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Return the commands that begin so, without importing one, and options."""
        return self._beginning(incomplete) + click.Command.shell_complete(self, ctx, incomplete)

    def _beginning(self, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for a shell alone

        named = ((name, short_help) for name, (_, short_help) in COMMANDS.items())
        return [CompletionItem(name, help=text) for name, text in named if name.startswith(incomplete)]

    def _completing(self, ctx: click.Context, name: str, args: list[str]) -> click.Command | None:
        """Return the command whose words a shell completes; without importing it if a name comes next."""
        from factory.cli.names import complete_images, named_words  # noqa: PLC0415 - for a shell alone

        if name == "help":
            return named_words(name, self, lambda _, __, incomplete: self._beginning(incomplete))
        # What is behind an option may be its value, which the command itself knows.
        behind_option = bool(args) and args[-1].startswith("-")
        if name not in COMMANDS or name in _WITHOUT_IMAGES or behind_option:
            return self.get_command(ctx, name)
        return named_words(name, self, complete_images)

    def invoke(self, ctx: click.Context) -> object:
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Discard what is still buffered, so that the interpreter does not fail on it when it ends.
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
@click.option("--quiet", "-q", is_flag=True, help="Print no progress: the result, warnings and errors alone.")
@click.option("--timings", is_flag=True, help="Say how long each kind of operation took, also as JSON.")
@click.pass_context
def group(
    context: click.Context, root: Path | None, *, json_output: bool, quiet: bool, timings: bool
) -> None:
    """Create, lock, prove and build universal training images.

    An IMAGE is a folder name under flavors/ or images/, or the path of such a folder.
    """
    # Here, so that `--version` and `--help` do without the modules of an invocation.
    from factory.cli.options import begin  # noqa: PLC0415

    invocation = begin(root=root, json_output=json_output, quiet=quiet, timings=timings)
    begun: list[Invocation] = context.obj
    begun.append(invocation)
    context.obj = invocation


def _meant(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - after a misspelling alone

    likely = get_close_matches(name, COMMANDS, n=2)
    shown = " or ".join(f"`factory {one}`" for one in likely)
    return f" Did you mean {shown}?" if likely else " `factory --help` lists them."


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 done, 1 findings, 2 wrong usage, else as `factory.errors` says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What the encoding of the machine's locale lacks is escaped, and fails nothing.
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        # As Ctrl-C: what runs is ended and cleaned up. The default would leave programs behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(words: list[str]) -> int:
    begun: list[Invocation] = []
    try:
        status = group.main(args=words, prog_name="factory", standalone_mode=False, obj=begun)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last net
        from factory.cli.ending import report_failure  # noqa: PLC0415 - as in `group`

        return report_failure(error, words, begun[0] if begun else None)
    return status if isinstance(status, int) else 0
