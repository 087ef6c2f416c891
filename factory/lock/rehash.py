"""Rehash: keep the versions of a lock and take the hashes that its indexes have now.

A lock that is as the factory wrote it is not resolved. Of each version the wheel that fits each platform best
is taken, as for a new lock. The metadata of changed files is read: a file under an old name may be another
package.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from factory.console import Report, plural
from factory.errors import FactoryError, IndexGapError, LockFileError, ResolutionError
from factory.files import read_regular
from factory.flavor.project import Project
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient
from factory.index.pages import IndexFile
from factory.index.wheel import check_wheel_at
from factory.lock.find_links import file_sha256, find_wheel, size_and_time
from factory.lock.given import is_stale
from factory.lock.judgement import judge_lock, judge_requirements, refusals, refuse
from factory.lock.lockfile import LOCKED_BY, Artifact, Pin
from factory.lock.locking import Following, LockOptions, NewLock, lock_changes, make_lock
from factory.lock.lockset import (
    LockSet,
    format_lock_set,
    keep_recorded,
    lock_file_name,
    misplaced,
    require_lock_set,
)
from factory.lock.narrow import best_wheel, platforms_of, tag_ranks
from factory.lock.package_finder import Offer
from factory.lock.report import ErrorBody, FailedFlavor, error_body
from factory.lock.verify import CONNECTIONS, Page, PinnedPages, open_clients, requires_on_index
from factory.transaction import Replacement, open_transaction


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """A pinned version that an index lacks as it was locked: for which platforms, and why."""

    package: str
    version: str
    platforms: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file that was not locked before, and the client of its index."""

    client: IndexClient
    file: IndexFile

    def prove(self) -> None:
        """Check that it is a valid wheel of the package and version in its name.

        Raises:
            IndexContentError: it is not, or its metadata cannot be read.
            IndexAccessError: the index refused, failed or did not answer.
        """
        self.client.check_identity(self.file)
        self.client.metadata(self.file)


@dataclass(frozen=True, kw_only=True)
class FreshPin:
    """A pin as it would be locked now, and its files that were not locked before."""

    pin: Pin
    new: tuple[NewFile, ...] = ()


def fresh_pin(spec: Spec, pin: Pin, page: Page) -> FreshPin | Lacking:
    """Return a pin with the wheels of its version that fit each platform best.

    A yanked file is taken if the version has no other (PEP 592), as for any exact pin.
    """
    version = pin.version or ""
    files = page.of_version(pin.name, version)
    if not files:
        what = f"no project {pin.name}" if page.files is None else f"no file of {pin.name} {version}"
        return _lacking(pin, spec.platforms, f"{page.index} has {what} any more")
    usable = [file for file in files if not file.yanked] or list(files)
    by_name = {
        file.file_name: file
        for file in usable
        if Offer(file_name=file.file_name, requires_python=file.requires_python).runs_on(spec.python)
    }
    chosen: dict[str, IndexFile] = {}
    without = []
    for platform in spec.platforms:
        ranks = tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc)
        name = best_wheel(by_name, ranks)
        if name is None:
            without.append(platform)
        else:
            chosen[name] = by_name[name]
    if without:
        return _lacking(pin, tuple(without), f"{page.index} has {_wheels_in_words(files)}")
    silent = sorted(name for name, file in chosen.items() if file.sha256 is None)
    if silent:
        return _lacking(pin, spec.platforms, f"{page.index} gives no digest of {', '.join(silent)}")
    return _fresh(pin, chosen, page)


def _fresh(pin: Pin, chosen: dict[str, IndexFile], page: Page) -> FreshPin:
    known = {artifact.sha256 for artifact in pin.artifacts}
    artifacts = tuple(
        Artifact(sha256=file.sha256 or "", file_name=name, size=file.size, uploaded=file.uploaded)
        for name, file in chosen.items()
    )
    return FreshPin(
        pin=replace(pin, artifacts=artifacts),
        new=tuple(
            NewFile(client=page.client, file=file) for file in chosen.values() if file.sha256 not in known
        ),
    )


def _lacking(pin: Pin, platforms: tuple[str, ...], reason: str) -> Lacking:
    return Lacking(package=pin.name, version=pin.version or "", platforms=platforms, reason=reason)


