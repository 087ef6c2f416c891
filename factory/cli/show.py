"""``factory show``: everything about one image."""

import click

from factory.check.state import image_details
from factory.cli.options import Invocation, common


@click.command(short_help="Show an image: its spec, its files and their state.")
@click.argument("image")
@common
def command(invocation: Invocation, image: str) -> None:
    """Show an image: its spec, what is resolved, its files with their states, and its lock."""
    (chosen,) = invocation.repository_of(image).select_any((image,))
    invocation.console.show(image_details(chosen))
