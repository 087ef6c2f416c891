"""``factory show``: everything about one flavor."""

import click

from factory.check.state import flavor_details
from factory.cli.options import Invocation, common


@click.command(short_help="Show a flavor: its spec, its files and their state.")
@click.argument("flavor")
@common
def command(invocation: Invocation, flavor: str) -> None:
    """Show a flavor: its spec, what is resolved, its files with their states, and its lock."""
    invocation.console.show(flavor_details(invocation.repository_of(flavor).flavor(flavor)))
