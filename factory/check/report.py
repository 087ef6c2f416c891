"""A report as text for people, as annotations for GitHub, and which forms there are."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

from factory.check.check import Report
from factory.check.finding import Finding
from factory.check.sarif import as_sarif, error_as_sarif
from factory.console import Commands, Failure, visible
from factory.konflux.test_output import failure_line

# The flavor, the file, the code, what to do, and whether it is waived.
Cause = tuple[str, str, str, str, bool]
_SHOWN = 3
_LISTED_LINES = 10


def as_text(report: Report) -> str:
    """Findings under the name of their flavor, what is waived in short, and a line that counts them."""
    blocks = [
        "\n".join((flavor or "the repository", *_grouped(tuple(items), _entry, _more)))
        for flavor, items in groupby(report.findings, key=lambda item: item.flavor)
    ]
    return "\n\n".join((*blocks, _count(report)))


def as_github(report: Report) -> Commands:
    """One workflow command a finding, which GitHub shows beside the line, and the line that counts.

    The form and its escapes are those of GitHub's workflow commands. What is waived is a notice.
    """
    lines = _grouped(report.findings, _annotation, _more_annotations)
    return Commands("\n".join((*lines, _count(report))))


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": as_text,
    "json": as_text,  # the console prints the report itself
    "github": as_github,
    "sarif": as_sarif,
}
"""The forms of a report, by the name of each on the command line."""


def error_form(form: str, flavors: Sequence[str]) -> Callable[[Failure], str] | None:
    """How a form tells an error in the place of a report on flavors; None where it does not."""
    if form == "sarif":
        return error_as_sarif
    return partial(failure_line, subject=", ".join(flavors)) if form == "test-output" else None


def _grouped(
    findings: Sequence[Finding],
    show: Callable[[Finding], str],
    more: Callable[[Finding, str], str],
) -> Iterator[str]:
    """Each finding as text, of those of one cause the first few and how many more there are.

    One cause is one rule that one file of a flavor breaks in many places, with one thing to do about all of
    them. ``--json`` and SARIF have them all.
    """
    causes: dict[Cause, list[Finding]] = {}
    for item in findings:
        causes.setdefault(_cause(item), []).append(item)
    shown: Counter[Cause] = Counter()
    for item in findings:
        same = causes[_cause(item)]
        shown[_cause(item)] += 1
        # One more than is shown takes no more room than to say that there is one.
        if len(same) <= _SHOWN + 1 or shown[_cause(item)] <= _SHOWN:
            yield show(item)
        elif shown[_cause(item)] == _SHOWN + 1:
            yield more(item, _not_shown(same[_SHOWN:]))


def _cause(item: Finding) -> Cause:
    return item.flavor, item.path, item.code, item.solution, item.waiver is not None


def _not_shown(items: Sequence[Finding]) -> str:
    numbers = sorted({item.line for item in items if item.line is not None})
    if len(numbers) > _LISTED_LINES:
        lines = f" (lines {numbers[0]} to {numbers[-1]})"
    elif len(numbers) > 1:
        lines = f" (lines {', '.join(map(str, numbers))})"
    else:
        lines = f" (line {numbers[0]})" if numbers else ""
    return f"and {len(items)} more of the same in this file{lines}; `factory check --json` lists each"


def _more(item: Finding, not_shown: str) -> str:
    severity = item.severity if item.waiver is None else "waived"
    place = visible(item.path, one_line=True)
    return f"  {severity} {item.code} {item.rule}  {place}\n    {not_shown}"


def _more_annotations(item: Finding, not_shown: str) -> str:
    kind = item.severity if item.waiver is None else "notice"
    title = _property(f"{item.code} {item.rule}")
    return f"::{kind} file={_property(item.path)},title={title}::{_data(not_shown)}"


def _entry(item: Finding) -> str:
    path, message = visible(item.path, one_line=True), visible(item.message, one_line=True)
    place = path if item.line is None else f"{path}:{item.line}"
    if item.waiver is not None:
        return "\n".join(
            (
                f"  waived until {item.waiver.expires}: {item.code} {item.rule}  {place}",
                f"    {message}",
                f"    waived because: {visible(item.waiver.reason, one_line=True)}",
            )
        )
    return "\n".join(
        (
            f"  {item.severity} {item.code} {item.rule}  {place}",
            f"    {message}",
            f"    why: {item.why}",
            f"    what to do: {item.solution}",
        )
    )


def _annotation(item: Finding) -> str:
    properties = {"file": item.path, "line": item.line, "title": f"{item.code} {item.rule}"}
    shown = ",".join(
        f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None
    )
    if item.waiver is not None:
        said = f"{item.message}. Waived until {item.waiver.expires}: {item.waiver.reason}"
        return f"::notice {shown}::{_data(said)}"
    return f"::{item.severity} {shown}::{_data(f'{item.message}. {item.why} {item.solution}')}"


def _data(text: str) -> str:
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _count(report: Report) -> str:
    return ", ".join(_counted(report))


def _counted(report: Report) -> Iterator[str]:
    yield _plural(len(report.flavors), "flavor") + " checked"
    yield _plural(report.errors, "error")
    yield _plural(report.warnings, "warning")
    if report.waived:
        yield f"{report.waived} waived"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
