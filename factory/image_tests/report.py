"""The report of a test run of an image: terminal, JSON, JUnit's XML, the page, and the record."""

import json
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.console import Report, Table, to_json, visible
from factory.documents import read_json
from factory.errors import DocumentError
from factory.files import exclusive, make_output_folder, storage_error, write_whole
from factory.html import render_page
from factory.image_tests.definition import LEVELS, ImageFinding, Level, Status

REPORT_FILE = "report.json"
JUNIT_FILE = "junit.xml"
TESTED_FILE = "tested.json"
PAGE_FILE = "report.html"
SELECTED_FOLDER = "selected"
_TEMPLATE = "report.html.j2"
_WORDS = {"passed": "passed", "failed": "FAILED", "skipped": "skipped", "error": "BROKE"}
_FAILED, _COULD_NOT_RUN = 1, 33
# How a flavor's Dockerfile installs a layer of packages; -r is how it did before package-layers.sh.
_PACKAGE_LAYER = re.compile(
    r"(?:package-layers\.sh install|-r) /usr/share/factory/(?:[^/\s]+/)?layers/([a-z0-9-]+)/"
)
# A narrower layer is no more than a line in the chart; the table below it has it.
_NARROWEST_PERCENT = 0.4
_NUMBERED_PERCENT, _LABELLED_PERCENT = 3.0, 9.0


