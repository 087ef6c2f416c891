"""``factory drift-report``: the same package at different versions across flavors."""

import click

from factory.cli.options import Invocation, common, images_argument
from factory.clock import today
from factory.upkeep.drift_report import drift_report


@click.command("drift-report", short_help="Find packages whose versions differ by image.")
@images_argument
@click.option("--direct-only", is_flag=True, help="Leave out packages that no image asks for itself.")
@click.option("--markdown", is_flag=True, help="Print tables in Markdown.")
@common
def command(invocation: Invocation, images: tuple[str, ...], *, direct_only: bool, markdown: bool) -> int:
    """Find packages that are locked at different versions in different images; all if none is named.

    The index's own part of a version (+cpu, +cu130) does not count, nor do torch and training-hub if
    the specs differ. A deviation that is meant is waived in the spec of its image, with a reason and a
    last day: `factory docs rules` shows how. Exits with 1 if something drifts that is not waived, a waiver
    has expired, or an image cannot be read; the others are compared all the same.
    """
    report = drift_report(invocation.images(images), today=today(), direct_only=direct_only, whole=not images)
    invocation.console.report_each(report.unread)
    if markdown:
        invocation.console.result(report, report.as_markdown())
        return report.exit_code
    return invocation.console.show(report)
