"""``factory sync``: render again what is generated."""

import click

from factory.cli.options import Invocation, common
from factory.render.drift import sync_flavors

_LEFT = {"stray": "is stray, left alone", "absent": "is not there, and the hooks name it: put it there"}
_DID = _LEFT | {"missing": "written", "changed": "written", "mode": "mode set"}
_WOULD = _LEFT | {
    "missing": "would be written",
    "changed": "would be written",
    "mode": "mode would be set",
}


@click.command(short_help="Render the generated files of flavors again.")
@click.argument("flavors", metavar="[FLAVOR]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@common
def command(invocation: Invocation, flavors: tuple[str, ...], *, dry_run: bool) -> int:
    """Render the generated files of flavors again; every flavor where none is named.

    Prints what changed. Stray files are named and left alone. A flavor that cannot be rendered does
    not stop the others.
    """
    outcomes = sync_flavors(invocation.repository_of(*flavors).select(flavors), dry_run=dry_run)
    verbs = _WOULD if dry_run else _DID
    lines = [
        f"{outcome.flavor}/{difference.path}: {verbs[difference.kind]}"
        for outcome in outcomes
        for difference in outcome.differences
    ]
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    count = "1 flavor" if len(outcomes) == 1 else f"{len(outcomes)} flavors"
    nothing = [] if failed else [f"{count}: nothing has drifted"]
    invocation.console.result({"flavors": outcomes}, *(lines or nothing))
    for error in failed:
        invocation.console.report(error)
    return failed[0].exit_code if failed else 0
