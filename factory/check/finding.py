"""What a rule finds."""

import posixpath
from dataclasses import dataclass, replace

from factory.check.rules import RULES, Severity
from factory.flavor.waiver import Waiver
from factory.masking import masked


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One place where a flavor breaks a rule. ``path`` is relative to the flavor folder.

    ``package`` is the normalized name of the package that it is about, None where it is about none.
    """

    code: str
    path: str
    message: str
    solution: str
    line: int | None = None
    package: str | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem with its flavor and its rule. ``path`` is relative to the repository root.

    ``flavor`` is empty for a problem of the repository's, which is no single flavor's.

    ``waiver`` is the one that the flavor's spec has for it today; what is waived does not count.
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
    """A problem as it is reported; ``folder`` is the flavor's, as paths in the report begin."""
    rule = RULES[problem.code]
    return Finding(
        code=problem.code,
        rule=rule.name,
        severity=rule.severity,
        flavor=flavor,
        path=_place(folder, problem.path),
        line=problem.line,
        package=problem.package,
        message=masked(problem.message),
        why=rule.why,
        solution=masked(problem.solution),
        waiver=None if waiver is None else replace(waiver, reason=masked(waiver.reason)),
    )


def _place(folder: str, path: str) -> str:
    """A path from the repository's root; what leads up from a flavor's folder stands beside ``flavors/``."""
    joined = posixpath.join(folder, path)
    return posixpath.normpath(joined) if path.startswith("../") else joined
