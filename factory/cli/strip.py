"""``factory strip``: the downstream form of a Dockerfile or of a whole flavor."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.downstream.context import downstream_dockerfile, write_context
from factory.downstream.strip import base_images, strip_file


@click.command(short_help="Remove the MIDSTREAM ONLY blocks, and nothing else.")
@click.argument("target", metavar="FLAVOR|DOCKERFILE")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write into this folder: the stripped file or, for a flavor, the whole downstream context.",
)
@click.option(
    "--base-images", "list_images", is_flag=True, help="Print what the FROMs name instead, one image a line."
)
@click.option(
    "--base-image",
    metavar="REF",
    help="With --base-images: the build argument BASE_IMAGE, where the build gets another.",
)
@common
def command(
    invocation: Invocation, *, target: str, output: Path | None, list_images: bool, base_image: str | None
) -> None:
    """Remove the MIDSTREAM ONLY blocks, and nothing else.

    A DOCKERFILE's stripped text goes to standard output. A FLAVOR gives its downstream Dockerfile
    there or, with --output, the whole downstream build context: the downstream base image, no
    repository files, everything else byte for byte.

    --base-images prints what has to be pulled before a build without a network: the image of each FROM
    that is no stage, without its tag where it has a digest, since no tool pulls by both.
    """
    if base_image is not None and not list_images:
        raise click.UsageError("--base-image goes with --base-images.")
    if list_images and output is not None:
        raise click.UsageError("--base-images writes no files: leave out --output.")
    console, path = invocation.console, Path(target)
    if path.exists() and not path.is_dir():
        stripped = strip_file(path, output)
        if output is not None:
            console.show(stripped.report)
        elif list_images:
            console.show(base_images(stripped.content, base_image=base_image))
        elif console.json_output:
            console.result({"report": stripped.report, "dockerfile": stripped.text})
        else:
            console.raw(stripped.content)
        return
    flavor = invocation.repository_of(target).flavor(target)
    if output is not None:
        console.show(write_context(flavor, output))
        return
    dockerfile = downstream_dockerfile(flavor)
    if list_images:
        console.show(base_images(dockerfile, base_image=base_image))
    elif console.json_output:
        console.result({"flavor": flavor.name, "dockerfile": dockerfile.decode()})
    else:
        console.raw(dockerfile)
        console.note("note: this is the Dockerfile alone; --output DIR writes the whole context")
