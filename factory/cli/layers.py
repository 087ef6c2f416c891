"""``factory layers``: which packages share a layer of the image."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common, images_argument
from factory.layers.record import report_layers


@click.command(short_help="Show or choose which packages share a layer of the image.")
@images_argument
@click.option(
    "--write",
    is_flag=True,
    help="Choose the layers by the rule, record them in pyproject.toml, and render the Dockerfiles.",
)
@click.option("--dry-run", is_flag=True, help="With --write: show what would be chosen, and change nothing.")
@click.option(
    "--prefetched",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder that `factory prefetch` filled: show the sizes of the installed files instead of those of "
    "the wheels.",
)
@common
def command(
    invocation: Invocation, *, images: tuple[str, ...], write: bool, dry_run: bool, prefetched: Path | None
) -> int:
    """Show which packages share a layer of the image, or choose the layers again with --write.

    Changes are sent and stored a layer at a time. The accelerator's stack is a layer of its own, and no other
    layer of several packages is more than 8 % of all packages, so that a security fix moves megabytes. The
    layers are in [tool.factory.layers] of pyproject.toml, for you to change. A package stays in its layer
    as long as that is within its share. Every image if none is named.
    """
    if dry_run and not write:
        raise click.UsageError("--dry-run goes with --write.")
    chosen = invocation.images(images)
    return invocation.console.show(report_layers(chosen, write=write, prefetched=prefetched, dry_run=dry_run))
