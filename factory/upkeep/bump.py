"""Bump: set floors of packages in several flavors and lock again, everything else held."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from factory.errors import (
    IndexGapError,
    LockFileError,
    NotFoundError,
    ReplacesParentError,
    ResolutionError,
    SpecError,
)
from factory.flavor.project import PROJECT_FILE, Project, parse_project, read_project_text
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.gaps.gaps import Gap
from factory.lock.given import GivenPackages, given_packages, is_stale
from factory.lock.locking import LockOptions, make_lock, wheel_folders
from factory.lock.lockset import LockSet, read_lock_set
from factory.lock.narrow import tag_ranks
from factory.lock.package_finder import (
    Offer,
    PackageFinder,
    has_wheel,
    in_order,
    lack_of,
    open_package_finder,
)
from factory.lock.report import change_lines
from factory.lock.verify import IndexVerifier
from factory.upkeep.change import (
    ChangedFlavor,
    ChangeReport,
    FlavorPlan,
    Relocked,
    VersionMove,
    find_moves,
    from_folders,
    held_versions,
    moves_error,
    refuse_unsound,
)
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

_ARRAYS = {
    "dependencies": "[project] dependencies",
    "constraint-dependencies": "[tool.uv] constraint-dependencies",
    "override-dependencies": "[tool.uv] override-dependencies",
}
_OVERRIDE = "override-dependencies"
_STATES = {
    "changed": "changed",
    "would-change": "would change",
    "nothing-to-do": "nothing to do: the floor is there, and the lock is above it",
    "left-alone": "left alone",
    "failed": "cannot be changed",
    "not-changed": "not changed, since another image cannot be",
}


@dataclass(frozen=True, kw_only=True)
class BumpPlan(FlavorPlan):
    """A flavor with the floors in its project.

    ``absent`` are packages that it does not have.
    """

    floors: tuple[Floor, ...] = ()
    floored: Floored | None = None
    absent: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[LineEdit, ...]:
        """The requirement lines that change."""
        return self.floored.edits if self.floored else ()


@dataclass(frozen=True, kw_only=True)
class BumpReport(ChangeReport[BumpPlan]):
    """The result of a bump. A flavor that has none of the packages, or no lock, is left-alone."""

    def entry(self, flavor: ChangedFlavor[BumpPlan]) -> Mapping[str, object]:
        plan = flavor.plan
        return {
            "flavor": flavor.flavor,
            "state": flavor.state,
            "lines": plan.lines if plan else (),
            "changes": flavor.changes,
            "moves": flavor.moves,
            "absent": plan.absent if plan else (),
            "notes": flavor.notes,
            "warnings": plan.warnings if plan else (),
            "gaps": flavor.gaps,
            "followed": flavor.followed,
            "error": flavor.error,
        }

    def describe(self) -> Iterator[str]:
        for flavor in self.flavors:
            yield from _describe(flavor)
        if len(self.flavors) > 1 and self.failures():
            yield "nothing was written in any image"


@dataclass(frozen=True, kw_only=True)
class Bump:
    """Floors for packages, as `change_flavors` puts them into flavors. ``cap`` is that of every floor.

    ``named``: the flavors were named, so that each has to have each package.
    """

    floors: tuple[Floor, ...]
    options: LockOptions
    cap: Cap | None = None
    reason: str | None = None
    allow_moves: bool = False
    named: bool = False

    def plan(self, flavor: Flavor) -> BumpPlan:
        """Set the floors in a flavor's project, and look them up on the index.

        Raises:
            NotFoundError, LockFileError: a flavor that was named lacks a package, or is not locked.
            LockFileError: its lock does not say what was locked, so that it cannot be held still.
            SpecError: its spec contradicts a floor, or its text cannot be edited.
            IndexGapError: the index has nothing in the range of a floor.
            IndexAccessError: the index did not answer, or refused.
        """
        text = read_project_text(flavor.folder)
        project = parse_project(text, where=str(flavor.folder / PROJECT_FILE), image=flavor)
        lock = read_lock_set(flavor.folder, project.spec)
        plan = BumpPlan(
            flavor=flavor,
            text=text,
            project=project,
            lock=lock,
            new_text=text,
            new_project=project,
            relock=False,
            state="left-alone",
        )
        if lock is None:
            return _not_locked(plan, named=self.named)
        refuse_unsound(flavor, project, lock)
        locked = lock.versions()
        had = given_packages(project).versions | locked
        absent = tuple(floor.package for floor in self.floors if not is_in(floor.package, project, locked))
        if absent and self.named:
            raise _absent(flavor, absent)
        if len(absent) == len(self.floors):
            return replace(plan, absent=absent)
        floors = tuple(
            floor
            for floor in self.floors
            if floor.package not in absent and not _is_held_by_spec(floor, project, flavor)
        )
        floored = put_floors(text, project, floors, locked=had, reason=self.reason)
        settled = (
            all(edit.before == edit.after for edit in floored.edits)
            and not is_stale(lock, project)
            and _are_met(floors, floored, had)
        )
        plan = replace(
            plan,
            new_text=floored.text,
            new_project=parse_project(floored.text, where=str(flavor.folder / PROJECT_FILE), image=flavor),
            relock=not settled,
            state="nothing-to-do",
            floors=floors,
            floored=floored,
            absent=absent,
        )
        return plan if settled else replace(plan, notes=self._notes(plan, lock, floored))

    def check(self, plans: Sequence[BumpPlan]) -> None:
        """Raise NotFoundError for a package that no flavor has: it is misspelt, or nothing needs it."""
        locked = [plan for plan in plans if plan.lock is not None]
        for floor in self.floors:
            if all(floor.package in plan.absent for plan in locked):
                raise NotFoundError(
                    f"no locked image has {floor.package}",
                    solution="Look at the name; add a package that an image lacks to its pyproject.toml.",
                )

    def follow(self, flavor: Flavor, project: Project, lock: LockSet) -> BumpPlan:
        """Return the plan of an image that has no floor to raise, and a parent whose lock changes."""
        text = read_project_text(flavor.folder)
        return BumpPlan(
            flavor=flavor,
            text=text,
            project=project,
            lock=lock,
            new_text=text,
            new_project=project,
            relock=True,
        )

    def relock(self, plan: BumpPlan, verifier: IndexVerifier, given: GivenPackages) -> Relocked:
        """Lock with everything else held or, if that fails, with nothing held."""
        name, project, options = plan.flavor.name, plan.new_project, self.options
        meant = {floor.package for floor in plan.floors}
        held = held_versions(plan, given, meant=meant)
        moves: tuple[VersionMove, ...] = ()
        try:
            new = make_lock(name, project, plan.lock, options, held=held, verifier=verifier, given=given)
        except (ResolutionError, IndexGapError, ReplacesParentError) as error:
            # If that fails as well, its error says why.
            new = make_lock(name, project, plan.lock, options, verifier=verifier, given=given)
            moves = find_moves(plan, new, meant=meant, options=options)
            if moves and not self.allow_moves:
                wanted = " and ".join(map(str, plan.floors)) or f"what {given.parent} has then"
                raise moves_error(
                    f"{wanted} can be had only if other packages move as well:",
                    moves,
                    solution="Give --allow-moves to move them too, or a lower floor; nothing was changed.",
                    refusal=error.reason,
                ) from error
        return Relocked(lock=new, moves=moves, notes=from_folders(new, meant))

    def _notes(self, plan: BumpPlan, lock: LockSet, floored: Floored) -> tuple[str, ...]:
        """Return notes on the lock as it is, and on what the index has.

        Raises:
            IndexGapError: it has nothing in the range of a floor; all such ranges are named.
        """
        stale = (
            "its lock was not made from its pyproject.toml: what else changed there is locked now as well",
        )
        spec = plan.project.spec
        with open_package_finder(spec, wheel_folders(spec, self.options)) as finder:
            found = [
                _look_for(
                    floor, floored.ranges[floor.package], spec, finder, locked=plan.locked.get(floor.package)
                )
                for floor in plan.floors
            ]
        unmet = [one for one in found if isinstance(one, UnmetFloor)]
        if unmet:
            raise _unmet_error(unmet, instead=self._instead(plan, unmet))
        notes = tuple(note for one in found if not isinstance(one, UnmetFloor) for note in one)
        return (*(stale if is_stale(lock, plan.project) else ()), *notes)

    def _instead(self, plan: BumpPlan, unmet: Sequence["UnmetFloor"]) -> str | None:
        """Return the command for a version that the index has; None without one above a floor."""
        instead = {item.gap.package: item.instead for item in unmet}
        if None in instead.values():
            return None
        return shlex.join(
            (
                *("factory", "bump"),
                *(instead.get(floor.package) or str(floor) for floor in plan.floors),
                *("--image", plan.flavor.name),
                *(("--reason", self.reason) if self.reason else ()),
                *(("--cap", self.cap) if self.cap else ()),
                *(("--allow-moves",) if self.allow_moves else ()),
                *(word for folder in self.options.find_links for word in ("--find-links", str(folder))),
            )
        )

    def report(self, flavors: tuple[ChangedFlavor[BumpPlan], ...], *, written: bool) -> BumpReport:
        """Return the report of what was done."""
        return BumpReport(flavors=flavors, written=written)


def read_bump(
    requirements: Sequence[str],
    *,
    cap: Cap | None,
    reason: str | None,
    allow_moves: bool,
    named: bool,
    options: LockOptions,
) -> Bump:
    """Return the bump that the words of a command ask for.

    Raises:
        SpecError: a requirement is not a floor, a package is given twice, or the reason cannot be a comment.
    """
    floors = tuple(parse_floor(text, cap=cap) for text in requirements)
    packages = [floor.package for floor in floors]
    if twice := sorted({package for package in packages if packages.count(package) > 1}):
        raise SpecError(f"{twice[0]} is given twice", solution="Give each package one floor.")
    if reason is not None and (
        not reason.strip() or not reason.isprintable() or reads_as_another(reason.strip())
    ):
        raise SpecError(
            f"the reason {reason!r} cannot be a comment",
            solution="Write one line, such as the id of the advisory, and no `name>=version:` in it.",
        )
    return Bump(
        floors=floors,
        options=options,
        cap=cap,
        reason=None if reason is None else reason.strip(),
        allow_moves=allow_moves,
        named=named,
    )


def _describe(flavor: ChangedFlavor[BumpPlan]) -> Iterator[str]:
    kind = f" ({type(flavor.error).__name__})" if flavor.error else ""
    yield f"{flavor.flavor}: {_STATES[flavor.state]}{kind}"
    yield from (f"  {package} is not in it" for package in (flavor.plan.absent if flavor.plan else ()))
    yield from (f"  {note}" for note in flavor.notes)
    for line in flavor.plan.lines if flavor.plan else ():
        if line.before == line.after:
            yield f"  {_ARRAYS[line.array]}: {line.after} stays, with the reason beside it"
            continue
        was = f"  (was {line.before})" if line.before is not None else ""
        wins = ", which wins over every other" if line.array == _OVERRIDE else ""
        yield f"  {_ARRAYS[line.array]}{wins}: {line.after}{was}"
    if not flavor.error:
        yield from (f"  {move.package} has to move: {why}" for move in flavor.moves for why in move.why)
    if flavor.changes is not None:
        yield from change_lines(flavor.changes)


def _absent(image: Flavor, packages: Sequence[str]) -> NotFoundError:
    given = given_packages(image.project)
    owners = tuple(dict.fromkeys(given.owners[name] for name in packages if name in given.owners))
    others = f"; {' and '.join(owners)} has it" if owners else ""
    named = "".join(f" --image {owner}" for owner in owners)
    return NotFoundError(
        f"it does not have {' or '.join(packages)}: its lock has no such package, or its pyproject.toml "
        f"leaves it out{others}",
        solution=f"Raise it where it is, with{named}: {image.name} is locked again with its parent."
        if owners
        else "Look at the name, or leave that image out.",
    )


def _not_locked(plan: BumpPlan, *, named: bool) -> BumpPlan:
    name = plan.flavor.name
    if named:
        raise LockFileError(
            "it is not locked, so there is nothing that could be held still",
            solution=f"Lock it first: `factory lock {name}`.",
        )
    warning = (
        f"{name} is not locked and was left alone, whether it has the package or not: "
        f"run `factory lock {name}`, then the same command for it"
    )
    return replace(plan, notes=("it is not locked, so nothing of it can be held still",), warnings=(warning,))


def _are_met(floors: Sequence[Floor], floored: Floored, locked: Mapping[str, str]) -> bool:
    return all(
        floor.package in locked
        and floored.ranges[floor.package].contains(locked[floor.package], prereleases=True)
        for floor in floors
    )


def _is_held_by_spec(floor: Floor, project: Project, flavor: Flavor) -> bool:
    """Return whether the spec names the package's version, which then has to meet the floor.

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


