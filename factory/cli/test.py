"""``factory test``: the tests of an image, in containers of it."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common
from factory.console import Table
from factory.engine.engine import ENGINE_VARIABLE, ENGINES, find_engine
from factory.files import WORK_FOLDER
from factory.image_tests.definition import LEVELS, Level, Selection
from factory.image_tests.report import (
    make_report_folder,
    outcome_line,
    record_outcomes,
    report_folder,
    write_reports,
)
from factory.image_tests.running import run_tests, tests_of
from factory.image_tests.subject import find_lineage, find_subject, foreign_lineage, repository_here


@click.command(short_help="Test a built image: in containers of it, at three levels.")
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    help="How much: a level includes those below it. Default: the image's in factory.toml, else quick.",
)
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where report.json, junit.xml and report.html go. Default: .work/reports/NAME/IDENTITY, "
    "and selected/ in it with --only or --skip.",
)
@click.option("--flavor", metavar="NAME", help="Which flavor the image is, if its labels do not say.")
@click.option(
    "--only", multiple=True, metavar="TEST", help="Run this test alone, whatever its level; may be repeated."
)
@click.option("--skip", multiple=True, metavar="TEST", help="Leave this test out; may be repeated.")
@click.option(
    "--list", "list_tests", is_flag=True, help="Show the tests, and run none; without IMAGE: a flavor's."
)
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    image: str | None,
    level: Level | None,
    folder: Path | None,
    flavor: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    list_tests: bool,
    engine: str | None,
) -> int:
    """Test a built image, in containers of it.

    IMAGE is the name of a flavor or of another image of the repository, as it was built last, or any
    reference that the engine has. Nothing is pulled, and no container is left behind.

    Exits with 0 if every test passed or was skipped, with 1 if one failed, and with 33 if none failed
    and one could not be run. docs/testing-images.md explains what is tested and how to add tests.
    """
    console = invocation.console
    if image is None and not list_tests:
        raise click.UsageError("name an image, or give --list.")
    if only and set(only) <= set(skip):
        raise click.UsageError("--skip leaves out every test that --only names.")
    repository = repository_here(invocation.root, Path.cwd(), image or ".")
    if list_tests:
        lineage = find_lineage(repository, flavor or image) or foreign_lineage(repository)
        tests = tests_of(lineage)
        rows = tuple((test.name, test.level, ", ".join(test.tags) or "any", test.title) for test in tests)
        listed = [{"name": name, "level": at, "tags": tags, "title": title} for name, at, tags, title in rows]
        headings = ("TEST", "LEVEL", "TAGS", "WHAT HOLDS")
        console.result(listed, Table(headings=headings, rows=rows, yielding=frozenset({"WHAT HOLDS"})))
        return 0
    found = find_engine(engine)
    subject = find_subject(found, image or "", repository=repository, flavor=flavor)
    default = subject.definition.tests if subject.definition else "quick"
    selection = Selection(level=level or default, only=only, skip=skip)
    if folder is not None:
        make_report_folder(folder)
    report = run_tests(found, subject, selection, ended=lambda outcome: console.note(outcome_line(outcome)))
    work = (repository.root if repository else Path.cwd()) / WORK_FOLDER / "reports"
    if repository is not None:
        record_outcomes(report, work / subject.report_folder)
    written = write_reports(report, folder or report_folder(report, work / subject.report_folder))
    console.result(report, *report.describe(), f"Page: {written[-1]}")
    return report.exit_code
