"""Report what a build would do and what it did, as data and for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.build.package_layers import split_layers
from factory.build.plan import BuildPlan, Target, shell_command
from factory.console import Report, Table, human_size, plural
from factory.dockerfile.references import parse_reference
from factory.dockerfile.steps import parse_steps
from factory.engine.images import EngineImage
from factory.files import read_text
from factory.flavor.repository import NO_IMAGES
from factory.prefetch.prefetch import Prefetched

Action = Literal["built", "nothing", "differs"]


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image in the engine that was built, or with the action ``nothing`` existed.

    ``tag`` is its moving name, ``identity_tag`` the name of its identity, ``remote`` that name in its
    registry if it is there. ``id`` and ``size`` (its layers in bytes, uncompressed) are None if the engine
    does not have it; ``added`` is the size beyond its base image, None without that; ``seconds`` are those of
    the engine. ``parts`` were built now. ``difference`` is how two builds differ. ``artifacts`` is the folder
    with what the build made beside the image.
    """

    image: str
    action: Action
    reasons: tuple[str, ...]
    identity: str
    identity_tag: str
    tag: str
    remote: str | None
    id: str | None
    base_image: str
    prefetched: Prefetched | None
    size: int | None
    added: int | None
    seconds: float
    parts: tuple[str, ...] = ()
    difference: str | None = None
    artifacts: Path | None = None


def existing_image(target: Target, image: EngineImage | None, base: EngineImage | None) -> BuiltImage:
    """Return the report of an existing image, from the engine's data of it and of its base."""
    step = target.step
    return BuiltImage(
        image=target.name,
        action="nothing",
        reasons=step.reasons,
        identity=step.identity or "",
        identity_tag=step.local or "",
        tag=target.moving,
        remote=step.remote if step.in_registry else None,
        id=None if image is None else image.id,
        base_image=step.parents[0].reference,
        prefetched=None,
        size=None if image is None else image.size,
        added=None if image is None or base is None else image.size - base.size,
        seconds=0.0,
    )


@dataclass(frozen=True, kw_only=True)
class LayoutImage:
    """An image that was built in an OCI layout.

    ``layout`` is the folder, ``tag`` the image's name there, and ``reference`` both, as skopeo, podman and
    `factory push` take them: ``oci:LAYOUT:TAG``. ``digest`` is that of its manifest; ``size`` is the sum of
    its ``layers`` in bytes, not compressed. ``made`` are the package layers that were installed now,
    ``taken`` those that existed; ``seconds`` do not count the prefetch.
    """

    image: str
    layout: Path
    tag: str
    reference: str
    digest: str
    identity: str
    base_image: str
    prefetched: Prefetched | None
    size: int
    layers: int
    made: tuple[str, ...]
    taken: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BuildReport(Report):
    """The images of a build, in its order."""

    plan: BuildPlan
    images: tuple[BuiltImage | LayoutImage, ...]

    def differs(self) -> bool:
        """Return whether two builds of an image differ."""
        return any(image.difference for image in self._in_engine)

    def data(self) -> object:
        """Return the images; one image alone if it was named and no parent was built."""
        if self.plan.request.layout is not None:
            return self._in_layout
        if len(self.plan.request.names) == 1 and len(self.images) == 1:
            return self.images[0]
        return {"images": self.images}

    def describe(self) -> Iterator[str | Table]:
        """Yield a table of the image, or of all images, and notes."""
        if self._in_layout is not None:
            yield _layout_table(self._in_layout)
        images = self._in_engine
        if not images:
            yield from () if self.images else (NO_IMAGES,)
            return
        if len(images) == 1:
            yield self._nothing(images[0]) if images[0].action == "nothing" else _image_table(images[0])
        else:
            yield _images_table(images)
        yield from (f"Kept beside {image.image}: {image.artifacts}" for image in images if image.artifacts)
        yield from (f"{image.image}: {image.difference}" for image in images if image.difference)
        if self.plan.request.verify and not self.differs():
            yield "Built twice from nothing: every layer is the same."

    @property
    def _in_engine(self) -> tuple[BuiltImage, ...]:
        return tuple(image for image in self.images if isinstance(image, BuiltImage))

    @property
    def _in_layout(self) -> LayoutImage | None:
        return next((image for image in self.images if isinstance(image, LayoutImage)), None)

    def _nothing(self, image: BuiltImage) -> str:
        if image.id is not None:
            return (
                f"{image.image}: nothing to build: {image.identity_tag} is here, and {image.tag} is the same."
            )
        return (
            f"{image.image}: nothing to build: its registry has {image.remote}. To have it here:\n"
            f"{self.plan.engine.kind} pull {image.remote}"
        )


