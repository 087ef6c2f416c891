"""Bump: a floor under a package in several flavors, with everything else held still.

Nothing is written before every flavor has its new project and its new lock; then all is written, or
nothing is.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from factory.errors import (
    FactoryError,
    IndexGapError,
    MovesError,
    NotFoundError,
    ResolutionError,
)
from factory.flavor.project import PROJECT_FILE, Project, parse_project
from factory.flavor.repository import Flavor
from factory.http.parallel import attempt_in_parallel
from factory.lock.changes import compare
from factory.lock.locking import Following, LockOptions, NewLock, lock_changes, make_lock, wheel_folders
from factory.lock.proving import Proving, open_proving
from factory.lock.report import change_lines
from factory.lock.shelf import open_shelf
from factory.transaction import Replacement, open_transaction
from factory.upkeep.bump_plan import Bumped, BumpRequest, Plan, plan_bump
from factory.upkeep.change import Move, moves_between, moves_of, rendered_anew


@dataclass(frozen=True, kw_only=True)
class BumpReport:
    """Every flavor, in the order asked for. ``error`` is the first; ``written`` whether files changed."""

    flavors: tuple[Bumped, ...]
    error: FactoryError | None = None
    written: bool = False

    @property
    def exit_code(self) -> int:
        """0, or that of the first error."""
        return self.error.exit_code if self.error else 0


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A flavor with its new project and its new lock, and the files that are to hold them."""

    outcome: Bumped
    files: tuple[Replacement, ...] = ()


def bump_flavors(
    flavors: Sequence[Flavor],
    request: BumpRequest,
    options: LockOptions,
    *,
    jobs: int | None,
    begun: Callable[[str], None],
    done: Callable[[str], None],
    following: Following | None = None,
) -> BumpReport:
    """Put floors into flavors and lock them again: all of them, or none.

    Args:
        flavors: where.
        request: what.
        options: how to lock; upgrades among them mean nothing here.
        jobs: how many at a time; as many as there are CPUs where it is None.
        begun: told the name of each whose lock is being made, on a thread of its own.
        done: told the name of each whose lock was made or cannot be, on a thread of its own.
        following: gives what changes together with lock files.

    Returns:
        What became of each. Where there is an error, nothing was written.

    Raises:
        NotFoundError: none of the flavors has any of the packages.
        BusyError, StorageError: a folder is held or a file was changed meanwhile, or the file system
            refused; nothing was written.
    """

    def lock(plan: Plan | Bumped) -> _Made:
        name = plan.flavor if isinstance(plan, Bumped) else plan.flavor.name
        try:
            if isinstance(plan, Bumped):
                return _Made(outcome=plan)
            if plan.is_settled:
                return _noted(plan, request)
            begun(name)
            return _make(plan, request, options, proving, following)
        finally:
            done(name)

    with open_transaction(one.folder for one in flavors) as transaction, open_proving() as proving:
        planned = attempt_in_parallel(lambda flavor: plan_bump(flavor, request, options), flavors, jobs=jobs)
        plans = [plan for plan in planned if not isinstance(plan, FactoryError)]
        if len(plans) < len(flavors):
            return _failed(flavors, [_as_planned(plan) for plan in planned])
        _refuse_nowhere(plans, request)
        made = attempt_in_parallel(lock, plans, jobs=jobs)
        whole = [item for item in made if not isinstance(item, FactoryError)]
        if len(whole) < len(flavors):
            return _failed(
                flavors, [item if isinstance(item, FactoryError) else item.outcome for item in made]
            )
        files = [file for item in whole for file in item.files]
        if not request.dry_run:
            transaction.commit(files)
    return BumpReport(
        flavors=tuple(item.outcome for item in whole), written=bool(files) and not request.dry_run
    )


def _noted(plan: Plan, request: BumpRequest) -> _Made:
    """The files of a flavor whose floors stand, and that gets a reason for them: its lock stays."""
    return _Made(outcome=replace(plan.outcome, state=_state(request)), files=_project_file(plan))


def _project_file(plan: Plan) -> tuple[Replacement, ...]:
    if not plan.floored.edits:
        return ()
    path, content = plan.flavor.folder / PROJECT_FILE, plan.floored.text.encode()
    return (Replacement(path=path, before=plan.text.encode(), content=content),)


def _state(request: BumpRequest) -> str:
    return "would-change" if request.dry_run else "changed"


def _make(
    plan: Plan,
    request: BumpRequest,
    options: LockOptions,
    proving: Proving,
    following: Following | None,
) -> _Made:
    """The files of a flavor with its floors.

    Raises:
        MovesError: other packages would have to move, and that was not allowed.
        IndexGapError, ResolutionError: it cannot be locked.
        FactoryError: what follows from the lock cannot be made.
    """
    flavor = plan.flavor
    project = parse_project(plan.floored.text, where=str(flavor.folder / PROJECT_FILE))
    meant = {floor.package for floor in plan.floors}
    held = {name: version for name, version in plan.locked.items() if name not in meant}
    moves: tuple[Move, ...] = ()
    try:
        new = make_lock(flavor.name, project, plan.lock, options, held=held, proving=proving)
    except (ResolutionError, IndexGapError) as error:
        # Where it fails without holding anything as well, that is the error which says why.
        new = make_lock(flavor.name, project, plan.lock, options, proving=proving)
        moves = _moves(plan, project, new, meant, options)
        if moves and not request.allow_moves:
            raise _moves_error(plan, moves, error) from error
    followed = () if following is None or request.dry_run else tuple(following(flavor, project, new.lock_set))
    files = (
        *rendered_anew(flavor, old=plan.project, new=project),
        *lock_changes(flavor.folder, project.spec, new),
        *followed,
        *_project_file(plan),
    )
    return _Made(
        outcome=replace(
            plan.outcome,
            state=_state(request),
            changes=compare(plan.lock.pins, new.pins),
            moves=moves,
            notes=plan.outcome.notes + _from_folders(new, meant),
            followed=tuple(item.path.name for item in followed),
        ),
        files=files,
    )


