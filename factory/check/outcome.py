"""A report as the outcome that a pipeline's task tells in its ``TEST_OUTPUT``."""

from factory.check.check import Report
from factory.check.finding import Finding
from factory.check.rules import RULES
from factory.konflux.test_output import Outcome, Result


def outcome_of_report(report: Report) -> Outcome:
    """The outcome of a check; its successes are the rules that found nothing, of each flavor."""
    if not report.flavors:
        return Outcome(result=Result.SKIPPED, subject="", summary="there is no flavor to check")
    found = {(item.flavor, item.code) for item in report.findings if item.flavor in report.flavors}
    counts = [(report.errors, "error"), (report.warnings, "warning")]
    said = [f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts]
    if report.waived:
        said.append(f"{report.waived} waived")
    open_ones = [item for item in report.findings if item.waiver is None]
    return Outcome(
        result=Result.FAILURE if report.errors else Result.WARNING if report.warnings else Result.SUCCESS,
        subject=", ".join(report.flavors),
        summary=", ".join(said),
        successes=len(report.flavors) * len(RULES) - len(found),
        failures=report.errors,
        warnings=report.warnings,
        details=tuple(_detail(item) for item in sorted(open_ones, key=_weight)),
    )


def _weight(item: Finding) -> bool:
    return item.severity != "error"


def _detail(item: Finding) -> str:
    place = item.path if item.line is None else f"{item.path}:{item.line}"
    return f"{item.code} {item.rule} {place}: {item.message}"
