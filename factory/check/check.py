"""``factory check``: apply every rule to images."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from factory.check.agents import check_agent_files
from factory.check.dockerfiles import check_dockerfiles
from factory.check.finding import Finding, Problem, finding
from factory.check.folder import check_folder
from factory.check.indexes import check_origins
from factory.check.lock import check_lock
from factory.check.pipeline_runs import check_pipeline_runs, check_shared_runs, read_konflux
from factory.check.project import check_project
from factory.check.report import CheckReport
from factory.check.subject import NO_NEIGHBOURS, Neighbours, Subject, read_neighbours, read_subject
from factory.check.waivers import apply_waivers
from factory.errors import StorageError
from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor, Repository
from factory.konflux.settings import Settings

CHECKS: tuple[Callable[[Subject], Iterator[Problem]], ...] = (
    check_folder,
    check_project,
    check_origins,
    check_lock,
    check_dockerfiles,
    check_pipeline_runs,
)


def check_flavors(
    flavors: Iterable[Flavor],
    *,
    root: Path,
    today: dt.date,
    others: Iterable[Flavor] = (),
    whole: bool = False,
) -> CheckReport:
    """Apply every rule to flavors, without a network or another program.

    Args:
        flavors: what to check.
        root: the repository's root, to which paths in the report are relative.
        today: the day on which waivers hold or have expired.
        others: the repository's images, with which some rules compare.
        whole: check the files that belong to no single flavor as well.

    Raises:
        StorageError: the file system refused.
    """
    chosen = tuple(flavors)
    neighbours = read_neighbours({flavor.folder: flavor for flavor in (*others, *chosen)}.values())
    konflux, problems = read_konflux(root)
    if whole and konflux is not None:
        problems += check_shared_runs(Repository(root), konflux)
    if whole:
        problems += check_agent_files(root)
    findings = (
        *(finding(problem, flavor="", folder="") for problem in problems),
        *(found for flavor in chosen for found in _check_readable(flavor, root, today, neighbours, konflux)),
    )
    counts = Counter(found.severity if found.waiver is None else "waived" for found in findings)
    return CheckReport(
        flavors=tuple(flavor.name for flavor in chosen),
        errors=counts["error"],
        warnings=counts["warning"],
        waived=counts["waived"],
        findings=findings,
    )


def _check_readable(
    flavor: Flavor, root: Path, today: dt.date, neighbours: Neighbours, konflux: Settings | None
) -> tuple[Finding, ...]:
    """Check a flavor; an unreadable file is a finding, and does not hide other flavors' findings."""
    try:
        return check_flavor(flavor, root=root, today=today, neighbours=neighbours, konflux=konflux)
    except StorageError as error:
        inside = error.path is not None and error.path.is_relative_to(flavor.folder)
        problem = Problem(
            code="FAC107",
            path=error.path.relative_to(flavor.folder).as_posix() if error.path and inside else PROJECT_FILE,
            message=error.reason,
            solution="Put a file there that can be read.",
        )
        return (finding(problem, flavor=flavor.name, folder=_shown(flavor.folder, root)),)


def check_flavor(
    flavor: Flavor,
    *,
    root: Path,
    today: dt.date,
    neighbours: Neighbours = NO_NEIGHBOURS,
    konflux: Settings | None = None,
) -> tuple[Finding, ...]:
    """Return every finding of one flavor by path and line, waived ones included.

    Raises:
        StorageError: the file system refused.
    """
    subject = read_subject(flavor, neighbours=neighbours, konflux=konflux)
    folder = _shown(flavor.folder, root)
    problems = (problem for check in CHECKS for problem in check(subject))
    found = [
        finding(problem, flavor=flavor.name, folder=folder, waiver=waiver)
        for problem, waiver in apply_waivers(subject, problems, today=today)
    ]
    return tuple(sorted(found, key=lambda item: (item.path, item.line or 0, item.code)))


def _shown(folder: Path, root: Path) -> str:
    return (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()
