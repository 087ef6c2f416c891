"""Build a plan: each image when its parents exist, several side by side.

Every image takes one path: prepare it, run a builder, publish its names.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol, TypeVar

from factory.build.engine_builder import EngineBuilder
from factory.build.oci_builder import OciBuilder, require_layout_possible
from factory.build.plan import BuildPlan, Target
from factory.build.prepare import BuildSession, Prepared, prepare
from factory.build.report import (
    BuildReport,
    BuiltImage,
    DryBuild,
    DryLayout,
    LayoutImage,
    dry_build,
    dry_layout,
    existing_image,
)
from factory.clock import duration
from factory.console import Progress
from factory.engine.images import find_image, find_images, tag_image
from factory.engine.leftovers import cleaned_up, remove_leftovers, repository_mark
from factory.errors import EngineError, FactoryError
from factory.files import exclusive, make_output_folder
from factory.images.builds import record_build
from factory.images.parents import record_digests
from factory.prefetch.plan import Fetching
from factory.process import Cancellation

Result = TypeVar("Result", BuiltImage, LayoutImage)
AnyImage = BuiltImage | LayoutImage


class Builder(Protocol[Result]):
    """Builds a prepared image."""

    def notes(self, folders: Path, name: str) -> Path:
        """Return the folder with an image's notes; it is locked while the image is built."""

    def build(self, prepared: Prepared) -> Result:
        """Build an image. An earlier image keeps its names."""

    def publish_names(self, prepared: Prepared, image: Result) -> None:
        """Tag the image with its names."""


def build_images(
    plan: BuildPlan, *, fetching: Fetching, progress: Progress, say: Callable[[str], None]
) -> BuildReport:
    """Build what has to be built. An interrupted run resumes from the parts and layers it finished.

    The engine's output goes into a file for each image, whose last lines an error quotes.

    Raises:
        EngineError: the engine failed; the moving names of failed images are unchanged.
        ImageError, SpecError: the image cannot be built in a layout.
        PrefetchError, IndexAccessError, StorageError, BusyError: as for `prefetch_flavor`.
    """
    _require_possible(plan)
    if plan.request.pull and plan.digests:
        record_digests(plan.root, plan.digests)
    session = BuildSession(plan=plan, fetching=fetching, progress=progress, say=say)
    remove_leftovers(plan.engine, repository_mark(plan.root), session.folders)
    done = _build_all(session)
    images = tuple(done[target.name] for target in plan.targets if target.name in done)
    return BuildReport(plan=plan, images=images)


def dry_run(plan: BuildPlan) -> DryBuild | DryLayout:
    """Return what would be done, changing nothing.

    Raises:
        EngineError, ImageError, SpecError: as for `build_images`, if it is to be built in a layout.
    """
    if plan.request.layout is None:
        return dry_build(plan)
    _require_possible(plan)
    (target,) = plan.asked
    return dry_layout(target, plan.request.layout.absolute())


def _require_possible(plan: BuildPlan) -> None:
    for target in plan.targets:
        if target.layout is not None and target.step.action == "build":
            require_layout_possible(plan.engine, target, plan.request)
    if plan.request.verify and plan.engine.kind != "podman":
        raise EngineError(
            f"{plan.engine.kind} cannot build twice alike: it has no --timestamp",
            solution="Verify with --engine podman.",
        )


