"""Describe a run of ``factory lock``, as data and in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

from factory.console import Report, plural
from factory.errors import FactoryError, IndexGapError
from factory.flavor.repository import NO_IMAGES
from factory.lock.lockfile import LockFile, Pin
from factory.lock.lockset import LockSet
from factory.lock.replacing import Replaced
from factory.masking import masked


@dataclass(frozen=True, kw_only=True)
class PinChange:
    """A package whose pin differs. ``before`` and ``after`` are versions, None without a pin.

    ``files`` are the new artifacts of an unchanged version.
    """

    name: str
    before: str | None
    after: str | None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The differences between two locks, by name; ``rehashed`` kept its version, not its hashes."""

    added: tuple[PinChange, ...] = ()
    removed: tuple[PinChange, ...] = ()
    changed: tuple[PinChange, ...] = ()
    rehashed: tuple[PinChange, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return bool(self.added or self.removed or self.changed or self.rehashed)


@dataclass(frozen=True, kw_only=True)
class Locked:
    """A flavor that was locked, or would be with ``dry_run``.

    ``differs``: a file changes; ``written``: it was written; ``form`` says what changes beside the pins.
    ``followed`` are the files that changed together with the lock. ``orphans`` are removed lock files of
    indexes that the spec no longer has. ``from_folders`` maps packages that came from a folder of wheels to
    it: the index alone lacks them. ``idle`` are further indexes from which nothing is pinned. ``replaced``
    are packages of the parents that are locked in another version; ``given`` is which parent has which
    package, ``broken`` why the parents' packages do not go with what is replaced.
    """

    flavor: str
    packages: int
    artifacts: int
    changes: Changes
    differs: bool
    written: bool
    from_folders: dict[str, str]
    not_locked_before: tuple[str, ...] = ()
    form: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""


@dataclass(frozen=True, kw_only=True)
class FailedFlavor:
    """A flavor that could not be locked and was left unchanged."""

    flavor: str
    error: FactoryError


@dataclass(frozen=True, kw_only=True)
class ErrorBody:
    """An error as data. ``gaps`` holds what the index lacks, if that is the error."""

    kind: str
    reason: str
    solution: str
    exit_code: int
    gaps: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FlavorReport:
    """One flavor: ``state`` is locked, unchanged, changed (with --dry-run or --check) or failed.

    ``form`` is what changes beside the pins; ``orphans`` are lock files of indexes that no longer exist;
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
    replaced: tuple[Replaced, ...] = ()
    broken: str = ""


@dataclass(frozen=True, kw_only=True)
class LockReport(Report):
    """Every flavor of the run. ``error`` is that of the first that failed; it sets the exit code.

    ``checked``: nothing was to be written, and a change counts as a difference.
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
        if not self.flavors:
            yield NO_IMAGES
        words = _CHECKED if self.checked else _LOCKED
        for flavor in self.flavors:
            if flavor.error:
                what = "could not be checked" if self.checked else "not locked, nothing was written"
                yield f"{flavor.flavor}: {what} ({flavor.error.kind})"
                continue
            state = words.get(flavor.state, flavor.state)
            yield f"{flavor.flavor}: {state}, {_size(flavor.packages, flavor.artifacts)}"
            yield from change_lines(flavor.changes or Changes(), packages=flavor.packages)
            if self.checked or not flavor.changes:
                yield from (f"  {text}" for text in flavor.form)
            yield from (f"  {name} is of an index that the spec does not name" for name in flavor.orphans)
        failed = sum(flavor.error is not None for flavor in self.flavors)
        if failed and len(self.flavors) > 1:
            what = "checked" if self.checked else "locked"
            yield f"{failed} of {plural(len(self.flavors), 'image')} could not be {what}"


def _size(packages: int, artifacts: int) -> str:
    if not packages:
        return "nothing to install: its parents have all that it asks for"
    return f"{plural(packages, 'package')}, {plural(artifacts, 'artifact')}"


_LOCKED = {"changed": "would change", "unchanged": "locked as it was"}
_CHECKED = {
    "changed": "is not what its index and pyproject.toml give now",
    "unchanged": "is what its index and pyproject.toml give",
}


def report_of(outcomes: Sequence[Locked | FailedFlavor], *, checked: bool = False) -> LockReport:
    """Return the outcomes of a run as data."""
    flavors = tuple(_flavor(outcome) for outcome in outcomes)
    error = next((flavor.error for flavor in flavors if flavor.error), None)
    return LockReport(flavors=flavors, error=error, checked=checked)


def lock_notes(outcomes: Sequence[Locked | FailedFlavor]) -> tuple[str, ...]:
    """Return notes beside the result: full errors, and pins that the index alone lacks."""
    return tuple(note for outcome in outcomes for note in _notes(outcome))


def failures(outcomes: Iterable[object]) -> tuple[str, ...]:
    """Return the errors of outcomes of any kind, in full."""
    return tuple(
        f"error: {item.flavor}: {item.error.reason}\n  what to do: {item.error.solution}"
        for item in outcomes
        if isinstance(item, FailedFlavor)
    )


def change_lines(changes: Changes, *, packages: int | None = None) -> Iterator[str]:
    """Yield a line per changed pin; one line if all ``packages`` of a lock are new."""
    if not changes:
        yield "  no pin has changed"
    elif len(changes.added) == packages and not changes.removed:
        yield f"  {plural(len(changes.added), 'package')} added: it was not locked before"
        return
    yield from (f"  + {change.name} {change.after}" for change in changes.added)
    yield from (f"  - {change.name} {change.before}" for change in changes.removed)
    yield from (f"  ~ {change.name} {change.before} -> {change.after}" for change in changes.changed)
    yield from (f"  # {change.name} {change.after}: {_files(change)}" for change in changes.rehashed)


def _files(change: PinChange) -> str:
    return f"new hash of {', '.join(change.files)}" if change.files else "fewer hashes"


def _flavor(outcome: Locked | FailedFlavor) -> FlavorReport:
    if isinstance(outcome, FailedFlavor):
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
        replaced=outcome.replaced,
        broken=outcome.broken,
    )


