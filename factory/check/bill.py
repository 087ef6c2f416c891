"""The rule about the bill of materials: it says what the lock says, word for word as it was written."""

import os
from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import LockFileError, SbomError
from factory.render.drift import SBOM_FILE


def check_bill(subject: Subject) -> Iterator[Problem]:
    """FAC336, where a flavor has a bill. A lock that cannot be read has findings of its own."""
    if subject.project is None or not os.path.lexists(subject.flavor.folder / SBOM_FILE):
        return
    # Imported where there is one: most flavors are looked at without.
    from factory.sbom.committed import read_committed  # noqa: PLC0415
    from factory.sbom.differences import differences  # noqa: PLC0415
    from factory.sbom.wanted import read_locked  # noqa: PLC0415

    try:
        inventory = read_committed(subject.flavor.folder)
    except SbomError as error:
        yield _problem(subject, error.reason)
        return
    try:
        found = () if inventory is None else differences(read_locked(subject.flavor), inventory)
    except (LockFileError, SbomError):
        return
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield _problem(subject, f"it is not the bill of this lock: {found[0]}{more}")


def _problem(subject: Subject, message: str) -> Problem:
    solution = f"Write it anew: `factory sbom {subject.flavor.name} --write`."
    return Problem(code="FAC336", path=SBOM_FILE, message=message, solution=solution)
