"""``factory push``: push an image into registries, and read it back."""

import click

from factory.cli.options import Invocation, common, variant_options
from factory.engine.engine import ENGINE_VARIABLE, ENGINES
from factory.images.definitions import VariantOptions
from factory.publish.push import PushRequest, plan_push
from factory.publish.several import push_images, push_one
from factory.registry.tags import PARTS


@click.command(short_help="Push images into one registry, or several at once.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Push every image, parents first; without --to, those that have a registry.",
)
@click.option(
    "--to",
    multiple=True,
    metavar="REGISTRY",
    help="A registry that factory.toml declares, or HOST/PATH; the image's name follows. May be given "
    "several times. Default: the image's registry in factory.toml.",
)
@click.option(
    "--tags",
    "rules",
    multiple=True,
    default=("auto",),
    metavar="auto|semver|latest|git-sha|TEMPLATE",
    help="May be given several times. auto (the default): the image's identity and its moving tag. semver: "
    "the newest version in the registry, raised. git-sha: the commit. TEMPLATE: text with fields such as "
    "{identity}-{date}; the error for an unknown field lists the known ones.",
)
@click.option(
    "--raise",
    "raised",
    type=click.Choice(list(PARTS)),
    default="patch",
    show_default=True,
    help="Which part of the version semver raises.",
)
@click.option("--name", help="The image's name at the destination. Default: its own name.")
@click.option("--allow-dirty", is_flag=True, help="git-sha: also with changes in no commit, as COMMIT-dirty.")
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@click.option(
    "--force",
    is_flag=True,
    help="Also push an image that is built on a stand-in (`stand-in = true`) into a persistent registry.",
)
@variant_options
@click.option("--dry-run", is_flag=True, help="Read the registries, and show what would be done.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    everything: bool,
    to: tuple[str, ...],
    rules: tuple[str, ...],
    raised: str,
    name: str | None,
    allow_dirty: bool,
    engine: str | None,
    force: bool,
    variant: VariantOptions,
    dry_run: bool,
) -> int:
    """Push images into one registry, or several at once.

    An IMAGE is an image of the repository (a flavor, or one of factory.toml), an image as the engine
    names it (localhost/NAME:TAG), oci:FOLDER[:NAME], an OCI layout, or an image in a registry:
    REGISTRY/IMAGE[:TAG] with the name of a declared one, or docker://HOST/PATH:TAG. For an image of the
    repository, the variant is pushed that factory.toml or an option says; if neither does, the only one
    that there is. Other builds of it are named.

    Content that a registry has already is not sent. Content goes first, by its digest, and is read back;
    then the tags, the moving ones (latest, and the image's moving-tag) last. Any other tag that
    names another image is never overwritten. One registry that fails does not stop the others.

    An image in a registry is copied by its digest without an engine, with its SBOM and what else is attached.
    By default it gets its identity's tag, and the tag by which it was named.
    Several are pushed in the order of the plan, parents first; not one whose parent failed.
    """
    _check_usage(images, everything=everything, name=name)
    request = PushRequest(
        image=images[0] if images else "",
        to=to,
        rules=rules,
        name=name,
        raised=PARTS[raised],
        allow_dirty=allow_dirty,
        dry_run=dry_run,
        engine=engine,
        variant=variant,
        force=force,
    )
    console = invocation.console
    if everything or len(images) > 1:
        with console.progress("push", total=0) as progress:
            several = push_images(invocation.repository, request, images, progress=progress, say=console.step)
        status = console.show(several)
        for error in several.failures():
            console.report(error)
        return status
    push = plan_push(invocation.repository, request)
    console.step(push.note)
    with console.progress("push", total=len(push.destinations)) as progress:
        report = push_one(invocation.repository, push, progress=progress)
    status = console.show(report)
    for error in report.failures():
        console.report(error)
    return status


def _check_usage(images: tuple[str, ...], *, everything: bool, name: str | None) -> None:
    if everything == bool(images):
        raise click.UsageError("name images, or give --all: one of the two.")
    if name is not None and (everything or len(images) > 1):
        raise click.UsageError("--name is for one image.")
