"""What a rule finds."""

import re
from dataclasses import dataclass

from factory.check.rules import RULES, Severity

_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One place where a flavor breaks a rule. ``path`` is relative to the flavor folder."""

    code: str
    path: str
    message: str
    solution: str
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem with its flavor and its rule. ``path`` is relative to the repository root."""

    code: str
    rule: str
    severity: Severity
    flavor: str
    path: str
    line: int | None
    message: str
    why: str
    solution: str


def finding(problem: Problem, *, flavor: str, folder: str) -> Finding:
    """A problem as it is reported; ``folder`` is the flavor's, as paths in the report begin."""
    rule = RULES[problem.code]
    return Finding(
        code=problem.code,
        rule=rule.name,
        severity=rule.severity,
        flavor=flavor,
        path=f"{folder}/{problem.path}",
        line=problem.line,
        message=_CREDENTIALS.sub(r"\1***@", problem.message),  # reports end up in public logs
        why=rule.why,
        solution=problem.solution,
    )
