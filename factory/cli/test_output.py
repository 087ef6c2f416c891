"""``factory test-output``: the TEST_OUTPUT of named cases, for steps that are not factory commands."""

import click

from factory.cli.options import Invocation, common
from factory.clock import now
from factory.konflux.test_output import outcome_of_cases, output_line, read_cases


@click.command(short_help="Print as TEST_OUTPUT how the steps of a task ended.")
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
    """Print as TEST_OUTPUT how the steps of a task ended.

    Prints one line of JSON and exits with 0, whatever the cases ended with: a later `factory gate`
    decides. EXITCODE is what Tekton wrote: -1 for a step that a signal ended, which has failed. If it is
    not a number, as for a step that never ran, the result is ERROR.
    """
    invocation.console.json_output = False  # it is JSON as it is
    invocation.console.result(None, output_line(outcome_of_cases(read_cases(cases), note=note), now=now()))