@dataclass(frozen=True, kw_only=True)
class TestOutcome:
    """One test that was run or skipped.

    ``reason`` says why it failed or was skipped; ``output`` is what it printed, cut in the middle if it is
    long; ``advice`` are findings that do not fail it, such as what a FIPS host would refuse.
    """

    __test__ = False  # not a test of ours, whatever pytest makes of its name

    name: str
    title: str
    level: Level
    tags: tuple[str, ...]
    status: Status
    seconds: float
    reason: str = ""
    output: str = ""
    findings: tuple[ImageFinding, ...] = ()
    advice: tuple[ImageFinding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImagePackage:
    """A Python package of the image; ``size`` is its files' bytes; ``locked``: the lock has it."""

    name: str
    version: str
    size: int
    locked: bool


@dataclass(frozen=True, kw_only=True)
class ImageLayer:
    """A layer of the image; ``size`` is uncompressed, in bytes."""

    digest: str
    size: int
    created_by: str

    @property
    def packages(self) -> str:
        """The name of the flavor's layer of packages that this is; empty if it is not one."""
        found = _PACKAGE_LAYER.search(self.created_by)
        return found[1] if found else ""


@dataclass(frozen=True, kw_only=True)
class ImageTestReport(Report):
    """One test run of one image. ``started`` is ISO 8601 in UTC; ``layers`` begin at the bottom.

    ``kind`` and ``flavor`` are None if they are not known; only a flavor has the latter.
    ``selected``: tests were chosen by name (``--only``, ``--skip``), so it does not speak for the level.
    """

    image: str
    image_id: str
    identity: str | None
    kind: str | None = None
    flavor: str | None
    level: Level
    engine: str
    started: str
    seconds: float
    outcomes: tuple[TestOutcome, ...]
    packages: tuple[ImagePackage, ...]
    layers: tuple[ImageLayer, ...]
    selected: bool = False

    def count(self, status: Status) -> int:
        """Return how many tests ended with this status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def passed(self) -> bool:
        """Return whether no test failed or broke; a skipped one does neither."""
        return not self.count("failed") and not self.count("error")

    @property
    def exit_code(self) -> int:
        """1 if a test failed, else 33 if one could not be run, else 0."""
        if self.count("failed"):
            return _FAILED
        return _COULD_NOT_RUN if self.count("error") else 0

    def describe(self) -> Iterator[str | Table]:
        """Yield a table, what to do about each failure, and a line that counts."""
        yield Table(
            headings=("TEST", "LEVEL", "OUTCOME", "SECONDS"),
            rows=tuple(
                (outcome.name, outcome.level, outcome.status, f"{outcome.seconds:.1f}")
                for outcome in self.outcomes
            ),
            right_aligned=frozenset({"SECONDS"}),
        )
        yield from (_failure(outcome) for outcome in self.outcomes if outcome.status in {"failed", "error"})
        counted = [f"{self.count('passed')} passed", f"{self.count('failed')} failed"]
        counted += [f"{self.count('error')} could not be run"] if self.count("error") else []
        counted += [f"{self.count('skipped')} skipped"] if self.count("skipped") else []
        advice = sum(len(outcome.advice) for outcome in self.outcomes)
        counted += [f"{advice} worth knowing (in the page)"] if advice else []
        of = " (selected tests only)" if self.selected else ""
        yield f"{self.image}{of}: {', '.join(counted)}; {self.seconds:.1f} s with {self.engine}"


def outcome_line(outcome: TestOutcome) -> str:
    """Return a test that has ended, as one line."""
    reason = f": {outcome.reason.splitlines()[0]}" if outcome.reason and outcome.status != "passed" else ""
    return f"{_WORDS[outcome.status]:7} {outcome.name} ({outcome.seconds:.1f} s){reason}"


def _failure(outcome: TestOutcome) -> str:
    lines = [f"{outcome.name}: {outcome.reason}"]
    for finding in outcome.findings:
        lines += [f"  {finding.subject}: {finding.problem}"]
        lines += [f"    why: {finding.cause}"] if finding.cause else []
        lines += [f"    what to do: {finding.fix}"] if finding.fix else []
    return "\n".join(lines)


def report_folder(report: ImageTestReport, whole: Path) -> Path:
    """Return the default folder of a report: ``whole``, the image's own, after a full level.

    A run of selected tests goes below it, and so replaces no report that says more.
    """
    return whole / SELECTED_FOLDER if report.selected else whole


def make_report_folder(folder: Path) -> None:
    """Make the folder for reports, and check that it is writable before tests run for minutes.

    Raises:
        StorageError: the file system refused.
    """
    make_output_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise storage_error(folder, error) from error


def write_reports(report: ImageTestReport, folder: Path) -> tuple[Path, ...]:
    """Write the three reports into a folder, which is made if it is missing; return their paths.

    Raises:
        StorageError: the file system refused; earlier reports are still there.
    """
    contents = {
        folder / REPORT_FILE: to_json(report) + "\n",
        folder / JUNIT_FILE: junit(report),
        folder / PAGE_FILE: report_page(report),
    }
    make_report_folder(folder)
    # `factory status` reads the JSON: write it last, when the others are there.
    for path, text in reversed(contents.items()):
        write_whole(path, text.encode("utf-8", "replace"))
    return tuple(contents)


class LastOutcome(TypedDict):
    """The last outcome of one test, and when its run began (ISO 8601)."""

    status: str
    started: str


class Tested(TypedDict):
    """The outcomes of all test runs of one image: `TESTED_FILE`.

    ``levels`` says when each level was last run as a whole, ``tests`` the last outcome of each test,
    ``report`` where the page of the last run is.
    """

    levels: dict[str, str]
    tests: dict[str, LastOutcome]
    report: NotRequired[str]


def record_outcomes(report: ImageTestReport, folder: Path, *, written: Path) -> None:
    """Record a run for `factory status`, and that its reports are in ``written``.

    A failed test stays failed until it is run again, by whatever level or selection.

    Raises:
        StorageError: the file system refused.
        BusyError: another run records in the folder, and does not end.
    """
    make_report_folder(folder)
    path = folder / TESTED_FILE
    with exclusive(folder):
        try:
            before = read_json(path, Tested)
        except (OSError, DocumentError):
            before = Tested(levels={}, tests={})
        levels = {} if report.selected else {report.level: report.started}
        tests = {
            outcome.name: LastOutcome(status=outcome.status, started=report.started)
            for outcome in report.outcomes
        }
        after = Tested(
            levels=before["levels"] | levels,
            tests=before["tests"] | tests,
            report=str((written / PAGE_FILE).absolute()),
        )
        write_whole(path, f"{json.dumps(after, indent=2)}\n".encode())


@dataclass(frozen=True, kw_only=True)
class Untested:
    """An image without a test run: it could not be tested, or was ``stopped`` by a parent that failed."""

    image: str
    reason: str
    stopped: bool


def junit(report: ImageTestReport) -> str:
    """Return the outcomes as JUnit's XML, in the form that Jenkins, GitLab and Azure read."""
    return joined_junit([report])


def joined_junit(reports: Sequence[ImageTestReport | Untested]) -> str:
    """Return the outcomes of several images as one document of JUnit's XML, a suite for each image."""
    suites = ET.Element("testsuites", _counts(reports))
    for report in reports:
        counts = _counts([report])
        if isinstance(report, Untested):
            suite = ET.SubElement(suites, "testsuite", counts | {"name": report.image})
            case = ET.SubElement(suite, "testcase", name="image", classname=report.image, time="0.00")
            kind = "skipped" if report.stopped else "error"
            ET.SubElement(case, kind, message=report.reason)
        else:
            given = {"name": report.image, "timestamp": report.started}
            _fill(ET.SubElement(suites, "testsuite", counts | given), report)
    ET.indent(suites)
    _make_writable(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _counts(reports: Sequence[ImageTestReport | Untested]) -> dict[str, str]:
    run = [report for report in reports if isinstance(report, ImageTestReport)]
    others = [report for report in reports if isinstance(report, Untested)]
    stopped = sum(report.stopped for report in others)
    return {
        "tests": str(sum(len(report.outcomes) for report in run) + len(others)),
        "failures": str(sum(report.count("failed") for report in run)),
        "errors": str(sum(report.count("error") for report in run) + len(others) - stopped),
        "skipped": str(sum(report.count("skipped") for report in run) + stopped),
        "time": f"{sum(report.seconds for report in run):.2f}",
    }


def _fill(suite: ET.Element, report: ImageTestReport) -> None:
    properties = ET.SubElement(suite, "properties")
    facts = {
        "image-id": report.image_id,
        "identity": report.identity,
        "kind": report.kind,
        "flavor": report.flavor,
        "level": report.level,
        "engine": report.engine,
    }
    for name, value in facts.items():
        if value:
            ET.SubElement(properties, "property", name=name, value=value)
    for outcome in report.outcomes:
        suite.append(_case(outcome, report.image))


def _case(outcome: TestOutcome, image: str) -> ET.Element:
    case = ET.Element(
        "testcase", name=outcome.name, classname=f"{image}.{outcome.level}", time=f"{outcome.seconds:.2f}"
    )
    if outcome.status == "skipped":
        ET.SubElement(case, "skipped", message=outcome.reason)
    elif outcome.status != "passed":
        kind = "failure" if outcome.status == "failed" else "error"
        failure = ET.SubElement(case, kind, message=outcome.reason, type=kind)
        failure.text = "\n".join(_finding(finding) for finding in outcome.findings)
    if outcome.advice or outcome.output:
        advice = "".join(f"worth knowing: {_finding(finding)}\n" for finding in outcome.advice)
        ET.SubElement(case, "system-out").text = advice + outcome.output
    return case


def _finding(finding: ImageFinding) -> str:
    parts = (
        finding.problem,
        finding.cause and f"why: {finding.cause}",
        finding.fix and f"what to do: {finding.fix}",
    )
    return f"{finding.subject}: " + "; ".join(part for part in parts if part)


def _make_writable(tree: ET.Element) -> None:
    """Replace every character that XML 1.0 forbids, or that hides others, with its escape."""
    for element in tree.iter():
        element.text = element.text and visible(element.text)
        for name, value in element.items():
            element.set(name, visible(value))


def report_page(report: ImageTestReport) -> str:
    """Return the report as one self-contained HTML page.

    It has a summary, what to do about each failure, every test with its time and output, the packages, and a
    chart of the sizes of the layers.
    """
    tested = [
        (level, tuple(outcome for outcome in report.outcomes if outcome.level == level)) for level in LEVELS
    ]
    return render_page(
        Path(__file__).parent,
        _TEMPLATE,
        {
            "report": report,
            "levels": [(level, outcomes) for level, outcomes in tested if outcomes],
            "to_fix": [(outcome, finding) for outcome in report.outcomes for finding in outcome.findings],
            "advice": [(outcome, finding) for outcome in report.outcomes for finding in outcome.advice],
            "slowest": max((outcome.seconds for outcome in report.outcomes), default=0) or 1,
            "slices": layer_slices(report.layers),
            "packages": sorted(report.packages, key=lambda package: (-package.size, package.name)),
            "largest": max((package.size for package in report.packages), default=0) or 1,
            "size": sum(layer.size for layer in report.layers),
        },
    )


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A layer in the chart: where it begins and how wide it is, in percent of the image."""

    layer: ImageLayer
    number: int
    start: float
    width: float
    numbered: bool
    labelled: bool


def layer_slices(layers: Sequence[ImageLayer]) -> tuple[Slice, ...]:
    """Return each layer's place in a bar of the whole image, from the bottom layer on."""
    whole = sum(layer.size for layer in layers)
    slices: list[Slice] = []
    start = 0.0
    for number, layer in enumerate(layers, start=1):
        width = 100 * layer.size / whole if whole else 0.0
        if width >= _NARROWEST_PERCENT:
            slices.append(
                Slice(
                    layer=layer,
                    number=number,
                    start=start,
                    width=width,
                    numbered=width >= _NUMBERED_PERCENT,
                    labelled=width >= _LABELLED_PERCENT,
                )
            )
        start += width
    return tuple(slices)
