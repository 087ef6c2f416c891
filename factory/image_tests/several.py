"""Test images and write their reports: one, or several in the order of the plan with one summary."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from factory.console import Report, Table, plural
from factory.engine.engine import Engine
from factory.errors import FactoryError
from factory.files import WORK_FOLDER, write_whole
from factory.flavor.repository import NO_IMAGES, Repository
from factory.image_tests.definition import Level, Selection
from factory.image_tests.report import (
    JUNIT_FILE,
    ImageTestReport,
    TestOutcome,
    Untested,
    joined_junit,
    make_report_folder,
    record_outcomes,
    report_folder,
    write_reports,
)
from factory.image_tests.running import run_tests
from factory.image_tests.subject import find_subject
from factory.images.catalogue import read_catalogue
from factory.images.definitions import VariantOptions
from factory.images.several import Turn, ancestors, take_turns

TestState = Literal["passed", "failed", "could not be tested", "stopped"]
REPORTS_FOLDER = Path(WORK_FOLDER, "reports")


@dataclass(frozen=True, kw_only=True)
class ImageTestRequest:
    """How to test images.

    level: None for each image's own in ``factory.toml``, else quick.
    folder: Where the reports go; None for the image's own below ``.work/reports``.
    flavor: Which flavor an image is if its labels do not say; for one image alone.
    jobs: So many images at a time.
    variant: Means other builds of images of the repository than the settings do.
    """

    level: Level | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    folder: Path | None = None
    flavor: str | None = None
    jobs: int = 1
    variant: VariantOptions = field(default_factory=VariantOptions)


@dataclass(frozen=True, kw_only=True)
class ImageTestRun:
    """A test run of one image, and the paths of its reports."""

    report: ImageTestReport
    written: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class ImageTests:
    """The tests of one image of several.

    state: "stopped" if a parent failed.
    reason: Why it was not tested; empty if it was.
    report: The image's own report; ``page`` is its path for people.
    """

    image: str
    state: TestState
    reason: str = ""
    report: ImageTestReport | None = None
    page: Path | None = None
    error: FactoryError | None = None

    @property
    def row(self) -> tuple[str, ...]:
        """Return its row: the state, and how many tests ended how, in how many seconds."""
        if self.report is None:
            return (self.image, "-", self.state, "-", "-", "-", "-")
        report = self.report
        bad = report.count("failed") + report.count("error")
        counts = (report.count("passed"), bad, report.count("skipped"))
        return (self.image, report.level, self.state, *map(str, counts), f"{report.seconds:.1f}")


@dataclass(frozen=True, kw_only=True)
class SeveralTests(Report):
    """The tests of several images, in the order of the plan; ``junit`` has the outcomes of all."""

    images: tuple[ImageTests, ...]
    junit: Path

    def failures(self) -> Iterable[FactoryError]:
        """Return why images could not be tested."""
        return filter(None, (image.error for image in self.images))

    @property
    def exit_code(self) -> int:
        """1 if a test failed, else the code of what could not be tested, else 0."""
        codes = [image.report.exit_code for image in self.images if image.report]
        codes += [error.exit_code for error in self.failures()]
        return 1 if 1 in codes else next(filter(None, codes), 0)

    def describe(self) -> Iterable[str | Table]:
        """Yield a row for each image, what failed, and a line that counts."""
        if not self.images:
            yield NO_IMAGES
            return
        counted = ("PASSED", "FAILED", "SKIPPED", "SECONDS")
        yield Table(
            headings=("IMAGE", "LEVEL", "STATE", *counted),
            rows=tuple(image.row for image in self.images),
            right_aligned=frozenset(counted),
        )
        for image in self.images:
            if image.reason:
                yield f"{image.image}: {image.reason}"
            elif image.state != "passed":
                yield f"{image.image}: {', '.join(_failed_tests(image))}; see {image.page}"
        states = [image.state for image in self.images]
        said = [f"{states.count(state)} {state}" for state in dict.fromkeys(("passed", *states))]
        yield f"{plural(len(states), 'image')}: {', '.join(said)}"
        yield f"JUnit of all: {self.junit}"


def _failed_tests(image: ImageTests) -> Iterable[str]:
    outcomes = image.report.outcomes if image.report else ()
    return (outcome.name for outcome in outcomes if outcome.status in {"failed", "error"})


def run_for_image(
    engine: Engine,
    image: str,
    request: ImageTestRequest,
    *,
    repository: Repository | None,
    ended: Callable[[TestOutcome], None],
    say: Callable[[str], None],
) -> ImageTestRun:
    """Test one image, record the outcomes for `factory status`, and write its reports.

    Raises:
        ImageTestError: the engine does not have the image, or there is no test of a given name.
        EngineError, NotFoundError, ProgramError, SpecError, StorageError: as `find_subject` and `run_tests`.
    """
    subject = find_subject(
        engine, image, repository=repository, flavor=request.flavor, variant=request.variant
    )
    for note in subject.notes:
        say(note)
    default = subject.definition.tests if subject.definition else "quick"
    selection = Selection(level=request.level or default, only=request.only, skip=request.skip)
    if request.folder is not None:
        make_report_folder(request.folder)
    report = run_tests(engine, subject, selection, ended=ended)
    work = (repository.root if repository else Path.cwd()) / REPORTS_FOLDER
    folder = request.folder or report_folder(report, work / subject.report_folder)
    if repository is not None:
        record_outcomes(report, work / subject.report_folder, written=folder)
    return ImageTestRun(report=report, written=write_reports(report, folder))


def run_for_images(
    engine: Engine,
    repository: Repository,
    request: ImageTestRequest,
    names: Sequence[str],
    *,
    ended: Callable[[str, TestOutcome], None],
    say: Callable[[str], None],
) -> SeveralTests:
    """Test images in the order of the plan; a failed parent stops its children, and the rest goes on.

    Args:
        engine: Has the images.
        repository: The repository.
        request: How to test. Below its folder each image has a folder of its own.
        names: Images of the repository; every image if empty.
        ended: Receives each outcome, with the name of its image.
        say: Receives what to know of the choice of a build.

    Raises:
        NotFoundError: there is no such image; nothing was tested.
        SpecError: ``factory.toml`` or an image is not acceptable.
        StorageError: the file system refused.
    """
    catalogue = read_catalogue(repository)
    order = ancestors(catalogue, catalogue.select(tuple(names), include_broken=True))
    folder = request.folder or repository.root / REPORTS_FOLDER
    make_report_folder(folder)

    def work(name: str) -> ImageTestRun:
        own = None if request.folder is None else request.folder / name
        return run_for_image(
            engine,
            name,
            replace(request, folder=own),
            repository=repository,
            ended=lambda outcome: ended(name, outcome),
            say=say,
        )

    turns = take_turns(order, work, jobs=request.jobs, failed=lambda tested: not tested.report.passed)
    images = tuple(map(_image_tests, turns))
    junit = folder / JUNIT_FILE
    reports = [
        image.report or Untested(image=image.image, reason=image.reason, stopped=image.state == "stopped")
        for image in images
    ]
    write_whole(junit, joined_junit(reports).encode("utf-8", "replace"))
    return SeveralTests(images=images, junit=junit)


def _image_tests(turn: Turn[ImageTestRun]) -> ImageTests:
    tested = turn.result
    if tested is None:
        stopped = turn.stopped_by is not None
        return ImageTests(
            image=turn.name,
            state="stopped" if stopped else "could not be tested",
            reason=turn.reason,
            error=turn.error,
        )
    return ImageTests(
        image=turn.name,
        state="passed" if tested.report.passed else "failed",
        report=tested.report,
        page=tested.written[-1],
    )
