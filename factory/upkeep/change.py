"""Change several images at once, all of them or none: project, generated files, lock and sbom.

`bump` and `promote` are the two ways to say what changes. Nothing is written before every image has its new
project and its new lock; then all is written in one transaction, or nothing is. An image on a parent whose
lock changes is locked again with it, against the new lock.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.console import Report
from factory.errors import DriftError, FactoryError, IndexGapError, LockFileError, MovesError
from factory.flavor.project import PROJECT_FILE, Project, asked, marker_environment, parse_project
from factory.flavor.repository import Flavor, in_parent_order
from factory.flavor.spec import Spec
from factory.http.parallel import attempt_in_parallel
from factory.lock.given import GivenPackages, given_packages, is_stale
from factory.lock.locking import Following, LockOptions, NewLock, lock_changes, wheel_folders
from factory.lock.lockset import LockSet, lock_file_names, read_lock_set
from factory.lock.package_finder import PackageFinder, in_order, open_package_finder
from factory.lock.report import Changes, compare_pins
from factory.lock.verify import IndexVerifier, open_index_verifier
from factory.process import Cancellation
from factory.render.render import render_flavor
from factory.transaction import Replacement, open_transaction, read_before


@dataclass(frozen=True, kw_only=True)
class VersionMove:
    """A locked package that cannot stay: its versions, and each requirement that rules out the old one.

    ``why`` is empty if no index says what the packages require.
    """

    package: str
    before: str
    after: str
    why: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FlavorPlan:
    """A flavor and its project after the change. ``relock``: its lock must be resolved again.

    ``state`` is that of a flavor in which nothing is to be done; ``notes`` are what a person should know,
    ``warnings`` what a person should act on.
    """

    flavor: Flavor
    text: str
    project: Project
    lock: LockSet | None
    new_text: str
    new_project: Project
    relock: bool
    state: str = "nothing-to-do"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Return whether nothing is to be done."""
        return not self.relock and self.new_text == self.text

    @property
    def locked(self) -> dict[str, str]:
        """Normalized name to version, as locked before."""
        return self.lock.versions() if self.lock else {}


PlanKind = TypeVar("PlanKind", bound=FlavorPlan)


@dataclass(frozen=True, kw_only=True)
class Relocked:
    """The new lock of a flavor, the versions that moved without being asked to, and notes for people."""

    lock: NewLock
    moves: tuple[VersionMove, ...]
    notes: tuple[str, ...] = ()


class FlavorsChange(Protocol[PlanKind]):
    """What is to change in every flavor. Its methods run for several flavors at a time."""

    @property
    def options(self) -> LockOptions:
        """Return how to lock, and whether to write (``dry_run``); upgrades have no effect here."""

    def plan(self, flavor: Flavor) -> PlanKind:
        """Return the project that the flavor is to have; raises FactoryError if it cannot have it."""

    def check(self, plans: Sequence[PlanKind]) -> None:
        """Raise FactoryError if the plans of all flavors together make no sense."""

    def follow(self, flavor: Flavor, project: Project, lock: LockSet) -> PlanKind:
        """Return the plan of an image in which nothing is to change but what its parent's lock decides."""

    def relock(self, plan: PlanKind, verifier: IndexVerifier, given: GivenPackages) -> Relocked:
        """Resolve the new lock of a flavor; ``given`` is what its parents have after the change.

        Raises:
            MovesError: other versions would have to move, and that was not allowed.
            FactoryError: it cannot be locked.
        """

    def report(
        self, flavors: tuple["ChangedFlavor[PlanKind]", ...], *, written: bool
    ) -> "ChangeReport[PlanKind]":
        """Return the report of what was done."""


