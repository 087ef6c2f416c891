"""``factory promote``: move flavors to the next release."""

import os
from pathlib import Path

import click

from factory.cli.options import Invocation, allow_other_build, common
from factory.gaps.gaps import explain_failure
from factory.lock.find_links import folders_in_environment
from factory.lock.locking import LockOptions
from factory.sbom.write import SbomUpdater, describe_followed
from factory.upkeep.change import change_flavors
from factory.upkeep.promote import Promotion, read_release


@click.command(short_help="Move flavors to the next release in one step.")
@click.argument("flavors", metavar="FLAVOR...", nargs=-1, required=True)
@click.option("--index-url", metavar="URL", help="The package index of the release.")
@click.option(
    "--index",
    "indexes",
    metavar="NAME=URL",
    multiple=True,
    help="Another URL for a further index of the flavors; repeatable.",
)
@click.option("--base-image", metavar="REF", help="Base of the midstream build, with tag or digest.")
@click.option("--downstream-base-image", metavar="REF", help="Base of the downstream build.")
@click.option("--allow-moves", is_flag=True, help="Let versions change that the new index does not have.")
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder of wheels beside the index, as for `factory lock`.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Flavors at a time; default: the CPUs.")
@click.option("--dry-run", is_flag=True, help="Do everything but write, and say what would change.")
@allow_other_build
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    flavors: tuple[str, ...],
    *,
    index_url: str | None,
    indexes: tuple[str, ...],
    base_image: str | None,
    downstream_base_image: str | None,
    allow_moves: bool,
    find_links: tuple[Path, ...],
    jobs: int | None,
    other_builds: bool,
    dry_run: bool,
) -> int:
    """Move flavors to the next release: spec, generated files and lock, in one step or not at all.

    Give what moves: the index, the base images, or some of them. Locked versions stay, and every hash
    is taken from the new index. If it lacks something, all of that is reported as `factory index-gaps`
    does, and nothing changes in any flavor. If it has only other versions, each is listed with what it
    would become, and nothing changes without --allow-moves.

    The folder keeps its name, which comes from the versions. Another version of PyTorch, Training Hub,
    Python or the accelerator is another flavor: `factory new-flavor --from FLAVOR`.
    """
    release = read_release(
        index_url=index_url,
        indexes=indexes,
        base_image=base_image,
        downstream_base_image=downstream_base_image,
    )
    repository = invocation.repository_of(*flavors)
    selected = repository.select_flavors(flavors)
    options = LockOptions(
        explain=explain_failure,
        other_builds=other_builds,
        find_links=find_links,
        public_find_links=() if find_links else folders_in_environment(os.environ),
        dry_run=dry_run,
    )
    with invocation.console.progress("promoting", total=len(selected)) as progress:
        report = change_flavors(
            Promotion(release=release, options=options, allow_moves=allow_moves),
            selected,
            dependants=repository.dependants(selected),
            jobs=jobs,
            begun=progress.begin,
            done=lambda name: progress.advance(message=name),
            following=SbomUpdater(find_links=options.find_links, public_find_links=options.public_find_links),
        )
    invocation.console.report_each(report.flavors)
    exit_code = invocation.console.show(report)
    for note in describe_followed(report.flavors if report.written else ()):
        invocation.console.note(note)
    return exit_code
