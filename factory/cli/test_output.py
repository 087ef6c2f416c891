"""``factory test-output``: the TEST_OUTPUT of named cases, for steps that are no factory command."""

import click

from factory.cli.options import Invocation, common
from factory.clock import now
from factory.konflux.test_output import line, outcome_of_cases, read_cases


@click.command(short_help="Tell as TEST_OUTPUT how the steps of a task ended.")
@click.option(
    "--case",
    "cases",
    metavar="NAME=EXITCODE",
    multiple=True,
    required=True,
    help="A named case with the exit code that it ended with; 0 has passed. Repeat it for each case.",
)
@click.option("--note", default="", metavar="TEXT", help="What was tested, such as the flavor's name.")
@common
def command(invocation: Invocation, *, cases: tuple[str, ...], note: str) -> None:
    """Tell as TEST_OUTPUT how the steps of a task ended.

    Prints one line of JSON and exits with 0, whatever the cases ended with: a later `factory gate`
    decides. EXITCODE is what Tekton wrote: -1 for a step that a signal ended, which has failed. One that
    is no number, as of a step that never ran, makes the result ERROR.
    """
    invocation.console.json_output = False  # it is JSON as it is
    invocation.console.result(None, line(outcome_of_cases(read_cases(cases), note=note), now=now()))
