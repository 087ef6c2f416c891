"""``factory status``: where every flavor and image stands."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.clock import now
from factory.engine.engine import ENGINE_VARIABLE, ENGINES
from factory.files import write_whole
from factory.status.page import status_page
from factory.status.status import collect_status
from factory.status.text import status_parts


@click.command(short_help="Show where each image stands: locked, built, tested, pushed.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write it as one HTML page into this file as well.",
)
@click.option("--offline", is_flag=True, help="Ask no registry.")
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@common
def command(
    invocation: Invocation, *, images: tuple[str, ...], html: Path | None, offline: bool, engine: str | None
) -> None:
    """Show where each flavor and image stands: locked, drifted, built, tested, pushed, its size and age.

    An image is current where it is of the identity that it has now (`factory plan`), and older where it
    carries the moving tag and was built from something else. Nothing is built, pulled or changed.
    """
    status = collect_status(invocation.repository_of(*images), images, offline=offline, engine=engine)
    if html is not None:
        write_whole(html, status_page(status, now=now()).encode())
        invocation.console.note(f"written: {html}")
    invocation.console.result(status, *status_parts(status, now=now()))
