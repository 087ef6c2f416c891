"""``factory strip``: the downstream form of a Dockerfile or of a whole flavor."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.downstream.context import downstream_dockerfile, write_context
from factory.downstream.strip import strip_file


@click.command(short_help="Remove the MIDSTREAM ONLY blocks, and nothing else.")
@click.argument("target", metavar="FLAVOR|DOCKERFILE")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write into this folder: the stripped file or, for a flavor, the whole downstream context.",
)
@common
def command(invocation: Invocation, *, target: str, output: Path | None) -> None:
    """Remove the MIDSTREAM ONLY blocks, and nothing else.

    A DOCKERFILE's stripped text goes to standard output. A FLAVOR gives its downstream Dockerfile
    there or, with --output, the whole downstream build context: the downstream base image, no
    repository files, everything else byte for byte.
    """
    console = invocation.console
    if Path(target).exists() and not Path(target).is_dir():
        stripped = strip_file(Path(target), output)
        if output is not None:
            console.result(stripped.report, f"Wrote {stripped.report.path}: {stripped.report.summary}")
        elif console.json_output:
            console.result({"report": stripped.report, "dockerfile": stripped.text})
        else:
            console.raw(stripped.content)
        return
    flavor = invocation.repository_of(target).flavor(target)
    if output is not None:
        context = write_context(flavor, output)
        console.result(
            context,
            f"Wrote {len(context.files)} files to {context.folder}: {', '.join(context.files)}",
            f"Base image: {context.base_image}",
            f"Left out: {', '.join(context.left_out) or 'nothing'}",
        )
        return
    dockerfile = downstream_dockerfile(flavor)
    if console.json_output:
        console.result({"flavor": flavor.name, "dockerfile": dockerfile.decode()})
    else:
        console.raw(dockerfile)
        console.note("note: this is the Dockerfile alone; --output DIR writes the whole context")
