"""``factory konflux``: the PipelineRuns with which Konflux builds flavors."""

import click

from factory.cli.options import Invocation, common
from factory.konflux.files import check_in_repository
from factory.konflux.pipeline_run import prefetch_input
from factory.konflux.writing import warnings_of, write_runs


@click.command(short_help="Write the PipelineRuns that build flavors in Konflux.")
@click.argument("flavors", metavar="[FLAVOR]...", nargs=-1)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Write those of every flavor, and remove those of former flavors.",
)
@click.option("--out", metavar="DIR", help="The folder that Pipelines as Code reads.  [default: .tekton]")
@click.option("--application", metavar="NAME", help="The Konflux application of the flavors' components.")
@click.option("--target-branch", metavar="BRANCH", help="The branch that is built.  [default: main]")
@click.option(
    "--service-account",
    metavar="NAME",
    help="The service account of the builds; default: build-pipeline-COMPONENT, which Konflux makes.",
)
@click.option(
    "--output-image",
    metavar="PLACE",
    help="Where the images are in a registry, such as quay.io/ORG/ ; the component's name follows.",
)
@click.option(
    "--component-prefix",
    metavar="PREFIX",
    help="What the component's name has before the flavor's, such as v3-6- for a release.",
)
@click.option(
    "--prefetch-input",
    "input_alone",
    is_flag=True,
    help="Print what Hermeto fetches for one FLAVOR, as one line of JSON, and write nothing.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@common
def command(
    invocation: Invocation,
    /,
    flavors: tuple[str, ...],
    *,
    every: bool,
    input_alone: bool,
    dry_run: bool,
    **options: str | None,
) -> None:
    """Write the PipelineRuns that build flavors in Konflux.

    Each flavor gets one for pull requests and one for pushes, which start when its folder changes. With
    them come the Pipelines that they name, and a run that checks every flavor. All follows from the
    flavors' specs and from [konflux] of factory.toml, into which the options from --out to
    --component-prefix are written; `factory check` keeps it current.
    """
    if every == bool(flavors):
        raise click.UsageError("give flavors or --all")
    if input_alone and len(flavors) != 1:
        raise click.UsageError("--prefetch-input takes one flavor")
    if input_alone and (dry_run or any(value is not None for value in options.values())):
        raise click.UsageError("--prefetch-input follows from the flavor's spec alone: give no other option")
    repository = invocation.repository_of(*flavors)
    if input_alone:
        flavor = repository.flavor(flavors[0])
        check_in_repository(flavor, repository)
        invocation.console.json_output = False  # it is JSON as it is
        invocation.console.result(None, prefetch_input(flavor.name, flavor.project.spec))
        return
    report = write_runs(
        repository,
        repository.select_flavors(flavors),
        options={name.replace("_", "-"): value for name, value in options.items()},
        every=every,
        dry_run=dry_run,
    )
    invocation.console.show(report)
    for warning in warnings_of(report, every=every):
        invocation.console.warning(warning)
