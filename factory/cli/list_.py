"""``factory list``: every flavor and its state."""

import click

from factory.check.state import describe_states, flavor_state
from factory.cli.options import Invocation, common


@click.command("list", short_help="List the flavors with their versions and states.")
@common
def command(invocation: Invocation) -> None:
    """List the flavors with their versions and states.

    A flavor is rendered or drifted, and locked, stale (its pyproject.toml has changed since) or not
    locked.
    """
    repository = invocation.repository
    states = [flavor_state(flavor) for flavor in repository.flavors()]
    if states:
        invocation.console.result(states, *describe_states(states))
    else:
        invocation.console.result(states, "no flavors yet: make one with `factory new-flavor`")