def _wheels_in_words(files: Sequence[IndexFile]) -> str:
    wheels = [file.file_name for file in files if file.file_name.endswith(".whl")]
    if not wheels:
        return "only an sdist of it"
    platforms = platforms_of(wheels)
    return f"wheels of it for {', '.join(platforms) or 'other platforms'} ({', '.join(sorted(wheels)[:3])})"


_NAMELESS = "a file whose name is not locked"


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A changed file of an unchanged version; ``before`` and ``after`` are SHA-256 in hex.

    ``before`` is None for a file that was not locked, ``after`` for one that is no longer locked.
    """

    lock_file: str
    package: str
    version: str
    file_name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Rehashed:
    """A flavor whose hashes were taken again, or would be with ``dry_run``.

    ``kept`` are packages from a folder of wheels: no index has their hashes, and they are hashed only if that
    folder is given. ``stale``: the lock's inputs differ from ``pyproject.toml``, before and after.
    ``resolved``: it had been edited, and a resolution confirmed its versions. ``followed`` are the files that
    changed together with the lock.
    """

    flavor: str
    packages: int
    artifacts: int
    changes: tuple[FileChange, ...]
    written: bool
    kept: tuple[str, ...] = ()
    stale: bool = False
    resolved: bool = False
    followed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Subject:
    flavor: Flavor
    project: Project
    locks: LockSet


def rehash_flavors(
    flavors: Sequence[Flavor],
    options: LockOptions,
    *,
    done: Callable[[Rehashed | FailedFlavor], None],
    following: Following | None = None,
) -> tuple[Rehashed | FailedFlavor, ...]:
    """Take the hashes of flavors again; one that fails stops no other, the others change together.

    Args:
        flavors: what to rehash.
        options: folders of wheels, and whether to write.
        done: called with each outcome when its hashes are known, before anything is written.
        following: returns what changes together with lock files.

    Returns:
        The outcomes in the order of the flavors.

    Raises:
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was written.
    """
    outcomes: dict[str, Rehashed | FailedFlavor] = {}
    changes: list[Replacement] = []
    with open_transaction() as transaction, open_clients() as clients:
        subjects: dict[str, _Subject] = {}
        for flavor in sorted(flavors, key=lambda flavor: flavor.folder.resolve()):
            try:
                transaction.take(flavor.folder)
                subjects[flavor.name] = _subject(flavor)
            except FactoryError as error:
                outcomes[flavor.name] = FailedFlavor(flavor=flavor.name, error=error)
        pages = PinnedPages(clients)
        pages.read(pin for subject in subjects.values() for pin in _on_indexes(subject))
        for flavor in flavors:
            if flavor.name in subjects:
                outcomes[flavor.name], files = _outcome(
                    subjects[flavor.name], pages, options, following=following
                )
                changes += files
            done(outcomes[flavor.name])
        if not options.dry_run:
            transaction.commit(changes)
    return tuple(outcomes[flavor.name] for flavor in flavors)


def _subject(flavor: Flavor) -> _Subject:
    """Return the lock to rehash.

    Raises:
        LockFileError: no lock exists, or ``factory lock`` did not make it.
    """
    project = flavor.read_project()
    locks = require_lock_set(flavor.folder, project.spec)
    for name in locks.files:
        if not read_regular(flavor.folder / name).startswith(LOCKED_BY.encode()):
            raise _refused(flavor, f"{name} was not made by `factory lock`")
    if locks.inputs is None:
        raise _refused(flavor, "the lock does not say what it was made from")
    found = tuple(judge_lock(flavor.name, project, locks.files))
    is_moved = bool(misplaced(locks, project.spec))  # this has its own message
    if not is_moved and any(problem.code == "FAC321" for problem in refusals(project, found)):
        raise _refused(flavor, "pyproject.toml has changed since the lock was made")
    if any(problem.code == "FAC337" for problem in refusals(project, found)):
        raise _refused(flavor, "its parent has changed since the lock was made")
    return _Subject(flavor=flavor, project=project, locks=locks)


def _refused(flavor: Flavor, reason: str) -> LockFileError:
    return LockFileError(
        f"{reason}, so that its versions may not belong together",
        solution=f"Run `factory lock {flavor.name}`: it keeps the versions that are valid.",
    )


def _on_indexes(subject: _Subject) -> Iterator[tuple[Spec, str, str, str]]:
    if not _is_sound(subject):
        return
    spec = subject.project.spec
    for pin in subject.locks.pins:
        if pin.version is not None and pin.name not in subject.locks.beside_index:
            yield spec, spec.index_of(pin.name), pin.name, pin.version


def _outcome(
    subject: _Subject, pages: PinnedPages, options: LockOptions, *, following: Following | None
) -> tuple[Rehashed | FailedFlavor, tuple[Replacement, ...]]:
    flavor = subject.flavor
    followed: Sequence[Replacement] = ()
    try:
        sound = _is_sound(subject)
        public = options.public_find_links if subject.project.spec.index_url is None else ()
        folders = options.find_links + public
        new = _with_new_hashes(subject, pages, folders) if sound else _resolved(subject, options)
        files = lock_changes(flavor.folder, subject.project.spec, new)
        if following is not None and not options.dry_run:
            followed = following(flavor, subject.project, new.lock_set)
    except FactoryError as error:
        return FailedFlavor(flavor=flavor.name, error=error), ()
    done = Rehashed(
        flavor=flavor.name,
        packages=len(new.pins),
        artifacts=sum(len(pin.artifacts) for pin in new.pins),
        changes=tuple(_changes(subject.project.spec, subject.locks, new)),
        written=bool(files) and not options.dry_run,
        kept=tuple(sorted(new.from_folders)),
        stale=is_stale(new.lock_set, subject.project),
        resolved=not sound,
        followed=tuple(item.path.name for item in followed),
    )
    return done, (*files, *followed)


def _is_sound(subject: _Subject) -> bool:
    """Return whether check has no error about the lock; otherwise its versions are resolved."""
    found = judge_lock(subject.flavor.name, subject.project, subject.locks.files)
    return not refusals(subject.project, found)


def _with_new_hashes(subject: _Subject, pages: PinnedPages, folders: Sequence[Path]) -> NewLock:
    """Return the lock with current hashes; its versions and recorded inputs stay.

    Packages from a folder of wheels are hashed if one of the ``folders`` has them, and kept if not.

    Raises:
        IndexGapError: versions no longer exist, or lack a wheel for a platform; every one is named.
        IndexContentError: a file is not what its name says.
        FactoryError: an index did not answer, or refused.
    """
    spec, locks = subject.project.spec, subject.locks
    pins: list[Pin] = []
    lacking: list[Lacking] = []
    new: list[NewFile] = []
    for pin in locks.pins:
        if pin.name in locks.beside_index:
            pins.append(_from_folders(pin, folders))
            continue
        fresh = fresh_pin(spec, pin, pages.of(spec, spec.index_of(pin.name), pin.name))
        if isinstance(fresh, Lacking):
            lacking.append(fresh)
        else:
            pins.append(fresh.pin)
            new += fresh.new
    if lacking:
        raise _gap_error(subject.flavor, lacking)
    in_parallel(NewFile.prove, new, jobs=CONNECTIONS)
    refuse(
        subject.flavor.name,
        refusals(
            subject.project,
            judge_requirements(
                subject.flavor.name, subject.project, locks, requires_on_index(spec, locks, pages)
            ),
        ),
    )
    beside = dict.fromkeys(sorted(locks.beside_index), "a folder of wheels")
    kept = keep_recorded(pins, locks)
    files = format_lock_set(
        subject.flavor.name,
        spec,
        kept,
        inputs=locks.inputs or "",
        beside_index=beside,
        parent=locks.parent,
    )
    return NewLock(pins=kept, files=files, from_folders=beside)


def _from_folders(pin: Pin, folders: Sequence[Path]) -> Pin:
    found = [(artifact, find_wheel(artifact.file_name, folders)) for artifact in pin.artifacts]
    hashed = (_hashed(item, path) if path is not None else item for item, path in found)
    return replace(pin, artifacts=tuple(hashed))


def _hashed(artifact: Artifact, path: Path) -> Artifact:
    check_wheel_at(path)
    size, uploaded = size_and_time(path)
    return replace(artifact, sha256=file_sha256(path), size=size, uploaded=uploaded)


def _resolved(subject: _Subject, options: LockOptions) -> NewLock:
    """Return the lock of a resolution that gives exactly the present versions.

    Raises:
        LockFileError: it gives others, or they contradict pyproject.toml, or come from other indexes now.
        IndexGapError: the index lacks one of them.
    """
    flavor, versions = subject.flavor, subject.locks.versions()
    if moved := misplaced(subject.locks, subject.project.spec):
        raise _refused(
            flavor,
            "the spec gives other indexes than the lock was made from, and theirs are other files: "
            + ", ".join(
                f"{item.pin.name} (in {item.file_name}, belongs into {item.belongs_into})" for item in moved
            ),
        )
    try:
        new = make_lock(flavor.name, subject.project, subject.locks, options, held=versions)
    except ResolutionError as error:
        raise _refused(
            flavor, f"the lock was edited, and its versions cannot be locked:\n{error.reason}"
        ) from error
    found = {pin.name: pin.version for pin in new.pins}
    if found != versions:
        differing = sorted({*found.items()} ^ {*versions.items()})
        names = ", ".join(dict.fromkeys(name for name, _ in differing))
        raise _refused(flavor, f"the lock was edited, and is not what pyproject.toml gives: {names} differ")
    return new


def _gap_error(flavor: Flavor, lacking: Sequence[Lacking]) -> IndexGapError:
    count = plural(len(lacking), "locked version")
    lines = [f"{count} cannot be hashed again, and nothing was written"]
    lines += [
        f"  {item.package} {item.version} for {', '.join(item.platforms)}: {item.reason}" for item in lacking
    ]
    return IndexGapError(
        "\n".join(lines),
        solution=f"Ask the owners of the index to push them again, or lock what there is: "
        f"`factory lock {flavor.name}`.",
        gaps=tuple(lacking),
    )


def _changes(spec: Spec, locks: LockSet, new: NewLock) -> Iterator[FileChange]:
    before = {pin.name: pin for pin in locks.pins}
    for pin in new.pins:
        old = {item.sha256: item.file_name or _NAMELESS for item in before[pin.name].artifacts}
        now = {item.sha256: item.file_name or _NAMELESS for item in pin.artifacts}
        gone = {name: digest for digest, name in old.items() if digest not in now}
        come = {name: digest for digest, name in now.items() if digest not in old}
        for name in sorted({*gone, *come}):
            yield FileChange(
                lock_file=lock_file_name(spec.index_of(pin.name)),
                package=pin.name,
                version=pin.version or "",
                file_name=name,
                before=gone.get(name),
                after=come.get(name),
            )


@dataclass(frozen=True, kw_only=True)
class RehashReport(Report):
    """The outcome of every flavor; ``errors`` by the flavors that were left unchanged."""

    flavors: tuple[Rehashed, ...]
    errors: dict[str, ErrorBody]

    def failures(self) -> Iterable[ErrorBody]:
        return self.errors.values()

    def describe(self) -> Iterator[str]:
        """Yield each flavor, and below it each file whose hash changed."""
        for flavor in self.flavors:
            count = len({change.file_name for change in flavor.changes})
            files = plural(count, "file")
            state = f"new hashes of {files}" if flavor.written else f"would take new hashes of {files}"
            if not count:
                state = (
                    "written again, with the same hashes" if flavor.written else "every hash is what it was"
                )
            packages = plural(flavor.packages, "package")
            yield f"{flavor.flavor}: {state}, {packages} at the versions that they had"
            yield from (f"  {line}" for change in flavor.changes for line in _lines(change))
            yield from (f"  {note}" for note in _notes(flavor))
        for name, error in self.errors.items():
            yield f"{name}: not rehashed, nothing was written ({error.kind})"


def rehash_report(outcomes: Sequence[Rehashed | FailedFlavor]) -> RehashReport:
    """Return the outcomes of a run as data."""
    return RehashReport(
        flavors=tuple(item for item in outcomes if isinstance(item, Rehashed)),
        errors={item.flavor: error_body(item.error) for item in outcomes if isinstance(item, FailedFlavor)},
    )


def _lines(change: FileChange) -> Iterator[str]:
    yield f"{change.file_name}"
    yield f"  was sha256:{change.before}" if change.before else "  was not locked"
    yield f"  is  sha256:{change.after}" if change.after else "  is  locked no more"


def _notes(flavor: Rehashed) -> Iterator[str]:
    if flavor.kept:
        changed = {change.package for change in flavor.changes}
        if names := ", ".join(name for name in flavor.kept if name not in changed):
            yield f"kept, since they came from a folder of wheels and not from the index: {names}"
    if flavor.resolved:
        yield "the lock had been edited: a resolution gave the same versions"
    if flavor.stale:
        yield f"the lock is older than pyproject.toml, as it was: `factory lock {flavor.flavor}`"
    if flavor.changes:
        yield (
            "what is in the new files may require other versions: "
            f"`factory lock {flavor.flavor} --check` says whether the requirements still agree"
        )
