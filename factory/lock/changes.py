"""What a new lock changes against the one before it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from factory.lock.lockfile import LockFile, Pin
from factory.lock.lockset import LockSet
from factory.masking import masked


@dataclass(frozen=True, kw_only=True)
class PinChange:
    """A package whose pin differs. ``before`` and ``after`` are versions, None where there is no pin.

    ``files`` are the artifacts that are new under a version that stayed.
    """

    name: str
    before: str | None
    after: str | None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Every difference between two locks, by name; ``rehashed`` kept its version and not its hashes."""

    added: tuple[PinChange, ...] = ()
    removed: tuple[PinChange, ...] = ()
    changed: tuple[PinChange, ...] = ()
    rehashed: tuple[PinChange, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.changed or self.rehashed)


def compare(before: Iterable[Pin], after: Iterable[Pin]) -> Changes:
    """The differences between the pins of a lock and those of a new one."""
    old = {pin.name: pin for pin in before}
    new = {pin.name: pin for pin in after}
    added = [_change(None, new[name]) for name in sorted(new.keys() - old.keys())]
    removed = [_change(old[name], None) for name in sorted(old.keys() - new.keys())]
    both = [(old[name], new[name]) for name in sorted(old.keys() & new.keys())]
    return Changes(
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(_change(a, b) for a, b in both if a.version != b.version),
        rehashed=tuple(
            _change(a, b) for a, b in both if a.version == b.version and _digests(a) != _digests(b)
        ),
    )


def compare_form(before: LockSet | None, after: LockSet) -> tuple[str, ...]:
    """What differs between two locks beside their pins, in words."""
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
        yield "does not tell what it was made from: it was not made by `factory lock`, or was edited"
    elif before.inputs != after.inputs:
        yield "was made from another pyproject.toml"
    if before.index_urls != after.index_urls:
        old, new = (
            " and ".join(map(masked, urls)) or "no index" for urls in (before.index_urls, after.index_urls)
        )
        yield f"names {old}, and should name {new}"
    if before.inputs is not None and not before.as_locked:
        yield "was edited"


def _change(before: Pin | None, after: Pin | None) -> PinChange:
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
