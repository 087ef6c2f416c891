"""``factory konflux``: the PipelineRuns with which Konflux builds flavors."""

import click

from factory.cli.options import Invocation, common, images_argument
from factory.konflux.files import check_in_repository
from factory.konflux.pipeline_run import prefetch_input
from factory.konflux.writing import warnings_of, write_runs


@click.command(short_help="Write the PipelineRuns that build images in Konflux.")
@images_argument
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Write those of every image, and remove those of former images.",
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
    help="Print what Hermeto fetches for one IMAGE, as one line of JSON, and write nothing.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@common
def command(
    invocation: Invocation,
    /,
    images: tuple[str, ...],
    *,
    every: bool,
    input_alone: bool,
    dry_run: bool,
    **options: str | None,
) -> None:
    """Write the PipelineRuns that build images in Konflux.

    Each image gets one for pull requests and one for pushes, which start when its folder changes. With
    them come the Pipelines that they name, and a run that checks every flavor. An image on another is
    built on what [konflux.parents] names. All follows from the specs and from [konflux] of factory.toml,
    into which the options from --out to --component-prefix are written; `factory check` keeps it current.
    """
    if every == bool(images):
        raise click.UsageError("give images or --all")
    if input_alone and len(images) != 1:
        raise click.UsageError("--prefetch-input takes one image")
    if input_alone and (dry_run or any(value is not None for value in options.values())):
        raise click.UsageError("--prefetch-input follows from the image's spec alone: give no other option")
    repository = invocation.repository_of(*images)
    if input_alone:
        (image,) = repository.select(images)
        check_in_repository(image, repository)
        invocation.console.json_output = False  # it is JSON as it is
        under = image.folder.parent.name
        invocation.console.result(None, prefetch_input(image.name, image.project.spec, under=under))
        return
    report = write_runs(
        repository,
        repository.select_any(images),
        options={name.replace("_", "-"): value for name, value in options.items()},
        every=every,
        dry_run=dry_run,
    )
    invocation.console.show(report)
    for warning in warnings_of(report, every=every):
        invocation.console.warning(warning)
