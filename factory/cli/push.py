"""``factory push``: an image into registries, and what was seen there afterwards."""

import click

from factory.cli.options import Invocation, common
from factory.console import Table, human_size
from factory.engine.engine import ENGINE_VARIABLE, ENGINES
from factory.publish.push import Outcome, PushReport, PushWords, plan_push, push_image
from factory.registry.tags import PARTS


@click.command(short_help="Push an image into one registry, or several at once.")
@click.argument("image", metavar="IMAGE")
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
    "{identity}-{date}; an unknown field is told with those that there are.",
)
@click.option(
    "--raise",
    "raised",
    type=click.Choice(list(PARTS)),
    default="patch",
    show_default=True,
    help="Which part of the version semver raises.",
)
@click.option("--name", help="What the image is called there. Default: its own name.")
@click.option("--allow-dirty", is_flag=True, help="git-sha: also with changes in no commit, as COMMIT-dirty.")
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@click.option("--dry-run", is_flag=True, help="Look at the registries, and say what would be done.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    image: str,
    to: tuple[str, ...],
    rules: tuple[str, ...],
    raised: str,
    name: str | None,
    allow_dirty: bool,
    engine: str | None,
    dry_run: bool,
) -> int:
    """Push an image into one registry, or several at once.

    IMAGE is an image of the repository (a flavor, or one of factory.toml), an image as the engine
    names it (localhost/NAME:TAG), or oci:FOLDER[:NAME], an OCI layout. Of an image of the repository the
    build by its own definition is pushed, or the downstream one where that alone is there, or what
    `factory build --layout` wrote last.

    What a registry has already is not sent. Content goes first, by its digest, and is read back;
    then the tags, the moving ones (latest, and the image's moving-tag) last. Any other tag that
    names another image is never overwritten. One registry that fails does not stop the others.
    """
    words = PushWords(
        image=image,
        to=to,
        rules=rules,
        name=name,
        raised=PARTS[raised],
        allow_dirty=allow_dirty,
        dry_run=dry_run,
        engine=engine,
    )
    push = plan_push(invocation.repository, words)
    console = invocation.console
    console.note(push.note)
    with console.progress("push", total=len(push.request.to)) as progress:
        report = push_image(push.source, push.request, push.facts, variant=push.variant, progress=progress)
    console.result(report, _table(report))
    for outcome in report.outcomes:
        if outcome.error is not None:
            console.report(outcome.error)
    return report.exit_code


def _table(report: PushReport) -> Table:
    rows = [row for outcome in report.outcomes for row in _rows(outcome)]
    headings = ("DESTINATION", "TAG", "DIGEST", "STATE", "BYTES")
    return Table(headings=headings, rows=tuple(rows), right_aligned=frozenset({"BYTES"}))


def _rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row for each tag; what was sent stands in the first, since the others name the same content."""
    size = "?" if outcome.sent_bytes is None else human_size(outcome.sent_bytes)
    rows: list[tuple[str, ...]] = [
        (outcome.place, tag.tag, tag.digest or "-", tag.state, size if number == 0 else human_size(0))
        for number, tag in enumerate(outcome.tags)
    ]
    if outcome.error is not None:
        rows.append((outcome.place, "-", "-", "failed", "-"))
    return rows
