"""``factory new-image``: start an image that is not a flavor."""

import click

from factory.cli.names import complete_images
from factory.cli.options import Invocation, common
from factory.flavor.kinds import Kind
from factory.images.new_image import ImageRequest, PyTorchRequest, new_image

_KINDS: tuple[Kind, ...] = ("pytorch-base", "stack", "trainer", "launcher")
_EXTRAS = ("cloud-storage",)


@click.command("new-image", short_help="Start an image that is not a flavor, such as a stack.")
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What it is.")
@click.option(
    "--parent",
    metavar="IMAGE",
    shell_complete=complete_images,
    help="The image to build on: one of the repository, or a reference. A pytorch-base has a default.",
)
@click.option(
    "--registry", metavar="NAME", help="Where it is published: a registry declared in factory.toml."
)
@click.option(
    "--accelerator", type=click.Choice(("cuda", "rocm")), help="For a pytorch-base: what it is compiled for."
)
@click.option("--accelerator-version", metavar="VERSION", help="For a pytorch-base: such as 13.0.2.")
@click.option(
    "--pytorch-version", metavar="VERSION", help="For a pytorch-base: such as 2.11.0, tagged v2.11.0."
)
@click.option(
    "--pytorch-commit", metavar="SHA1", help="For a pytorch-base: the commit that the tag must point to."
)
@click.option(
    "--python",
    metavar="VERSION",
    help="The Python of a parent that is no image of the repository; for a pytorch-base by default 3.12.",
)
@click.option("--arch-list", metavar="LIST", help='For a pytorch-base: its GPUs, such as "8.0;9.0+PTX".')
@click.option("--devel-image", metavar="IMAGE", help="For a pytorch-base: the image that compiles.")
@click.option(
    "--with",
    "extras",
    type=click.Choice(_EXTRAS),
    multiple=True,
    help="For a stack: packages beside the usual ones, for data in Amazon S3 and Google Cloud Storage.",
)
@click.option(
    "--package",
    "packages",
    metavar="REQUIREMENT",
    multiple=True,
    help="A package to install, such as 'trl>=0.24,<2'; may be repeated. Not for a pytorch-base.",
)
@click.option(
    "--keep-entrypoint",
    is_flag=True,
    help="For a launcher: start what the parent starts, such as the agent of wandb/launch-agent.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written; write nothing.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    name: str,
    kind: Kind,
    parent: str | None,
    registry: str | None,
    accelerator: str | None,
    accelerator_version: str | None,
    pytorch_version: str | None,
    pytorch_commit: str | None,
    python: str | None,
    arch_list: str | None,
    devel_image: str | None,
    extras: tuple[str, ...],
    packages: tuple[str, ...],
    keep_entrypoint: bool,
    dry_run: bool,
) -> int:
    """Start an image that is not a flavor: a folder images/NAME, and [images.NAME] in factory.toml.

    A pytorch-base compiles PyTorch from source; a stack adds packages to an image; a trainer adds your code
    to a stack; a launcher submits jobs and is built on another image. The files are yours to edit. What
    installs packages has a pyproject.toml, from which factory lock writes the lock.

    For instance, torch-cu130 --kind pytorch-base --accelerator cuda --accelerator-version 13.0.2
    --pytorch-version 2.11.0 --pytorch-commit SHA1, then my-stack --kind stack --parent torch-cu130.
    """
    asked = (accelerator, accelerator_version, pytorch_version, pytorch_commit)
    if any(asked) and not all(asked):
        raise click.UsageError(
            "A pytorch-base takes all of --accelerator, --accelerator-version, --pytorch-version and "
            "--pytorch-commit."
        )
    if arch_list is not None and not any(asked):
        raise click.UsageError("--arch-list goes with --accelerator and the others for a pytorch-base.")
    request = ImageRequest(
        name=name,
        kind=kind,
        parent=parent,
        devel_image=devel_image,
        registry=registry,
        python=python,
        extras=extras,
        packages=packages,
        keep_entrypoint=keep_entrypoint,
        pytorch=PyTorchRequest(
            accelerator=accelerator,
            accelerator_version=accelerator_version,
            version=pytorch_version,
            commit=pytorch_commit,
            python=python or PyTorchRequest.python,
            arch_list=arch_list,
        )
        if accelerator and accelerator_version and pytorch_version and pytorch_commit
        else None,
    )
    return invocation.console.show(new_image(invocation.repository, request, dry_run=dry_run))
