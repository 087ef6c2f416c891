"""Lock images: each is locked whole or left unchanged, several side by side, parents before children."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name

from factory.errors import (
    FactoryError,
    IndexAccessError,
    IndexGapError,
    LockFileError,
    ResolutionError,
    SpecError,
)
from factory.flavor.edit import add_item
from factory.flavor.project import PROJECT_FILE, Project, parse_project, read_project_text
from factory.flavor.repository import Flavor, in_parent_order
from factory.flavor.spec import Spec
from factory.index.cache import cache_folder
from factory.lock.find_links import WheelFolder, open_wheel_folder, size_and_time
from factory.lock.given import GivenPackages, NewLocks, given_packages, project_on
from factory.lock.judgement import refuse_other_builds, require_sound_lock
from factory.lock.lockfile import Artifact, Pin
from factory.lock.lockset import (
    LockSet,
    format_lock_set,
    inputs_digest,
    keep_recorded,
    orphans,
    parse_lock_set,
    read_lock_set,
)
from factory.lock.narrow import best_wheel, tag_ranks
from factory.lock.replacing import Replaced, broken_by, conflicts_of, refusal_of, replaced_by
from factory.lock.report import FailedFlavor, Locked, compare_form, compare_pins
from factory.lock.resolution import Disagreement, Refused, folder_of, resolve_project
from factory.lock.uv import Package, Wheel
from factory.lock.verify import IndexVerifier, open_index_verifier
from factory.process import Cancellation
from factory.transaction import Replacement, open_transaction, read_before

_LEAST_JOBS = 4
Following = Callable[[Flavor, Project, LockSet], Sequence[Replacement]]
"""Returns the files that change together with a new lock, such as an SBOM."""


class Explain(Protocol):
    """Returns the error of a failed resolution, such as with every gap of the index."""

    def __call__(
        self,
        project: Project,
        refused: Refused | Disagreement,
        /,
        *,
        preferences: Mapping[str, str],
        folders: tuple[WheelFolder, ...],
    ) -> FactoryError: ...


@dataclass(frozen=True, kw_only=True)
class LockOptions:
    """How to lock. ``public_find_links`` serve flavors without an index URL, ``find_links`` all of them.

    ``only_recorded``: sizes and times missing from the previous lock do not count as changes.
    ``other_builds``: another build may replace a locked one. ``replacing``: packages of the parents may be
    replaced, and those that are become ``replaces`` of the spec. ``explain`` makes the error of a failed
    resolution.
    """

    explain: Explain
    upgrade: bool = False
    upgrade_packages: tuple[str, ...] = ()
    find_links: tuple[Path, ...] = ()
    public_find_links: tuple[Path, ...] = ()
    dry_run: bool = False
    only_recorded: bool = False
    other_builds: bool = False
    replacing: bool = False
    cache: Path = field(default_factory=cache_folder)


@dataclass(frozen=True, kw_only=True)
class NewLock:
    """A new lock before it is written: its pins, and each file's text by file name.

    ``from_folders`` maps packages that came from a folder of wheels to it. ``replaced`` are the packages of
    the parents that are locked in another version; ``given`` is which parent has which package,
    ``broken`` why their packages do not go with what is replaced.
    """

    pins: tuple[Pin, ...]
    files: Mapping[str, bytes]
    from_folders: dict[str, str]
    replaced: tuple[Replaced, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""

    @property
    def lock_set(self) -> LockSet:
        """Return the lock as it reads once it is written."""
        return parse_lock_set({name: content.decode() for name, content in self.files.items()})


def lock_flavors(
    flavors: Sequence[Flavor],
    options: LockOptions,
    *,
    jobs: int | None,
    begun: Callable[[str], None],
    done: Callable[[Locked | FailedFlavor], None],
    following: Following | None = None,
) -> tuple[Locked | FailedFlavor, ...]:
    """Lock several images, ``jobs`` at a time; one that fails stops none but its children.

    A child is locked when its parents are, against their new locks. An interruption stops all of them: uv is
    ended, and nothing more is started or written.

    Args:
        flavors: what to lock.
        options: how.
        jobs: how many at a time; if None as many as there are CPUs, and at least four, since each mostly
            waits for its index.
        begun: called with the name of each flavor when its work begins, on its own thread.
        done: called with each outcome when it ends, on the caller's thread.
        following: as for `lock_flavor`.

    Returns:
        The outcomes in the order of the flavors.
    """
    outcomes: dict[Path, Locked | FailedFlavor] = {}
    workers = jobs or min(max(len(flavors), 1), max(os.cpu_count() or 1, _LEAST_JOBS))
    stop = Cancellation()
    new: dict[Path, tuple[Project, LockSet]] = {}
    waiting = list(in_parent_order(flavors))
    running: dict[Future[Locked | FailedFlavor], Flavor] = {}
    with open_index_verifier() as verifier, ThreadPoolExecutor(workers, thread_name_prefix="lock") as pool:
        try:
            while waiting or running:
                for flavor in _ready(waiting, running.values()):
                    waiting.remove(flavor)
                    failed = _failed_parent(flavor, outcomes)
                    work = _outcome if failed is None else partial(_refused_child, failed)
                    task = pool.submit(work, flavor, options, stop, begun, verifier, following, new)
                    running[task] = flavor
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    outcome = outcomes[running.pop(future).folder] = future.result()
                    done(outcome)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            stop.stop()
    return tuple(outcomes[flavor.folder] for flavor in flavors)


def _ready(waiting: Collection[Flavor], running: Collection[Flavor]) -> tuple[Flavor, ...]:
    """Return the images of which no parent is still to be locked."""
    busy = {flavor.folder for flavor in (*waiting, *running)}
    return tuple(flavor for flavor in waiting if not busy & {above.folder for above in flavor.above})


def _failed_parent(flavor: Flavor, outcomes: Mapping[Path, Locked | FailedFlavor]) -> str | None:
    found = (outcomes.get(above.folder) for above in flavor.above)
    return next((outcome.flavor for outcome in found if isinstance(outcome, FailedFlavor)), None)


def _refused_child(failed: str, flavor: Flavor, *_: object) -> FailedFlavor:
    return FailedFlavor(
        flavor=flavor.name,
        error=LockFileError(
            f"its parent {failed} could not be locked, and what the parent has counts as given",
            solution=f"Do what is said for {failed}, and lock both.",
        ),
    )


def lock_flavor(
    flavor: Flavor,
    options: LockOptions,
    *,
    stop: Cancellation,
    verifier: IndexVerifier | None = None,
    following: Following | None = None,
    new_locks: dict[Path, tuple[Project, LockSet]] | None = None,
) -> Locked:
    """Resolve an image and replace its lock files; a failure writes nothing.

    Args:
        flavor: what to lock.
        options: how.
        stop: cancels the work from another thread, up to the moment of writing.
        verifier: as for `make_lock`.
        following: returns what changes together with the lock files.
        new_locks: the new locks of its parents; this one is added.

    Raises:
        SpecError: ``pyproject.toml`` is not acceptable, or requires nothing, or something from a URL.
        IndexGapError: the index lacks something; the error holds every gap.
        ResolutionError: the requirements contradict each other.
        OtherBuildError: a package would be locked in another build, such as for another accelerator.
        ReplacesParentError: a package of a parent would be replaced.
        LockFileError: a parent is not locked, or its lock is not sound.
        IndexAccessError: the index did not answer, or refused.
        IndexContentError: a file is not the package that its name says, or its page no longer lists it.
        RedirectError: a private index redirects to a host that the spec does not name.
        BusyError, NotFoundError, ProgramError, StorageError: as their names say.
    """
    with stop.active(), open_transaction([flavor.folder]) as transaction:
        text = read_project_text(flavor.folder)
        project = parse_project(text, where=str(flavor.folder / PROJECT_FILE), image=flavor)
        before = read_lock_set(flavor.folder, project.spec)
        known_locks = {} if new_locks is None else new_locks
        given = _sound_parents(flavor, project, known_locks)
        new = make_lock(flavor.name, project, before, options, verifier=verifier, given=given)
        left_behind = orphans(flavor.folder, project.spec)
        recorded, project = _with_replaces(flavor, text, project, new)
        changes = (*lock_changes(flavor.folder, project.spec, new), *recorded)
        followed = () if options.dry_run or following is None else following(flavor, project, new.lock_set)
        if not options.dry_run:
            stop.check()
            transaction.commit((*changes, *followed))
        known_locks[flavor.folder] = (project, new.lock_set)
    return _locked(
        flavor, project, before, new, options, changes=changes, followed=followed, orphans=left_behind
    )


def _locked(
    flavor: Flavor,
    project: Project,
    before: LockSet | None,
    new: NewLock,
    options: LockOptions,
    *,
    changes: Sequence[Replacement],
    followed: Sequence[Replacement],
    orphans: tuple[str, ...],
) -> Locked:
    known = before.versions() if before else {}
    return Locked(
        flavor=flavor.name,
        packages=len(new.pins),
        artifacts=sum(len(pin.artifacts) for pin in new.pins),
        changes=compare_pins(before.pins if before else (), new.pins),
        differs=bool(changes),
        written=bool(changes) and not options.dry_run,
        from_folders=new.from_folders,
        not_locked_before=tuple(
            name for name in options.upgrade_packages if canonicalize_name(name) not in known
        ),
        form=compare_form(before, new.lock_set),
        orphans=orphans,
        followed=tuple(item.path.name for item in followed),
        idle=_idle(project.spec, new.pins),
        replaced=new.replaced,
        given=new.given,
        broken=new.broken,
    )


def _sound_parents(flavor: Flavor, project: Project, new: NewLocks) -> GivenPackages:
    """Return what the parents have; each of their locks is new, or one that check accepts."""
    for above in flavor.above:
        if above.folder not in new:
            require_sound_lock(above)
    return given_packages(project, new=new)


def _with_replaces(
    flavor: Flavor, text: str, project: Project, new: NewLock
) -> tuple[tuple[Replacement, ...], Project]:
    """Return the change of ``pyproject.toml`` that records what a new lock replaces."""
    written, known = text, project.spec.replaces
    for name in sorted({item.package for item in new.replaced} - set(known)):
        written = add_item(written, ("tool", "factory", "replaces"), name, lambda comment: comment)
    if written == text:
        return (), project
    path = flavor.folder / PROJECT_FILE
    change = Replacement(path=path, before=text.encode(), content=written.encode())
    return (change,), parse_project(written, where=str(path), image=flavor)


def lock_changes(folder: Path, spec: Spec, new: NewLock) -> tuple[Replacement, ...]:
    """Return the changes that bring a flavor folder's lock files to a new lock.

    Lock files of indexes that the spec no longer has are removed.

    Raises:
        StorageError: a file cannot be read.
    """
    present = {name: read_before(folder / name) for name in new.files}
    changed = [
        Replacement(path=folder / name, before=present[name], content=content)
        for name, content in new.files.items()
        if present[name] != content
    ]
    left_behind = [
        Replacement(path=path, before=read_before(path), content=None)
        for path in (folder / name for name in orphans(folder, spec))
    ]
    return (*changed, *left_behind)


def make_lock(
    name: str,
    project: Project,
    before: LockSet | None,
    options: LockOptions,
    *,
    held: Mapping[str, str] | None = None,
    verifier: IndexVerifier | None = None,
    given: GivenPackages | None = None,
) -> NewLock:
    """Resolve a project and return its lock; reads nothing from its folder and writes nothing.

    Args:
        name: the flavor's.
        project: what is locked.
        before: the lock whose versions are kept if they are valid.
        options: how; ``dry_run`` has no effect here.
        held: versions (by normalized name) that may not change: if one has to, the resolution fails.
        verifier: shared by the flavors of a run, so that each page is read once; a new one if None.
        given: what the parents have, if their locks are not those in their folders.

    Raises:
        ReplacesParentError, LockFileError: as for `lock_flavor`.
        SpecError, IndexGapError, ResolutionError, OtherBuildError: as for `lock_flavor`.
        IndexAccessError, IndexContentError, RedirectError: as for `lock_flavor`.
        NotFoundError, ProgramError, StorageError: as for `lock_flavor`.
    """
    exact = tuple(f"{package}=={version}" for package, version in (held or {}).items())
    asked = replace(project, constraints=(*project.constraints, *exact))
    given = given_packages(project) if given is None else given
    with nullcontext(verifier) if verifier else open_index_verifier() as shared:
        made = _pins(asked, before, options, given)
        pins, from_folders, replaced = made.pins, made.from_folders, made.replaced
        if before is not None and not (options.other_builds or options.only_recorded):
            upgraded = _rebuilt(project.spec, before, options)
            refuse_other_builds(project.spec, before.pins, pins, upgraded=upgraded)
        pins = keep_recorded(pins, before, only_recorded=options.only_recorded)
        shared.verify(project.spec, pins, from_folders=from_folders)
    replaces = tuple(sorted({*project.spec.replaces, *(item.package for item in replaced)}))
    files = format_lock_set(
        name,
        project.spec,
        pins,
        inputs=inputs_digest(replace(project, spec=replace(project.spec, replaces=replaces))),
        beside_index=from_folders,
        parent=given.recorded,
    )
    return NewLock(
        pins=pins,
        files=files,
        from_folders=from_folders,
        replaced=replaced,
        given=given.owners,
        broken=made.broken,
    )


def _rebuilt(spec: Spec, before: LockSet, options: LockOptions) -> frozenset[str] | None:
    """Return the packages whose build may change: the upgraded ones; None for all."""
    urls = {url.rstrip("/") for lock in before.files.values() for url in lock.index_urls}
    wanted = {spec.url_of(name) for name in spec.index_names}
    if options.upgrade or urls != {url.rstrip("/") for url in wanted if url is not None}:
        return None
    return frozenset(map(canonicalize_name, options.upgrade_packages))


def wheel_folders(spec: Spec, options: LockOptions) -> tuple[WheelFolder, ...]:
    """Return the folders of wheels that a flavor uses beside its indexes.

    Raises:
        NotFoundError, StorageError: as for `open_wheel_folder`.
    """
    sources = options.find_links + (options.public_find_links if spec.index_url is None else ())
    return tuple(
        open_wheel_folder(
            source, python=spec.python, platforms=spec.platforms, glibc=spec.glibc, cache=options.cache
        )
        for source in dict.fromkeys(sources)
    )


def _idle(spec: Spec, pins: tuple[Pin, ...]) -> tuple[str, ...]:
    used = {spec.index_of(pin.name) for pin in pins}
    return tuple(index.name for index in spec.indexes if index.name not in used)


def _outcome(
    flavor: Flavor,
    options: LockOptions,
    stop: Cancellation,
    begun: Callable[[str], None],
    verifier: IndexVerifier,
    following: Following | None,
    new_locks: dict[Path, tuple[Project, LockSet]],
) -> Locked | FailedFlavor:
    try:
        stop.check()
        begun(flavor.name)
        return lock_flavor(
            flavor, options, stop=stop, verifier=verifier, following=following, new_locks=new_locks
        )
    except FactoryError as error:
        return FailedFlavor(flavor=flavor.name, error=error)


@dataclass(frozen=True, kw_only=True)
class _Pinned:
    """The pins of a new lock; the other fields are those of `NewLock`."""

    pins: tuple[Pin, ...]
    from_folders: dict[str, str]
    replaced: tuple[Replaced, ...]
    broken: str


def _pins(project: Project, before: LockSet | None, options: LockOptions, given: GivenPackages) -> _Pinned:
    """Return the new lock's pins: what the requirements need and the parents do not have."""
    folders = wheel_folders(project.spec, options)
    upgraded = {canonicalize_name(name) for name in options.upgrade_packages}
    known = {} if options.upgrade or before is None else before.versions()
    kept = {name: version for name, version in known.items() if name not in upgraded}
    preferences = {**given.versions, **kept}
    replacing = frozenset(project.spec.replaces)
    asked = project_on(given, project, replacing=replacing)
    resolved = resolve_project(asked, preferences=preferences, folders=folders)
    if isinstance(resolved, (Refused, Disagreement)) and given.pins:
        conflicts = conflicts_of(project, given, replacing, preferences=preferences, folders=folders)
        if conflicts and not options.replacing:
            raise refusal_of(conflicts)
        if conflicts:
            replacing |= {item.package for item in conflicts}
            asked = project_on(given, project, replacing=replacing)
            resolved = resolve_project(asked, preferences=preferences, folders=folders)
    if isinstance(resolved, (Refused, Disagreement)):
        raise options.explain(asked, resolved, preferences=preferences, folders=folders)
    if not any(resolved.values()) and not given.parent:
        raise SpecError(
            "there is nothing to lock: [project] dependencies asks for no package on "
            + " or ".join(project.spec.platforms),
            solution="Name in [project] dependencies of pyproject.toml what the image adds to its base.",
        )
    versions = {package.name: package.version for packages in resolved.values() for package in packages}
    had = given.versions
    added = {
        platform: tuple(package for package in packages if had.get(package.name) != package.version)
        for platform, packages in resolved.items()
    }
    pins, from_folders = _narrowed(project, added, folders)
    replaced = replaced_by(given, asked, versions, folders=folders)
    broken = broken_by(given, project, replaced, preferences={**had, **versions}, folders=folders)
    return _Pinned(pins=pins, from_folders=from_folders, replaced=replaced, broken=broken)


