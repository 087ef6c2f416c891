"""``factory sync``: render generated files again."""

import click

from factory.cli.options import Invocation, common
from factory.render.drift import sync_flavors


@click.command(short_help="Render the generated files of flavors again.")
@click.argument("flavors", metavar="[FLAVOR]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@common
def command(invocation: Invocation, flavors: tuple[str, ...], *, dry_run: bool) -> int:
    """Render the generated files of flavors again; every flavor if none is named.

    Prints what changed. Stray files are named and left alone. A flavor that cannot be rendered does
    not stop the others.
    """
    report = sync_flavors(invocation.repository_of(*flavors).select(flavors), dry_run=dry_run)
    status = invocation.console.show(report)
    for error in report.failures():
        invocation.console.report(error)
    return status