def _build_all(session: BuildSession) -> dict[str, AnyImage]:
    """Build in threads, each image when its parents exist. After a failure nothing new begins."""
    targets = {target.name: target for target in session.plan.targets}
    waiting = TopologicalSorter(
        {
            name: [parent.image for parent in target.step.parents if parent.image in targets]
            for name, target in targets.items()
        }
    )
    waiting.prepare()
    done: dict[str, AnyImage] = {}
    running: dict[Future[AnyImage], str] = {}
    failures: dict[str, FactoryError] = {}
    stop, pool = Cancellation(), ThreadPoolExecutor(max_workers=max(1, session.plan.request.jobs))
    ended = False
    try:
        while True:
            for name in () if failures else waiting.get_ready():
                running[_start(pool, stop, session, targets[name])] = name
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                error = future.exception()
                if isinstance(error, FactoryError):
                    session.say(f"{name}: failed")
                    failures[name] = error
                elif error is not None:
                    raise error
                else:
                    done[name] = image = future.result()
                    if not (isinstance(image, BuiltImage) and image.difference):
                        waiting.done(name)  # else nothing can be built on it: it got no name
        ended = True
    finally:
        if not ended:
            # Interrupted: the engines end, and finished layers stay.
            stop.stop()
        pool.shutdown(cancel_futures=True)
    if failures:
        raise _one_of(failures)
    return done


def _start(
    pool: ThreadPoolExecutor, stop: Cancellation, session: BuildSession, target: Target
) -> "Future[AnyImage]":
    context = copy_context()

    def within() -> AnyImage:
        with stop.active():
            return _build_one(session, target)

    return pool.submit(context.run, within)


def _one_of(failures: Mapping[str, FactoryError]) -> FactoryError:
    """Return the first failure, with the others in its reason."""
    (_, first), *others = failures.items()
    for name, other in others:
        first.reason += f"\n{name} failed too: {other.reason}"
    return first


def _build_one(session: BuildSession, target: Target) -> AnyImage:
    if target.step.action == "nothing":
        return _existing(session, target)
    if target.layout is not None:
        return _carry_out(OciBuilder(target.layout), session, target)
    return _carry_out(EngineBuilder(), session, target)


def _carry_out(builder: Builder[Result], session: BuildSession, target: Target) -> Result | BuiltImage:
    """Build an image, unless another run has built it since it was planned.

    Raises:
        EngineError: the engine failed.
        BusyError: another run is building the image.
        PrefetchError, IndexAccessError, StorageError, ImageError: as for `prepare`.
    """
    engine = session.plan.engine
    notes = make_output_folder(builder.notes(session.folders, target.name))
    forced = target.asked and session.plan.request.forced_by
    with exclusive(notes):
        if not forced and find_image(engine, target.step.local or "") is not None:
            return _existing(session, target)
        log = session.log(notes)
        log.unlink(missing_ok=True)
        session.say(f"{target.name}: building; the engine's own lines go to {_shown(log)}")
        start = time.monotonic()
        with cleaned_up(engine, session.owner(notes)), prepare(session, target, notes) as prepared:
            image = builder.build(prepared)
            builder.publish_names(prepared, image)
            _record(session, target, image)
        session.say(f"{target.name}: built in {duration(time.monotonic() - start)}")
        return image


def _shown(path: Path) -> Path:
    """Return a path from the current folder, if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _record(session: BuildSession, target: Target, image: AnyImage) -> None:
    """Record when an image was built, which its labels do not say."""
    if target.step.identity is None or (isinstance(image, BuiltImage) and image.difference):
        return
    record_build(
        session.folders,
        target.name,
        identity=target.step.identity,
        variant=target.step.definition.variant,
        layout=f"{image.layout}:{image.tag}" if isinstance(image, LayoutImage) else None,
    )


def _existing(session: BuildSession, target: Target) -> BuiltImage:
    """Return an existing image; move its moving name, which an earlier run may not have set."""
    engine, step = session.plan.engine, target.step
    names = (step.local or "", target.moving, step.parents[0].reference)
    known = session.plan.stored
    if known.get(names[0]) is None:
        # Another run has built it since, or only the registry has it.
        known = {}
    if any(name not in known for name in names):
        # One call for all: starting the engine is most of the time of a run that has nothing to do.
        known = {**dict.fromkeys(names), **find_images(engine, names)}
    here, moving, base = (known[name] for name in names)
    if here is not None and (moving is None or moving.id != here.id):
        tag_image(engine, here.id, target.moving)
    return existing_image(target, here, base)