def _narrowed(
    project: Project, resolved: dict[str, tuple[Package, ...]], folders: tuple[WheelFolder, ...]
) -> tuple[tuple[Pin, ...], dict[str, str]]:
    artifacts: dict[tuple[str, str], dict[str, Artifact]] = {}
    from_folders: dict[str, str] = {}
    spec = project.spec
    for platform, packages in resolved.items():
        ranks = tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc)
        for package in packages:
            wheel = _best(package, best_wheel((wheel.file_name for wheel in package.wheels), ranks), platform)
            if wheel.local is not None:
                from_folders[package.name] = str(folder_of(wheel.local, folders).source)
            artifact = _artifact(wheel, folders)
            artifacts.setdefault((package.name, package.version), {})[artifact.sha256] = artifact
    _refuse_two_versions(artifacts)
    pins = tuple(
        Pin(
            line=0,
            text=f"{name}=={version}",
            name=name,
            version=version,
            marker=None,
            artifacts=tuple(found.values()),
        )
        for (name, version), found in sorted(artifacts.items())
    )
    return pins, dict(sorted(from_folders.items()))


def _artifact(wheel: Wheel, folders: tuple[WheelFolder, ...]) -> Artifact:
    size, uploaded = wheel.size, wheel.uploaded
    if wheel.local is not None:
        size, uploaded = size_and_time(folder_of(wheel.local, folders).source / wheel.file_name)
    return Artifact(sha256=_digest(wheel, folders), file_name=wheel.file_name, size=size, uploaded=uploaded)


