"""``factory rehash``: keep a lock's versions, take new hashes after a re-push."""

import os
from pathlib import Path

import click

from factory.cli.options import Invocation, common, images_argument
from factory.gaps.gaps import explain_failure
from factory.lock.find_links import folders_in_environment
from factory.lock.locking import LockOptions
from factory.lock.rehash import rehash_flavors, rehash_report
from factory.lock.report import failures
from factory.sbom.write import SbomUpdater, describe_followed


@click.command(short_help="Keep the locked versions and take their hashes again.")
@images_argument
@click.option("--all", "every", is_flag=True, help="Rehash every image; without it, name one or more.")
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder of wheels, for what the lock took from one. For images of the public index the folders "
    "in UV_FIND_LINKS, else PIP_FIND_LINKS, serve where this is not given.",
)
@click.option("--dry-run", is_flag=True, help="Say which hashes would change; write nothing.")
@common
def command(
    invocation: Invocation,
    images: tuple[str, ...],
    *,
    every: bool,
    find_links: tuple[Path, ...],
    dry_run: bool,
) -> int:
    """Keep every locked version and take its hashes again, after an index was pushed again.

    Nothing is resolved. A version that is gone, or has no wheel for a platform any more, is refused
    with all others like it, and nothing is written. Ask the owners of the index first why the bytes of a
    version have changed.
    """
    selected = invocation.images_or_all(images, every=every)
    options = LockOptions(
        explain=explain_failure,
        find_links=find_links,
        public_find_links=() if find_links else folders_in_environment(os.environ),
        dry_run=dry_run,
    )
    with invocation.console.progress("rehashing", total=len(selected)) as progress:
        outcomes = rehash_flavors(
            selected,
            options,
            done=lambda outcome: progress.advance(message=outcome.flavor),
            following=SbomUpdater(find_links=options.find_links, public_find_links=options.public_find_links),
        )
    report = rehash_report(outcomes)
    for note in failures(outcomes):
        invocation.console.note(note)
    exit_code = invocation.console.show(report)
    for note in describe_followed(report.flavors):
        invocation.console.note(note)
    return exit_code
