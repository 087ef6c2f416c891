"""The rules about the lock: the judgement of `factory.lock.judgement`, as findings."""

from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import NotFoundError
from factory.flavor.project import PROJECT_FILE
from factory.lock.judgement import judge_lock
from factory.lock.lockfile import LOCK_FILE


def check_lock(subject: Subject) -> Iterator[Problem]:
    """FAC301 to FAC335, FAC337 and FAC338, of every lock file."""
    if not subject.flavor.has_packages:
        return
    # If there is no project either, there is nothing to lock.
    if not subject.locks and not subject.lock_errors and not isinstance(subject.project_error, NotFoundError):
        yield Problem(
            code="FAC301",
            path=PROJECT_FILE,
            message=f"the {subject.flavor.kind} is not locked: there is no {LOCK_FILE}",
            solution=f"Run `factory lock {subject.flavor.name}`.",
        )
    for found in judge_lock(subject.flavor.name, subject.project, subject.locks, subject.lock_errors):
        yield Problem(
            code=found.code,
            path=found.path,
            line=found.line,
            package=found.package,
            message=found.message,
            solution=found.solution,
        )
