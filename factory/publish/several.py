"""Push several images, parents first, and prune the disposable registries that ask for it afterwards."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from factory.console import Progress, Report, Table, plural
from factory.errors import FactoryError
from factory.flavor.repository import NO_IMAGES, Repository
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.several import Turn, ancestors, take_turns
from factory.publish.pruning import Pruning, prune_after_push
from factory.publish.push import Push, PushReport, PushRequest, is_reference, plan_push, push_image
from factory.publish.remote import remote_reference

PushState = Literal["pushed", "failed", "stopped", "left out"]
_NO_REGISTRY = "it has no registry in factory.toml; --to REGISTRY names one"
_HEADINGS = ("IMAGE", "DESTINATION", "TAG", "DIGEST", "STATE", "BYTES")


@dataclass(frozen=True, kw_only=True)
class ImagePush:
    """The push of one image of several.

    state: "stopped" if a parent's push failed, "left out" if the image has no registry to go to.
    reason: Why it was not pushed, or failed; empty for a pushed one.
    error: Why it could not be begun; errors of destinations are in the report.
    """

    image: str
    state: PushState
    reason: str = ""
    report: PushReport | None = None
    error: FactoryError | None = None

    @property
    def failures(self) -> Iterable[FactoryError]:
        """The errors, its own or those of its destinations."""
        outcomes = self.report.outcomes if self.report else ()
        return filter(None, (self.error, *(outcome.error for outcome in outcomes)))

    @property
    def rows(self) -> Iterable[tuple[str, ...]]:
        """Yield a row for each tag at each destination, or one that says what became of the image."""
        found = [row for outcome in (self.report.outcomes if self.report else ()) for row in outcome.rows]
        for row in found or [("-", "-", "-", self.state, "-")]:
            yield (self.image, *row)


@dataclass(frozen=True, kw_only=True)
class SeveralPushes(Report):
    """The pushes of several images, in the order of the plan."""

    dry_run: bool
    images: tuple[ImagePush, ...]
    pruned: Pruning | None = None

    def failures(self) -> Iterable[FactoryError]:
        """Return every error, in the order of the images, and those of the pruning afterwards."""
        yield from (error for image in self.images for error in image.failures)
        yield from self.pruned.failures if self.pruned else ()

    def describe(self) -> Iterable[str | Table]:
        """Yield the tags of all images as one table, why images were not pushed, and a line that counts."""
        if not self.images:
            yield NO_IMAGES
            return
        rows = tuple(row for image in self.images for row in image.rows)
        yield Table(headings=_HEADINGS, rows=rows, right_aligned=frozenset({"BYTES"}))
        yield from (
            f"{image.image} was not pushed: {image.reason}"
            for image in self.images
            if image.state in {"stopped", "left out"}
        )
        counts = dict.fromkeys(("pushed", "failed", "stopped", "left out"), 0)
        for image in self.images:
            counts[image.state] += 1
        words = "would be pushed" if self.dry_run else "pushed"
        said = [
            f"{counts.pop('pushed')} {words}",
            *(f"{count} {state}" for state, count in counts.items() if count),
        ]
        yield from self.pruned.lines if self.pruned else ()
        yield f"{plural(len(self.images), 'image')}: {', '.join(said)}"


def push_images(
    repository: Repository,
    request: PushRequest,
    names: Sequence[str],
    *,
    progress: Progress,
    say: Callable[[str], None],
) -> SeveralPushes:
    """Push images in the order of the plan; a failed parent stops its children, and the rest goes on.

    Args:
        repository: The repository.
        request: How to push; its image does not count.
        names: Images, references and layouts; empty for every image of the repository that has a registry.
        progress: Advances with each destination.
        say: Receives what is pushed, before it is.

    Raises:
        NotFoundError: there is no such image; nothing was pushed.
        SpecError: ``factory.toml`` or an image is not acceptable.
    """
    catalogue = read_catalogue(repository)
    order, without = _ordered(catalogue, names, request)

    def work(name: str) -> PushReport:
        push = plan_push(repository, replace(request, image=name), catalogue=catalogue)
        say(push.note)
        progress.extend(len(push.destinations))
        return push_image(push, progress=progress)

    turns = take_turns(order, work, failed=lambda report: report.exit_code != 0)
    left_out = (ImagePush(image=name, state="left out", reason=_NO_REGISTRY) for name in without)
    outcomes = [outcome for turn in turns if turn.result for outcome in turn.result.outcomes]
    return SeveralPushes(
        dry_run=request.dry_run,
        images=(*(_image_push(turn) for turn in turns), *left_out),
        pruned=prune_after_push(repository, outcomes, dry_run=request.dry_run, progress=progress),
    )


def push_one(repository: Repository, push: Push, *, progress: Progress) -> PushReport:
    """Push one image, and prune afterwards.

    Raises:
        SpecError, BusyError, ProgramError, StorageError: as `push_image`.
    """
    report = push_image(push, progress=progress)
    pruned = prune_after_push(repository, report.outcomes, dry_run=report.dry_run, progress=progress)
    return replace(report, pruned=pruned)


def _ordered(
    catalogue: Catalogue, names: Sequence[str], request: PushRequest
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return what to push with its ancestors, and the images that have no registry to go to."""
    given = [
        name
        for name in names
        if is_reference(name) or remote_reference(name, catalogue.registries) is not None
    ]
    named = tuple(name for name in names if name not in given)
    definitions = catalogue.select(named, include_broken=True) if named or not given else ()
    without = [
        definition.name
        for definition in definitions
        if not (names or request.to or definition.registry or definition.problem)
    ]
    pushed = [definition for definition in definitions if definition.name not in without]
    return {**ancestors(catalogue, pushed), **dict.fromkeys(given, ())}, tuple(without)


def _image_push(turn: Turn[PushReport]) -> ImagePush:
    report = turn.result
    if turn.stopped_by is not None:
        return ImagePush(image=turn.name, state="stopped", reason=turn.reason)
    failed = report is None or report.exit_code != 0
    reason = turn.reason or next(
        (outcome.error.reason for outcome in (report.outcomes if report else ()) if outcome.error), ""
    )
    return ImagePush(
        image=turn.name,
        state="failed" if failed else "pushed",
        reason=reason,
        report=report,
        error=turn.error,
    )