@dataclass(frozen=True, kw_only=True)
class UnmetFloor:
    """A range of a package that the index lacks, and its nearest versions.

    ``instead`` is a floor that it can give, which admits the version above.
    """

    gap: Gap
    below: Version | None
    above: Version | None
    instead: str | None


def _usable_versions(offers: Iterable[Offer], spec: Spec) -> tuple[Version, ...]:
    """Return the versions with a wheel for every platform of a flavor and its Python, lowest first.

    Yanked files do not count: they are for existing pins (PEP 592).
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


def _look_for(
    floor: Floor, wanted: SpecifierSet, spec: Spec, finder: PackageFinder, *, locked: str | None
) -> UnmetFloor | tuple[str, ...]:
    """Return what the index lacks for a floor or, if nothing, a note.

    Args:
        floor: the package.
        wanted: all that the flavor's lines then ask of its version.
        spec: the flavor's.
        finder: what the flavor's index offers.
        locked: the version that the flavor has.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    finder.look_up([floor.package])
    offers = finder.offers(floor.package)
    usable = _usable_versions(offers or (), spec)
    if locked is not None and wanted.contains(locked, prereleases=True):
        # Also if it was yanked since: yanking concerns new choices, and this one was made before.
        return ()
    found = _in(wanted, usable)
    if not found:
        return _unmet(floor, wanted, spec, finder, usable)
    if floor.version in found or floor.version in usable:
        return ()
    there = f"the lowest above it that serves this flavor is {found[0]}"
    return (f"{finder.url(floor.package)} does not have {floor.package} {floor.version} itself: {there}",)


