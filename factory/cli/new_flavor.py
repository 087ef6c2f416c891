"""``factory new-flavor``: make a flavor folder."""

import click

from factory.cli.options import Invocation, common
from factory.dockerfile.references import PLATFORMS
from factory.flavor.spec import ACCELERATORS
from factory.render.create import FlavorRequest, create_flavor


@click.command(short_help="Make a flavor folder from templates, or from another flavor.")
@click.option("--accelerator", type=click.Choice(ACCELERATORS), required=True, help="What the image runs on.")
@click.option("--accelerator-version", metavar="VERSION", help="Full version, such as 13.0; none for cpu.")
@click.option("--torch", metavar="VERSION", required=True, help="PyTorch, such as 2.11.0.")
@click.option("--python", metavar="VERSION", required=True, help="Python's minor version, such as 3.12.")
@click.option("--training-hub", metavar="VERSION", required=True, help="Training Hub, such as 0.9.2.")
@click.option(
    "--index-url", metavar="URL", help="The package index to lock against; default: the public one."
)
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH",
    multiple=True,
    help=f"One of {', '.join(PLATFORMS)}; repeatable. Default: linux/amd64.",
)
@click.option("--base-image", metavar="REF", help="Base of the midstream build, with tag or digest.")
@click.option("--downstream-base-image", metavar="REF", help="Base of the downstream build.")
@click.option(
    "--from",
    "source",
    metavar="FLAVOR",
    help="Start from this flavor's project; change only what the new versions change.",
)
@click.option("--name", metavar="NAME", help="Folder name, where it is not the one the versions give.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    accelerator: str,
    accelerator_version: str | None,
    torch: str,
    python: str,
    training_hub: str,
    index_url: str | None,
    platforms: tuple[str, ...],
    base_image: str | None,
    downstream_base_image: str | None,
    source: str | None,
    name: str | None,
    dry_run: bool,
) -> None:
    """Make a flavor folder under flavors/ from templates, or from another flavor (--from).

    For instance, --accelerator cuda --accelerator-version 13.0 --torch 2.11.0 --python 3.12
    --training-hub 0.9.2 makes flavors/th09-cuda130-torch2110-py312.
    """
    request = FlavorRequest(
        accelerator=accelerator,
        accelerator_version=accelerator_version,
        torch=torch,
        python=python,
        training_hub=training_hub,
        index_url=index_url,
        platforms=platforms,
        base_image=base_image,
        downstream_base_image=downstream_base_image,
        name=name,
    )
    repository = invocation.repository
    created = create_flavor(
        repository,
        request,
        source=repository.flavor(source) if source else None,
        dry_run=dry_run,
    )
    for note in created.notes:
        invocation.console.note(f"note: {note}")
    invocation.console.show(created)
