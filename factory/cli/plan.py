"""``factory plan``: what has to be built, in order, and why."""

import click

from factory.cli.options import Invocation, common
from factory.engine.engine import ENGINE_VARIABLE, ENGINES
from factory.images.parents import record
from factory.images.plan import PlanRequest, plan_images, plan_parts, report_plan


@click.command(short_help="Say which images have to be built, in order, and why.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "--pull",
    is_flag=True,
    help="Ask the origins of parents that are not of this repository for their digests: one that moved is "
    "a reason to build.",
)
@click.option(
    "--record",
    "record_digests",
    is_flag=True,
    help="With --pull: write those digests into parents.json, for you to commit. From then on they count.",
)
@click.option("--offline", is_flag=True, help="Ask no registry: what the engine has is all there is.")
@click.option("--check", "must_be_built", is_flag=True, help="Exit with 1 where something has to be built.")
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@common
def command(
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    pull: bool,
    record_digests: bool,
    offline: bool,
    must_be_built: bool,
    engine: str | None,
) -> int:
    """Say which images have to be built, in order, and why.

    An IMAGE is a flavor, or is defined in factory.toml; every image where none is named. Its identity
    is a digest over all that goes into it: the files that its Dockerfile copies, the build arguments
    and what it stands on. Where its registry, or the engine, has an image of that identity, there is nothing
    to build. Parents come along where they have to be built. Nothing is built or pulled.
    """
    if record_digests and not pull:
        raise click.UsageError("--record goes with --pull.")
    repository = invocation.repository_of(*images)
    plan = plan_images(
        repository,
        PlanRequest(names=images, pull=pull, offline=offline, engine=engine, broken_too=not images),
    )
    recorded = record_digests and record(repository.root, plan.digests)
    report = report_plan(plan, recorded=recorded)
    invocation.console.result(report, *plan_parts(report))
    return 1 if must_be_built and report.to_build else 0
