"""Delete what was decided: in order, each by its digest, and nothing whose tags have changed meanwhile."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from factory.console import Progress
from factory.errors import RegistryError
from factory.registry.declared import Registry
from factory.registry.drivers.driver import Driver
from factory.registry.retention import Key, Verdict, has_it_too

State = Literal["deleted", "gone already", "failed", "kept"]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """The result of deleting a manifest; ``reason`` says why it still exists."""

    state: State
    reason: str = ""
    error: RegistryError | None = None

    @property
    def is_gone(self) -> bool:
        """Return whether it no longer exists."""
        return self.state in {"deleted", "gone already"}


@dataclass(kw_only=True)
class _Run:
    drivers: Mapping[str, Driver]
    verdicts: Mapping[Key, Verdict]
    progress: Progress
    persistent: tuple[Registry, ...]
    done: dict[Key, Removed] = field(default_factory=dict)
    begun: set[Key] = field(default_factory=set)
    tags: dict[tuple[str, str], Mapping[str, str] | RegistryError] = field(default_factory=dict)


def remove(
    verdicts: Iterable[Verdict],
    drivers: Mapping[str, Driver],
    *,
    progress: Progress,
    persistent: Iterable[Registry] = (),
) -> dict[Key, Removed]:
    """Delete what goes; a failure does not stop the others.

    The attachments and children of an image are deleted before it, so that an interruption leaves none
    behind and the next run finds the rest. Just before each delete, the tags of the repository are read
    again: a manifest that gained or lost one stays, since a delete removes all its tags.

    Args:
        verdicts: Of `decide`; those that stay are skipped.
        drivers: By the name of their registry.
        progress: Advances with each deletion.
        persistent: The persistent registries of the repository. Each is asked, under its own host, for what
            is to be deleted: one registry can have two names without anything saying so.
    """
    run = _Run(
        drivers=drivers,
        persistent=tuple(persistent),
        verdicts={verdict.key: verdict for verdict in verdicts if verdict.goes},
        progress=progress,
    )
    for key in run.verdicts:
        _remove(run, key)
    _remove_parts(run)
    return run.done


def _remove(run: _Run, key: Key) -> None:
    if key in run.begun:
        return
    run.begun.add(key)
    verdict = run.verdicts[key]
    for need in verdict.needs:
        if need in run.verdicts:
            _remove(run, need)
    run.done[key] = _outcome(run, verdict)
    run.progress.advance(message=f"{run.done[key].state} {key[1]}@{key[2]}")


def _outcome(run: _Run, verdict: Verdict) -> Removed:
    for need in verdict.needs:
        # One that is not done yet needs this one in turn: labels can form a cycle, digests cannot.
        if need in run.done and not run.done[need].is_gone:
            return Removed(state="kept", reason=f"{need[1]}@{need[2][:19]} still exists, and needs it")
    name, repository, digest = verdict.key
    try:
        # Tags that were read for an earlier delete may have changed since.
        run.tags.pop((name, repository), None)
        if _is_changed(run, verdict):
            return Removed(state="kept", reason="its tags changed meanwhile: run it again")
        if _is_of_changed(run, verdict):
            return Removed(
                state="kept", reason="the tags of what it belongs to changed meanwhile: run it again"
            )
        if reason := _guarded(run, repository, (digest, *verdict.image.subjects)):
            return Removed(state="kept", reason=reason)
        deleted = run.drivers[name].delete(repository, digest)
    except RegistryError as error:
        return Removed(state="failed", reason=error.reason, error=error)
    return Removed(state="deleted" if deleted else "gone already")


def _guarded(run: _Run, repository: str, digests: Iterable[str]) -> str:
    """Return why a manifest stays: a persistent registry has it, or its subject, under its own host."""
    for registry in run.persistent:
        if not f"{repository}/".startswith(registry.repository("")):
            continue
        try:
            driver = run.drivers.get(registry.name)
            found = driver is None or any(driver.has(repository, digest) for digest in digests)
        except RegistryError as error:
            return f"the persistent registry {registry.name} does not say whether it has this: {error.reason}"
        if found:
            return has_it_too(registry.name)
    return ""


def _is_changed(run: _Run, verdict: Verdict) -> bool:
    """Return whether a manifest gained or lost a tag; one that no longer exists did not."""
    name, repository, digest = verdict.key
    tags = {tag for tag, there in _tags(run, name, repository).items() if there == digest}
    if tags or not verdict.image.tags:
        return tags != set(verdict.image.tags)
    return run.drivers[name].has(repository, digest)


def _is_of_changed(run: _Run, verdict: Verdict, seen: frozenset[Key] = frozenset()) -> bool:
    """Return whether the subject of an attachment stays because its tags changed: it would lose it.

    ``seen`` are those on the path to this one: tags can say of two that each belongs to the other.
    """
    way = seen | {verdict.key}
    subjects = set(verdict.image.subjects)
    return any(
        _is_changed(run, other) or _is_of_changed(run, other, way)
        for other in run.verdicts.values()
        if other.key[:2] == verdict.key[:2]
        and other.key not in way
        and subjects.intersection((other.image.digest, *other.image.parts))
    )


def _tags(run: _Run, name: str, repository: str) -> Mapping[str, str]:
    """Return the tags of a repository as they were last read.

    Raises:
        RegistryError: they cannot be read.
    """
    if (name, repository) not in run.tags:
        try:
            run.tags[name, repository] = run.drivers[name].tags(repository)
        except RegistryError as error:
            run.tags[name, repository] = error
    found = run.tags[name, repository]
    if isinstance(found, RegistryError):
        raise found
    return found


def _remove_parts(run: _Run) -> None:
    """Delete the unlisted parts of deleted indexes that no other index names."""
    gone: dict[tuple[str, str], set[str]] = defaultdict(set)
    there: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (name, repository, digest), verdict in run.verdicts.items():
        removed = run.done[name, repository, digest]
        (gone if removed.is_gone else there)[name, repository].update(verdict.loose_parts)
    for (name, repository), digests in gone.items():
        for digest in sorted(digests - there[name, repository]):
            try:
                tagged = digest in _tags(run, name, repository).values()
                if not tagged and not _guarded(run, repository, (digest,)):
                    run.drivers[name].delete(repository, digest)
            except RegistryError as error:
                run.done[name, repository, digest] = Removed(state="failed", reason=error.reason, error=error)