def _unmet_error(unmet: Sequence[UnmetFloor], *, instead: str | None) -> IndexGapError:
    """Return the error about unavailable floors; ``instead`` is a command that would work."""
    lines = []
    for item in unmet:
        gap = item.gap
        lines.append(f"{gap.index} has no {gap.requirement} for {', '.join(gap.platforms)}: {gap.found}")
        nearest = [f"{item.below} below" if item.below else "", f"{item.above} above" if item.above else ""]
        lines.append(f"  nearest that serves this flavor: {' and '.join(filter(None, nearest)) or 'none'}")
    other = f" Or take what is there: `{instead}`" if instead else ""
    return IndexGapError(
        "\n".join(lines),
        solution=f"Ask the owners of the index for it; nothing was edited.{other}",
        gaps=tuple(item.gap for item in unmet),
    )


def _unmet(
    floor: Floor, wanted: SpecifierSet, spec: Spec, finder: PackageFinder, usable: tuple[Version, ...]
) -> UnmetFloor:
    requirement = f"{floor.package}{in_order(wanted)}"
    # Each platform may have a version of its own without one that serves them all.
    platforms = finder.platforms_without(Requirement(requirement)) or spec.platforms
    lack = lack_of(
        finder.offers(floor.package),
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
    return UnmetFloor(
        gap=Gap(
            package=floor.package,
            requirement=requirement,
            kind=lack.kind,
            index=finder.url(floor.package),
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
    """Return the versions in a range; pre-releases if named, or without others (PEP 440)."""
    only_pre = all(version.is_prerelease for version in usable)
    allowed = bool(only_pre or wanted.prereleases)
    return [version for version in usable if wanted.contains(version, prereleases=allowed)]
