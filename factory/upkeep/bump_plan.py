"""Planning a bump: a flavor as it stands, and its project with the floors in it, which its index can give."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from factory.errors import FactoryError, IndexGapError, LockFileError, NotFoundError, SpecError
from factory.flavor.project import PROJECT_FILE, Project, parse_project, read_project_text
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.gaps.gaps import Gap
from factory.lock.availability import Offer, has_wheel, in_order, lack_of
from factory.lock.changes import Changes
from factory.lock.locking import LockOptions, wheel_folders
from factory.lock.lockset import LockSet, is_stale, lock_file_names, read_lock_set
from factory.lock.narrow import tag_ranks
from factory.lock.shelf import Shelf, open_shelf
from factory.upkeep.change import Move
from factory.upkeep.floors import (
    Cap,
    Floor,
    Floored,
    LineEdit,
    is_in,
    parse_floor,
    put_floors,
    reads_as_another,
)


@dataclass(frozen=True, kw_only=True)
class BumpRequest:
    """What is asked for. ``named`` is whether the flavors were named: then each has to have each package.

    ``cap`` is that of every floor, as it was given.
    """

    floors: tuple[Floor, ...]
    cap: Cap | None = None
    reason: str | None = None
    allow_moves: bool = False
    named: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Bumped:
    """What became of one flavor.

    ``state`` is changed, would-change (with a dry run), nothing-to-do (the floors stand, and the lock is
    above them), left-alone (it has none of the packages, or no lock), failed, or not-changed (because
    another failed). ``absent`` are packages that it does not have; ``notes`` what a person should know,
    ``warnings`` what a person should act on; ``gaps`` what its index lacks, where that is the error;
    ``followed`` the files that change together with its lock.
    """

    flavor: str
    state: str
    lines: tuple[LineEdit, ...] = ()
    changes: Changes | None = None
    moves: tuple[Move, ...] = ()
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    gaps: tuple[object, ...] = ()
    followed: tuple[str, ...] = ()
    error: FactoryError | None = None


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """A range of a package that the index cannot give, and the versions nearest to it that it can.

    ``instead`` is a floor that it can give, which admits the version above.
    """

    gap: Gap
    below: Version | None
    above: Version | None
    instead: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A flavor as it stands, and its project with the floors in it.

    ``is_settled``: its lines ask for that already and the lock meets them, so that only comments change.
    """

    flavor: Flavor
    text: str
    project: Project
    lock: LockSet
    floors: tuple[Floor, ...]
    floored: Floored
    outcome: Bumped
    is_settled: bool = False

    @property
    def locked(self) -> dict[str, str]:
        """Normalized name to version, as locked before."""
        return self.lock.versions()


def read_request(
    requirements: Sequence[str],
    *,
    cap: Cap | None,
    reason: str | None,
    allow_moves: bool,
    named: bool,
    dry_run: bool,
) -> BumpRequest:
    """What was asked for, from its words.

    Raises:
        SpecError: a requirement is no floor, a package is given twice, or the reason cannot be a comment.
    """
    floors = tuple(parse_floor(text, cap=cap) for text in requirements)
    packages = [floor.package for floor in floors]
    if twice := sorted({package for package in packages if packages.count(package) > 1}):
        raise SpecError(f"{twice[0]} is given twice", solution="Give each package one floor.")
    if reason is not None and (
        not reason.strip() or not reason.isprintable() or reads_as_another(reason.strip())
    ):
        raise SpecError(
            f"the reason {reason!r} cannot stand in a comment",
            solution="Write one line, such as the id of the advisory, and no `name>=version:` in it.",
        )
    return BumpRequest(
        floors=floors,
        cap=cap,
        reason=None if reason is None else reason.strip(),
        allow_moves=allow_moves,
        named=named,
        dry_run=dry_run,
    )