def _refuse_two_versions(pinned: Collection[tuple[str, str]]) -> None:
    """Refuse two versions of one package across platforms."""
    counted = Counter(name for name, _ in pinned)
    for name in sorted(name for name, count in counted.items() if count > 1):
        versions = ", ".join(sorted(version for other, version in pinned if other == name))
        raise ResolutionError(
            f"{name} was resolved to more than one version: {versions}",
            solution="Constrain it to one that serves every platform of the flavor.",
        )


def _best(package: Package, file_name: str | None, platform: str) -> Wheel:
    if file_name is None:
        raise IndexGapError(
            f"{package.name} {package.version} has no wheel for {platform} with the C library of the spec",
            solution="Look at glibc in [tool.factory], or constrain the version.",
        )
    # Of a wheel on the index and a local one of the same name, prefer the one that everybody can download.
    named = [wheel for wheel in package.wheels if wheel.file_name == file_name]
    return min(named, key=lambda wheel: wheel.local is not None)


def _digest(wheel: Wheel, folders: tuple[WheelFolder, ...]) -> str:
    if wheel.local is not None:
        return folder_of(wheel.local, folders).sha256(wheel.file_name)
    if wheel.sha256 is None:
        raise IndexAccessError(
            f"there is no SHA-256 for {wheel.file_name}",
            solution="Ask the owners of the index to publish hashes (PEP 503).",
        )
    return wheel.sha256
