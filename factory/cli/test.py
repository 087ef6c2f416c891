"""``factory test``: the tests of images, in containers of them."""

from pathlib import Path

import click

from factory.cli.options import Invocation, common, variant_options
from factory.console import Table
from factory.engine.engine import ENGINE_VARIABLE, ENGINES, find_engine
from factory.flavor.repository import Repository
from factory.image_tests.definition import LEVELS, Level
from factory.image_tests.report import outcome_line
from factory.image_tests.running import tests_of
from factory.image_tests.several import ImageTestRequest, run_for_image, run_for_images
from factory.image_tests.subject import find_lineage, foreign_lineage, repository_here
from factory.images.definitions import VariantOptions


@click.command(short_help="Test built images: in containers of them, at three levels.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Test every image of the repository, parents first.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="So many images at a time."
)
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
    "and selected/ in it with --only or --skip. Of several images: DIR/IMAGE, and a junit.xml of all in DIR.",
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
@variant_options
@common
def command(  # noqa: PLR0913 - one parameter per option of the command
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    everything: bool,
    jobs: int,
    level: Level | None,
    folder: Path | None,
    flavor: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    list_tests: bool,
    engine: str | None,
    variant: VariantOptions,
) -> int:
    """Test built images, in containers of them.

    An IMAGE is the name of a flavor or of another image of the repository, in the variant that factory.toml
    or an option says; if neither does, the only one that was built. One image alone may be any reference that
    the engine has. Nothing is pulled, and no container is left behind.

    Several images are tested in the order of the plan, parents first, --jobs at a time; not one whose parent
    failed. Each has its own report, and one junit.xml has all.

    Exits with 0 if every test passed or was skipped, with 1 if one failed, and with 33 if none failed
    and one could not be run. `factory docs testing-images` explains what is tested and how to add tests.
    """
    console = invocation.console
    _check_usage(images, everything=everything, list_tests=list_tests, flavor=flavor)
    _require_tests(only, skip)
    image = images[0] if images else ""
    if list_tests:
        return _list(invocation, repository_here(invocation.root, Path.cwd(), image or "."), flavor or image)
    request = ImageTestRequest(
        level=level, only=only, skip=skip, folder=folder, flavor=flavor, jobs=jobs, variant=variant
    )
    if everything or len(images) > 1:
        several = run_for_images(
            find_engine(engine),
            invocation.repository_of(*images),
            request,
            images,
            ended=lambda name, outcome: console.step(f"{name}: {outcome_line(outcome)}"),
            say=console.note,
        )
        status = console.show(several)
        for error in several.failures():
            console.report(error)
        return status
    repository = repository_here(invocation.root, Path.cwd(), image)
    tested = run_for_image(
        find_engine(engine),
        image,
        request,
        repository=repository,
        ended=lambda outcome: console.step(outcome_line(outcome)),
        say=console.note,
    )
    console.result(tested.report, *tested.report.describe(), f"Page: {tested.written[-1]}")
    return tested.report.exit_code


def _check_usage(images: tuple[str, ...], *, everything: bool, list_tests: bool, flavor: str | None) -> None:
    several = everything or len(images) > 1
    if everything and images:
        raise click.UsageError("name images, or give --all: one of the two.")
    if not (images or everything or list_tests):
        raise click.UsageError("name an image, or give --all or --list.")
    if several and (list_tests or flavor is not None):
        raise click.UsageError("--list and --flavor are for one image.")


def _require_tests(only: tuple[str, ...], skip: tuple[str, ...]) -> None:
    if only and set(only) <= set(skip):
        raise click.UsageError("--skip leaves out every test that --only names.")


def _list(invocation: Invocation, repository: Repository | None, name: str) -> int:
    lineage = find_lineage(repository, name or None) or foreign_lineage(repository)
    tests = tests_of(lineage)
    rows = tuple((test.name, test.level, ", ".join(test.tags) or "any", test.title) for test in tests)
    listed = [{"name": name, "level": at, "tags": tags, "title": title} for name, at, tags, title in rows]
    headings = ("TEST", "LEVEL", "TAGS", "WHAT HOLDS")
    table = Table(headings=headings, rows=rows, yielding=frozenset({"WHAT HOLDS"}))
    invocation.console.result(listed, table)
    return 0