def plan_bump(flavor: Flavor, request: BumpRequest, options: LockOptions) -> Plan | Bumped:
    """A flavor with the floors in its project, which the index was asked about; or why it needs none.

    Raises:
        NotFoundError, LockFileError: a flavor that was named lacks a package, or is not locked.
        LockFileError: its lock does not tell what was locked, so that it cannot be held still.
        SpecError: its spec contradicts a floor, or its text cannot be edited.
        IndexGapError: the index has nothing in the range of a floor.
        IndexAccessError: the index did not answer, or refused.
    """
    text = read_project_text(flavor.folder)
    project = parse_project(text, where=str(flavor.folder / PROJECT_FILE))
    lock = read_lock_set(flavor.folder, project.spec)
    if lock is None:
        return _not_locked(flavor, request)
    _refuse_unsound(flavor, project, lock)
    locked = lock.versions()
    absent = tuple(floor.package for floor in request.floors if not is_in(floor.package, project, locked))
    if absent and request.named:
        raise NotFoundError(
            f"it does not have {' or '.join(absent)}: its lock has no such package, "
            "or its pyproject.toml leaves it out",
            solution="Look at the name, or leave that flavor out.",
        )
    floors = tuple(
        floor
        for floor in request.floors
        if floor.package not in absent and not _is_held_by_spec(floor, project, flavor)
    )
    floored = put_floors(text, project, floors, locked=locked, reason=request.reason)
    outcome = Bumped(flavor=flavor.name, state="nothing-to-do", lines=floored.edits, absent=absent)
    if len(absent) == len(request.floors):
        return replace(outcome, state="left-alone")
    is_settled = (
        all(edit.before == edit.after for edit in floored.edits)
        and not is_stale(lock, project)
        and _are_met(floors, floored, locked)
    )
    if is_settled and not floored.edits:
        return outcome
    plan = Plan(
        flavor=flavor,
        text=text,
        project=project,
        lock=lock,
        floors=floors,
        floored=floored,
        outcome=outcome,
        is_settled=is_settled,
    )
    if is_settled:
        return plan
    notes = _notes_on_form(plan) + _look(plan, request, options)
    return replace(plan, outcome=replace(outcome, notes=notes))


def _refuse_unsound(flavor: Flavor, project: Project, lock: LockSet) -> None:
    """Refuse a lock that does not tell what was locked: what it has lost nobody could hold still.

    Raises:
        LockFileError: it was edited, or not made by ``factory lock``, or files of it are missing.
    """
    absent = [name for name in lock_file_names(project.spec) if name not in lock.files]
    if not lock.as_locked:
        problem = "its lock was edited, or not made by `factory lock`"
    elif not lock.belongs_together or (absent and not is_stale(lock, project)):
        missing = f": it has no {' and no '.join(absent)}" if absent else ""
        problem = f"the files of its lock are not all those of one run{missing}"
    else:
        return
    raise LockFileError(
        f"{problem}, so that nobody can tell what is to be held still",
        solution=f"Lock it first: `factory lock {flavor.name}` keeps the versions that are valid. "
        "Then run the command again.",
    )


def _look(plan: Plan, request: BumpRequest, options: LockOptions) -> tuple[str, ...]:
    """What is to be said of what the index has.

    Raises:
        IndexGapError: it has nothing in the range of a floor; each such range is told at once.
    """
    spec = plan.project.spec
    with open_shelf(spec, wheel_folders(spec, options)) as shelf:
        looks = [
            look_for(
                floor,
                plan.floored.ranges[floor.package],
                spec,
                shelf,
                locked=plan.locked.get(floor.package),
            )
            for floor in plan.floors
        ]
    lacking = [look for look in looks if isinstance(look, Lacking)]
    if lacking:
        raise lacking_error(lacking, instead=_instead(plan, lacking, request, options))
    return tuple(note for look in looks if not isinstance(look, Lacking) for note in look)


def _instead(
    plan: Plan, lacking: Sequence[Lacking], request: BumpRequest, options: LockOptions
) -> str | None:
    """The command that takes what the index of a flavor has; None where there is nothing above a floor."""
    instead = {item.gap.package: item.instead for item in lacking}
    if None in instead.values():
        return None
    wanted = [instead.get(floor.package) or str(floor) for floor in plan.floors]
    options_given = [
        *("--flavor", plan.flavor.name),
        *(("--reason", request.reason) if request.reason else ()),
        *(("--cap", request.cap) if request.cap else ()),
        *(("--allow-moves",) if request.allow_moves else ()),
        *(word for folder in options.find_links for word in ("--find-links", str(folder))),
    ]
    return shlex.join(("factory", "bump", *wanted, *options_given))


def _notes_on_form(plan: Plan) -> tuple[str, ...]:
    if not is_stale(plan.lock, plan.project):
        return ()
    return ("its lock was not made from its pyproject.toml: what else changed there is locked now as well",)


def _are_met(floors: Sequence[Floor], floored: Floored, locked: Mapping[str, str]) -> bool:
    return all(
        floor.package in locked
        and floored.ranges[floor.package].contains(locked[floor.package], prereleases=True)
        for floor in floors
    )


def _is_held_by_spec(floor: Floor, project: Project, flavor: Flavor) -> bool:
    """Whether the spec names the package's version, which then has to meet the floor.

    Raises:
        SpecError: it does not.
    """
    version = {"torch": project.spec.torch, "training-hub": project.spec.training_hub}.get(floor.package)
    if version is None:
        return False
    if Version(version) < floor.version or not all(clause.contains(version) for clause in floor.bounds):
        raise SpecError(
            f"its spec says {floor.package} {version}, and {floor} would contradict it",
            solution=f"Another version of {floor.package} is another flavor: "
            f"`factory new-flavor --from {flavor.name} …`.",
        )
    return True


