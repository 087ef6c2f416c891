"""What rules find: a problem of one flavor, and the finding that a report shows of it."""

import posixpath
from dataclasses import dataclass, replace

from factory.check.rules import RULES, Severity
from factory.flavor.spec import Waiver
from factory.masking import masked


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One place where a flavor breaks a rule.

    ``path`` is relative to the flavor folder. ``package`` is the normalized name of the package in question,
    if there is one.
    """

    code: str
    path: str
    message: str
    solution: str
    line: int | None = None
    package: str | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem with its flavor and its rule.

    ``path`` is relative to the repository root; ``flavor`` is empty for a problem of the repository itself.
    A finding with a ``waiver`` of today does not count as an error or a warning.
    """

    code: str
    rule: str
    severity: Severity
    flavor: str
    path: str
    line: int | None
    package: str | None
    message: str
    why: str
    solution: str
    waiver: Waiver | None = None


def finding(problem: Problem, *, flavor: str, folder: str, waiver: Waiver | None = None) -> Finding:
    """Return a problem as it is reported; ``folder`` is the flavor's, with which paths begin."""
    rule = RULES[problem.code]
    path = posixpath.join(folder, problem.path)
    return Finding(
        code=problem.code,
        rule=rule.name,
        severity=rule.severity,
        flavor=flavor,
        # A path that leads up from a flavor's folder is one beside ``flavors/``.
        path=posixpath.normpath(path) if problem.path.startswith("../") else path,
        line=problem.line,
        package=problem.package,
        message=masked(problem.message),
        why=rule.why,
        solution=masked(problem.solution),
        waiver=None if waiver is None else replace(waiver, reason=masked(waiver.reason)),
    )
