"""All images of a build, parents before children, several side by side."""

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass

from factory.build.build import BuildPlan, Target
from factory.build.making import BuiltImage, Workplace, make_image
from factory.console import Progress
from factory.engine.leftovers import remove_leftovers, repository_mark
from factory.errors import EngineError, FactoryError
from factory.images.parents import record_digests
from factory.prefetch.plan import Fetching
from factory.process import Stop


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What came of a build, in its order."""

    images: tuple[BuiltImage, ...]

    @property
    def reproducible(self) -> bool:
        """Whether no image came out otherwise when it was built a second time."""
        return all(image.difference is None for image in self.images)


def build_images(
    plan: BuildPlan, *, fetching: Fetching, progress: Progress, say: Callable[[str], None]
) -> BuildReport:
    """Build what has to be built; of an interrupted run, what it had made is used.

    The engine's output goes to standard error where images are built one at a time, else into a file for
    each, which is repeated where it failed.

    Raises:
        EngineError: the engine failed; the moving names of what failed are where they were.
        PrefetchError, IndexAccessError, StorageError, BusyError: as for `prefetch_flavor`.
    """
    if plan.request.verify and plan.engine.kind != "podman":
        raise EngineError(
            f"{plan.engine.kind} cannot build twice alike: it has no --timestamp",
            solution="Verify with --engine podman.",
        )
    if plan.request.pull and plan.digests:
        record_digests(plan.root, plan.digests)
    place = Workplace(plan=plan, fetching=fetching, progress=progress, say=say, logged=plan.request.jobs > 1)
    remove_leftovers(plan.engine, repository_mark(plan.root), place.folders)
    done = _side_by_side(place)
    return BuildReport(images=tuple(done[target.name] for target in plan.targets if target.name in done))


def _side_by_side(place: Workplace) -> dict[str, BuiltImage]:
    """Build in threads, each image when its parents are there. After a failure nothing new begins."""
    waiting = {target.name: target for target in place.plan.targets}
    done: dict[str, BuiltImage] = {}
    running: dict[Future[BuiltImage], str] = {}
    failures: dict[str, FactoryError] = {}
    stop, pool = Stop(), ThreadPoolExecutor(max_workers=max(1, place.plan.request.jobs))
    ended = False
    try:
        while (waiting and not failures) or running:
            for name in [
                name for name, target in waiting.items() if not failures and _ready(target, done, place)
            ]:
                running[_begun(pool, stop, place, waiting.pop(name))] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                error = future.exception()
                if error is None:
                    done[name] = future.result()
                    if done[name].difference is not None:
                        # It has no tag that an image on it could be built from; the difference is the answer.
                        _drop_above(name, waiting)
                elif isinstance(error, FactoryError):
                    place.say(f"{name}: failed")
                    failures[name] = error
                else:
                    raise error
        ended = True
    finally:
        if not ended:
            # Interrupted: the engines end, and what they had finished stays.
            stop.stop()
        pool.shutdown(cancel_futures=True)
    if failures:
        raise _one_of(failures)
    return done


def _one_of(failures: Mapping[str, FactoryError]) -> FactoryError:
    """The first failure, which tells of the others that came to their end beside it."""
    (_, first), *others = failures.items()
    for name, other in others:
        first.reason += f"\n{name} failed too: {other.reason}"
    return first


def _drop_above(name: str, waiting: dict[str, Target]) -> None:
    """Take out what stands on an image, one on the other."""
    for other in [other for other, target in waiting.items() if _stands_on(target, name)]:
        if waiting.pop(other, None) is not None:
            _drop_above(other, waiting)


def _stands_on(target: Target, name: str) -> bool:
    return any(parent.image == name for parent in target.step.parents)


def _ready(target: Target, done: dict[str, BuiltImage], place: Workplace) -> bool:
    planned = {other.name for other in place.plan.targets}
    return all(parent.image not in planned or parent.image in done for parent in target.step.parents)


def _begun(pool: ThreadPoolExecutor, stop: Stop, place: Workplace, target: Target) -> "Future[BuiltImage]":
    context = copy_context()

    def within() -> BuiltImage:
        with stop.governing():
            return make_image(place, target)

    return pool.submit(context.run, within)
