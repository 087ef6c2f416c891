"""``factory build``: build the images that have to be built."""

import os
from pathlib import Path

import click

from factory.build.build import build_images, dry_run
from factory.build.parts import prune_parts
from factory.build.plan import BuildRequest, plan_build
from factory.build.prepare import image_epoch
from factory.cli.options import Invocation, common
from factory.engine.engine import ENGINE_VARIABLE, ENGINES, find_engine
from factory.engine.leftovers import repository_mark
from factory.files import WORK_FOLDER
from factory.lock.find_links import folders_in_environment
from factory.prefetch.plan import Fetching


@click.command(short_help="Build the images that have to be built, parents first.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Build every image; so does naming none.")
@click.option(
    "--downstream/--midstream",
    default=None,
    help="Build flavors from Dockerfile.konflux, on the downstream base image, or from Dockerfile; other "
    "images on such flavors. Default: as factory.toml says.",
)
@click.option(
    "--hermetic",
    is_flag=True,
    help="Prefetch, then build without a network; implies --downstream, since the midstream build installs "
    "system packages.",
)
@click.option(
    "--base-image",
    metavar="REF",
    help="Another base image, with tag or digest. Of several images it is for those whose base is not an "
    "image of the repository.",
)
@click.option(
    "--tag",
    metavar="TAG",
    help="Instead of the moving tag, which is localhost/IMAGE:latest, or :downstream.",
)
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
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Images built at a time, at most.",
)
@click.option(
    "--force", is_flag=True, help="Build what is named even if it exists, and use nothing of earlier builds."
)
@click.option(
    "--pull",
    is_flag=True,
    help="Ask the origins of parents for their digests, record them in parents.json, and build on those.",
)
@click.option(
    "--verify-reproducible",
    "verify",
    is_flag=True,
    help="Build twice from nothing and compare layer by layer. Exit with 1, and move no tag, if they differ.",
)
@click.option(
    "--prune-cache",
    is_flag=True,
    help="Build nothing: remove from the engine what this repository keeps of single layers "
    "(localhost/factory-layer).",
)
@click.option(
    "--epoch",
    "only_epoch",
    is_flag=True,
    help="Build nothing: print the time that the files of one image get, in seconds since 1970. With it, "
    "another builder (`buildah build --timestamp`) builds the same twice as well.",
)
@click.option(
    "--layout",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Assemble one flavor in an OCI layout, past the engine's storage; implies --hermetic. Push it with "
    "`factory push oci:DIR`.",
)
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@click.option("--dry-run", "dry", is_flag=True, help="Check, and say what would be done.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    everything: bool,
    downstream: bool | None,
    hermetic: bool,
    base_image: str | None,
    tag: str | None,
    prefetched: Path | None,
    find_links: tuple[Path, ...],
    jobs: int,
    force: bool,
    pull: bool,
    verify: bool,
    prune_cache: bool,
    only_epoch: bool,
    layout: Path | None,
    engine: str | None,
    dry: bool,
) -> int:
    """Build the images that have to be built, parents first.

    An IMAGE is a flavor, or is defined in factory.toml; every image if none is named. `factory plan` says
    which have to be built: those whose identity neither their registry nor the engine has. Each gets the
    tag of its identity and then its moving tag. After an interruption, the next run resumes from the last
    layer that was finished.
    """
    _check_usage(images, everything=everything, only_epoch=only_epoch)
    if prune_cache:
        return _prune(invocation, engine, dry=dry)
    repository = invocation.repository_of(*images)
    if only_epoch:
        epoch = image_epoch(repository, images[0], os.environ)
        invocation.console.result({"epoch": epoch}, str(epoch))
        return 0
    request = BuildRequest(
        work=repository.root / WORK_FOLDER,
        names=images,
        downstream=downstream,
        hermetic=hermetic,
        base_image=base_image,
        tag=tag,
        prefetched=prefetched,
        engine=engine,
        jobs=jobs,
        force=force,
        pull=pull,
        verify=verify,
        layout=layout,
    )
    plan = plan_build(repository, request)
    if dry:
        return invocation.console.show(dry_run(plan))
    fetching = Fetching(
        find_links=find_links, public_find_links=() if find_links else folders_in_environment(os.environ)
    )
    with invocation.console.progress("prefetch", total=0, unit="bytes") as progress:
        report = build_images(plan, fetching=fetching, progress=progress, say=invocation.console.step)
    return invocation.console.show(report)


def _check_usage(images: tuple[str, ...], *, everything: bool, only_epoch: bool) -> None:
    if everything and images:
        raise click.UsageError("name images, or give --all: one of the two.")
    if only_epoch and len(images) != 1:
        raise click.UsageError("--epoch goes with one IMAGE.")


def _prune(invocation: Invocation, engine: str | None, *, dry: bool) -> int:
    root = invocation.repository.root
    folders = root / WORK_FOLDER / "images"
    return invocation.console.show(
        prune_parts(find_engine(engine), repository_mark(root), folders, dry_run=dry)
    )
