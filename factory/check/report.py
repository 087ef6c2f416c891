"""The report of ``factory check``, and its forms: text, GitHub annotations, SARIF 2.1.0, TEST_OUTPUT.

SARIF (OASIS) is written here: the document is small and its form fixed, and the libraries for it are models
of the whole standard (sarif-om has not changed since 2019; sarif-pydantic accepts any key).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import PurePath
from urllib.parse import quote

from factory import __version__
from factory.check.finding import Finding
from factory.check.rules import RULES, Rule
from factory.console import Commands, Failure, Levels, Report, plural, to_json, visible
from factory.flavor.repository import NO_IMAGES
from factory.konflux.test_output import TaskOutcome, TaskResult, failure_line
from factory.pages import docs_command, page_address

_SHOWN = 3
_LISTED_LINES = 10
_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FINGERPRINT = "factoryFinding/v1"
# What moves in a message when lines are added above it.
_LINE_NUMBER = re.compile(r"\bline [0-9]+")

# The flavor, the file, the code, what to do, and whether it is waived.
Cause = tuple[str, str, str, str, bool]
Object = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class CheckReport(Report):
    """The names of the checked flavors and every finding, counted.

    ``waived`` findings are counted apart from errors and warnings, whatever their rule's severity.
    """

    flavors: tuple[str, ...]
    errors: int
    warnings: int
    waived: int
    findings: tuple[Finding, ...]

    def differs(self) -> bool:
        return self.errors > 0

    def describe(self) -> Iterator[str]:
        yield findings_text(self)


def findings_text(report: CheckReport) -> Levels:
    """Return the findings below their flavor's name, waived ones in short, and a line of counts."""
    blocks = [
        "\n".join((flavor or "the repository", *_grouped(tuple(items), _entry, _more)))
        for flavor, items in groupby(report.findings, key=lambda item: item.flavor)
    ]
    return Levels("\n\n".join((*blocks, _counts(report))))


def as_github(report: CheckReport) -> Commands:
    """Return one workflow command for each finding, which GitHub shows beside the line, and the counts.

    The form and its escapes are those of GitHub's workflow commands. A waived finding is a notice.
    """
    lines = _grouped(report.findings, _annotation, _more_annotations)
    return Commands("\n".join((*lines, _counts(report))))


