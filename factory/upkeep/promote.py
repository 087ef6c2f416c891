"""Move flavors to the indexes and base images of the next release."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.requirements import Requirement

from factory.console import plural
from factory.errors import IndexGapError, ResolutionError, SpecError
from factory.flavor.edit import respec
from factory.flavor.project import PROJECT_FILE, Project, parse_project, read_project_text
from factory.flavor.repository import Flavor
from factory.flavor.spec import MAIN_INDEX, Spec, check_spec
from factory.gaps.gaps import find_gaps, gap_error
from factory.lock.given import GivenPackages, is_stale, project_on
from factory.lock.locking import LockOptions, make_lock, wheel_folders
from factory.lock.lockset import LockSet, read_lock_set
from factory.lock.package_finder import open_package_finder
from factory.lock.report import change_lines
from factory.lock.verify import IndexVerifier
from factory.masking import shown
from factory.upkeep.change import (
    ChangedFlavor,
    ChangeReport,
    FlavorPlan,
    Relocked,
    find_moves,
    from_folders,
    moves_error,
)

_STATES = {
    "changed": "promoted",
    "would-change": "would be promoted",
    "nothing-to-do": "nothing to do: it is there already",
    "failed": "cannot be promoted",
    "not-changed": "not promoted, since another flavor cannot be",
}


@dataclass(frozen=True, kw_only=True)
class Release:
    """The target of a move; None keeps a value. ``indexes`` are further indexes' URLs by name."""

    index_url: str | None = None
    indexes: Mapping[str, str] = field(default_factory=dict)
    base_image: str | None = None
    downstream_base_image: str | None = None


@dataclass(frozen=True, kw_only=True)
class MovedKey:
    """A key of the spec that changes. ``before`` is None for the public index."""

    key: str
    before: str | None
    after: str
    is_index: bool


@dataclass(frozen=True, kw_only=True)
class PromotePlan(FlavorPlan):
    """A flavor at the release, and the keys of its spec that change."""

    moved: tuple[MovedKey, ...]


@dataclass(frozen=True, kw_only=True)
class PromoteReport(ChangeReport[PromotePlan]):
    """The result of a promotion."""

    def entry(self, flavor: ChangedFlavor[PromotePlan]) -> Mapping[str, object]:
        return {
            "flavor": flavor.flavor,
            "state": flavor.state,
            "moved": flavor.plan.moved if flavor.plan else (),
            "kept": _kept(flavor),
            "moves": flavor.moves,
            "changes": flavor.changes,
            "files": _file_names(flavor),
            "notes": flavor.notes,
            "gaps": flavor.gaps,
            "followed": flavor.followed,
            "error": flavor.error,
        }

    def describe(self) -> Iterator[str]:
        for flavor in self.flavors:
            yield from _describe(flavor)
        if self.failures():
            yield "nothing was written"


def read_release(
    *,
    index_url: str | None,
    indexes: Sequence[str],
    base_image: str | None,
    downstream_base_image: str | None,
) -> Release:
    """Return the release that the words of a command name; ``indexes`` are NAME=URL.

    Raises:
        SpecError: nothing was given, or an index not as NAME=URL, or one twice.
    """
    further: dict[str, str] = {}
    for text in indexes:
        name, equals, url = text.partition("=")
        if not equals or not url or name in further or name == MAIN_INDEX:
            raise SpecError(
                f"the index {name!r} is not given once, as NAME=URL",
                solution="Write the name that it has in [[tool.factory.indexes]], = and its new URL; "
                "the main one is --index-url.",
            )
        further[name] = url
    release = Release(
        index_url=index_url,
        indexes=further,
        base_image=base_image,
        downstream_base_image=downstream_base_image,
    )
    if release == Release():
        raise SpecError(
            "nothing was given that the flavors could move to",
            solution="Give --index-url, --index, --base-image or --downstream-base-image.",
        )
    return release


def _kept(flavor: ChangedFlavor[PromotePlan]) -> int:
    """Return how many locked versions stay."""
    if not flavor.plan or not flavor.relocked:
        return 0
    locked, pins = flavor.plan.locked, flavor.relocked.lock.pins
    return sum(pin.version is not None and locked.get(pin.name) == pin.version for pin in pins)


def _file_names(flavor: ChangedFlavor[PromotePlan]) -> tuple[str, ...]:
    """Return the files that are written or removed."""
    return tuple(
        str(file.path.relative_to(flavor.plan.flavor.folder)) for file in flavor.files if flavor.plan
    )


