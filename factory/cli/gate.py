"""``factory gate``: whether the outcomes of a pipeline's checks let it go on."""

import click

from factory.cli.options import Invocation, common
from factory.konflux.gate import describe_verdict, judge


@click.command(short_help="Fail where one of the checks of a pipeline did not pass.")
@click.argument("test_outputs", metavar="[NAME=JSON|JSON]...", nargs=-1)
@common
def command(invocation: Invocation, *, test_outputs: tuple[str, ...]) -> int:
    """Fail where one of the checks of a pipeline did not pass.

    Each argument is the TEST_OUTPUT of a task, with the task's name before it or, as a matrix gives
    them, alone. Exits with 1 where the result of one is FAILURE or ERROR, or where one is no
    TEST_OUTPUT: a check that told nothing proved nothing. No argument at all is wrong usage.
    """
    if not test_outputs:
        raise click.UsageError("no TEST_OUTPUT was given, so nothing was checked")
    verdict = judge(test_outputs)
    invocation.console.result(verdict, *describe_verdict(verdict))
    return 0 if verdict.passed else 1
