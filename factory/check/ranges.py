"""Rules about the ranges of dependencies: neither open at the top nor shut to one version."""

from collections.abc import Iterator, Mapping

from packaging.version import Version

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.flavor.project import PROJECT_FILE
from factory.flavor.requirements import Asked, asked
from factory.upkeep.floors import next_version

_FLOORS = frozenset({">=", ">", "==", "==="})
_BOUNDING = frozenset({"<", "<=", "~=", "==", "==="})
# The spec fixes these: the flavor is named after them.
_FIXED = frozenset({"torch", "training-hub"})


def check_ranges(subject: Subject) -> Iterator[Problem]:
    """FAC217 and FAC218. Of constraints only the second: without the constraint there is no bound at all."""
    if subject.project is None:
        return
    locked = {pin.name: pin.version for pin in subject.pins}
    for item in asked(subject.project):
        if item.name in _FIXED or item.requirement.url is not None:
            continue
        if item.key == "dependencies" and not _is_bounded(item):
            message = f"{item.text} has no upper bound"
            solution = f"Add a cap below what has not been tried{_such_as(item, locked)}."
            yield _problem("FAC217", subject, item, message, solution)
        if item.key != "override-dependencies" and _is_exact(item):
            message = f"{item.key} pins {item.text}, and the lock pins versions already"
            solution = f"Write a range{_such_as(item, locked)}; the lock holds the exact version."
            yield _problem("FAC218", subject, item, message, solution)


def _is_bounded(item: Asked) -> bool:
    return any(clause.operator in _BOUNDING for clause in item.requirement.specifier)


def _is_exact(item: Asked) -> bool:
    return any(
        clause.operator in {"==", "==="} and not clause.version.endswith(".*")
        for clause in item.requirement.specifier
    )


def _such_as(item: Asked, locked: Mapping[str, str | None]) -> str:
    """The requirement with its own floor, or the locked version for one, and a cap above what is locked."""
    named = [clause.version for clause in item.requirement.specifier if clause.operator in _FLOORS]
    floors = [version for text in named or [locked.get(item.name) or ""] for version in _version(text)]
    if not floors:
        return ""
    floor = max(floors)
    extras = f"[{','.join(sorted(item.requirement.extras))}]" if item.requirement.extras else ""
    tried = max((floor, *_version(locked.get(item.name) or "")))
    cap = next_version(tried, "major" if tried.major else "minor")
    return f", such as {item.name}{extras}>={floor.public},<{cap}"


def _version(text: str) -> tuple[Version, ...]:
    try:
        return (Version(text),)
    except ValueError:
        return ()


def _problem(code: str, subject: Subject, item: Asked, message: str, solution: str) -> Problem:
    return Problem(
        code=code,
        path=PROJECT_FILE,
        line=subject.project_line(item.text),
        package=item.name,
        message=message,
        solution=solution,
    )
