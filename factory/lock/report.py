"""What a run of ``factory lock`` tells, as data and in words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from factory.console import Report
from factory.errors import FactoryError, IndexGapError
from factory.lock.changes import Changes, PinChange
from factory.lock.locking import Failed, Locked


@dataclass(frozen=True, kw_only=True)
class ErrorBody:
    """An error as data. ``gaps`` holds what the index lacks, where that is the error."""

    kind: str
    reason: str
    solution: str
    exit_code: int
    gaps: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FlavorReport:
    """One flavor: ``state`` is locked, unchanged, changed (with --dry-run or --check) or failed.

    ``form`` is what changes beside the pins; ``orphans`` are lock files of indexes that are no more;
    ``followed`` are the files that changed together with the lock.
    """

    flavor: str
    state: str
    packages: int = 0
    artifacts: int = 0
    changes: Changes | None = None
    from_folders: dict[str, str] | None = None
    form: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()
    error: ErrorBody | None = None


@dataclass(frozen=True, kw_only=True)
class LockReport(Report):
    """Every flavor of the run. ``error`` is that of the first that failed; it gives the exit code.

    ``checked``: nothing was to be written, and what would change is a difference.
    """

    flavors: tuple[FlavorReport, ...]
    error: ErrorBody | None
    checked: bool = False

    def failures(self) -> Iterator[ErrorBody]:
        if self.error:
            yield self.error

    def differs(self) -> bool:
        return self.checked and any(flavor.state == "changed" for flavor in self.flavors)

    def describe(self) -> Iterator[str]:
        """Yield what happened to each flavor, and each pin that changed."""
        words = _CHECKED if self.checked else _LOCKED
        for flavor in self.flavors:
            if flavor.error:
                what = "could not be checked" if self.checked else "not locked, nothing was written"
                yield f"{flavor.flavor}: {what} ({flavor.error.kind})"
                continue
            state = words.get(flavor.state, flavor.state)
            yield f"{flavor.flavor}: {state}, {flavor.packages} packages, {flavor.artifacts} artifacts"
            yield from change_lines(flavor.changes or Changes(), packages=flavor.packages)
            if self.checked or not flavor.changes:
                yield from (f"  {text}" for text in flavor.form)
            yield from (f"  {name} is of an index that the spec does not name" for name in flavor.orphans)
        failed = sum(flavor.error is not None for flavor in self.flavors)
        if failed and len(self.flavors) > 1:
            yield f"{failed} of {len(self.flavors)} flavors could not be locked"


_LOCKED = {"changed": "would change", "unchanged": "locked as it was"}
_CHECKED = {
    "changed": "is not what its index and pyproject.toml give now",
    "unchanged": "is what its index and pyproject.toml give",
}


def report_of(outcomes: Sequence[Locked | Failed], *, checked: bool = False) -> LockReport:
    """The outcomes of a run as data."""
    flavors = tuple(_flavor(outcome) for outcome in outcomes)
    error = next((flavor.error for flavor in flavors if flavor.error), None)
    return LockReport(flavors=flavors, error=error, checked=checked)


def notes_on(outcomes: Sequence[Locked | Failed]) -> tuple[str, ...]:
    """What is to be said beside the result: errors in full, and pins that the index alone cannot give."""
    return tuple(note for outcome in outcomes for note in _notes(outcome))


def failures(outcomes: Iterable[object]) -> tuple[str, ...]:
    """The errors of a run in full, of any kind of outcomes."""
    return tuple(
        f"error: {item.flavor}: {item.error.reason}\n  what to do: {item.error.solution}"
        for item in outcomes
        if isinstance(item, Failed)
    )


def change_lines(changes: Changes, *, packages: int | None = None) -> Iterator[str]:
    """A line for each pin that changed; a lock whose ``packages`` are all new is told in one."""
    if not changes:
        yield "  no pin has changed"
    elif len(changes.added) == packages and not changes.removed:
        yield f"  {packages} added: it was not locked before"
        return
    yield from (f"  + {change.name} {change.after}" for change in changes.added)
    yield from (f"  - {change.name} {change.before}" for change in changes.removed)
    yield from (f"  ~ {change.name} {change.before} -> {change.after}" for change in changes.changed)
    yield from (f"  # {change.name} {change.after}: {_files(change)}" for change in changes.rehashed)


def _files(change: PinChange) -> str:
    return f"new hash of {', '.join(change.files)}" if change.files else "fewer hashes"


def _flavor(outcome: Locked | Failed) -> FlavorReport:
    if isinstance(outcome, Failed):
        return FlavorReport(flavor=outcome.flavor, state="failed", error=error_body(outcome.error))
    state = "locked" if outcome.written else "changed" if outcome.differs else "unchanged"
    return FlavorReport(
        flavor=outcome.flavor,
        state=state,
        packages=outcome.packages,
        artifacts=outcome.artifacts,
        changes=outcome.changes,
        from_folders=outcome.from_folders,
        form=outcome.form,
        orphans=outcome.orphans,
        followed=outcome.followed,
    )


def error_body(error: FactoryError) -> ErrorBody:
    """An error as data."""
    return ErrorBody(
        kind=type(error).__name__,
        reason=error.reason,
        solution=error.solution,
        exit_code=error.exit_code,
        gaps=error.gaps if isinstance(error, IndexGapError) else (),
    )


def _notes(outcome: Locked | Failed) -> Iterator[str]:
    if isinstance(outcome, Failed):
        yield from failures((outcome,))
        return
    for name, folder in outcome.from_folders.items():
        yield f"{outcome.flavor}: {name} comes from {folder}, not from the index"
    for name in outcome.idle:
        yield f"{outcome.flavor}: nothing that is required comes from the index {name!r}"
    for name in outcome.not_locked_before:
        yield f"warning: {outcome.flavor}: --upgrade-package {name}: it was not in the lock"
