"""Report what the indexes of flavors lack, by flavor, and as one request to the indexes' owners."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from factory.dockerfile.references import check_index_url
from factory.errors import FactoryError
from factory.flavor.project import Project
from factory.flavor.repository import Flavor
from factory.flavor.spec import Missing, Spec
from factory.gaps.gaps import Gap, Gaps, find_gaps
from factory.gaps.stub_wheels import Assumed
from factory.http.parallel import attempt_in_parallel
from factory.lock.find_links import WheelFolder
from factory.lock.given import given_packages, project_on
from factory.lock.locking import LockOptions, wheel_folders
from factory.lock.lockset import read_lock_set
from factory.lock.resolution import package_of
from factory.masking import shown


@dataclass(frozen=True, kw_only=True)
class RecordedMissing:
    """An entry of ``[[tool.factory.missing]]``; ``gap`` is None if the index has it now.

    ``hindrance`` says why the entry must stay although the index has the package: with all recorded packages
    the requirements contradict each other.
    """

    requirement: str
    package: str
    reason: str
    gap: Gap | None
    hindrance: str | None = None


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a flavor's indexes lack.

    ``gaps`` prevent locking; ``behind`` are missing only because of packages that are recorded as missing.
    ``assumed`` is about all of them.
    """

    gaps: Gaps
    recorded: tuple[RecordedMissing, ...] = ()
    behind: tuple[Gap, ...] = ()
    assumed: tuple[Assumed, ...] = ()


def survey(
    project: Project,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
    present: Spec | None = None,
    public_metadata: bool = False,
    given: Collection[str] = (),
) -> Survey:
    """Return the gaps of a project, and the current state of those that its spec records.

    Arguments and errors are those of `factory.gaps.gaps.find_gaps`. ``given`` are packages that the image has
    by other means: the project leaves them out, and its index need not have them.
    """
    gaps = find_gaps(
        project, preferences=preferences, folders=folders, present=present, public_metadata=public_metadata
    )
    own = tuple(item for item in project.spec.missing if item.package not in given)
    if not own:
        return Survey(gaps=gaps, assumed=gaps.assumed)
    whole = find_gaps(
        _with_recorded(project, own),
        preferences=preferences,
        folders=folders,
        present=present,
        public_metadata=public_metadata,
    )
    by_package = {gap.package: gap for gap in whole.gaps}
    hindrance = whole.conflict.reason if whole.conflict and not gaps.conflict else None
    recorded = tuple(
        RecordedMissing(
            requirement=missing.requirement,
            package=missing.package,
            reason=missing.reason,
            gap=by_package.get(missing.package),
            hindrance=None if missing.package in by_package else hindrance,
        )
        for missing in own
    )
    known = {gap.package for gap in gaps.gaps} | {item.package for item in recorded}
    assumed = {item.package: item for item in (*whole.assumed, *gaps.assumed)}
    return Survey(
        gaps=gaps,
        recorded=recorded,
        behind=tuple(gap for gap in whole.gaps if gap.package not in known),
        assumed=tuple(assumed[name] for name in sorted(assumed)),
    )


def _with_recorded(project: Project, recorded: Sequence[Missing]) -> Project:
    """Return the project with a requirement on each of the packages recorded as missing."""
    missing = {item.package for item in recorded}
    kept = tuple(item for item in project.spec.missing if item.package not in missing)
    return replace(
        project,
        spec=replace(project.spec, missing=kept),
        dependencies=(*project.dependencies, *(item.requirement for item in recorded)),
        overrides=tuple(line for line in project.overrides if package_of(line) not in missing),
    )


@dataclass(frozen=True, kw_only=True)
class GapOptions:
    """Where to look: another main index than the flavor's, and folders of wheels beside it.

    ``public_metadata`` allows asking the public index what a package requires that no index of the flavor's
    own has in any version (`factory.gaps.gaps.find_gaps`).
    """

    index_url: str | None = None
    public_metadata: bool = False
    lock: LockOptions
    jobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class FlavorGaps:
    """A flavor: ``state`` is complete, gaps or failed.

    ``gaps`` prevent locking; ``recorded`` is what its spec leaves out as missing, and ``behind`` what is
    missing only because of that. ``conflict`` is the contradiction without the gaps. ``nothing_there``: the
    index had nothing of all that was looked up.
    """

    flavor: str
    index: str
    state: str
    gaps: tuple[Gap, ...] = ()
    recorded: tuple[RecordedMissing, ...] = ()
    behind: tuple[Gap, ...] = ()
    assumed: tuple[Assumed, ...] = ()
    conflict: str | None = None
    nothing_there: bool = False
    error: FactoryError | None = None