@dataclass(frozen=True, kw_only=True)
class ChangedFlavor(Generic[PlanKind]):
    """The result for one flavor.

    ``state`` is changed, would-change (with a dry run), that of its plan, failed, or not-changed (because
    another flavor failed). ``plan`` is None if planning failed, ``relocked`` if the lock stays as it is.
    ``followed`` are those of the ``files`` that change together with the lock.
    """

    flavor: str
    state: str
    plan: PlanKind | None = None
    relocked: Relocked | None = None
    files: tuple[Replacement, ...] = ()
    followed: tuple[str, ...] = ()
    error: FactoryError | None = None

    @property
    def changes(self) -> Changes | None:
        """The difference between the old pins and the new ones; None without a new lock."""
        if self.relocked is None or self.plan is None:
            return None
        return compare_pins(self.plan.lock.pins if self.plan.lock else (), self.relocked.lock.pins)

    @property
    def moves(self) -> tuple[VersionMove, ...]:
        """The versions that moved, or those that would have to."""
        if isinstance(self.error, MovesError):
            return tuple(move for move in self.error.moves if isinstance(move, VersionMove))
        return self.relocked.moves if self.relocked else ()

    @property
    def gaps(self) -> tuple[object, ...]:
        """Return what the index lacks, if that is the error."""
        return self.error.gaps if isinstance(self.error, IndexGapError) else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes for people."""
        return (*(self.plan.notes if self.plan else ()), *(self.relocked.notes if self.relocked else ()))


@dataclass(frozen=True, kw_only=True)
class ChangeReport(Report, Generic[PlanKind]):
    """Every flavor, in the order asked for, and whether files were written: not if one failed."""

    flavors: tuple[ChangedFlavor[PlanKind], ...]
    written: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return warnings to act on, flavor by flavor."""
        return tuple(warning for one in self.flavors if one.plan for warning in one.plan.warnings)

    def failures(self) -> list[FactoryError]:
        return [flavor.error for flavor in self.flavors if flavor.error]

    def data(self) -> object:
        flavors = [self.entry(flavor) for flavor in self.flavors]
        return {"flavors": flavors, "error": next(iter(self.failures()), None), "written": self.written}

    def entry(self, flavor: ChangedFlavor[PlanKind]) -> Mapping[str, object]:
        """Return what JSON has of a flavor."""
        raise NotImplementedError


def change_flavors(
    change: FlavorsChange[PlanKind],
    flavors: Sequence[Flavor],
    *,
    dependants: Sequence[Flavor] = (),
    jobs: int | None,
    begun: Callable[[str], None],
    done: Callable[[str], None],
    following: Following | None,
) -> ChangeReport[PlanKind]:
    """Change images and lock them again: all of them, or none.

    Args:
        change: what changes.
        flavors: where; images of any kind.
        dependants: further images on those; one that is locked is locked again if a parent's lock changes.
        jobs: how many at a time; None: as many as there are CPUs.
        begun: called with the name of each image whose work begins, on a thread of its own.
        done: called with the name of each image whose work ended, on a thread of its own.
        following: returns what changes together with the lock files.

    Raises:
        FactoryError: from `FlavorsChange.check`.
        BusyError, StorageError: a folder is held or a file was changed meanwhile, or the file system
            refused; nothing was written.
    """
    images = {image.folder: image for image in (*flavors, *dependants)}
    with open_transaction(images) as transaction, open_index_verifier() as verifier:
        planned = attempt_in_parallel(change.plan, flavors, jobs=jobs)
        plans = [item for item in planned if not isinstance(item, FactoryError)]
        if len(plans) < len(flavors):
            return change.report(_refused(flavors, [_unapplied(item) for item in planned]), written=False)
        change.check(plans)
        # Every level uses the connections of the verifier, which end with one cancellation.
        stop = Cancellation()
        run = _ChainRun(
            change, {plan.flavor.folder: plan for plan in plans}, verifier, following, begun, done
        )
        for level in _levels(images.values()):
            if not run.failed:
                outcomes = attempt_in_parallel(run.apply, level, jobs=jobs, stop=stop)
                run.outcomes |= {image.folder: item for image, item in zip(level, outcomes, strict=True)}
        if run.failed:
            return change.report(_refused(*run.all_outcomes(images)), written=False)
        results = tuple(
            item
            for folder in images
            if (item := run.outcomes[folder]) is not None and not isinstance(item, FactoryError)
        )
        files = [file for result in results for file in result.files]
        if not change.options.dry_run:
            transaction.commit(files)
    return change.report(results, written=bool(files) and not change.options.dry_run)


