"""A plan as data and as a table."""

from dataclasses import dataclass

from factory.console import Table
from factory.images.parents import PARENTS_FILE
from factory.images.plan import Action, ParentReference, Plan, Step


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """One image of a plan: as `factory.images.plan.Step`, and no more than others want to know.

    ``registry`` is the registry's name; ``where`` says in words where the image is, ``reasons`` why it is
    built or cannot be.
    """

    image: str
    kind: str
    identity: str | None
    tag: str | None
    local: str | None
    registry: str | None
    remote: str | None
    in_engine: bool | None
    in_registry: bool | None
    where: str
    action: Action
    reasons: tuple[str, ...]
    parents: tuple[ParentReference, ...]


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """A whole plan: the images in the order of their builds, and what was recorded of external parents."""

    images: tuple[PlannedImage, ...]
    to_build: tuple[str, ...]
    digests: dict[str, str]
    recorded: bool

    @property
    def summary(self) -> str:
        """What comes of it, in one sentence."""
        blocked = sum(image.action == "blocked" for image in self.images)
        behind = f"; {blocked} cannot be built yet" if blocked else ""
        if not self.images:
            return "no images yet: make a flavor with `factory new-flavor`"
        if not self.to_build:
            return f"nothing to build{behind}"
        return f"{len(self.to_build)} of {len(self.images)} to build, in this order{behind}"


def report_plan(plan: Plan, *, recorded: bool = False) -> PlanReport:
    """A plan as data; ``recorded``: the digests of external parents were written down and have changed."""
    return PlanReport(
        images=tuple(_image(step) for step in plan.steps),
        to_build=tuple(step.name for step in plan.to_build),
        digests=plan.digests,
        recorded=recorded,
    )


def plan_parts(report: PlanReport) -> tuple[str | Table, ...]:
    """A plan for people: the table, and what comes of it."""
    recorded = (f"Recorded in {PARENTS_FILE}: commit it.",) if report.recorded else ()
    if not report.images:
        return (report.summary, *recorded)
    rows = tuple(
        (
            image.image,
            image.tag or "-",
            image.where,
            image.action,
            "; ".join(image.reasons),
        )
        for image in report.images
    )
    headings = ("IMAGE", "IDENTITY", "WHERE", "WHAT", "WHY")
    return (Table(headings=headings, rows=rows), report.summary, *recorded)


def _image(step: Step) -> PlannedImage:
    definition = step.definition
    return PlannedImage(
        image=step.name,
        kind=definition.kind,
        identity=step.identity,
        tag=step.tag,
        local=step.local,
        registry=definition.registry,
        remote=step.remote,
        in_engine=step.in_engine,
        in_registry=step.in_registry,
        where=_where(step),
        action=step.action,
        reasons=step.reasons,
        parents=step.parents,
    )


def _where(step: Step) -> str:
    places = []
    if step.in_registry:
        places.append(step.definition.registry or "")
    if step.in_engine:
        places.append("engine")
    return ", ".join(places) or "nowhere"
