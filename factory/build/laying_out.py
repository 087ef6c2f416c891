"""`factory build --layout`: what was planned for one flavor, assembled in an OCI layout."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from factory.build.assemble import Assembled, AssemblyRequest, assemble, require_possible
from factory.build.build import BuildPlan, Target
from factory.build.context import build_context
from factory.build.layout import layout_notes, record_layout
from factory.build.making import Workplace, bases_at_hand, make_image, make_recipe, prefetch
from factory.build.package_layers import take_apart
from factory.build.segment_cache import read_record, remove_superseded, write_record
from factory.console import Progress, Table, human_size
from factory.dockerfile.references import parse_reference
from factory.dockerfile.steps import parse_steps
from factory.engine.leftovers import cleaned_up, remove_leftovers, repository_mark
from factory.errors import SpecError
from factory.files import exclusive, make_output_folder, read_text
from factory.images.parents import record_digests
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import Prefetched


@dataclass(frozen=True, kw_only=True)
class LaidOutImage:
    """An image that was assembled.

    ``layout`` is the folder, ``tag`` the image's name there, and ``reference`` both as skopeo, podman and
    `factory push` are told: ``oci:LAYOUT:TAG``. ``digest`` is that of its manifest; ``size`` its ``layers``
    in bytes, not compressed. ``made`` are the layers of packages that were installed now, ``taken`` those
    that were there; ``seconds`` are without prefetching.
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
class DryLayout:
    """What would be assembled: the image and where, and the names of its layers of packages."""

    image: str
    layout: Path
    tag: str
    identity: str
    layers: tuple[str, ...]


def check_layout(plan: BuildPlan) -> None:
    """Check that what was planned can be assembled. Nothing is changed.

    Raises:
        SpecError: it is no flavor, or is to be built in another way at the same time.
        EngineError: as for `require_possible`.
    """
    request = plan.request
    (target,) = plan.asked
    if request.layout is None or target.step.definition.flavor is None:
        raise SpecError(
            f"{target.name} is no flavor, and has no layers of packages",
            solution="Build it with the engine: without --layout.",
        )
    if request.verify:
        raise SpecError(
            "--verify-reproducible compares what the engine builds",
            solution="Give it without --layout; a layout assembled twice with --force has the same digest.",
        )
    require_possible(plan.engine, request.layout)


def lay_out(
    plan: BuildPlan, *, fetching: Fetching, progress: Progress, say: Callable[[str], None]
) -> LaidOutImage:
    """Build the parents that have to be built, and assemble the image.

    Raises:
        EngineError, ImageError, SpecError: as for `check_layout` and `assemble`.
        PrefetchError, IndexAccessError, StorageError, BusyError: as for `prefetch_flavor`.
    """
    check_layout(plan)
    if plan.request.pull and plan.digests:
        record_digests(plan.root, plan.digests)
    place = Workplace(plan=plan, fetching=fetching, progress=progress, say=say, logged=False)
    remove_leftovers(plan.engine, repository_mark(plan.root), place.folders)
    for target in plan.targets:
        if not target.asked:
            make_image(place, target)
    (target,) = plan.asked
    return _laid_out(place, target, (plan.request.layout or Path()).absolute())


def dry_layout(plan: BuildPlan) -> DryLayout:
    """What would be done. Nothing is changed.

    Raises:
        EngineError, SpecError: as for `check_layout`.
        ImageError: as for `take_apart`.
    """
    check_layout(plan)
    (target,) = plan.asked
    apart = take_apart(parse_steps(read_text(target.dockerfile)))
    return DryLayout(
        image=target.name,
        layout=(plan.request.layout or Path()).absolute(),
        tag=_name(target),
        identity=target.step.identity or "",
        layers=tuple(layer.name for layer in apart.layers),
    )


def layout_table(image: LaidOutImage) -> Table:
    """What came of it, for people."""
    return Table(
        headings=("IMAGE", image.reference),
        rows=(
            ("digest", image.digest),
            ("size", f"{human_size(image.size)} in {image.layers} layers"),
            ("base image", image.base_image),
            ("identity", image.identity[:16]),
            ("layers made", ", ".join(image.made) or "none"),
            ("layers taken", ", ".join(image.taken) or "none"),
            ("assembled in", f"{image.seconds:.1f} s"),
        ),
    )


def dry_table(found: DryLayout) -> Table:
    """A dry run for people."""
    return Table(
        headings=("IMAGE", f"oci:{found.layout}:{found.tag}"),
        rows=(("identity", found.identity[:16]), ("layers", ", ".join(found.layers))),
    )


def _laid_out(place: Workplace, target: Target, layout: Path) -> LaidOutImage:
    work = make_output_folder(layout_notes(place.folders, target.name))
    manifest = target.step.inputs
    with exclusive(work), cleaned_up(place.plan.engine, place.owner(work)):
        prefetched = prefetch(place, target)
        bases = bases_at_hand(place, target, work)
        inputs = {} if manifest is None else manifest.files
        with build_context(target.step.definition.folder, inputs, work) as context:
            recipe = make_recipe(place, target, bases, context, work)
            done = assemble(
                AssemblyRequest(
                    recipe=recipe, layout=layout, tag=_name(target), fresh=place.plan.request.force
                ),
                say=place.say,
            )
        before, keys = read_record(work), [part.key for part in done.parts]
        write_record(work, keys)
        remove_superseded(place.plan.engine, place.owner(work).repository, work, before=before, now=keys)
        record_layout(work, done.layout, done.tag)
    return _report(target, done, prefetched)


def _report(target: Target, done: Assembled, prefetched: Prefetched | None) -> LaidOutImage:
    return LaidOutImage(
        image=target.name,
        layout=done.layout,
        tag=done.tag,
        reference=f"oci:{done.layout}:{done.tag}",
        digest=done.image.digest,
        identity=target.step.identity or "",
        base_image=target.step.parents[0].reference,
        prefetched=prefetched,
        size=sum(layer.size for layer in done.image.layers),
        layers=len(done.image.layers),
        made=done.made,
        taken=done.taken,
        seconds=done.seconds,
    )


def _name(target: Target) -> str:
    """The image's name in the layout: the tag of its moving name."""
    return parse_reference(target.moving, of=target.name).tag or "latest"