def _image_table(image: BuiltImage) -> Table:
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


def _images_table(images: tuple[BuiltImage, ...]) -> Table:
    rows = tuple(
        (
            image.image,
            image.action,
            image.identity_tag if image.id else image.remote or "",
            "" if image.size is None else human_size(image.size),
            f"{image.seconds:.1f}",
            "; ".join(image.reasons),
        )
        for image in images
    )
    headings = ("IMAGE", "ACTION", "TAG", "SIZE", "SECONDS", "WHY")
    return Table(
        headings=headings,
        rows=rows,
        right_aligned=frozenset({"SIZE", "SECONDS"}),
        yielding=frozenset({"WHY"}),
    )


def _layout_table(image: LayoutImage) -> Table:
    return Table(
        headings=("IMAGE", image.reference),
        rows=(
            ("digest", image.digest),
            ("size", f"{human_size(image.size)} in {plural(image.layers, 'layer')}"),
            ("base image", image.base_image),
            ("identity", image.identity[:16]),
            ("layers made", ", ".join(image.made) or "none"),
            ("layers taken", ", ".join(image.taken) or "none"),
            ("assembled in", f"{image.seconds:.1f} s"),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class DryImage:
    """What would be done with one image; ``command`` builds it by hand, in one step."""

    image: str
    action: str
    reasons: tuple[str, ...]
    identity_tag: str
    tag: str
    parts: tuple[str, ...]
    command: str


@dataclass(frozen=True, kw_only=True)
class DryBuild(Report):
    """What would be built in the engine; ``command`` is for the one image that was asked for."""

    command: str | None
    images: tuple[DryImage, ...]

    def describe(self) -> Iterator[str | Table]:
        """Yield the images, then the command of each that would be built."""
        if not self.images:
            yield NO_IMAGES
            return
        rows = tuple(
            (image.image, image.action, image.tag, "; ".join(image.reasons) or "it exists")
            for image in self.images
        )
        yield Table(headings=("IMAGE", "ACTION", "TAG", "WHY"), rows=rows, yielding=frozenset({"WHY"}))
        commands = [image.command for image in self.images if image.action == "build"]
        if commands:
            yield from ("", "By hand, each in one build:", *commands)


@dataclass(frozen=True, kw_only=True)
class DryLayout(Report):
    """What would be built in a layout: the image, its name there, and its package layers."""

    image: str
    layout: Path
    tag: str
    identity: str
    layers: tuple[str, ...]

    def describe(self) -> Iterator[Table]:
        """Yield a table."""
        yield Table(
            headings=("IMAGE", f"oci:{self.layout}:{self.tag}"),
            rows=(("identity", self.identity[:16]), ("layers", ", ".join(self.layers))),
        )


def layout_name(target: Target) -> str:
    """Return the image's name in a layout: the tag of its moving name."""
    return parse_reference(target.moving, of=target.name).tag or "latest"


def dry_build(plan: BuildPlan) -> DryBuild:
    """Return what a build in the engine would do, parents first."""
    images = tuple(_planned_image(plan, target) for target in plan.targets)
    commands = [shell_command(target, plan.engine) for target in plan.asked]
    return DryBuild(command=commands[0] if len(commands) == 1 else None, images=images)


def _planned_image(plan: BuildPlan, target: Target) -> DryImage:
    parts: tuple[str, ...] = ()
    if target.step.action == "build" and plan.engine.kind == "podman":
        found = parse_steps(read_text(target.dockerfile))
        steps = (f"layer {step.layer}" if step.layer else "its own instructions" for step in found.steps)
        parts = (*(f"stage {stage.names[-1]}" for stage in found.stages), *steps)
    return DryImage(
        image=target.name,
        action=target.step.action,
        reasons=target.step.reasons,
        identity_tag=target.step.local or "",
        tag=target.moving,
        parts=parts,
        command=shell_command(target, plan.engine),
    )


def dry_layout(target: Target, layout: Path) -> DryLayout:
    """Return what a build in a layout would do.

    Raises:
        ImageError: as for `split_layers`.
    """
    found = split_layers(parse_steps(read_text(target.dockerfile)))
    return DryLayout(
        image=target.name,
        layout=layout,
        tag=layout_name(target),
        identity=target.step.identity or "",
        layers=tuple(layer.name for layer in found.layers),
    )
