"""``factory lock``: pin every package and hash every artifact."""

import os
from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.lock.find_links import folders_in_environment
from factory.lock.locking import LockOptions, lock_flavors
from factory.lock.report import describe, notes_on, report_of


@click.command()
@click.argument("flavors", metavar="[FLAVOR]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Lock every flavor.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of keeping those locked.")
@click.option(
    "--upgrade-package", "upgrade_packages", metavar="NAME", multiple=True, help="Do so for one package."
)
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder of wheels beside the index. For flavors of the public index the folders in "
    "UV_FIND_LINKS, else PIP_FIND_LINKS, serve where this is not given.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Flavors at a time; default: the CPUs.")
@click.option("--dry-run", is_flag=True, help="Resolve and say what would change; write nothing.")
@common
def command(
    invocation: Invocation,
    flavors: tuple[str, ...],
    *,
    every: bool,
    upgrade: bool,
    upgrade_packages: tuple[str, ...],
    find_links: tuple[Path, ...],
    jobs: int | None,
    dry_run: bool,
) -> int:
    """Lock flavors: resolve with uv, keep the versions that are valid, take every hash anew.

    A lock holds one wheel of each package for each platform of the flavor. When the index lacks
    something, all of it is reported at once and nothing is written.
    """
    if bool(flavors) == every:
        raise click.UsageError("Name flavors, or give --all, not both.")
    selected = invocation.repository_of(*flavors).select(flavors)
    options = LockOptions(
        upgrade=upgrade,
        upgrade_packages=upgrade_packages,
        find_links=find_links,
        public_find_links=() if find_links else folders_in_environment(os.environ),
        dry_run=dry_run,
    )
    with invocation.console.progress("locking", total=len(selected)) as progress:
        outcomes = lock_flavors(
            selected,
            options,
            jobs=jobs,
            begun=progress.begin,
            done=lambda outcome: progress.advance(message=outcome.flavor),
        )
    report = report_of(outcomes)
    for note in notes_on(outcomes):
        invocation.console.note(note)
    invocation.console.result(report, *describe(report))
    return report.exit_code