def _levels(images: Iterable[Flavor]) -> list[list[Flavor]]:
    """Return images in levels: those of one are on none of the same level and of later ones."""
    depths: dict[Path, int] = {}
    levels: list[list[Flavor]] = []
    for image in in_parent_order(images):
        depth = max((depths[above.folder] + 1 for above in image.above if above.folder in depths), default=0)
        depths[image.folder] = depth
        levels += [[]] * (depth + 1 - len(levels))
        levels[depth] = [*levels[depth], image]
    return levels


class _ChainRun(Generic[PlanKind]):
    """The work on a chain of images: each sees the new locks of its parents.

    ``outcomes`` are by folder; None is that of a dependant in which nothing is to be done.
    """

    def __init__(
        self,
        change: FlavorsChange[PlanKind],
        plans: Mapping[Path, PlanKind],
        verifier: IndexVerifier,
        following: Following | None,
        begun: Callable[[str], None],
        done: Callable[[str], None],
    ) -> None:
        self.change, self.plans, self.verifier, self.following = change, plans, verifier, following
        self.begun, self.done = begun, done
        self.new: dict[Path, tuple[Project, LockSet]] = {}
        self.outcomes: dict[Path, ChangedFlavor[PlanKind] | FactoryError | None] = {}

    @property
    def failed(self) -> bool:
        """Return whether an image cannot be changed."""
        return any(isinstance(item, FactoryError) for item in self.outcomes.values())

    def all_outcomes(
        self, images: Mapping[Path, Flavor]
    ) -> tuple[list[Flavor], list[ChangedFlavor[PlanKind] | FactoryError]]:
        """Return the images that were to be changed with their outcomes, also those that had no turn."""
        untouched = {folder: _unapplied(plan) for folder, plan in self.plans.items()}
        found = {folder: self.outcomes.get(folder) or untouched.get(folder) for folder in images}
        outcomes = {folder: item for folder, item in found.items() if item is not None}
        return [images[folder] for folder in outcomes], list(outcomes.values())

    def apply(self, image: Flavor) -> ChangedFlavor[PlanKind] | None:
        """Return a changed image, after its parents; None for a dependant that stays as it is.

        Raises:
            FactoryError: from `FlavorsChange.relock`; or a generated file would be overwritten, or what
                follows from the lock cannot be made.
        """
        plan = self._plan(image)
        try:
            if plan is None:
                return None
            if plan.is_settled:
                return ChangedFlavor(flavor=image.name, state=plan.state, plan=plan)
            self.begun(image.name)
            return self._changed(plan)
        finally:
            if image.folder in self.plans:
                self.done(image.name)

    def _plan(self, image: Flavor) -> PlanKind | None:
        """Return the plan of an image, with a new lock if its parents have other packages or indexes then."""
        plan = self.plans.get(image.folder)
        changed = next((above for above in image.above if above.folder in self.new), None)
        if changed is None or (plan is not None and (plan.relock or plan.lock is None)):
            return plan
        found = plan or self._follow(image)
        if found is None or found.lock is None:
            return None
        parent, _ = self.new[changed.folder]
        where = str(image.folder / PROJECT_FILE)
        new = parse_project(found.new_text, where=where, image=image, parent_spec=parent.spec)
        if new.spec == found.project.spec and found.lock.parent == given_packages(new, new=self.new).recorded:
            return plan
        note = f"locked again, since the lock of its parent {changed.name} changes"
        return replace(found, new_project=new, relock=True, notes=(*found.notes, note))

    def _follow(self, image: Flavor) -> PlanKind | None:
        """Return the plan of a dependant; None if it is not locked."""
        project = image.read_project()
        lock = read_lock_set(image.folder, project.spec)
        if lock is None:
            return None
        refuse_unsound(image, project, lock)
        return self.change.follow(image, project, lock)

    def _changed(self, plan: PlanKind) -> ChangedFlavor[PlanKind]:
        flavor, new, options = plan.flavor, plan.new_project, self.change.options
        files = [] if new == plan.project else list(_rendered(flavor, old=plan.project, new=new))
        relocked = None
        if plan.relock:
            relocked = self.change.relock(plan, self.verifier, given_packages(new, new=self.new))
            files += lock_changes(flavor.folder, new.spec, relocked.lock)
            self.new[flavor.folder] = new, relocked.lock.lock_set
        locks = relocked.lock.lock_set if relocked else plan.lock
        followed: Sequence[Replacement] = ()
        if self.following and locks and not options.dry_run and (relocked or new != plan.project):
            followed = self.following(flavor, new, locks)
        files += followed
        if plan.new_text != plan.text:
            path, before = flavor.folder / PROJECT_FILE, plan.text.encode()
            files.append(Replacement(path=path, before=before, content=plan.new_text.encode()))
        return ChangedFlavor(
            flavor=flavor.name,
            state="would-change" if options.dry_run else "changed",
            plan=plan,
            relocked=relocked,
            files=tuple(files),
            followed=tuple(item.path.name for item in followed),
        )


