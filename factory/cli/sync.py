"""``factory sync``: render generated files again."""

from dataclasses import replace

import click

from factory.cli.options import Invocation, common, images_argument
from factory.init.agents import sync_agent_files
from factory.render.drift import sync_flavors


@click.command(short_help="Render the generated files of images again.")
@images_argument
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@common
def command(invocation: Invocation, images: tuple[str, ...], *, dry_run: bool) -> int:
    """Render the generated files of images again; of every image if none is named.

    Without names, the files of `factory init --agent` are written again as well. Prints what changed. Stray
    files are named and left alone. An image that cannot be rendered does not stop the others.
    """
    report = sync_flavors(invocation.images(images), dry_run=dry_run)
    if not images:
        report = replace(report, agent_files=sync_agent_files(invocation.repository.root, dry_run=dry_run))
    status = invocation.console.show(report)
    for error in report.failures():
        invocation.console.report(error)
    return status
