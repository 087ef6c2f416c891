"""The reports of a run: JSON, JUnit's XML, and the page; and what the terminal shows."""

import json
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TypedDict

from factory.console import Table, to_json, visible
from factory.documents import read_json
from factory.errors import DocumentError
from factory.files import exclusive, make_output_folder, storage_error, write_whole
from factory.image_tests.outcome import Finding, Report, TestOutcome
from factory.image_tests.page import report_page

REPORT_FILE = "report.json"
JUNIT_FILE = "junit.xml"
TESTED_FILE = "tested.json"
PAGE_FILE = "report.html"
SELECTED_FOLDER = "selected"
_WORDS = {"passed": "passed", "failed": "FAILED", "skipped": "skipped", "error": "BROKE"}


def report_folder(report: Report, whole: Path) -> Path:
    """Where a report goes by default: into ``whole``, which is the image's, if all tests of its level ran.

    A run of selected tests goes below it, and takes no place of a report that says more.
    """
    return whole / SELECTED_FOLDER if report.selected else whole


def make_report_folder(folder: Path) -> None:
    """Make the folder for reports before the tests, which take minutes, and see that it takes files.

    Raises:
        StorageError: the file system refused.
    """
    make_output_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise storage_error(folder, error) from error


def write_reports(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write the three reports into a folder, which is made where it is not there; gives their paths.

    Raises:
        StorageError: the file system refused; what was there before is still there.
    """
    contents = {
        folder / REPORT_FILE: to_json(report) + "\n",
        folder / JUNIT_FILE: junit(report),
        folder / PAGE_FILE: report_page(report),
    }
    make_report_folder(folder)
    # The last is what `factory status` reads, which says what the others say.
    for path, text in reversed(contents.items()):
        write_whole(path, text.encode("utf-8", "replace"))
    return tuple(contents)


class LastOutcome(TypedDict):
    """The last outcome of one test, and when its run began (ISO 8601)."""

    status: str
    started: str


class Tested(TypedDict):
    """What all runs of the tests of one image came to: `TESTED_FILE`.

    ``levels`` says when each level was last run as a whole, ``tests`` what each test came to last.
    """

    levels: dict[str, str]
    tests: dict[str, LastOutcome]


def record_outcomes(report: Report, folder: Path) -> None:
    """Add a run to what `factory status` reads of an image, wherever its reports go.

    A failed test stays failed until it is run again: neither a lower level nor a run of other tests takes its
    place.

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
        after = Tested(levels=before["levels"] | levels, tests=before["tests"] | tests)
        write_whole(path, f"{json.dumps(after, indent=2)}\n".encode())


def junit(report: Report) -> str:
    """The outcomes as JUnit's XML, in the form that Jenkins, GitLab and Azure read."""
    counts = {
        "tests": str(len(report.outcomes)),
        "failures": str(report.count("failed")),
        "errors": str(report.count("error")),
        "skipped": str(report.count("skipped")),
        "time": f"{report.seconds:.2f}",
    }
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", counts | {"name": report.image, "timestamp": report.started})
    properties = ET.SubElement(suite, "properties")
    facts = {
        "image-id": report.image_id,
        "identity": report.identity,
        "flavor": report.flavor,
        "level": report.level,
        "engine": report.engine,
    }
    for name, value in facts.items():
        if value:
            ET.SubElement(properties, "property", name=name, value=value)
    for outcome in report.outcomes:
        suite.append(_case(outcome, report.image))
    ET.indent(suites)
    _make_writable(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def line(outcome: TestOutcome) -> str:
    """One test that has ended, in a line."""
    reason = f": {outcome.reason.splitlines()[0]}" if outcome.reason and outcome.status != "passed" else ""
    return f"{_WORDS[outcome.status]:7} {outcome.name} ({outcome.seconds:.1f} s){reason}"


def summary(report: Report) -> tuple[str | Table, ...]:
    """What the terminal shows at the end: a table, and what to do about each failure."""
    table = Table(
        headings=("TEST", "LEVEL", "OUTCOME", "SECONDS"),
        rows=tuple(
            (outcome.name, outcome.level, outcome.status, f"{outcome.seconds:.1f}")
            for outcome in report.outcomes
        ),
        right_aligned=frozenset({"SECONDS"}),
    )
    broken = [outcome for outcome in report.outcomes if outcome.status in {"failed", "error"}]
    counted = [f"{report.count('passed')} passed", f"{report.count('failed')} failed"]
    counted += [f"{report.count('error')} could not be run"] if report.count("error") else []
    counted += [f"{report.count('skipped')} skipped"] if report.count("skipped") else []
    advice = sum(len(outcome.advice) for outcome in report.outcomes)
    counted += [f"{advice} worth knowing (in the page)"] if advice else []
    of = " (selected tests only)" if report.selected else ""
    told = f"{report.image}{of}: {', '.join(counted)}; {report.seconds:.1f} s with {report.engine}"
    return (table, *(_told(outcome) for outcome in broken), told)


def _told(outcome: TestOutcome) -> str:
    lines = [f"{outcome.name}: {outcome.reason}"]
    for finding in outcome.findings:
        lines += [f"  {finding.subject}: {finding.problem}"]
        lines += [f"    why: {finding.cause}"] if finding.cause else []
        lines += [f"    what to do: {finding.fix}"] if finding.fix else []
    return "\n".join(lines)


def _case(outcome: TestOutcome, image: str) -> ET.Element:
    case = ET.Element(
        "testcase", name=outcome.name, classname=f"{image}.{outcome.level}", time=f"{outcome.seconds:.2f}"
    )
    if outcome.status == "skipped":
        ET.SubElement(case, "skipped", message=outcome.reason)
    elif outcome.status != "passed":
        kind = "failure" if outcome.status == "failed" else "error"
        told = ET.SubElement(case, kind, message=outcome.reason, type=kind)
        told.text = "\n".join(_finding(finding) for finding in outcome.findings)
    if outcome.advice or outcome.output:
        advice = "".join(f"worth knowing: {_finding(finding)}\n" for finding in outcome.advice)
        ET.SubElement(case, "system-out").text = advice + outcome.output
    return case


def _finding(finding: Finding) -> str:
    parts = (
        finding.problem,
        finding.cause and f"why: {finding.cause}",
        finding.fix and f"what to do: {finding.fix}",
    )
    return f"{finding.subject}: " + "; ".join(part for part in parts if part)


def _make_writable(tree: ET.Element) -> None:
    """Show every character that XML 1.0 cannot hold, or that hides others, as its escape."""
    for element in tree.iter():
        element.text = element.text and visible(element.text)
        for name, value in element.items():
            element.set(name, visible(value))