def _grouped(
    findings: Sequence[Finding],
    show: Callable[[Finding], str],
    more: Callable[[Finding, str], str],
) -> Iterator[str]:
    """Yield findings as text; of those with one cause the first few, and the number of others.

    One cause is one rule that one file of a flavor breaks in many places, with one solution for all of
    them. ``--json`` and SARIF list them all.
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


def _more(item: Finding, not_shown: str) -> str:
    severity = item.severity if item.waiver is None else "waived"
    place = visible(item.path, one_line=True)
    return f"  {severity} {item.code} {item.rule}  {place}\n    {not_shown}"


def _annotation(item: Finding) -> str:
    properties = {"file": item.path, "line": item.line, "title": f"{item.code} {item.rule}"}
    shown = ",".join(
        f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None
    )
    if item.waiver is not None:
        said = f"{item.message}. Waived until {item.waiver.expires}: {item.waiver.reason}"
        return f"::notice {shown}::{_data(said)}"
    return f"::{item.severity} {shown}::{_data(f'{item.message}. {item.why} {item.solution}')}"


def _more_annotations(item: Finding, not_shown: str) -> str:
    kind = item.severity if item.waiver is None else "notice"
    title = _property(f"{item.code} {item.rule}")
    return f"::{kind} file={_property(item.path)},title={title}::{_data(not_shown)}"


def _data(text: str) -> str:
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _counts(report: CheckReport) -> str:
    if not report.flavors and not report.findings:
        return NO_IMAGES
    return f"{plural(len(report.flavors), 'image')} checked, {_counted_findings(report)}"


def _counted_findings(report: CheckReport) -> str:
    waived = [f"{report.waived} waived"] if report.waived else []
    return ", ".join((plural(report.errors, "error"), plural(report.warnings, "warning"), *waived))


def outcome_of_report(report: CheckReport) -> TaskOutcome:
    """Return the outcome for TEST_OUTPUT; its successes are the rules without a finding, of each flavor."""
    if not report.flavors:
        return TaskOutcome(result=TaskResult.SKIPPED, subject="", summary="there is no flavor to check")
    found = {(item.flavor, item.code) for item in report.findings if item.flavor in report.flavors}
    open_ones = [item for item in report.findings if item.waiver is None]
    return TaskOutcome(
        result=TaskResult.FAILURE
        if report.errors
        else TaskResult.WARNING
        if report.warnings
        else TaskResult.SUCCESS,
        subject=", ".join(report.flavors),
        summary=_counted_findings(report),
        successes=len(report.flavors) * len(RULES) - len(found),
        failures=report.errors,
        warnings=report.warnings,
        details=tuple(map(_detail, sorted(open_ones, key=lambda item: item.severity != "error"))),
    )


def _detail(item: Finding) -> str:
    place = item.path if item.line is None else f"{item.path}:{item.line}"
    return f"{item.code} {item.rule} {place}: {item.message}"


def as_sarif(report: CheckReport) -> str:
    """Return one run with every rule, and one result for each finding; a waived finding is suppressed."""
    codes = {code: position for position, code in enumerate(RULES)}
    seen: Counter[str] = Counter()
    results = []
    for item in report.findings:
        key = "\0".join((item.code, item.path, _LINE_NUMBER.sub("line", item.message)))
        results.append(_result(item, codes[item.code], _fingerprint(key, seen[key])))
        seen[key] += 1
    return _sarif(results, {"executionSuccessful": True})


def error_as_sarif(failure: Failure) -> str:
    """Return a failed run without results; a notification of the tool has the reason and the solution.

    Without it, a reader of the document would take no finding for a clean repository.
    """
    notification: Object = {
        "level": "error",
        "descriptor": {"id": failure.kind},
        "message": {"text": _without_links(f"{failure.reason}\nWhat to do: {failure.solution}")},
    }
    failed: Object = {
        "executionSuccessful": False,
        "exitCode": failure.exit_code,
        "toolExecutionNotifications": [notification],
    }
    return _sarif([], failed)


def _sarif(results: list[Object], invocation: Object) -> str:
    run: Object = {
        "tool": {
            "driver": {
                "name": "factory check",
                "version": __version__,
                "rules": [_rule(code, rule) for code, rule in RULES.items()],
            }
        },
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The root of the repository."}}},
        "results": results,
    }
    return to_json({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, ascii_only=True)


def _rule(code: str, rule: Rule) -> Object:
    section = f"{code.lower()}-{rule.name}"
    see = docs_command(code)
    return {
        "id": code,
        # As the standard has names: one word of several, each with a capital.
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} {see} explains it.", "markdown": f"{rule.why} {see} explains it."},
        "helpUri": page_address("rules", section),
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"waivable": rule.waivable},
    }


def _result(item: Finding, position: int, fingerprint: str) -> Object:
    place: Object = {"artifactLocation": _location(item.path)}
    if item.line is not None:
        place["region"] = {"startLine": item.line}
    result: Object = {
        "ruleId": item.code,
        "ruleIndex": position,
        "level": item.severity,
        "message": {"text": _without_links(f"{item.message}. {item.solution}")},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {_FINGERPRINT: fingerprint},
        "properties": {"flavor": item.flavor},
    }
    if item.waiver is not None:
        result["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": f"{item.waiver.reason} (until {item.waiver.expires})",
            }
        ]
    return result


def _without_links(message: str) -> str:
    """Return a message in which no reader finds a link: ``[text](address)`` is one in plain text (3.11.6)."""
    return message.replace("](", "] (")


def _location(path: str) -> Object:
    """Return a file below the repository's root; an absolute path if its flavor is elsewhere."""
    whole = PurePath(path)
    if whole.is_absolute():
        return {"uri": whole.as_uri()}
    return {"uri": quote(path), "uriBaseId": "%SRCROOT%"}


def _fingerprint(key: str, earlier: int) -> str:
    """Return a fingerprint independent of lines; ``earlier`` counts equal findings before it."""
    return hashlib.sha256(f"{key}\0{earlier}".encode()).hexdigest()


FORMATS: Mapping[str, Callable[[CheckReport], str]] = {
    "text": findings_text,
    "json": findings_text,  # the console prints the report itself
    "github": as_github,
    "sarif": as_sarif,
}
"""The forms of a report, by their names on the command line."""


def error_form(form: str, flavors: Sequence[str]) -> Callable[[Failure], str] | None:
    """Return a form's function for an error in place of the report; None without one."""
    if form == "sarif":
        return error_as_sarif
    return partial(failure_line, subject=", ".join(flavors)) if form == "test-output" else None
