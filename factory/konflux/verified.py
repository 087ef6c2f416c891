"""The outcome of ``factory lock --verify`` for a task's ``TEST_OUTPUT``."""

from factory.konflux.test_output import TaskOutcome, TaskResult
from factory.lock.verify import VerifyReport, headline


def outcome_of_verified(report: VerifyReport) -> TaskOutcome:
    """Return the outcome of a verification; its successes are the artifacts that are as locked.

    A flavor without a lock is skipped: `factory check` warns of it, and its build fails.
    """
    findings = [(flavor.flavor, item) for flavor in report.flavors for item in flavor.findings]
    wrong = [headline(item) for _, item in findings if not item.warning]
    doubts = [headline(item) for _, item in findings if item.warning]
    doubts += [
        f"not verified, since it came from a folder of wheels: {name}"
        for flavor in report.flavors
        for name in flavor.unverified
    ]
    errors = [
        f"{error.kind}: {error.reason}"
        for name, error in report.errors.items()
        if name not in report.not_locked
    ]
    skipped = [report.errors[name].reason for name in report.not_locked]
    verified = sum(flavor.verified for flavor in report.flavors)
    artifacts = sum(flavor.artifacts for flavor in report.flavors)
    summary = f"{verified} of {artifacts} artifacts are as they were locked"
    return TaskOutcome(
        result=_result(errors, wrong, doubts) if report.flavors or errors else TaskResult.SKIPPED,
        subject=", ".join((*report.errors, *(flavor.flavor for flavor in report.flavors))),
        summary=summary if report.flavors else "not verified",
        successes=verified,
        failures=len(wrong),
        warnings=len(doubts),
        details=(*errors, *wrong, *doubts, *skipped),
    )


def _result(errors: list[str], wrong: list[str], doubts: list[str]) -> TaskResult:
    if errors:
        return TaskResult.ERROR
    if wrong:
        return TaskResult.FAILURE
    return TaskResult.WARNING if doubts else TaskResult.SUCCESS
