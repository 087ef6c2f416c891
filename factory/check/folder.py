"""Rules about the folder: the rendered files and the committed SBOM, each current, and nothing else."""

import os
import re
from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import FactoryError, MarkerError, SbomError, TemplateError
from factory.flavor.project import PROJECT_FILE
from factory.lock.judgement import UNREADABLE, judge_lock
from factory.lock.lockset import LockSet
from factory.render.drift import SBOM_FILE, Difference, find_drift

# Named as the lock of a further index is.
_ORPHAN = re.compile(r"requirements[-_.].*\.txt")
_GENERATED = frozenset({"missing", "changed", "mode"})
_CODES = {"missing": "FAC101", "changed": "FAC102", "mode": "FAC103", "stray": "FAC104", "absent": "FAC101"}


def check_folder(subject: Subject) -> Iterator[Problem]:
    """Yield FAC101 to FAC106, and FAC336; a folder without a readable spec is compared with nothing."""
    yield from _links(subject)
    if subject.project is None:
        return
    try:
        differences = find_drift(subject.flavor)
    except (TemplateError, MarkerError) as error:
        yield _not_renderable(error)
    else:
        for difference in differences:
            if (subject.flavor.folder / difference.path).is_symlink() and difference.kind in _GENERATED:
                sync = f"Run `factory sync {subject.flavor.name}`; it writes a file in its place."
                yield _link(difference.path, "a generated file is a symbolic link", sync)
            else:
                yield _problem(difference, subject.flavor.name)
    if os.path.lexists(subject.flavor.folder / SBOM_FILE):
        yield from _sbom(subject)


def _links(subject: Subject) -> Iterator[Problem]:
    folder, name = subject.flavor.folder, subject.flavor.name
    if folder.is_symlink():
        solution = "Remove the link; a flavor is a folder, and has one name."
        yield _link(PROJECT_FILE, f"{name} is a symbolic link to a folder", solution)
    if (folder / PROJECT_FILE).is_symlink():
        yield _link(PROJECT_FILE, f"{PROJECT_FILE} is a symbolic link", "Put the file itself there.")
    for lock in subject.lock_names:
        if (folder / lock).is_symlink():
            solution = f"Remove it, and lock again: `factory lock {name}`."
            yield _link(lock, "the lock is a symbolic link", solution)
    if (folder / SBOM_FILE).is_symlink():
        solution = f"Remove it, and write it again: `factory sbom {name} --write`."
        yield _link(SBOM_FILE, "the bill of materials is a symbolic link", solution)


def _link(path: str, message: str, solution: str) -> Problem:
    return Problem(code="FAC106", path=path, message=message, solution=solution)


def _problem(difference: Difference, flavor: str) -> Problem:
    if difference.kind == "stray" and _ORPHAN.fullmatch(difference.path):
        # Left by a split, with pins that contradict the lock's, and still installable.
        return Problem(
            code="FAC104",
            path=difference.path,
            message="a requirements file of no index in the spec: an orphan, which nothing keeps current",
            solution="Remove it. Packages of another index are named under [[tool.factory.indexes]], and "
            f"`factory lock {flavor}` writes their file.",
        )
    sync = f"Run `factory sync {flavor}`"
    message, solution = {
        "missing": ("a generated file is missing", f"{sync}."),
        "changed": (
            "a generated file differs from what its template gives",
            f"{sync}. If the change was meant, make it in the template, for every flavor.",
        ),
        "mode": ("a generated file has the wrong mode", f"{sync}; it sets whether the file is a program."),
        "stray": (
            f"nothing in the factory makes this {'folder' if difference.path.endswith('/') else 'file'}",
            "Remove it, or add it to the template set; a file that a hook copies is named in hooks.files.",
        ),
        "absent": (
            "a file that hooks.files names is missing, or a link",
            f"Put it into the folder, or take it out of hooks.files of {flavor}.",
        ),
    }[difference.kind]
    return Problem(code=_CODES[difference.kind], path=difference.path, message=message, solution=solution)


def _not_renderable(error: FactoryError) -> Problem:
    return Problem(
        code="FAC105",
        path=PROJECT_FILE,
        message=f"cannot be rendered: {error.reason}",
        solution=error.solution,
    )


def _sbom(subject: Subject) -> Iterator[Problem]:
    """Yield FAC336 if the committed SBOM is not the lock's; others report an unreadable lock."""
    # Imported if a flavor has an SBOM: most have none.
    from factory.sbom.committed import read_committed, sbom_differences  # noqa: PLC0415
    from factory.sbom.model import LockedFlavor  # noqa: PLC0415

    solution = f"Write it again: `factory sbom {subject.flavor.name} --write`."
    try:
        sbom = read_committed(subject.flavor.folder)
    except SbomError as error:
        yield Problem(code="FAC336", path=SBOM_FILE, message=error.reason, solution=solution)
        return
    unreadable = {*UNREADABLE, "FAC329", "FAC335"}
    problems = judge_lock(subject.flavor.name, subject.project, subject.locks, subject.lock_errors)
    if subject.project is None or not subject.locks or any(item.code in unreadable for item in problems):
        return
    locks = LockSet(files=subject.locks)
    locked = LockedFlavor(name=subject.flavor.name, spec=subject.project.spec, locks=locks)
    found = () if sbom is None else sbom_differences(locked, sbom)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        message = f"it is not the bill of materials of this lock: {found[0]}{more}"
        yield Problem(code="FAC336", path=SBOM_FILE, message=message, solution=solution)