def _describe(flavor: ChangedFlavor[PromotePlan]) -> Iterator[str]:
    kind = f" ({type(flavor.error).__name__})" if flavor.error else ""
    yield f"{flavor.flavor}: {_STATES[flavor.state]}{kind}"
    for moved in flavor.plan.moved if flavor.plan else ():
        yield f"  {moved.key}: {moved.before or 'the public index'} -> {moved.after}"
    if not flavor.error:
        yield from (f"  {move.package} does not stay: {why}" for move in flavor.moves for why in move.why)
    if (changes := flavor.changes) is not None:
        # Counts of what stayed: other hashes are what a new index has.
        kept, number = _kept(flavor), len(changes.rehashed)
        rehashed = f", {number} of them with new hashes" if number else ""
        yield f"  versions: {kept} kept{rehashed}; {len(changes.changed)} changed"
        if others := replace(changes, rehashed=()):
            new = not kept and not others.changed
            yield from change_lines(others, packages=len(others.added) if new else None)
    yield from (f"  note: {note}" for note in flavor.notes)
    if flavor.files:
        yield f"  files: {', '.join(_file_names(flavor))}"


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A move to a release, as `change_flavors` carries it out: spec, generated files and lock.

    Locked versions stay, and every hash is taken from the new indexes. If no index changes, the lock stays as
    it is. ``allow_moves``: versions may change that the new indexes do not have.
    """

    release: Release
    options: LockOptions
    allow_moves: bool = False

    def plan(self, flavor: Flavor) -> PromotePlan:
        """Put the release into a flavor's spec.

        Raises:
            SpecError: a value is not acceptable, or the flavor has no index of that name.
        """
        where = str(flavor.folder / PROJECT_FILE)
        text = read_project_text(flavor.folder)
        old = parse_project(text, where=where, image=flavor)
        new_text = respec(text, with_release(old.spec, self.release, flavor=flavor.name))
        new = parse_project(new_text, where=where, image=flavor)
        moved = moved_keys(old.spec, new.spec)
        relock = any(item.is_index for item in moved)
        lock = read_lock_set(flavor.folder, old.spec) if moved else None
        notes: tuple[str, ...] = ()
        if lock and not relock and is_stale(lock, old):
            lock_again = f"`factory lock {flavor.name}`"
            notes = (f"its lock was not made from its pyproject.toml, and stays so: {lock_again}",)
        return PromotePlan(
            flavor=flavor,
            text=text,
            project=old,
            lock=lock,
            new_text=new_text if moved else text,
            new_project=new if moved else old,
            relock=relock,
            notes=notes,
            moved=moved,
        )

    def check(self, plans: Sequence[PromotePlan]) -> None:
        """Raise SpecError for one value for different accelerators or Pythons that have different ones now.

        A CPU flavor with the index of CUDA locks, and does not run.
        """
        release, specs = self.release, [plan.project.spec for plan in plans]
        if len({(spec.accelerator, spec.accelerator_version, spec.python) for spec in specs}) == 1:
            return
        given = (
            ("--index-url", release.index_url, {spec.index_url for spec in specs}),
            ("--base-image", release.base_image, {spec.base_image for spec in specs}),
            (
                "--downstream-base-image",
                release.downstream_base_image,
                {spec.downstream_base_image for spec in specs},
            ),
        )
        for option, value, present in given:
            if value is not None and len(present) > 1:
                raise SpecError(
                    f"{option} is one for {' and '.join(plan.flavor.name for plan in plans)}, which are for "
                    "different accelerators or Pythons and each have their own now",
                    solution="Promote them one by one, each with what is made for it.",
                )

    def follow(self, flavor: Flavor, project: Project, lock: LockSet) -> PromotePlan:
        """Return the plan of an image on a flavor whose lock changes; its index may be the flavor's."""
        text = read_project_text(flavor.folder)
        return PromotePlan(
            flavor=flavor,
            text=text,
            project=project,
            lock=lock,
            new_text=text,
            new_project=project,
            relock=True,
            moved=(),
        )

    def relock(self, plan: PromotePlan, verifier: IndexVerifier, given: GivenPackages) -> Relocked:
        """Lock at the new indexes with the versions of before.

        Raises:
            IndexGapError: the new indexes lack something; the error holds every gap.
            MovesError: locked versions would change, and that was not allowed.
            IndexAccessError, RedirectError: a new index did not answer, refused, or sends elsewhere.
            ResolutionError: the requirements contradict each other.
        """
        name, new, options = plan.flavor.name, plan.new_project, self.options
        _refuse_silent_indexes(plan, options)
        try:
            lock = make_lock(name, new, plan.lock, options, verifier=verifier, given=given)
        except (IndexGapError, ResolutionError):
            # Once more, for everything: the present index's metadata shows the gaps behind a gap.
            folders = wheel_folders(new.spec, options)
            whole = project_on(given, new, replacing=new.spec.replaces)
            gaps = find_gaps(whole, preferences=plan.locked, folders=folders, present=plan.project.spec)
            if gaps.gaps:
                raise gap_error(gaps) from None
            raise
        moves = find_moves(plan, lock, meant=(), options=options)
        if moves and not self.allow_moves:
            raise moves_error(
                f"{plural(len(moves), 'locked version')} would not stay:",
                moves,
                solution="Ask the owners of the new index for them, or give --allow-moves to take what it "
                f"has; nothing was changed. `factory index-gaps {name}` lists what it lacks altogether.",
            )
        return Relocked(lock=lock, moves=moves, notes=_found_again(new, options) + from_folders(lock))

    def report(self, flavors: tuple[ChangedFlavor[PromotePlan], ...], *, written: bool) -> PromoteReport:
        """Return the report of what was done."""
        return PromoteReport(flavors=flavors, written=written)


