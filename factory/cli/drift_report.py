"""``factory drift-report``: the same package at different versions across flavors."""

import click

from factory.cli.options import Invocation, common
from factory.clock import today
from factory.upkeep.drift_report import drift_report


@click.command("drift-report", short_help="Find packages whose versions differ by flavor.")
@click.argument("flavors", metavar="[FLAVOR]...", nargs=-1)
@click.option("--direct-only", is_flag=True, help="Leave out packages that no flavor asks for itself.")
@click.option("--markdown", is_flag=True, help="Print tables in Markdown.")
@common
def command(invocation: Invocation, flavors: tuple[str, ...], *, direct_only: bool, markdown: bool) -> int:
    """Find packages that are locked at different versions in different flavors; all if none is named.

    The index's own part of a version (+cpu, +cu130) does not count, nor do torch and training-hub if
    the specs differ. A deviation that is meant is waived in the spec of its flavor, with a reason and a
    last day: docs/rules.md shows how. Exits with 1 if something drifts that is not waived, a waiver
    has expired, or a flavor cannot be read; the others are compared all the same.
    """
    repository = invocation.repository_of(*flavors)
    report = drift_report(
        repository.select(flavors), today=today(), direct_only=direct_only, whole=not flavors
    )
    invocation.console.report_each(report.unread)
    if markdown:
        invocation.console.result(report, report.as_markdown())
        return report.exit_code
    return invocation.console.show(report)
