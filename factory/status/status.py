"""The status of every image of a repository: locked, rendered, built, tested, pushed."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from factory.check.state import flavor_state
from factory.clock import age, now, parse_moment
from factory.console import Report, Table, human_size, plural
from factory.files import WORK_FOLDER
from factory.flavor.repository import NO_IMAGES, Repository
from factory.images.availability import Stores
from factory.images.builds import IMAGES_NOTES, ExistingBuild, also_built
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.chosen import ChosenBuild, choose_builds
from factory.images.definitions import ImageDefinition, VariantOptions
from factory.registry.given import given_registries
from factory.status.places import (
    AskedRegistry,
    BuildStatus,
    PushStatus,
    TestStatus,
    ask_registries,
    last_test,
)

Tone = Literal["good", "warn", "bad", "calm"]
NOTHING = "—"
_HEADINGS = ("IMAGE", "KIND", "LOCK", "FOLDER", "BUILT", "TESTED", "PUSHED", "SIZE", "AGE", "PARENTS")
# Go writes nanoseconds; Python reads microseconds.
_FRACTION_DIGITS = 6
# Reproducible builds write 1970 or 1980, the first years of clocks and zip archives, for no time at all.
_NO_YEAR = 1980


@dataclass(frozen=True, kw_only=True)
class ImageStatus:
    """The status of one image.

    depth: How many images of the repository it is built on, one on the other.
    variant: Which of its builds the row is about, in words; empty if it has only one.
    only_one: Whether the settings leave the variant open, and that is the only one that was built.
    also_built: Builds of other variants that this machine has.
    lock, rendering: Empty if it is not a flavor.
    tag: That of its current identity; None if it has none, and ``problem`` says why.
    """

    name: str
    kind: str
    depth: int
    parents: tuple[str, ...]
    variant: str = ""
    only_one: bool = False
    also_built: tuple[ExistingBuild, ...] = ()
    lock: str
    rendering: str
    identity: str | None
    tag: str | None
    built: BuildStatus | None
    tested: TestStatus | None
    pushed: tuple[PushStatus, ...]
    problem: str

    @property
    def size(self) -> int | None:
        """Return the layers' bytes: in the engine, or compressed in a registry; None in neither."""
        sizes = [self.built.size] if self.built else [one.size for one in self.pushed]
        return next((size for size in sizes if size), None)

    @property
    def created(self) -> str | None:
        """When the image was built, RFC 3339, if that is recorded; else the time that it has itself."""
        times = [self.built.built, self.built.created] if self.built else [one.created for one in self.pushed]
        return next((time for time in times if time), None)

    @property
    def needs_attention(self) -> bool:
        """Return whether something has to be fixed: a lock, a drift, a failed test, a problem."""
        return (
            bool(self.problem)
            or self.lock in {"stale", "broken"}
            or self.rendering in {"drifted", "broken"}
            or self.failed_tests != ""
        )

    @property
    def failed_tests(self) -> str:
        """Say which tests of the current image failed; empty if none did."""
        tested = self.tested
        if tested is None or not tested.current or tested.passed:
            return ""
        return f"its {tested.level} tests failed: {', '.join(tested.failed) or 'none was run'}"

    @property
    def test_report(self) -> str:
        """Where the report of its tests is, as the end of a sentence; empty if it is not there."""
        return f"; see {self.tested.report}" if self.tested and self.tested.report else ""