def _not_locked(flavor: Flavor, request: BumpRequest) -> Bumped:
    if request.named:
        raise LockFileError(
            "it is not locked, so there is nothing that could be held still",
            solution=f"Lock it first: `factory lock {flavor.name}`.",
        )
    warning = (
        f"{flavor.name} is not locked and was left alone, whether it has the package or not: "
        f"run `factory lock {flavor.name}`, then the same command for it"
    )
    return Bumped(
        flavor=flavor.name,
        state="left-alone",
        notes=("it is not locked, so nothing of it can be held still",),
        warnings=(warning,),
    )


def usable_versions(offers: Iterable[Offer], spec: Spec) -> tuple[Version, ...]:
    """The versions that have a wheel for every platform of a flavor and its Python, lowest first.

    Yanked files do not count: they are for pins that stand already (PEP 592).
    """
    files: dict[Version, list[Offer]] = {}
    for offer in offers:
        if not offer.yanked and offer.is_wheel and (version := offer.version) is not None:
            files.setdefault(version, []).append(offer)
    ranks = [tag_ranks(python=spec.python, platform=item, glibc=spec.glibc) for item in spec.platforms]
    return tuple(
        version
        for version, found in sorted(files.items())
        if all(has_wheel(found, SpecifierSet(), python=spec.python, ranks=rank) for rank in ranks)
    )


def look_for(
    floor: Floor, wanted: SpecifierSet, spec: Spec, shelf: Shelf, *, locked: str | None
) -> Lacking | tuple[str, ...]:
    """What the index lacks for a floor, or, where it lacks nothing, what a person should know of it.

    Args:
        floor: the package.
        wanted: all that the flavor's lines then ask of its version.
        spec: the flavor's.
        shelf: what the flavor's index offers.
        locked: the version that the flavor has.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    shelf.look_up([floor.package])
    offers = shelf.offers(floor.package)
    usable = usable_versions(offers or (), spec)
    if locked is not None and wanted.contains(locked, prereleases=True):
        # Also where it was yanked since: that is for new choices, and this one stands.
        return ()
    found = _in(wanted, usable)
    if not found:
        return _lacking(floor, wanted, spec, shelf, usable)
    if floor.version in found or floor.version in usable:
        return ()
    there = f"the lowest above it that serves this flavor is {found[0]}"
    return (f"{shelf.url(floor.package)} does not have {floor.package} {floor.version} itself: {there}",)


def lacking_error(lacking: Sequence[Lacking], *, instead: str | None) -> IndexGapError:
    """What is not there, as the error of a floor that cannot be put; ``instead`` is a command that can."""
    lines = []
    for item in lacking:
        gap = item.gap
        lines.append(f"{gap.index} has no {gap.requirement} for {', '.join(gap.platforms)}: {gap.found}")
        nearest = [f"{item.below} below" if item.below else "", f"{item.above} above" if item.above else ""]
        lines.append(f"  nearest that serves this flavor: {' and '.join(filter(None, nearest)) or 'none'}")
    other = f" Or take what is there: `{instead}`" if instead else ""
    return IndexGapError(
        "\n".join(lines),
        solution=f"Ask the owners of the index for it; nothing was edited.{other}",
        gaps=tuple(item.gap for item in lacking),
    )


def _lacking(
    floor: Floor, wanted: SpecifierSet, spec: Spec, shelf: Shelf, usable: tuple[Version, ...]
) -> Lacking:
    requirement = f"{floor.package}{in_order(wanted)}"
    # Where each platform could have a version of its own, no version serves them all.
    platforms = shelf.platforms_without(Requirement(requirement)) or spec.platforms
    lack = lack_of(
        shelf.offers(floor.package),
        wanted,
        python=spec.python,
        glibc=spec.glibc,
        platforms=platforms,
    )
    excluded = [str(clause) for clause in floor.bounds if clause.operator == "!="]
    own = [str(clause) for clause in wanted if clause.operator in {">=", ">", "!="}]
    lower = SpecifierSet(",".join((*own, *excluded)))
    releases = [version for version in usable if not version.is_prerelease] or list(usable)
    above = min((version for version in releases if lower.contains(version, prereleases=True)), default=None)
    return Lacking(
        gap=Gap(
            package=floor.package,
            requirement=requirement,
            kind=lack.kind,
            index=shelf.url(floor.package),
            python=spec.python,
            platforms=platforms,
            found=lack.found,
            would_do=lack.would_do,
            needed_by=("the floor that was asked for",),
        ),
        below=max((version for version in releases if version < floor.version), default=None),
        above=above,
        instead=None if above is None else f"{floor.package}>={','.join((str(above), *excluded))}",
    )


def _in(wanted: SpecifierSet, usable: tuple[Version, ...]) -> list[Version]:
    """The versions in a range; pre-releases where it names one, or where there is nothing else (PEP 440)."""
    only_pre = all(version.is_prerelease for version in usable)
    allowed = bool(only_pre or wanted.prereleases)
    return [version for version in usable if wanted.contains(version, prereleases=allowed)]
