"""What an index lacks beside what keeps a flavor from being locked: what the spec records as missing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from factory.flavor.project import Project
from factory.flavor.spec import Spec
from factory.gaps.gaps import Gap, Gaps, find_gaps
from factory.gaps.stand_ins import Assumed
from factory.lock.find_links import WheelFolder
from factory.lock.resolution import package_of


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An entry of ``[[tool.factory.missing]]``; ``gap`` is None where the index has it now.

    ``hindrance`` is why it cannot be taken off the list though it is there: with all that is recorded
    the requirements contradict each other.
    """

    requirement: str
    package: str
    reason: str
    gap: Gap | None
    hindrance: str | None = None


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All that is to be said of a flavor and its indexes.

    ``gaps`` are what keeps it from being locked, ``behind`` what is lacking as well for the sake of
    what is recorded, and of nothing else. ``assumed`` is about all of them.
    """

    gaps: Gaps
    recorded: tuple[Recorded, ...] = ()
    behind: tuple[Gap, ...] = ()
    assumed: tuple[Assumed, ...] = ()


def survey(
    project: Project,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
    present: Spec | None = None,
    public_metadata: bool = False,
) -> Survey:
    """The gaps of a project, and what has become of those that its spec records.

    Arguments and errors are those of `factory.gaps.gaps.find_gaps`.
    """
    gaps = find_gaps(
        project, preferences=preferences, folders=folders, present=present, public_metadata=public_metadata
    )
    if not project.spec.missing:
        return Survey(gaps=gaps, assumed=gaps.assumed)
    whole = find_gaps(
        _with_recorded(project),
        preferences=preferences,
        folders=folders,
        present=present,
        public_metadata=public_metadata,
    )
    by_package = {gap.package: gap for gap in whole.gaps}
    hindrance = whole.conflict.reason if whole.conflict and not gaps.conflict else None
    recorded = tuple(
        Recorded(
            requirement=missing.requirement,
            package=missing.package,
            reason=missing.reason,
            gap=by_package.get(missing.package),
            hindrance=None if missing.package in by_package else hindrance,
        )
        for missing in project.spec.missing
    )
    known = {gap.package for gap in gaps.gaps} | {item.package for item in recorded}
    assumed = {item.package: item for item in (*whole.assumed, *gaps.assumed)}
    return Survey(
        gaps=gaps,
        recorded=recorded,
        behind=tuple(gap for gap in whole.gaps if gap.package not in known),
        assumed=tuple(assumed[name] for name in sorted(assumed)),
    )


def _with_recorded(project: Project) -> Project:
    """The project that requires what its spec records as missing."""
    missing = {item.package for item in project.spec.missing}
    return replace(
        project,
        spec=replace(project.spec, missing=()),
        dependencies=(*project.dependencies, *(item.requirement for item in project.spec.missing)),
        overrides=tuple(line for line in project.overrides if package_of(line) not in missing),
    )
