"""Rules about the ranges of dependencies: neither open at the top nor shut to one version."""

from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.flavor.project import PROJECT_FILE
from factory.flavor.requirements import Asked, asked

_BOUNDING = frozenset({"<", "<=", "~=", "==", "==="})
# The spec fixes these: the flavor is named after them.
_FIXED = frozenset({"torch", "training-hub"})


def check_ranges(subject: Subject) -> Iterator[Problem]:
    """FAC217 and FAC218. Of constraints only the second: without the constraint there is no bound at all."""
    if subject.project is None:
        return
    for item in asked(subject.project):
        if item.name in _FIXED or item.requirement.url is not None:
            continue
        if item.key == "dependencies" and not _is_bounded(item):
            message = f"{item.text} has no upper bound"
            solution = f"Add a cap below what has not been tried, such as {item.name}>=1.2,<2."
            yield _problem("FAC217", subject, item, message, solution)
        if item.key != "override-dependencies" and _is_exact(item):
            message = f"{item.key} pins {item.text}, and the lock pins versions already"
            solution = f"Write a range, such as {item.name}>=1.2,<2; the lock holds the exact version."
            yield _problem("FAC218", subject, item, message, solution)


def _is_bounded(item: Asked) -> bool:
    return any(clause.operator in _BOUNDING for clause in item.requirement.specifier)


def _is_exact(item: Asked) -> bool:
    return any(
        clause.operator in {"==", "==="} and not clause.version.endswith(".*")
        for clause in item.requirement.specifier
    )


def _problem(code: str, subject: Subject, item: Asked, message: str, solution: str) -> Problem:
    return Problem(
        code=code,
        path=PROJECT_FILE,
        line=subject.project_line(item.text),
        package=item.name,
        message=message,
        solution=solution,
    )
