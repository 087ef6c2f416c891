"""``factory build``: build a flavor's image."""

import os
from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.console import Table, human_size
from factory.hermetic.plan import Fetching
from factory.image.build import BuildRequest, BuiltImage, build_flavor, plan_build, shell_command
from factory.image.engine import ENGINE_VARIABLE, ENGINES
from factory.lock.find_links import folders_in_environment


@click.command(short_help="Build a flavor's image with podman, or docker.")
@click.argument("flavor", metavar="FLAVOR")
@click.option("--downstream", is_flag=True, help="Build Dockerfile.konflux, on the downstream base image.")
@click.option(
    "--hermetic",
    is_flag=True,
    help="Prefetch, then build without a network; implies --downstream, since the midstream build installs "
    "system packages.",
)
@click.option("--base-image", metavar="REF", help="Another base image than the flavor's, with tag or digest.")
@click.option("--tag", metavar="TAG", help="Default: localhost/FLAVOR:latest, or :downstream.")
@click.option(
    "--prefetched",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where --hermetic prefetches, or finds what was prefetched. Default: .work/prefetched/FLAVOR.",
)
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="With --hermetic, as for `factory prefetch`.",
)
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@click.option("--dry-run", is_flag=True, help="Check, and say what would be run.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    flavor: str,
    downstream: bool,
    hermetic: bool,
    base_image: str | None,
    tag: str | None,
    prefetched: Path | None,
    find_links: tuple[Path, ...],
    engine: str | None,
    dry_run: bool,
) -> None:
    """Build a flavor's image with podman, or docker."""
    repository = invocation.repository_of(flavor)
    request = BuildRequest(
        work=repository.root / ".work",
        downstream=downstream,
        hermetic=hermetic,
        base_image=base_image,
        tag=tag,
        prefetched=prefetched,
        engine=engine,
    )
    plan = plan_build(repository.flavor(flavor), request)
    if dry_run:
        invocation.console.result({"command": shell_command(plan)}, shell_command(plan))
        return
    fetching = Fetching(
        find_links=find_links, public_find_links=() if find_links else folders_in_environment(os.environ)
    )
    with invocation.console.progress("prefetch", total=0, unit="bytes") as progress:
        built = build_flavor(plan, fetching=fetching, progress=progress)
    invocation.console.result(built, _table(built))


def _table(built: BuiltImage) -> Table:
    added = "" if built.added is None else f", {human_size(built.added)} over its base image"
    return Table(
        headings=("IMAGE", built.tag),
        rows=(
            ("id", built.id[:12]),
            ("size", human_size(built.size) + added),
            ("base image", built.base_image),
            ("built in", f"{built.seconds:.1f} s"),
        ),
    )
