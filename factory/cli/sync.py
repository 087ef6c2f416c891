"""``factory sync``: render again what is generated."""

import click

from factory.cli.options import Invocation, common
from factory.render.sync import sync_flavor


@click.command()
@click.argument("flavors", metavar="[FLAVOR]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@common
def command(invocation: Invocation, flavors: tuple[str, ...], *, dry_run: bool) -> None:
    """Render the generated files of flavors again; every flavor where none is named.

    Prints what changed. Stray files are named and left alone.
    """
    changes = {
        flavor.name: sync_flavor(flavor, dry_run=dry_run) for flavor in invocation.repository.select(flavors)
    }
    verbs = {"stray": "is stray, left alone", "missing": "written", "changed": "written", "mode": "mode set"}
    if dry_run:
        verbs |= {"missing": "would be written", "changed": "would be written", "mode": "mode would be set"}
    lines = [
        f"{name}/{difference.path}: {verbs[difference.kind]}"
        for name, differences in changes.items()
        for difference in differences
    ]
    invocation.console.result(changes, *(lines or [f"{len(changes)} flavor(s): nothing has drifted"]))
