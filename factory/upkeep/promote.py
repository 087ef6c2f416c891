"""Promote: flavors moved to the indexes and base images of the next release, all of them or none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.requirements import Requirement

from factory.errors import FactoryError, IndexGapError, MovesError, ResolutionError, SpecError
from factory.flavor.edit import respec
from factory.flavor.indexes import MAIN_INDEX
from factory.flavor.project import PROJECT_FILE, Project, parse_project, read_project_text
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec, check_spec
from factory.http.parallel import attempt_in_parallel
from factory.lock.changes import Changes, compare
from factory.lock.locking import Following, LockOptions, NewLock, lock_changes, make_lock, wheel_folders
from factory.lock.lockset import LockSet, is_stale, read_lock_set
from factory.lock.proving import Proving, open_proving
from factory.lock.report import change_lines
from factory.lock.shelf import open_shelf
from factory.masking import shown
from factory.transaction import Replacement, open_transaction
from factory.upkeep.change import Move, moves_between, moves_of, rendered_anew


@dataclass(frozen=True, kw_only=True)
class Release:
    """Where flavors move to; None is what a flavor has. ``indexes`` are URLs of further ones by name."""

    index_url: str | None = None
    indexes: Mapping[str, str] = field(default_factory=dict)
    base_image: str | None = None
    downstream_base_image: str | None = None


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A key of the spec that changes. ``before`` is None for the public index."""

    key: str
    before: str | None
    after: str
    is_index: bool


def read_release(
    *,
    index_url: str | None,
    indexes: Sequence[str],
    base_image: str | None,
    downstream_base_image: str | None,
) -> Release:
    """A release from its words; ``indexes`` are NAME=URL.

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


def with_release(spec: Spec, release: Release, *, flavor: str) -> Spec:
    """The spec of a flavor at a release.

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


def moved_keys(old: Spec, new: Spec) -> tuple[Moved, ...]:
    """What differs between two specs of a flavor, as far as a release changes it."""
    indexes = [
        ("index-url" if name == MAIN_INDEX else f"index {name}", old.url_of(name), new.url_of(name))
        for name in new.index_names
    ]
    images = [
        ("base-image", old.base_image, new.base_image),
        ("downstream-base-image", old.downstream_base_image, new.downstream_base_image),
    ]
    found = [
        Moved(key=key, before=None if before is None else shown(before), after=shown(after), is_index=True)
        for key, before, after in indexes
        if after is not None and before != after
    ]
    found += [
        Moved(key=key, before=before, after=after, is_index=False)
        for key, before, after in images
        if before != after
    ]
    return tuple(found)


def refuse_mixture(flavors: Sequence[Flavor], release: Release) -> None:
    """Refuse one value for flavors of different accelerators or Pythons that have different ones now.

    Raises:
        SpecError: that is asked for; a CPU flavor with the index of CUDA locks, and does not run.
    """
    specs = [flavor.project.spec for flavor in flavors]
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
                f"{option} is one for {' and '.join(flavor.name for flavor in flavors)}, which are for "
                "different accelerators or Pythons and each have their own now",
                solution="Promote them one by one, each with what is made for it.",
            )


def _given(value: str | None, present: str | None) -> str | None:
    """What was given, an empty text included: that is for the checks to refuse."""
    return present if value is None else value


def _given_url(value: str | None, present: str | None) -> str | None:
    """As `_given`; a URL that differs in a slash at its end only is the one that is there."""
    if value and present and value.rstrip("/") == present.rstrip("/"):
        return present
    return _given(value, present)


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """What became of one flavor.

    ``state`` is changed, would-change (with a dry run), nothing-to-do, failed, or not-changed (because
    another failed). ``moved`` are the keys of the spec; ``kept`` counts the versions that stayed, and
    ``moves`` are those that do not; ``files`` are those that are written or removed, ``followed`` those of
    them that change together with the lock; ``gaps`` is all that the new index lacks.
    """

    flavor: str
    state: str
    moved: tuple[Moved, ...] = ()
    kept: int = 0
    moves: tuple[Move, ...] = ()
    changes: Changes | None = None
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    gaps: tuple[object, ...] = ()
    followed: tuple[str, ...] = ()
    error: FactoryError | None = None


