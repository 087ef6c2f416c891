"""``factory lock``: pin every package and hash every artifact."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from factory.cli.options import Invocation, allow_other_build, common, images_argument
from factory.clock import now
from factory.flavor.repository import Flavor
from factory.gaps.gaps import explain_failure
from factory.konflux.test_output import failure_line, output_line
from factory.konflux.verified import outcome_of_verified
from factory.lock.find_links import folders_in_environment
from factory.lock.locking import LockOptions, lock_flavors
from factory.lock.report import failures, lock_notes, report_of
from factory.lock.verify import verify_flavors, verify_report
from factory.sbom.write import SbomUpdater, describe_followed


@click.command(short_help="Resolve and lock images, or prove that a lock holds.")
@images_argument
@click.option("--all", "every", is_flag=True, help="Lock every image; without it, name one or more.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of keeping those locked.")
@click.option(
    "--upgrade-package", "upgrade_packages", metavar="NAME", multiple=True, help="Do so for one package."
)
@click.option(
    "--find-links",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder of wheels beside the index. For images of the public index the folders in "
    "UV_FIND_LINKS, else PIP_FIND_LINKS, serve where this is not given.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Images at a time; default: the CPUs, at least 4.")
@click.option("--dry-run", is_flag=True, help="Resolve and say what would change; write nothing.")
@click.option(
    "--check",
    is_flag=True,
    help="Resolve, write nothing, and exit with 1 where a lock is not what its index and its "
    "pyproject.toml give.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Resolve nothing: look whether every pinned file is still on its index with the digest that was "
    "locked, and exit with 1 where one is not.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "test-output"]),
    default="text",
    show_default=True,
    help="With --verify: text for people, or the one line that a pipeline's task gives as its TEST_OUTPUT.",
)
@click.option(
    "--allow-replacing",
    "replacing",
    is_flag=True,
    help="Let an image install another version of a package than its parent has; pyproject.toml records "
    "which, as replaces in [tool.factory].",
)
@allow_other_build
@common
def command(  # noqa: PLR0913 - each is an option
    invocation: Invocation,
    images: tuple[str, ...],
    *,
    every: bool,
    upgrade: bool,
    upgrade_packages: tuple[str, ...],
    find_links: tuple[Path, ...],
    jobs: int | None,
    other_builds: bool,
    replacing: bool,
    dry_run: bool,
    check: bool,
    verify: bool,
    form: str,
) -> int:
    """Lock images: resolve with uv, keep the versions that are valid, take every hash again.

    A lock holds one wheel of each package for each platform of the image. When the index lacks
    something, all of it is reported at once and nothing is written. What an image's parents have
    counts as given: another version of it is refused.
    """
    if form == "test-output":
        _answer_with_test_output(invocation, images, verify=verify)
    if sum((check, verify, dry_run)) > 1 or ((check or verify) and (upgrade or upgrade_packages)):
        raise click.UsageError(
            "--check, --verify and --dry-run are three questions, and the first two are about the lock "
            "as it is: give one of them, and neither with --upgrade or --upgrade-package."
        )
    selected = invocation.images_or_all(images, every=every)
    options = LockOptions(
        explain=explain_failure,
        other_builds=other_builds,
        replacing=replacing,
        upgrade=upgrade,
        upgrade_packages=upgrade_packages,
        find_links=find_links,
        public_find_links=() if find_links else folders_in_environment(os.environ),
        dry_run=dry_run or check,
        only_recorded=check,
    )
    if verify:
        return _verify(invocation, selected, options, form=form)
    with invocation.console.progress("checking" if check else "locking", total=len(selected)) as progress:
        outcomes = lock_flavors(
            selected,
            options,
            jobs=jobs,
            begun=progress.begin,
            done=lambda outcome: progress.advance(message=outcome.flavor),
            following=SbomUpdater(find_links=options.find_links, public_find_links=options.public_find_links),
        )
    for note in lock_notes(outcomes):
        invocation.console.note(note)
    report = report_of(outcomes, checked=check)
    exit_code = invocation.console.show(report)
    for note in describe_followed(report.flavors):
        invocation.console.note(note)
    return exit_code


def _answer_with_test_output(invocation: Invocation, images: tuple[str, ...], *, verify: bool) -> None:
    invocation.console.error_form = partial(failure_line, subject=", ".join(images))
    invocation.console.json_output = False  # the line is JSON as it is
    if not verify:
        raise click.UsageError("--format test-output is a form of --verify: give both.")


def _verify(invocation: Invocation, selected: Sequence[Flavor], options: LockOptions, *, form: str) -> int:
    with invocation.console.progress("verifying", total=len(selected)) as progress:
        outcomes = verify_flavors(
            selected,
            find_links=options.find_links,
            public_find_links=options.public_find_links,
            done=lambda outcome: progress.advance(message=outcome.flavor),
        )
    report = verify_report(outcomes)
    for note in failures(outcomes):
        invocation.console.note(note)
    if form == "test-output":
        for said in report.describe():
            invocation.console.note(said)
        invocation.console.result(None, output_line(outcome_of_verified(report), now=now()))
    else:
        invocation.console.show(report)
    return report.exit_code
