"""``factory align``: Training Hub's own requirements against flavors."""

import os
from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.gaps.gaps import explain_failure
from factory.lock.find_links import folders_in_environment
from factory.lock.locking import LockOptions
from factory.upkeep.align import align


@click.command(short_help="Compare Training Hub's requirements with flavors.")
@click.argument("flavors", metavar="[FLAVOR]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Compare every flavor; without it, name one or more.")
@click.option(
    "--training-hub",
    metavar="VERSION",
    help="Ask about this version, such as the next, not the flavor's own.",
)
@click.option("--markdown", is_flag=True, help="Print the findings as a table in Markdown.")
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder of wheels beside the index, as for `factory lock`.",
)
@common
def command(
    invocation: Invocation,
    flavors: tuple[str, ...],
    *,
    every: bool,
    training_hub: str | None,
    markdown: bool,
    find_links: tuple[Path, ...],
) -> int:
    """Compare what Training Hub requires, with the extras that a flavor uses, with that flavor.

    Found are contradictions with the flavor's dependencies, constraints and overrides; requirements
    that its lock does not meet and packages that it lacks; and what nothing on its index satisfies.
    Each comes with what to do. Training Hub's metadata is read on the flavor's own index and on no
    other. Nothing is written. Exits with 1 if something was found.
    """
    if bool(flavors) == every:
        raise click.UsageError("Name flavors, or give --all: one of the two.")
    selected = invocation.repository_of(*flavors).select_flavors(flavors)
    options = LockOptions(
        explain=explain_failure,
        find_links=find_links,
        public_find_links=() if find_links else folders_in_environment(os.environ),
    )
    with invocation.console.progress("comparing", total=len(selected)) as progress:
        report = align(
            selected,
            options,
            training_hub=training_hub,
            begun=progress.begin,
            done=lambda name: progress.advance(message=name),
        )
    invocation.console.report_each(report.flavors)
    if markdown:
        invocation.console.result(report, report.as_markdown())
        return report.exit_code
    return invocation.console.show(report)
