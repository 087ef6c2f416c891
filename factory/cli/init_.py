"""``factory init``: start a repository."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.init.agents import AGENTS
from factory.init.ci import CI_SYSTEMS
from factory.init.repository import InitRequest, init_repository


@click.command("init", short_help="Start a repository of images, with its CI files.")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--example", is_flag=True, help="With four images: a flavor for the CPU, a stack, a trainer, a launcher."
)
@click.option(
    "--ci",
    type=click.Choice(CI_SYSTEMS),
    multiple=True,
    help="With files for a CI system that plan, build, test and push; repeatable.",
)
@click.option("--pre-commit", is_flag=True, help="With .pre-commit-config.yaml, which runs `factory check`.")
@click.option(
    "--agent",
    "agents",
    type=click.Choice(tuple(AGENTS)),
    multiple=True,
    help="With commands and a skill for a coding agent, which `factory sync` keeps current; repeatable.",
)
@click.option("--application", metavar="NAME", help="For --ci konflux: the application; default: DIR's name.")
@click.option(
    "--output-image", metavar="PLACE", help="For --ci konflux: where the images are, such as quay.io/ORG/ ."
)
@click.option("--dry-run", is_flag=True, help="Show what would be written; write nothing.")
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    folder: Path | None,
    example: bool,
    ci: tuple[str, ...],
    pre_commit: bool,
    agents: tuple[str, ...],
    application: str | None,
    output_image: str | None,
    dry_run: bool,
) -> int:
    """Start a repository in DIR, by default here: factory.toml, flavors/, images/, .gitignore, README.md.

    What exists is left alone, and named; so this also adds CI files, the example or what a coding agent
    reads to a repository that is there. Nothing is locked or built: the next commands are printed.
    """
    request = InitRequest(
        ci=tuple(dict.fromkeys(ci)),
        pre_commit=pre_commit,
        example=example,
        agents=tuple(dict.fromkeys(agents)),
        application=application,
        output_image=output_image,
    )
    report = init_repository(folder or invocation.root or Path.cwd(), request, dry_run=dry_run)
    for note in report.notes:
        invocation.console.note(f"note: {note}")
    return invocation.console.show(report)