@dataclass(frozen=True, kw_only=True)
class RepositoryStatus(Report):
    """All images of a repository, each below its parent, and the registries that were asked."""

    repository: str
    images: tuple[ImageStatus, ...]
    registries: tuple[AskedRegistry, ...]

    @property
    def summary(self) -> dict[str, int]:
        """Describe how many images are in which state."""
        images = self.images
        return {
            "images": len(images),
            "built": sum(image.built is not None and image.built.current for image in images),
            "tested": sum(
                image.tested is not None and image.tested.current and image.tested.passed for image in images
            ),
            "pushed": sum(any(one.current for one in image.pushed) for image in images),
            "to fix": sum(image.needs_attention for image in images),
        }

    def describe(self) -> Iterable[str | Table]:
        """Yield the table, the problems, and a line that counts."""
        if not self.images:
            yield NO_IMAGES
            return
        moment = now()
        yield Table(
            headings=_HEADINGS,
            rows=tuple(_row(image, moment) for image in self.images),
            right_aligned=frozenset({"SIZE"}),
        )
        yield ""
        yield from (f"{image.name}: {image.problem}" for image in self.images if image.problem)
        for image in self.images:
            if image.failed_tests:
                yield f"{image.name}: {image.failed_tests}{image.test_report}"
        for image in self.images:
            if image.only_one:
                yield f"{image.name} is shown as it was built: {image.variant}"
            yield from map(also_built, image.also_built)
        yield from (f"{one.name} ({one.url}): {one.problem}" for one in self.registries if one.problem)
        counts = self.summary
        yield (
            f"{plural(counts['images'], 'image')}: {counts['built']} built, {counts['tested']} tested, "
            f"{counts['pushed']} pushed as they are now; {counts['to fix'] or 'nothing'} to fix"
        )


def collect_status(
    repository: Repository,
    names: tuple[str, ...] = (),
    *,
    offline: bool = False,
    engine: str | None = None,
    variant: VariantOptions | None = None,
) -> RepositoryStatus:
    """Return the status of every image. Errors of one image or registry become part of its row.

    Args:
        repository: The repository.
        names: Images to include; all if empty.
        offline: Ask no registry.
        engine: As in `factory.engine.engine.find_engine`.
        variant: Means other builds of the images than the settings do.

    Raises:
        SpecError: ``factory.toml`` is not acceptable.
        NotFoundError: a named image does not exist.
        EngineError: the named engine is not installed, or the engine does not work.
    """
    catalogue = read_catalogue(repository)
    definitions = catalogue.select(names, include_broken=True)
    stores = Stores(registries={}, engine=engine, notes=repository.root / IMAGES_NOTES)
    chosen = choose_builds(repository, catalogue, definitions, variant or VariantOptions(), stores)
    tags = {name: one.step.tag for name, one in chosen.items() if one.step is not None}
    given = given_registries(repository.root / WORK_FOLDER, catalogue.registries.values())
    asked, pushed = ask_registries(
        {} if offline else {**catalogue.registries, **given},
        [one.definition for one in chosen.values()],
        tags,
    )
    rows = [
        replace(
            _image_status(repository, one, stores),
            depth=_depth(catalogue, one.definition),
            pushed=pushed.get(name, ()),
        )
        for name, one in chosen.items()
    ]
    return RepositoryStatus(repository=repository.root.name, images=_as_tree(rows), registries=asked)


def _image_status(repository: Repository, chosen: ChosenBuild, stores: Stores) -> ImageStatus:
    definition, step, build = chosen.definition, chosen.step, chosen.build
    state = None if definition.packages is None else flavor_state(definition.packages)
    tag = None if step is None else step.tag
    stored = None if build is None else stores.known.get(build.reference)
    return ImageStatus(
        name=definition.name,
        kind=definition.kind,
        depth=0,
        parents=tuple(parent.image for parent in definition.parents),
        variant=definition.variant.words,
        only_one=build is not None and chosen.why == "only one",
        also_built=chosen.others,
        lock="" if state is None else state.lock,
        rendering="" if state is None else state.rendering,
        identity=None if step is None else step.identity,
        tag=tag,
        built=None
        if build is None
        else BuildStatus(
            reference=build.reference,
            current=chosen.current,
            size=0 if stored is None else stored.size,
            created="" if stored is None else stored.created,
            built=build.built,
        ),
        tested=last_test(repository.root, definition.name, tag),
        pushed=(),
        problem=chosen.problem,
    )


def _depth(catalogue: Catalogue, definition: ImageDefinition) -> int:
    own = [catalogue.definition(parent.image) for parent in definition.own_parents]
    return 1 + max(_depth(catalogue, parent) for parent in own) if own else 0


