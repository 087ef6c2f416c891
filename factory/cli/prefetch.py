"""``factory prefetch``: the lock's artifacts in a folder, for a build with no network."""

import os
from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.console import Table, human_size, plural
from factory.lock.find_links import folders_in_environment
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import PlannedArtifact, Prefetched, plan_prefetch, prefetch_flavor

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command(short_help="Fetch and verify all artifacts of an image's lock.")
@click.argument("image")
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that a build mounts at /cachi2.",
)
@click.option(
    "--find-links",
    multiple=True,
    type=_FOLDER,
    help="A folder of wheels that goes before the index. For images of the public index the folders in "
    "UV_FIND_LINKS, else PIP_FIND_LINKS, serve where this is not given.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=Fetching.jobs,
    show_default=True,
    help="Requests at a time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=Fetching.timeout_seconds,
    show_default=True,
    envvar="UV_HTTP_TIMEOUT",
    help="Seconds without a byte after which a request is given up.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, and fetch and write nothing.")
@common
def command(
    invocation: Invocation,
    image: str,
    *,
    output: Path,
    find_links: tuple[Path, ...],
    jobs: int,
    timeout: float,
    dry_run: bool,
) -> None:
    """Fetch the artifacts of an image's lock, each verified, in Hermeto's layout.

    Goes on where an interrupted run ended; on a complete folder it only verifies. A wrong, missing
    or extra file is an error, and no file is under its name before its bytes are right.
    """
    (chosen,) = invocation.images((image,))
    fetching = Fetching(
        find_links=find_links,
        public_find_links=() if find_links else folders_in_environment(os.environ),
        jobs=jobs,
        timeout_seconds=timeout,
    )
    with invocation.console.progress("prefetch", total=0, unit="bytes") as progress:
        if dry_run:
            planned = plan_prefetch(chosen, output, fetching=fetching, progress=progress)
        else:
            done = prefetch_flavor(chosen, output, fetching=fetching, progress=progress)
    if dry_run:
        invocation.console.result(
            planned, _table(planned), f"{plural(len(planned), 'artifact')}; nothing was fetched"
        )
        return
    if done.stale_lock:
        invocation.console.warning(
            f"{done.flavor}: pyproject.toml has changed since it was locked; `factory lock {done.flavor}`"
        )
    invocation.console.result(done, *_lines(done, output))


def _lines(done: Prefetched, output: Path) -> list[str]:
    numbers = {"fetched": done.fetched, "from local folders": done.linked, "verified": done.verified}
    counts = (
        ", ".join(f"{number} {words}" for words, number in numbers.items() if number) or "nothing to fetch"
    )
    size = f"{plural(done.artifacts, 'artifact')}, {human_size(done.size)}"
    return [
        f"{done.flavor}: {size}, in {output}: {counts}",
        *(f"  {name}: had wrong bytes, replaced" for name in done.replaced),
        *(f"  {name}: no longer in the lock, removed" for name in done.removed),
    ]


def _table(planned: tuple[PlannedArtifact, ...]) -> Table:
    return Table(
        headings=("artifact", "size", "from"),
        rows=tuple(
            (one.artifact, "" if one.size is None else human_size(one.size), one.place) for one in planned
        ),
        right_aligned=frozenset({"size"}),
        yielding=frozenset({"from"}),
    )
