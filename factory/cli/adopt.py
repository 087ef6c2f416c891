"""``factory adopt``: make a flavor of a folder that was maintained by hand."""

from pathlib import Path

import click

from factory.adopt.adopt import adopt_folder
from factory.adopt.evidence import AdoptOptions
from factory.cli.options import Invocation, common
from factory.dockerfile.references import PLATFORMS
from factory.flavor.spec import ACCELERATORS


@click.command(short_help="Make a flavor of a folder that was kept by hand.")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
@click.option("--accelerator", type=click.Choice(ACCELERATORS), help="What the image runs on.")
@click.option("--accelerator-version", metavar="VERSION", help="Full version, such as 13.0; none for cpu.")
@click.option("--torch", metavar="VERSION", help="PyTorch, such as 2.11.0.")
@click.option("--python", metavar="VERSION", help="Python's minor version, such as 3.12.")
@click.option("--training-hub", metavar="VERSION", help="Training Hub, such as 0.9.2.")
@click.option("--index-url", metavar="URL", help="The package index to lock against.")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH",
    multiple=True,
    help=f"One of {', '.join(PLATFORMS)}; repeatable.",
)
@click.option("--base-image", metavar="REF", help="Base of the midstream build, with tag or digest.")
@click.option("--downstream-base-image", metavar="REF", help="Base of the downstream build.")
@click.option("--dockerfile", metavar="FILE", help="The midstream Dockerfile, where the folder has several.")
@click.option(
    "--downstream-dockerfile", metavar="FILE", help="The downstream one, where the folder has several."
)
@click.option("--name", metavar="NAME", help="Folder name, where it is not the one the versions give.")
@click.option("--write", is_flag=True, help="Make the flavor; without it, only say what would come of it.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    folder: Path,
    *,
    accelerator: str | None,
    accelerator_version: str | None,
    torch: str | None,
    python: str | None,
    training_hub: str | None,
    index_url: str | None,
    platforms: tuple[str, ...],
    base_image: str | None,
    downstream_base_image: str | None,
    dockerfile: str | None,
    downstream_dockerfile: str | None,
    name: str | None,
    write: bool,
) -> None:
    """Make a flavor of a folder that was maintained by hand.

    Reads its Dockerfiles, pyproject.toml and lock. What they say becomes the spec; an option goes
    before them. What is the folder's own in the Dockerfile is kept in hooks of the template. Every
    instruction and every file is listed: read, kept, done by the template anyway, or not to be kept,
    with the reason. Nothing is written without --write, and the folder itself is never changed.
    """
    options = AdoptOptions(
        accelerator=accelerator,
        accelerator_version=accelerator_version,
        torch=torch,
        python=python,
        training_hub=training_hub,
        index_url=index_url,
        platforms=platforms,
        base_image=base_image,
        downstream_base_image=downstream_base_image,
        dockerfile=dockerfile,
        downstream_dockerfile=downstream_dockerfile,
        name=name,
    )
    invocation.console.show(adopt_folder(invocation.repository, folder, options, write=write))
