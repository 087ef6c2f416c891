"""``factory rename``: give an image another name."""

import click

from factory.cli.options import Invocation, common
from factory.rename.rename import rename_image


@click.command(short_help="Rename an image, with all that is named after it.")
@click.argument("image", metavar="IMAGE")
@click.argument("new_name", metavar="NEW")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@common
def command(invocation: Invocation, *, image: str, new_name: str, dry_run: bool) -> int:
    """Rename an image of any kind, with all that is named after it, in one step or not at all.

    Its folder moves, and its table in factory.toml; its children get the new name as their parent, in their
    locks too; generated files are rendered again, and so are its PipelineRuns. A flavor gets the key `name`
    of its spec, or loses it if NEW is the name that follows from its versions.

    The image and all that are built on it get another identity, and are to be rebuilt. What was pushed
    under the old name stays where it is.
    """
    report = rename_image(invocation.repository_of(image), image, new_name, dry_run=dry_run)
    return invocation.console.show(report)
