"""Apply every rule to flavors."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.check.dockerfiles import check_dockerfiles
from factory.check.finding import Finding, Problem, finding
from factory.check.folder import check_folder
from factory.check.lock_artifacts import check_lock_artifacts
from factory.check.lock_content import check_lock_content
from factory.check.lock_form import check_lock_form
from factory.check.project import check_project
from factory.check.subject import Subject, read_subject
from factory.flavor.repository import Flavor

CHECKS: tuple[Callable[[Subject], Iterator[Problem]], ...] = (
    check_folder,
    check_project,
    check_lock_form,
    check_lock_content,
    check_lock_artifacts,
    check_dockerfiles,
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found: the names of the flavors that were looked at, and every finding, counted."""

    flavors: tuple[str, ...]
    errors: int
    warnings: int
    findings: tuple[Finding, ...]


def check_flavors(flavors: Iterable[Flavor], *, root: Path) -> Report:
    """Apply every rule to flavors, one after the other; paths in the report are relative to root.

    Needs no network and starts no program.

    Raises:
        StorageError: the file system refused.
    """
    chosen = tuple(flavors)
    findings = tuple(found for flavor in chosen for found in check_flavor(flavor, root=root))
    counts = Counter(found.severity for found in findings)
    return Report(
        flavors=tuple(flavor.name for flavor in chosen),
        errors=counts["error"],
        warnings=counts["warning"],
        findings=findings,
    )


def check_flavor(flavor: Flavor, *, root: Path) -> tuple[Finding, ...]:
    """Every finding of one flavor, by path and line.

    Raises:
        StorageError: the file system refused.
    """
    subject = read_subject(flavor)
    folder = _shown(flavor.folder, root)
    found = [
        finding(problem, flavor=flavor.name, folder=folder) for check in CHECKS for problem in check(subject)
    ]
    return tuple(sorted(found, key=lambda item: (item.path, item.line or 0, item.code)))


def _shown(folder: Path, root: Path) -> str:
    return (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()
