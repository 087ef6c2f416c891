"""What a build is going to do and what came of it, for people and as data."""

from dataclasses import dataclass

from factory.build.build import BuildPlan, Target, shell_command
from factory.build.build_all import BuildReport
from factory.build.making import BuiltImage
from factory.console import Table, human_size
from factory.dockerfile.steps import parse_steps
from factory.files import read_text


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What would be done about one image; ``command`` does by hand, in one build, what the factory would."""

    image: str
    action: str
    reasons: tuple[str, ...]
    identity_tag: str
    tag: str
    parts: tuple[str, ...]
    command: str


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What would be done. ``command`` is that of the image that was asked for, where it is one."""

    command: str | None
    images: tuple[Planned, ...]


def dry_run(plan: BuildPlan) -> DryRun:
    """What a build would do, parents first."""
    images = tuple(_planned(plan, target) for target in plan.targets)
    commands = [shell_command(target, plan.engine) for target in plan.asked]
    return DryRun(command=commands[0] if len(commands) == 1 else None, images=images)


def dry_run_parts(found: DryRun) -> tuple[str | Table, ...]:
    """A dry run for people: the images, then the command of each that would be built."""
    rows = tuple(
        (image.image, image.action, image.tag, "; ".join(image.reasons) or "it is there")
        for image in found.images
    )
    commands = [image.command for image in found.images if image.action == "build"]
    table = Table(headings=("IMAGE", "ACTION", "TAG", "WHY"), rows=rows)
    if not commands:
        return (table,)
    return (table, "", "By hand, each in one build:", *commands)


def report_data(plan: BuildPlan, report: BuildReport) -> BuiltImage | BuildReport:
    """The result as data: the image itself where one was named, and nothing came along."""
    if len(plan.request.names) == 1 and len(report.images) == 1:
        return report.images[0]
    return report


def report_parts(plan: BuildPlan, report: BuildReport) -> tuple[str | Table, ...]:
    """What came of a build for people."""
    differing = [f"{image.image}: {image.difference}" for image in report.images if image.difference]
    if plan.request.verify and not differing:
        differing = ["Built twice from nothing: every layer is the same."]
    kept = [f"Kept beside {image.image}: {image.artifacts}" for image in report.images if image.artifacts]
    if len(report.images) == 1:
        (image,) = report.images
        return (_nothing(image, plan) if image.action == "nothing" else _table(image), *kept, *differing)
    rows = tuple(
        (
            image.image,
            image.action,
            image.identity_tag if image.id else image.remote or "",
            "" if image.size is None else human_size(image.size),
            f"{image.seconds:.1f}",
            "; ".join(image.reasons),
        )
        for image in report.images
    )
    headings = ("IMAGE", "ACTION", "TAG", "SIZE", "SECONDS", "WHY")
    right = frozenset({"SIZE", "SECONDS"})
    return (Table(headings=headings, rows=rows, right_aligned=right), *kept, *differing)


def _planned(plan: BuildPlan, target: Target) -> Planned:
    parts: tuple[str, ...] = ()
    if target.step.action == "build" and plan.engine.kind == "podman":
        found = parse_steps(read_text(target.dockerfile))
        segments = [f"layer {part.layer}" if part.layer else "its own instructions" for part in found.steps]
        parts = (*(f"stage {stage.names[-1]}" for stage in found.stages), *segments)
    return Planned(
        image=target.name,
        action=target.step.action,
        reasons=target.step.reasons,
        identity_tag=target.step.local or "",
        tag=target.moving,
        parts=parts,
        command=shell_command(target, plan.engine),
    )


def _nothing(image: BuiltImage, plan: BuildPlan) -> str:
    if image.id is not None:
        return f"{image.image}: nothing to build: {image.identity_tag} is here, and {image.tag} is the same."
    return (
        f"{image.image}: nothing to build: its registry has {image.remote}. To have it here:\n"
        f"{plan.engine.kind} pull {image.remote}"
    )


def _table(image: BuiltImage) -> Table:
    added = "" if image.added is None else f", {human_size(image.added)} over its base image"
    return Table(
        headings=("IMAGE", image.tag),
        rows=(
            ("id", (image.id or "")[:12]),
            ("size", human_size(image.size or 0) + added),
            ("base image", image.base_image),
            ("identity", image.identity_tag),
            ("because", "; ".join(image.reasons)),
            ("built in", f"{image.seconds:.1f} s"),
        ),
    )
