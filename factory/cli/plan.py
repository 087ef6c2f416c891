"""``factory plan``: which images have to be built, in order, and why."""

import click

from factory.cli.options import Invocation, common, variant_options
from factory.engine.engine import ENGINE_VARIABLE, ENGINES
from factory.images.definitions import VariantOptions
from factory.images.parents import record_digests
from factory.images.plan import PlanRequest, plan_images, report_plan


@click.command(short_help="Show which images have to be built, in order, and why.")
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "--pull",
    is_flag=True,
    help="Ask the origins of external parents for their digests: a parent that moved is a reason to build.",
)
@click.option(
    "--record",
    is_flag=True,
    help="With --pull: write those digests into parents.json, for you to commit. From then on they count.",
)
@click.option("--offline", is_flag=True, help="Ask no registry; only the engine is searched.")
@click.option("--check", "must_be_built", is_flag=True, help="Exit with 1 if something has to be built.")
@click.option(
    "--engine", type=click.Choice(ENGINES), help=f"Default: {ENGINE_VARIABLE}, then podman, docker."
)
@variant_options
@common
def command(
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    pull: bool,
    record: bool,
    offline: bool,
    must_be_built: bool,
    engine: str | None,
    variant: VariantOptions,
) -> int:
    """Show which images have to be built, in order, and why.

    An IMAGE is a flavor, or is defined in factory.toml; all images if none is named. Its identity is a
    digest over everything that goes into it: the files that its Dockerfile copies, the build arguments and
    its parents. If its registry or the engine has an image with that identity, there is nothing to build.
    Parents that have to be built are included. Nothing is built or pulled. It is about the variant that
    factory.toml says, midstream if it says nothing, as `factory build` builds it; others that were built are
    named.
    """
    if record and not pull:
        raise click.UsageError("--record goes with --pull.")
    repository = invocation.repository_of(*images)
    plan = plan_images(
        repository,
        PlanRequest(
            names=images,
            variant=variant,
            pull=pull,
            offline=offline,
            engine=engine,
            include_broken=not images,
        ),
    )
    recorded = record and record_digests(repository.root, plan.digests)
    report = report_plan(plan, recorded=recorded)
    status = invocation.console.show(report)
    return 1 if must_be_built and report.to_build else status