def error_body(error: FactoryError) -> ErrorBody:
    """Return an error as data."""
    return ErrorBody(
        kind=type(error).__name__,
        reason=error.reason,
        solution=error.solution,
        exit_code=error.exit_code,
        gaps=error.gaps if isinstance(error, IndexGapError) else (),
    )


def _notes(outcome: Locked | FailedFlavor) -> Iterator[str]:
    if isinstance(outcome, FailedFlavor):
        yield from failures((outcome,))
        return
    for name, folder in outcome.from_folders.items():
        yield f"{outcome.flavor}: {name} comes from {folder}, not from the index"
    for name in outcome.idle:
        yield f"{outcome.flavor}: nothing that is required comes from the index {name!r}"
    for item in outcome.replaced:
        yield f"{outcome.flavor}: replaces {item}"
    if outcome.broken:
        yield (
            f"warning: {outcome.flavor}: beside what it replaces, packages of its parents lack what they "
            f"require:\n{outcome.broken}"
        )
    for name in outcome.not_locked_before:
        owner = outcome.given.get(canonicalize_name(name))
        why = "it was not in the lock" if owner is None else f"{owner} has it: upgrade it there"
        yield f"warning: {outcome.flavor}: --upgrade-package {name}: {why}"


def compare_pins(before: Iterable[Pin], after: Iterable[Pin]) -> Changes:
    """Return the differences between the pins of two locks."""
    old = {pin.name: pin for pin in before}
    new = {pin.name: pin for pin in after}
    added = [_pin_change(None, new[name]) for name in sorted(new.keys() - old.keys())]
    removed = [_pin_change(old[name], None) for name in sorted(old.keys() - new.keys())]
    both = [(old[name], new[name]) for name in sorted(old.keys() & new.keys())]
    return Changes(
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(_pin_change(a, b) for a, b in both if a.version != b.version),
        rehashed=tuple(
            _pin_change(a, b) for a, b in both if a.version == b.version and _digests(a) != _digests(b)
        ),
    )


def compare_form(before: LockSet | None, after: LockSet) -> tuple[str, ...]:
    """Describe the differences between two locks beside their pins."""
    if before is None:
        return ()
    found = [f"{name} is not there" for name in after.files if name not in before.files]
    for name, lock in after.files.items():
        if (old := before.files.get(name)) is not None:
            found += [f"{name} {text}" for text in _form(old, lock)]
    if not found and len(after.files) > 1 and not before.belongs_together:
        found.append("the files are not those of one run")
    return tuple(found)


def _form(before: LockFile, after: LockFile) -> Iterator[str]:
    if before.inputs is None:
        yield "does not say what it was made from: it was not made by `factory lock`, or was edited"
    elif before.inputs != after.inputs:
        yield "was made from another pyproject.toml"
    if before.parent != after.parent:
        yield "was made against other packages of its parent"
    if before.index_urls != after.index_urls:
        old, new = (
            " and ".join(map(masked, urls)) or "no index" for urls in (before.index_urls, after.index_urls)
        )
        yield f"names {old}, and should name {new}"
    if before.inputs is not None and not before.as_locked:
        yield "was edited"


def _pin_change(before: Pin | None, after: Pin | None) -> PinChange:
    kept = before or after
    known = _digests(before) if before else frozenset()
    same_version = before is not None and after is not None and before.version == after.version
    files = [
        artifact.file_name or f"sha256:{artifact.sha256}"
        for artifact in (after.artifacts if after and same_version else ())
        if artifact.sha256 not in known
    ]
    return PinChange(
        name=kept.name if kept else "",
        before=before.version if before else None,
        after=after.version if after else None,
        files=tuple(files),
    )


def _digests(pin: Pin) -> frozenset[str]:
    return frozenset(artifact.sha256 for artifact in pin.artifacts)
