"""``factory gate``: whether the outcomes of a pipeline's checks let it continue."""

import click

from factory.cli.options import Invocation, common
from factory.konflux.test_output import judge


@click.command(short_help="Fail if one of the checks of a pipeline did not pass.")
@click.argument("test_outputs", metavar="[NAME=JSON|JSON]...", nargs=-1)
@common
def command(invocation: Invocation, *, test_outputs: tuple[str, ...]) -> int:
    """Fail if one of the checks of a pipeline did not pass.

    Each argument is the TEST_OUTPUT of a task, with the task's name before it or, as a matrix passes
    them, alone. Exits with 1 if the result of one is FAILURE or ERROR, or if one is not a TEST_OUTPUT:
    a check without a result proved nothing. No argument at all is wrong usage.
    """
    if not test_outputs:
        raise click.UsageError("no TEST_OUTPUT was given, so nothing was checked")
    return invocation.console.show(judge(test_outputs))