@dataclass(frozen=True, kw_only=True)
class RequestedPackage:
    """A requirement that an index lacks, once for all flavors that need it.

    ``targets`` are pairs of a Python and a platform; ``reasons`` are those of flavors that record it as
    missing.
    """

    index: str
    package: str
    requirement: str
    kind: str
    found: str
    would_do: str
    targets: tuple[tuple[str, str], ...]
    needed_by: tuple[str, ...]
    flavors: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GapReport:
    """Every flavor, the gaps of their indexes as one request, and the first error."""

    flavors: tuple[FlavorGaps, ...]
    wanted: tuple[RequestedPackage, ...]
    error: FactoryError | None = None

    @property
    def exit_code(self) -> int:
        """Return the first error's exit code, else 1 if something unrecorded is missing, else 0."""
        if self.error is not None:
            return self.error.exit_code
        return int(any(flavor.gaps for flavor in self.flavors))


def index_gaps(
    flavors: Sequence[Flavor],
    options: GapOptions,
    *,
    begun: Callable[[str], None],
    done: Callable[[str], None],
) -> GapReport:
    """Return everything that the indexes of flavors lack; a failed flavor does not hide the others.

    ``begun`` and ``done`` are called with the name of each flavor, on its own thread.

    Raises:
        SpecError: the given index URL is not acceptable.
    """
    if options.index_url is not None:
        check_index_url(options.index_url)

    def look(flavor: Flavor) -> FlavorGaps:
        begun(flavor.name)
        try:
            return _look(flavor, options)
        finally:
            done(flavor.name)

    outcomes = attempt_in_parallel(look, flavors, jobs=options.jobs)
    found = tuple(
        FlavorGaps(flavor=flavor.name, index="", state="failed", error=outcome)
        if isinstance(outcome, FactoryError)
        else outcome
        for flavor, outcome in zip(flavors, outcomes, strict=True)
    )
    error = next((flavor.error for flavor in found if flavor.error is not None), None)
    return GapReport(flavors=found, wanted=merge(found), error=error)


def _look(flavor: Flavor, options: GapOptions) -> FlavorGaps:
    present = flavor.project.spec
    spec = present if options.index_url is None else replace(present, index_url=options.index_url)
    lock = read_lock_set(flavor.folder, present)
    given = given_packages(flavor.project)
    found = survey(
        project_on(given, replace(flavor.project, spec=spec), replacing=present.replaces),
        preferences=given.versions | ({} if lock is None else lock.versions()),
        folders=wheel_folders(spec, options.lock),
        present=present,
        public_metadata=options.public_metadata,
        given=(given.provided.keys() | given.missing) - {item.package for item in present.missing},
    )
    conflict = found.gaps.conflict
    only_conflict = conflict is not None and not found.gaps.gaps
    state = "failed" if only_conflict else "gaps" if found.gaps.gaps else "complete"
    return FlavorGaps(
        flavor=flavor.name,
        index="the public index" if spec.index_url is None else shown(spec.index_url),
        state=state,
        gaps=found.gaps.gaps,
        recorded=found.recorded,
        behind=found.behind,
        assumed=found.assumed,
        conflict=conflict.reason if conflict and not only_conflict else None,
        nothing_there=found.gaps.nothing_there,
        error=conflict if only_conflict else None,
    )


def merge(flavors: Sequence[FlavorGaps]) -> tuple[RequestedPackage, ...]:
    """Return the gaps by index and package, merged over flavors."""
    rows: dict[tuple[str, ...], RequestedPackage] = {}
    for flavor in flavors:
        reasons = {item.package: item.reason for item in flavor.recorded}
        recorded = [item.gap for item in flavor.recorded if item.gap is not None]
        for gap in (*flavor.gaps, *recorded, *flavor.behind):
            key = (gap.index, gap.package, gap.requirement, gap.kind, gap.found, gap.would_do)
            row = _row(gap, flavor.flavor, reasons.get(gap.package))
            rows[key] = _together(rows[key], row) if key in rows else row
    return tuple(rows[key] for key in sorted(rows))


def _row(gap: Gap, flavor: str, reason: str | None) -> RequestedPackage:
    return RequestedPackage(
        index=gap.index,
        package=gap.package,
        requirement=gap.requirement,
        kind=gap.kind,
        found=gap.found,
        would_do=gap.would_do,
        targets=tuple((gap.python, platform) for platform in gap.platforms),
        needed_by=gap.needed_by,
        flavors=(flavor,),
        reasons=() if reason is None else (reason,),
    )


def _together(first: RequestedPackage, second: RequestedPackage) -> RequestedPackage:
    return replace(
        first,
        targets=tuple(dict.fromkeys((*first.targets, *second.targets))),
        needed_by=tuple(dict.fromkeys((*first.needed_by, *second.needed_by))),
        flavors=tuple(dict.fromkeys((*first.flavors, *second.flavors))),
        reasons=tuple(dict.fromkeys((*first.reasons, *second.reasons))),
    )