def _from_folders(new: NewLock, meant: Collection[str]) -> tuple[str, ...]:
    return tuple(
        f"{name} comes from {folder}, not from the index"
        for name, folder in new.from_folders.items()
        if name in meant
    )


def _moves(
    plan: Plan, project: Project, new: NewLock, meant: Collection[str], options: LockOptions
) -> tuple[Move, ...]:
    after = {pin.name: pin.version for pin in new.pins if pin.version is not None}
    with open_shelf(project.spec, wheel_folders(project.spec, options)) as shelf:
        return moves_between(plan.locked, after, meant=meant, project=project, shelf=shelf)


def _moves_error(plan: Plan, moves: tuple[Move, ...], refused: FactoryError) -> MovesError:
    wanted = " and ".join(map(str, plan.floors))
    lines = [f"{wanted} can be had only where other packages move as well:"]
    for move in moves:
        lines.append(f"  {move.package} {move.before} -> {move.after}")
        lines += [f"    since {reason}" for reason in move.why]
    if not all(move.why for move in moves):
        lines += ["uv's words for why they cannot stay:", refused.reason]
    return MovesError(
        "\n".join(lines),
        solution="Give --allow-moves to move them too, or a lower floor; nothing was changed.",
        moves=moves,
    )


def _refuse_nowhere(plans: Sequence[Plan | Bumped], request: BumpRequest) -> None:
    """Refuse packages that no flavor has: their names are misspelt, or nothing needs them."""
    outcomes = [plan if isinstance(plan, Bumped) else plan.outcome for plan in plans]
    looked_at = [outcome for outcome in outcomes if outcome.absent or outcome.state != "left-alone"]
    for floor in request.floors:
        if all(floor.package in outcome.absent for outcome in looked_at):
            raise NotFoundError(
                f"no locked flavor has {floor.package}",
                solution="Look at the name; a package that a flavor lacks is added to its pyproject.toml.",
            )


def _as_planned(plan: Plan | Bumped | FactoryError) -> Bumped | FactoryError:
    return plan.outcome if isinstance(plan, Plan) else plan


def _failed(flavors: Sequence[Flavor], outcomes: Sequence[Bumped | FactoryError]) -> BumpReport:
    """The report where at least one flavor failed, so that nothing was changed in any."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, FactoryError)]
    return BumpReport(
        flavors=tuple(
            _failure(flavor, outcome) if isinstance(outcome, FactoryError) else _untouched(outcome)
            for flavor, outcome in zip(flavors, outcomes, strict=True)
        ),
        error=errors[0],
    )


def _failure(flavor: Flavor, error: FactoryError) -> Bumped:
    return Bumped(
        flavor=flavor.name,
        state="failed",
        error=error,
        gaps=error.gaps if isinstance(error, IndexGapError) else (),
        moves=moves_of(error),
    )


def _untouched(outcome: Bumped) -> Bumped:
    settled = outcome.state in {"nothing-to-do", "left-alone"} and not outcome.lines
    return outcome if settled else replace(outcome, state="not-changed")


_ARRAYS = {
    "dependencies": "[project] dependencies",
    "constraint-dependencies": "[tool.uv] constraint-dependencies",
    "override-dependencies": "[tool.uv] override-dependencies",
}
_STATES = {
    "changed": "changed",
    "would-change": "would change",
    "nothing-to-do": "nothing to do: the floor stands, and the lock is above it",
    "left-alone": "left alone",
    "failed": "cannot be changed",
    "not-changed": "not changed, since another flavor cannot be",
}
_OVERRIDE = "override-dependencies"


def describe(report: BumpReport) -> tuple[str, ...]:
    """The report in lines: of each flavor what changes in pyproject.toml, and in the lock."""
    lines = [line for flavor in report.flavors for line in _flavor(flavor)]
    if report.error and len(report.flavors) > 1:
        lines.append("nothing was written in any flavor")
    return tuple(lines)


def warnings(report: BumpReport) -> tuple[str, ...]:
    """What a person should act on, flavor by flavor."""
    return tuple(warning for flavor in report.flavors for warning in flavor.warnings)


def _flavor(outcome: Bumped) -> Iterator[str]:
    kind = f" ({type(outcome.error).__name__})" if outcome.error else ""
    yield f"{outcome.flavor}: {_STATES[outcome.state]}{kind}"
    yield from (f"  {package} is not in it" for package in outcome.absent)
    yield from (f"  {note}" for note in outcome.notes)
    for line in outcome.lines:
        if line.before == line.after:
            yield f"  {_ARRAYS[line.array]}: {line.after} stays, with the reason beside it"
            continue
        was = f"  (was {line.before})" if line.before is not None else ""
        wins = ", which wins over every other" if line.array == _OVERRIDE else ""
        yield f"  {_ARRAYS[line.array]}{wins}: {line.after}{was}"
    if not outcome.error:
        yield from (f"  {move.package} has to move: {why}" for move in outcome.moves for why in move.why)
    if outcome.changes is not None:
        yield from change_lines(outcome.changes)
