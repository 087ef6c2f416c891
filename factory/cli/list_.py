"""``factory list``: every image and its state."""

import click

from factory.check.state import describe_states, flavor_state
from factory.cli.options import Invocation, common
from factory.flavor.repository import NO_IMAGES


@click.command("list", short_help="List the images with their versions and states.")
@common
def command(invocation: Invocation) -> None:
    """List the images with their kinds, versions and states.

    An image that installs packages is rendered or drifted, and locked, stale (its pyproject.toml or the
    packages of its parent have changed since) or not locked.
    """
    repository = invocation.repository
    states = [flavor_state(flavor) for flavor in repository.images()]
    if states:
        invocation.console.result(states, *describe_states(states))
    else:
        invocation.console.result(states, NO_IMAGES)
