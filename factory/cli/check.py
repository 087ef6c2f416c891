"""``factory check``: what is wrong with images."""

import click

from factory.check.check import check_flavors
from factory.check.report import FORMATS, error_form, findings_text, outcome_of_report
from factory.cli.options import Invocation, common, images_argument
from factory.clock import now, today
from factory.konflux.test_output import output_line


@click.command(short_help="Apply every rule to images, without a network.")
@images_argument
@click.option("--all", "every", is_flag=True, help="Check every image; so does naming none.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "sarif", "test-output"]),
    default="text",
    show_default=True,
    help="Text for people, one JSON document (so does --json), annotations for GitHub, SARIF 2.1.0, "
    "which code scanning reads, or the one line that a pipeline's task writes as its TEST_OUTPUT.",
)
@common
def command(invocation: Invocation, images: tuple[str, ...], *, every: bool, form: str) -> int:
    """Apply every rule to images; to all if none is named.

    Needs no network. Exits with 1 if an error was found, and with 0 if nothing but warnings and waived
    findings was. `factory docs rules` explains each rule, and waivers.
    """
    invocation.console.error_form = error_form(form, images)
    if every and images:
        raise click.UsageError("give images or --all, not both")
    if form in {"json", "test-output"}:
        invocation.console.json_output = form == "json"
    repository = invocation.repository_of(*images)
    report = check_flavors(
        repository.select_any(images),
        root=repository.root,
        today=today(),
        others=repository.flavors() if repository.flavors_folder.is_dir() else (),
        whole=not images,
    )
    if form == "test-output":
        invocation.console.note(findings_text(report))
        invocation.console.result(None, output_line(outcome_of_report(report), now=now()))
    else:
        invocation.console.result(report, FORMATS[form](report))
    return report.exit_code