def _refuse_silent_indexes(plan: PromotePlan, options: LockOptions) -> None:
    """Request one project of each new index: uv would follow any redirect.

    Raises:
        IndexAccessError: it did not answer, or refused.
        RedirectError: it redirects to a host that the spec does not name.
    """
    old, new = plan.project.spec, plan.new_project.spec
    names = sorted(plan.locked) or [Requirement(line).name for line in plan.new_project.dependencies]
    asked: dict[str, str] = {}
    for name in names:
        index = new.index_of(name)
        if new.url_of(index) != old.url_of(index):
            asked.setdefault(index, name)
    with open_package_finder(new, wheel_folders(new, options)) as finder:
        finder.look_up(asked.values())


def _found_again(new: Project, options: LockOptions) -> tuple[str, ...]:
    """Return a note for each package that is recorded as missing and that the new indexes have."""
    requirements = [Requirement(missing.requirement) for missing in new.spec.missing]
    with open_package_finder(new.spec, wheel_folders(new.spec, options)) as finder:
        finder.look_up(missing.package for missing in new.spec.missing)
        return tuple(
            f"{requirement} is recorded as missing, and {finder.url(missing.package)} has it"
            for requirement, missing in zip(requirements, new.spec.missing, strict=True)
            if not finder.platforms_without(requirement)
        )


def with_release(spec: Spec, release: Release, *, flavor: str) -> Spec:
    """Return a flavor's spec at a release.

    Raises:
        SpecError: a value is not acceptable, or the flavor has no index of that name.
    """
    known = [index.name for index in spec.indexes]
    for name in release.indexes:
        if name not in known:
            raise SpecError(
                f"{flavor} has no further index {name!r}",
                solution=f"Name one of {', '.join(known)}." if known else "Leave --index out.",
            )
    return check_spec(
        replace(
            spec,
            index_url=_given_url(release.index_url, spec.index_url),
            base_image=_given(release.base_image, spec.base_image) or "",
            downstream_base_image=_given(release.downstream_base_image, spec.downstream_base_image) or "",
            indexes=tuple(
                replace(index, url=_given_url(release.indexes.get(index.name), index.url) or "")
                for index in spec.indexes
            ),
        )
    )


def moved_keys(old: Spec, new: Spec) -> tuple[MovedKey, ...]:
    """Return what differs between two specs of a flavor, as far as a release changes it."""
    indexes = [
        ("index-url" if name == MAIN_INDEX else f"index {name}", old.url_of(name), new.url_of(name))
        for name in new.index_names
    ]
    images = [
        ("base-image", old.base_image, new.base_image),
        ("downstream-base-image", old.downstream_base_image, new.downstream_base_image),
    ]
    found = [
        MovedKey(key=key, before=None if before is None else shown(before), after=shown(after), is_index=True)
        for key, before, after in indexes
        if after is not None and before != after
    ]
    found += [
        MovedKey(key=key, before=before, after=after, is_index=False)
        for key, before, after in images
        if before != after
    ]
    return tuple(found)


def _given(value: str | None, present: str | None) -> str | None:
    """Return the option even if it is empty, which the checks refuse."""
    return present if value is None else value


def _given_url(value: str | None, present: str | None) -> str | None:
    """As `_given`; a URL that differs only in a final slash is the present one."""
    if value and present and value.rstrip("/") == present.rstrip("/"):
        return present
    return _given(value, present)