def refuse_unsound(flavor: Flavor, project: Project, lock: LockSet) -> None:
    """Refuse a lock that was changed by hand: its lost pins could not be held.

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
        f"{problem}, so that it is not known what is to be held still",
        solution=f"Lock it first: `factory lock {flavor.name}` keeps the versions that are valid. "
        "Then run the command again.",
    )


def held_versions(plan: FlavorPlan, given: GivenPackages, *, meant: Collection[str]) -> dict[str, str]:
    """Return the locked versions that are to stay: not the ``meant`` ones, nor what the parents have."""
    free = {*meant, *given.versions}
    return {package: version for package, version in plan.locked.items() if package not in free}


def _rendered(flavor: Flavor, *, old: Project, new: Project) -> Iterator[Replacement]:
    """Yield the generated files that a new project changes, unless they are so already."""
    before = {file.path: file.content for file in render_flavor(old, name=flavor.name)}
    for file in render_flavor(new, name=flavor.name):
        present = read_before(flavor.folder / file.path)
        if file.content in {before.get(file.path), present}:
            continue
        if present not in {None, before.get(file.path)}:
            raise DriftError(
                f"{flavor.name}/{file.path} is not what its templates make, and would be overwritten",
                solution=f"Look at it with `factory sync {flavor.name} --dry-run`. Keep what is wanted of it "
                "as a hook, bring it up to date with `factory sync`, and run the command again.",
            )
        yield Replacement(
            path=flavor.folder / file.path,
            before=present,
            content=file.content,
            executable=file.executable,
        )


def _unapplied(planned: PlanKind | FactoryError) -> ChangedFlavor[PlanKind] | FactoryError:
    if isinstance(planned, FactoryError):
        return planned
    return ChangedFlavor(flavor=planned.flavor.name, state=planned.state, plan=planned)


def _refused(
    flavors: Sequence[Flavor], results: Sequence[ChangedFlavor[PlanKind] | FactoryError]
) -> tuple[ChangedFlavor[PlanKind], ...]:
    """Return the results if any flavor failed, so that none was changed."""
    return tuple(
        ChangedFlavor(flavor=flavor.name, state="failed", error=item)
        if isinstance(item, FactoryError)
        else item
        if item.plan and item.plan.is_settled
        else replace(item, state="not-changed", files=())
        for flavor, item in zip(flavors, results, strict=True)
    )


def find_moves(
    plan: FlavorPlan, new: NewLock, *, meant: Collection[str], options: LockOptions
) -> tuple[VersionMove, ...]:
    """Return the packages whose version changed, other than the ``meant`` ones.

    Raises:
        IndexAccessError: an index did not answer, or refused.
    """
    before = plan.locked
    after = {pin.name: pin.version for pin in new.pins if pin.version is not None}
    changed = {name: version for name, version in after.items() if before.get(name) != version}
    moved = sorted((changed.keys() & before.keys()) - set(meant))
    if not moved:
        return ()
    spec = plan.new_project.spec
    with open_package_finder(spec, wheel_folders(spec, options)) as finder:
        return tuple(
            VersionMove(
                package=name,
                before=before[name],
                after=after[name],
                why=_reasons(name, before[name], changed, plan.new_project, finder),
            )
            for name in moved
        )


def moves_error(
    headline: str, moves: Sequence[VersionMove], *, solution: str, refusal: str | None = None
) -> MovesError:
    """Return the error about versions that would move; ``refusal`` is what uv said of it."""
    lines = [headline]
    for move in moves:
        lines.append(f"  {move.package} {move.before} -> {move.after}")
        lines += [f"    since {reason}" for reason in move.why]
    if refusal is not None and not all(move.why for move in moves):
        lines += ["uv's words for why they cannot stay:", refusal]
    return MovesError("\n".join(lines), solution=solution, moves=tuple(moves))


def from_folders(new: NewLock, meant: Collection[str] | None = None) -> tuple[str, ...]:
    """Return a note for each package from a folder of wheels, of those ``meant`` if given."""
    return tuple(
        f"{name} comes from {folder}, not from the index"
        for name, folder in new.from_folders.items()
        if meant is None or name in meant
    )


def _reasons(
    name: str, old: str, changed: Mapping[str, str], project: Project, finder: PackageFinder
) -> tuple[str, ...]:
    """Return the reasons against the old version: the project, an index, or requirements.

    Requirements of extras count only if there is nothing else: no metadata says which extras are asked for.
    """
    spec = project.spec
    found = {
        f"{PROJECT_FILE} asks for {line.text}": None
        for line in asked(project)
        if line.name == name and not _admits(line.requirement, old)
    }
    finder.look_up([name])
    if without := finder.platforms_without(Requirement(f"{name}=={old}")):
        found[f"{finder.url(name)} has no {name} {old} for {' and '.join(without)}"] = None
    for with_extras in (False, True):
        if not found:
            found = dict.fromkeys(_conflicts(name, old, changed, spec, finder, with_extras=with_extras))
    return tuple(found)


def _conflicts(
    name: str, old: str, changed: Mapping[str, str], spec: Spec, finder: PackageFinder, *, with_extras: bool
) -> Iterator[str]:
    """Yield the requirements of the changed packages on it, and its own on those."""
    for other, version in sorted(changed.items()):
        if other != name:
            for requirement in _required(other, version, spec, finder, with_extras=with_extras):
                if canonicalize_name(requirement.name) == name and not _admits(requirement, old):
                    yield f"{other} {version} requires {_plain(requirement)}"
    for requirement in _required(name, old, spec, finder, with_extras=with_extras):
        version = changed.get(canonicalize_name(requirement.name), "")
        if version and not _admits(requirement, version):
            yield f"{name} {old} requires {_plain(requirement)}"


def _required(
    name: str, version: str, spec: Spec, finder: PackageFinder, *, with_extras: bool
) -> Iterator[Requirement]:
    """Yield a version's requirements on the flavor's platforms, with no extras or with all."""
    metadata = finder.metadata(name, version)
    if metadata is None:
        return
    environments = [
        {**marker_environment(spec.python, platform), "extra": extra}
        for platform in spec.platforms
        for extra in ("", *(sorted(metadata.extras) if with_extras else ()))
    ]
    for requirement in metadata.requires:
        marker = requirement.marker
        if marker is None or any(marker.evaluate(environment) for environment in environments):
            yield requirement


def _admits(requirement: Requirement, version: str) -> bool:
    return requirement.specifier.contains(version, prereleases=True)


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{in_order(requirement.specifier)}"
