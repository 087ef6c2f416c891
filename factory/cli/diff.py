"""``factory diff``: what two flavors, or two states of one, differ in."""

import click

from factory.cli.options import Invocation, common
from factory.upkeep.diff import describe_difference, difference, difference_markdown
from factory.upkeep.snapshot import plain_name, two_snapshots


@click.command(short_help="Show what differs between images or revisions.")
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", required=False)
@click.option("--markdown", is_flag=True, help="Print tables in Markdown, for a pull request.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if they differ.")
@common
def command(
    invocation: Invocation, first: str, second: str | None, *, markdown: bool, exit_code: bool
) -> int:
    """Show what two images differ in, or one of them at two times.

    Versions, packages added and removed, hashes that changed under the same version, images, indexes,
    the template set, and the lines of pyproject.toml. A and B are images as they are in their
    folders, or IMAGE@REVISION as git has them. With A alone: from what git has (at HEAD, or at the
    revision given) to what is in the folder. B may be a revision alone, such as HEAD~1: from what
    git has there of A to A.
    """
    before, after = two_snapshots(invocation.repository_of(plain_name(first)), first, second)
    found = difference(before, after)
    parts = (difference_markdown(found),) if markdown else describe_difference(found)
    invocation.console.result(found, *parts)
    return 1 if exit_code and found.differs else 0