@dataclass(frozen=True, kw_only=True)
class PromoteReport:
    """Every flavor, in the order asked for. ``error`` is the first; ``written`` whether files changed."""

    flavors: tuple[Promoted, ...]
    error: FactoryError | None = None
    written: bool = False

    @property
    def exit_code(self) -> int:
        """0, or that of the first error."""
        return self.error.exit_code if self.error else 0


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A flavor as it is to be, and the files that are to hold it."""

    outcome: Promoted
    files: tuple[Replacement, ...] = ()


def promote_flavors(
    flavors: Sequence[Flavor],
    release: Release,
    options: LockOptions,
    *,
    allow_moves: bool,
    jobs: int | None,
    begun: Callable[[str], None],
    done: Callable[[str], None],
    following: Following | None = None,
) -> PromoteReport:
    """Move flavors to a release: spec, generated files and lock; all flavors, or none.

    Locked versions stay, and every hash is taken from the new indexes. Where no index changes the lock
    stays as it is.

    Args:
        flavors: which.
        release: where to.
        options: how to lock, and whether to write (``dry_run``); upgrades mean nothing here.
        allow_moves: whether versions may change that the new indexes do not have.
        jobs: how many at a time; as many as there are CPUs where it is None.
        begun: told the name of each as its work begins, on a thread of its own.
        done: told the name of each as it ends, on a thread of its own.
        following: gives what changes together with lock files.

    Returns:
        What became of each. Where there is an error, nothing was written.

    Raises:
        SpecError: one value was given for flavors that need different ones.
        BusyError, StorageError: a folder is held or a file was changed meanwhile, or the file system
            refused; nothing was written.
    """

    def make(flavor: Flavor) -> _Made:
        begun(flavor.name)
        try:
            return _make(flavor, release, options, proving, allow_moves=allow_moves, following=following)
        finally:
            done(flavor.name)

    with open_transaction(one.folder for one in flavors) as transaction, open_proving() as proving:
        refuse_mixture(flavors, release)
        made = attempt_in_parallel(make, flavors, jobs=jobs)
        whole = [item for item in made if not isinstance(item, FactoryError)]
        if len(whole) < len(flavors):
            return _failed(flavors, made)
        files = [file for item in whole for file in item.files]
        if not options.dry_run:
            transaction.commit(files)
    return PromoteReport(
        flavors=tuple(item.outcome for item in whole), written=bool(files) and not options.dry_run
    )


def _make(
    flavor: Flavor,
    release: Release,
    options: LockOptions,
    proving: Proving,
    *,
    allow_moves: bool,
    following: Following | None,
) -> _Made:
    """A flavor at the release, in memory.

    Raises:
        SpecError: a value is not acceptable, or an index is none of the flavor's.
        DriftError: a generated file would be overwritten that is not as its templates give it.
        IndexGapError: the new indexes lack something; the error holds every gap.
        MovesError: locked versions would change, and that was not allowed.
        IndexAccessError, RedirectError: a new index did not answer, refused, or sends elsewhere.
        ResolutionError: the requirements contradict each other.
    """
    path = flavor.folder / PROJECT_FILE
    text = read_project_text(flavor.folder)
    old = parse_project(text, where=str(path))
    new_text = respec(text, with_release(old.spec, release, flavor=flavor.name))
    new = parse_project(new_text, where=str(path))
    moved = moved_keys(old.spec, new.spec)
    outcome = Promoted(flavor=flavor.name, state="nothing-to-do", moved=moved)
    if not moved:
        return _Made(outcome=outcome)
    files = list(rendered_anew(flavor, old=old, new=new))
    before = read_lock_set(flavor.folder, old.spec)
    lock: NewLock | None = None
    if not any(item.is_index for item in moved):
        outcome = replace(outcome, notes=_stale(flavor, old, before))
    else:
        lock = _locked(flavor, old, new, before, options, proving)
        moves = _moves(new, before, lock, options)
        if moves and not allow_moves:
            raise _moves_error(flavor, moves)
        files += lock_changes(flavor.folder, new.spec, lock)
        outcome = replace(
            outcome,
            changes=compare(before.pins if before else (), lock.pins),
            kept=_kept(before.versions() if before else {}, lock),
            moves=moves,
            notes=_found_again(new, options) + _from_folders(lock),
        )
    locked = before if lock is None else lock.lock_set
    followed = (
        ()
        if following is None or locked is None or options.dry_run
        else tuple(following(flavor, new, locked))
    )
    files += followed
    outcome = replace(outcome, followed=tuple(item.path.name for item in followed))
    files.append(Replacement(path=path, before=text.encode(), content=new_text.encode()))
    names = tuple(str(file.path.relative_to(flavor.folder)) for file in files)
    state = "would-change" if options.dry_run else "changed"
    return _Made(outcome=replace(outcome, state=state, files=names), files=tuple(files))


def _locked(
    flavor: Flavor,
    old: Project,
    new: Project,
    before: LockSet | None,
    options: LockOptions,
    proving: Proving,
) -> NewLock:
    _refuse_silent_indexes(old, new, before, options)
    try:
        return make_lock(flavor.name, new, before, options, proving=proving)
    except (IndexGapError, ResolutionError):
        # Once more, for all of it: what the present index has of a package tells what is behind a gap.
        from factory.gaps.gaps import find_gaps, gap_error  # noqa: PLC0415

        gaps = find_gaps(
            new,
            preferences=before.versions() if before else {},
            folders=wheel_folders(new.spec, options),
            present=old.spec,
        )
        if gaps.gaps:
            raise gap_error(gaps) from None
        raise


def _moves(new: Project, before: LockSet | None, lock: NewLock, options: LockOptions) -> tuple[Move, ...]:
    after = {pin.name: pin.version for pin in lock.pins if pin.version is not None}
    with open_shelf(new.spec, wheel_folders(new.spec, options)) as shelf:
        return moves_between(before.versions() if before else {}, after, meant=(), project=new, shelf=shelf)


def _moves_error(flavor: Flavor, moves: tuple[Move, ...]) -> MovesError:
    count = f"{len(moves)} locked version{'s' if len(moves) > 1 else ''}"
    lines = [f"{count} would not stay:"]
    for move in moves:
        lines.append(f"  {move.package} {move.before} -> {move.after}")
        lines += [f"    since {reason}" for reason in move.why]
    return MovesError(
        "\n".join(lines),
        solution="Ask the owners of the new index for them, or give --allow-moves to take what it has; "
        f"nothing was changed. What it lacks altogether tells `factory index-gaps {flavor.name}`.",
        moves=moves,
    )


def _stale(flavor: Flavor, old: Project, before: LockSet | None) -> tuple[str, ...]:
    """What is to be said of a lock that stays as it is."""
    if before is None or not is_stale(before, old):
        return ()
    return (f"its lock was not made from its pyproject.toml, and stays so: `factory lock {flavor.name}`",)


def _refuse_silent_indexes(old: Project, new: Project, before: LockSet | None, options: LockOptions) -> None:
    """Ask each new index for one project: uv would follow wherever it sends.

    Raises:
        IndexAccessError: it did not answer, or refused.
        RedirectError: it sends on to a host that the spec does not name.
    """
    names = sorted(before.versions()) if before else [Requirement(line).name for line in new.dependencies]
    asked: dict[str, str] = {}
    for name in names:
        index = new.spec.index_of(name)
        if new.spec.url_of(index) != old.spec.url_of(index):
            asked.setdefault(index, name)
    with open_shelf(new.spec, wheel_folders(new.spec, options)) as shelf:
        shelf.look_up(asked.values())


def _found_again(new: Project, options: LockOptions) -> tuple[str, ...]:
    """What is recorded as missing, and the new indexes have."""
    requirements = [Requirement(missing.requirement) for missing in new.spec.missing]
    with open_shelf(new.spec, wheel_folders(new.spec, options)) as shelf:
        shelf.look_up(missing.package for missing in new.spec.missing)
        return tuple(
            f"{requirement} is recorded as missing, and {shelf.url(missing.package)} has it"
            for requirement, missing in zip(requirements, new.spec.missing, strict=True)
            if not shelf.platforms_without(requirement)
        )


def _from_folders(lock: NewLock) -> tuple[str, ...]:
    return tuple(
        f"{name} comes from {folder}, not from the index" for name, folder in lock.from_folders.items()
    )


def _kept(before: Mapping[str, str], lock: NewLock) -> int:
    return sum(pin.version is not None and before.get(pin.name) == pin.version for pin in lock.pins)


def _failed(flavors: Sequence[Flavor], made: Sequence[_Made | FactoryError]) -> PromoteReport:
    """The report where at least one flavor failed, so that nothing was changed in any."""
    outcomes = []
    for flavor, item in zip(flavors, made, strict=True):
        if isinstance(item, FactoryError):
            gaps = item.gaps if isinstance(item, IndexGapError) else ()
            moves = moves_of(item)
            outcomes.append(Promoted(flavor=flavor.name, state="failed", error=item, gaps=gaps, moves=moves))
        else:
            settled = item.outcome.state == "nothing-to-do"
            outcomes.append(item.outcome if settled else replace(item.outcome, state="not-changed", files=()))
    return PromoteReport(
        flavors=tuple(outcomes),
        error=next(item for item in made if isinstance(item, FactoryError)),
    )


_STATES = {
    "changed": "promoted",
    "would-change": "would be promoted",
    "nothing-to-do": "nothing to do: it is there already",
    "failed": "cannot be promoted",
    "not-changed": "not promoted, since another flavor cannot be",
}


def describe(report: PromoteReport) -> tuple[str, ...]:
    """The report in lines: of each flavor what moves from where to where, and what that does to its lock."""
    lines = [line for flavor in report.flavors for line in _flavor(flavor)]
    if report.error:
        lines.append("nothing was written")
    return tuple(lines)


def _flavor(outcome: Promoted) -> Iterator[str]:
    kind = f" ({type(outcome.error).__name__})" if outcome.error else ""
    yield f"{outcome.flavor}: {_STATES[outcome.state]}{kind}"
    for moved in outcome.moved:
        yield f"  {moved.key}: {moved.before or 'the public index'} -> {moved.after}"
    if not outcome.error:
        yield from (f"  {move.package} does not stay: {why}" for move in outcome.moves for why in move.why)
    if outcome.changes is not None:
        yield from _changes(outcome, outcome.changes)
    yield from (f"  note: {note}" for note in outcome.notes)
    if outcome.files:
        yield f"  files: {', '.join(outcome.files)}"


def _changes(outcome: Promoted, changes: Changes) -> Iterator[str]:
    """Counts of what stayed, and lines for what did not: other hashes are what a new index has."""
    anew = len(changes.rehashed)
    yield f"  versions: {outcome.kept} kept, {anew} of them with new hashes; {len(changes.changed)} changed"
    if others := replace(changes, rehashed=()):
        new = not outcome.kept and not others.changed
        yield from change_lines(others, packages=len(others.added) if new else None)
