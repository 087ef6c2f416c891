"""``factory bump``: raise the floor of a package, in one flavor or in all."""

import os
from pathlib import Path

import click

from factory.cli.names import complete_images
from factory.cli.options import Invocation, allow_other_build, common
from factory.flavor.project import ImageFolder
from factory.flavor.repository import Repository
from factory.gaps.gaps import explain_failure
from factory.lock.find_links import folders_in_environment
from factory.lock.locking import LockOptions
from factory.sbom.write import SbomUpdater, describe_followed
from factory.upkeep.bump import read_bump
from factory.upkeep.change import change_flavors
from factory.upkeep.floors import Cap


@click.command(short_help="Raise the floor of packages, as for a security fix.")
@click.argument("requirements", metavar="REQUIREMENT...", nargs=-1, required=True)
@click.option(
    "--image",
    "--flavor",
    "images",
    metavar="IMAGE",
    multiple=True,
    shell_complete=complete_images,
    help="Only this image; repeatable.",
)
@click.option("--all", "every", is_flag=True, help="Every image that has the package and is locked.")
@click.option("--reason", metavar="TEXT", help="Why, such as CVE-2026-54058; stays as a comment at the line.")
@click.option(
    "--cap",
    type=click.Choice(("minor", "major", "none")),
    help="What bounds the range above: the next minor or major version, or nothing. Default: the next "
    "minor, or the line's own cap if that is tighter.",
)
@click.option("--allow-moves", is_flag=True, help="Let other packages move if they have to.")
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder of wheels beside the index, as for `factory lock`.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Images at a time; default: the CPUs.")
@click.option("--dry-run", is_flag=True, help="Do everything but write, and say what would change.")
@allow_other_build
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    requirements: tuple[str, ...],
    *,
    images: tuple[str, ...],
    every: bool,
    reason: str | None,
    cap: Cap | None,
    allow_moves: bool,
    find_links: tuple[Path, ...],
    jobs: int | None,
    other_builds: bool,
    dry_run: bool,
) -> int:
    """Raise the floor of packages, and lock again with everything else held still.

    A REQUIREMENT is a name and a floor, such as "pillow>=12.3.0". The floor goes where the image
    decides about the package: into every line of [project] dependencies, of the constraints and of the
    overrides that names it; if it only comes with others, into a new constraint. An exact pin becomes
    a range, a higher floor stays, and what is locked is never capped away.

    The index is asked first: a version that it does not have is reported before anything is edited, with
    the nearest that it has. If other packages would have to move, they are listed with the requirement
    behind it, and nothing changes without --allow-moves. An image on one whose lock changes is locked
    again with it. All images are changed, or none.
    """
    repository = invocation.repository_of(*images)
    selected = _selected(repository, images, every=every)
    options = LockOptions(
        explain=explain_failure,
        other_builds=other_builds,
        find_links=find_links,
        public_find_links=() if find_links else folders_in_environment(os.environ),
        dry_run=dry_run,
    )
    bump = read_bump(
        requirements,
        cap=cap,
        reason=reason,
        allow_moves=allow_moves,
        named=bool(images),
        options=options,
    )
    with invocation.console.progress("locking", total=len(selected)) as progress:
        report = change_flavors(
            bump,
            selected,
            dependants=repository.dependants(selected),
            jobs=jobs,
            begun=progress.begin,
            done=lambda name: progress.advance(message=name),
            following=SbomUpdater(find_links=options.find_links, public_find_links=options.public_find_links),
        )
    for warning in report.warnings:
        invocation.console.warning(warning)
    invocation.console.report_each(report.flavors)
    exit_code = invocation.console.show(report)
    for note in describe_followed(report.flavors if report.written else ()):
        invocation.console.note(note)
    return exit_code


def _selected(repository: Repository, names: tuple[str, ...], *, every: bool) -> tuple[ImageFolder, ...]:
    selected = repository.select(names)
    if (names and every) or not (names or every or len(selected) == 1):
        raise click.UsageError("Name one image or several with --image, or give --all: one of the two.")
    return selected