def _as_tree(rows: list[ImageStatus]) -> tuple[ImageStatus, ...]:
    """Sort images by name, each below the first of its parents that is included."""
    included = {row.name for row in rows}
    below: dict[str, list[ImageStatus]] = {}
    for row in sorted(rows, key=lambda row: row.name):
        above = next((parent for parent in row.parents if parent in included), "")
        below.setdefault(above, []).append(row)
    ordered: list[ImageStatus] = []
    waiting = list(reversed(below.get("", [])))
    while waiting:
        row = waiting.pop()
        ordered.append(row)
        waiting += reversed(below.get(row.name, []))
    return tuple(ordered)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A state in one or two words, its tone, and details."""

    text: str
    tone: Tone = "calm"
    more: str = ""


def lock_word(image: ImageStatus) -> Word:
    """Return whether a flavor is locked."""
    tones: dict[str, Tone] = {"locked": "good", "stale": "warn", "broken": "bad"}
    return Word(text=image.lock or NOTHING, tone=tones.get(image.lock, "calm"))


def rendering_word(image: ImageStatus) -> Word:
    """Return whether a flavor's folder is as its templates render it."""
    tones: dict[str, Tone] = {"rendered": "good", "drifted": "warn", "broken": "bad"}
    return Word(text=image.rendering or NOTHING, tone=tones.get(image.rendering, "calm"))


def built_word(image: ImageStatus) -> Word:
    """Return whether the engine has the image as it would be built now."""
    if image.built is None:
        return Word(text="no")
    if image.built.current:
        return Word(text="current", tone="good", more=image.built.reference)
    return Word(text="older", tone="warn", more=f"{image.built.reference} has other inputs")


def tested_word(image: ImageStatus) -> Word:
    """Return the result of the last tests, and whether they tested the current image."""
    tested = image.tested
    if tested is None:
        return Word(text="no")
    result = f"{tested.level} {'passed' if tested.passed else 'failed'}"
    when = f"on {tested.started}"
    if not tested.current:
        return Word(text=f"{result}, older", tone="warn", more=f"{when}, an image with other inputs")
    return Word(text=result, tone="good" if tested.passed else "bad", more=when)


def pushed_words(image: ImageStatus) -> tuple[Word, ...]:
    """Return the registries that have the image; one word that says no if none has."""
    words = tuple(
        Word(
            text=one.registry if one.current else f"{one.registry}, {one.variant or 'older'}",
            tone="good" if one.current else "warn",
            more=one.reference,
        )
        for one in image.pushed
    )
    return words or (Word(text="no"),)


def size_text(image: ImageStatus) -> str:
    """Return the size for people."""
    return NOTHING if image.size is None else human_size(image.size)


def age_text(image: ImageStatus, moment: dt.datetime) -> str:
    """Return how long before ``moment`` it was built, if that is recorded; else how old its content is.

    An image has the time of what it was made from, so that the same inputs make the same image. A year that
    means no time has no age.
    """
    created = _moment(image.created)
    if created is None or created.year <= _NO_YEAR:
        return NOTHING
    is_recorded = image.built is not None and bool(image.built.built)
    ago = age(created, now=moment)
    return f"built {ago} ago" if is_recorded else f"content {ago} old"


def tested_ago(image: ImageStatus, moment: dt.datetime) -> str:
    """Return how long before ``moment`` its tests began; empty without any."""
    started = None if image.tested is None else _moment(image.tested.started)
    return "" if started is None else age(started, now=moment)


def attention(image: ImageStatus) -> tuple[str, ...]:
    """Return what has to be fixed about an image, each as a sentence without its end."""
    said = [image.problem] if image.problem else []
    if image.lock == "stale":
        said.append(f"its lock is older than its pyproject.toml: run `factory lock {image.name}`")
    if image.rendering == "drifted":
        said.append(f"its files are not as rendered: run `factory sync {image.name}`")
    if image.failed_tests:
        said.append(image.failed_tests)
    return tuple(said) or ("its folder or its lock cannot be read: `factory check` says why",)


def _moment(text: str | None) -> dt.datetime | None:
    if not text:
        return None
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :]
    return parse_moment(f"{whole}{dot}{digits[:_FRACTION_DIGITS]}{zone}")


def _row(image: ImageStatus, moment: dt.datetime) -> tuple[str, ...]:
    return (
        f"{'  ' * image.depth}{image.name}",
        image.kind,
        lock_word(image).text,
        rendering_word(image).text,
        built_word(image).text,
        tested_word(image).text,
        ", ".join(word.text for word in pushed_words(image)),
        size_text(image),
        age_text(image, moment),
        ", ".join(image.parents) or NOTHING,
    )
