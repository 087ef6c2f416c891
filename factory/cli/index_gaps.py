"""``factory index-gaps``: everything that a package index lacks, in one pass."""

import os
from pathlib import Path

import click

from factory.cli.options import Invocation, common, images_argument
from factory.files import write_whole
from factory.gaps.gaps import explain_failure
from factory.gaps.index_gaps import GapOptions, index_gaps
from factory.gaps.request import as_markdown, errors_in, gaps_text
from factory.lock.find_links import folders_in_environment
from factory.lock.locking import LockOptions

_TO_STDOUT = "-"


def _markdown_file(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the file of --markdown; refuse a name that may be meant as an image."""
    if value not in {None, _TO_STDOUT} and not str(value).endswith(".md"):
        raise click.BadParameter(
            f"{value!r} does not end in .md. Is it an image? Give --markdown after the images.",
            ctx=context,
            param=parameter,
        )
    if value is not None and not Path(value).parent.is_dir():
        raise click.BadParameter(f"there is no folder {Path(value).parent}", ctx=context, param=parameter)
    return value


@click.command("index-gaps", short_help="List all that an image's index lacks, in one pass.")
@images_argument
@click.option("--all", "every", is_flag=True, help="Look at every image; without it, name one or more.")
@click.option("--index-url", metavar="URL", help="Ask about this index in the place of the image's main one.")
@click.option(
    "--allow-public-metadata",
    is_flag=True,
    help="Read on the public index what a missing package would require itself, so that gaps behind gaps "
    "are found. Asked there are only names that none of the image's own indexes has in any version.",
)
@click.option(
    "--markdown",
    metavar="[FILE]",
    is_flag=False,
    flag_value=_TO_STDOUT,
    callback=_markdown_file,
    help="Write a request to the owners of the index, in Markdown, to FILE, whose name ends in .md; "
    "without FILE, print it in the place of the report (give it after the images then).",
)
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder of wheels beside the index, as for `factory lock`.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Images at a time; default: the CPUs.")
@common
def command(
    invocation: Invocation,
    images: tuple[str, ...],
    *,
    every: bool,
    index_url: str | None,
    allow_public_metadata: bool,
    markdown: str | None,
    find_links: tuple[Path, ...],
    jobs: int | None,
) -> int:
    """List all that an image's index lacks: at present, or the index to come with --index-url.

    What is lacking is set aside and the resolution goes on, so that one run finds everything: projects
    that are not there, versions that do not satisfy, wheels that are missing for a platform or a
    Python, sdists without wheels; each with who asks for it. Nothing is written but the FILE.

    Exits with 0 where nothing is missing but what [[tool.factory.missing]] records, and with 1 where
    something is.
    """
    if bool(images) == every:
        raise click.UsageError("Name images, or give --all: one of the two.")
    if markdown == _TO_STDOUT and invocation.console.json_output:
        raise click.UsageError("--markdown without FILE and --json both print the result: choose one.")
    selected = invocation.images(images)
    options = GapOptions(
        index_url=index_url,
        public_metadata=allow_public_metadata,
        lock=LockOptions(
            explain=explain_failure,
            find_links=find_links,
            public_find_links=() if find_links else folders_in_environment(os.environ),
        ),
        jobs=jobs,
    )
    with invocation.console.progress("looking for gaps", total=len(selected)) as progress:
        report = index_gaps(
            selected, options, begun=progress.begin, done=lambda name: progress.advance(message=name)
        )
    for error in errors_in(report):
        invocation.console.note(error)
    if markdown is not None and markdown != _TO_STDOUT:
        write_whole(Path(markdown), as_markdown(report).encode())
        invocation.console.note(f"the request is in {markdown}")
    parts = (as_markdown(report).rstrip("\n"),) if markdown == _TO_STDOUT else gaps_text(report)
    invocation.console.result(report, *parts)
    return report.exit_code
