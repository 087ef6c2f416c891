"""``factory status``: show the status of every image."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common, variant_options
from factory.clock import now
from factory.engine.engine import ENGINE_VARIABLE, ENGINES
from factory.files import write_whole
from factory.images.definitions import VariantOptions
from factory.status.page import status_page
from factory.status.status import collect_status


@click.command(short_help="Show which images are locked, built, tested, pushed.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Also write it as one HTML page into this file.",
)
@click.option("--offline", is_flag=True, help="Ask no registry.")
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@variant_options
@common
def command(
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    html: Path | None,
    offline: bool,
    engine: str | None,
    variant: VariantOptions,
) -> int:
    """Show the status of each image: locked, drifted, built, tested, pushed, its size and age.

    An image is current if it has the identity that its inputs have now (`factory plan`), and older if it
    was built from other inputs. It is shown in the variant that factory.toml or an option says; if neither
    does, in the only one that was built. Other variants are named. Nothing is built, pulled or changed.
    """
    repository = invocation.repository_of(*images)
    status = collect_status(repository, images, offline=offline, engine=engine, variant=variant)
    if html is not None:
        page = status_page(status, now=now(), root=repository.root, place=html.absolute().parent)
        write_whole(html, page.encode())
        invocation.console.step(f"written: {html}")
    return invocation.console.show(status)
