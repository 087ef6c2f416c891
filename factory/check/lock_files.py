"""Rules about a lock of several files: each there, with its own index's packages, and of one resolution."""

from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.lock.lockset import LockSet, index_names, misplaced


def check_lock_files(subject: Subject) -> Iterator[Problem]:
    """FAC333 to FAC335: with the rules about each file, the proof that they are complete together."""
    if subject.project is None or not subject.locks:
        return
    spec = subject.project.spec
    missing = [name for name in subject.lock_names if name not in {*subject.locks, *subject.lock_errors}]
    for name in missing:
        message = f"the lock has no {name}, the file of the index {index_names(spec)[name]!r}"
        yield Problem(code="FAC333", path=name, message=message, solution=subject.relock)
    locks = LockSet(files=subject.locks)
    for item in misplaced(locks, spec):
        found, right = index_names(spec)[item.file_name], index_names(spec)[item.belongs_into]
        yield Problem(
            code="FAC334",
            path=item.file_name,
            line=item.pin.line,
            package=item.pin.name,
            message=f"{item.pin.text} stands in the file of the index {found!r}, and the spec has {right!r} "
            "for it",
            solution=f"{subject.relock} Or change `packages` of [[tool.factory.indexes]], if that is meant.",
        )
    # What was edited, cannot be read or is missing has a finding already, and the same remedy.
    is_whole = not missing and not subject.lock_errors and locks.as_locked
    if is_whole and not locks.belongs_together:
        message = f"{' and '.join(subject.locks)} are not of one resolution"
        yield Problem(code="FAC335", path=next(iter(subject.locks)), message=message, solution=subject.relock)
