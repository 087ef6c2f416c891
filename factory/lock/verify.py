"""Whether what a lock pins is still on its index, file by file, with the digests that were locked.

Nothing is resolved and uv has no part in it: the page of each project (PEP 503, PEP 691) is read once,
however many flavors pin it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from factory.errors import FactoryError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.index.pages import IndexFile
from factory.lock.clients import open_clients
from factory.lock.find_links import file_sha256, find_wheel
from factory.lock.judgement import judge_requirements, refusals, refusals_of
from factory.lock.lockfile import Artifact, Pin
from factory.lock.locking import Failed
from factory.lock.lockset import LockSet, index_names, lock_file_name, misplaced, require_lock_set
from factory.lock.pages import Page, PinnedPages, requires_on_index
from factory.masking import masked

_NAMELESS = "the public index"
Kind = Literal[
    "re-pushed",
    "unknown hash",
    "file gone",
    "version gone",
    "project gone",
    "no digest",
    "no hash",
    "not pinned",
    "other index",
    "wrong file",
    "yanked",
    "edited",
]
# What the judgement says of a lock, where this command has a word of its own for it.
_JUDGED: dict[str, Kind] = {
    "FAC302": "not pinned",
    "FAC303": "not pinned",
    "FAC304": "no hash",
    "FAC325": "other index",
    "FAC326": "other index",
    "FAC327": "other index",
    "FAC334": "wrong file",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a locked file that is not as it was locked. Digests are SHA-256 in hex.

    ``file_name`` is None where it is about the package or the lock file as a whole; ``found`` is what
    there is instead: digests, the index that the file names, or the file where the pin belongs. A
    ``warning`` says nothing against the lock.
    """

    kind: Kind
    lock_file: str
    package: str | None
    version: str | None
    index: str
    file_name: str | None = None
    locked: str | None = None
    found: tuple[str, ...] = ()
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A flavor whose lock was held against its indexes.

    ``verified`` of its ``artifacts`` are where they were, as they were. ``unverified`` are packages that
    came from a folder of wheels which is not at hand: no index can tell.
    """

    flavor: str
    packages: int
    artifacts: int
    verified: int
    findings: tuple[Finding, ...]
    unverified: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Locked:
    flavor: Flavor
    spec: Spec
    locks: LockSet


def verify_flavors(
    flavors: Sequence[Flavor],
    *,
    find_links: tuple[Path, ...] = (),
    public_find_links: tuple[Path, ...] = (),
    done: Callable[[Verified | Failed], None],
) -> tuple[Verified | Failed, ...]:
    """Hold the locks of flavors against their indexes; nothing is written.

    Args:
        flavors: what to verify.
        find_links: folders of wheels in which to look for what came from one.
        public_find_links: such folders for flavors of the public index alone.
        done: told of each flavor, in their order.

    Returns:
        A result for each flavor; `Failed` where there is no lock to verify, or no index to ask.
    """
    read = [_read(flavor) for flavor in flavors]
    locked = [item for item in read if isinstance(item, _Locked)]
    outcomes: list[Verified | Failed] = []
    with open_clients() as clients:
        pages = PinnedPages(clients)
        pages.read(pin for item in locked for pin in _on_indexes(item))
        for item in read:
            if isinstance(item, _Locked):
                folders = find_links + (public_find_links if item.spec.index_url is None else ())
                outcomes.append(_verify(item, pages, folders))
            else:
                outcomes.append(item)
            done(outcomes[-1])
    return tuple(outcomes)


def _read(flavor: Flavor) -> _Locked | Failed:
    try:
        spec = flavor.project.spec
        return _Locked(flavor=flavor, spec=spec, locks=require_lock_set(flavor.folder, spec))
    except FactoryError as error:
        return Failed(flavor=flavor.name, error=error)


def _on_indexes(item: _Locked) -> Iterator[tuple[Spec, str, str, str]]:
    """The pins that an index is asked about: not what a folder gave, nor what no index of its file has."""
    wrong = {found.pin for found in misplaced(item.locks, item.spec)}
    for lock in item.locks.files.values():
        for pin in lock.pins:
            if pin.version is not None and pin.name not in lock.beside_index and pin not in wrong:
                yield item.spec, item.spec.index_of(pin.name), pin.name, pin.version


def _verify(item: _Locked, pages: PinnedPages, folders: tuple[Path, ...]) -> Verified | Failed:
    findings = list(_judged(item))
    wrong_file = {finding.package for finding in findings if finding.kind == "wrong file"}
    unverified: list[str] = []
    try:
        for file_name, lock in item.locks.files.items():
            index = index_names(item.spec)[file_name]
            for pin in lock.pins:
                if pin.version is None or pin.name in wrong_file:
                    continue
                if pin.name not in lock.beside_index:
                    findings += _of_pin(file_name, pin, pages.of(item.spec, index, pin.name))
                elif (wrong := _in_folders(file_name, pin, folders)) is None:
                    unverified.append(pin.name)
                else:
                    findings += wrong
        if all(finding.warning for finding in findings):
            findings += _unmet(item, pages)
    except FactoryError as error:
        return Failed(flavor=item.flavor.name, error=error)
    pins = item.locks.pins
    doubted = {(finding.package, finding.locked) for finding in findings if not finding.warning}
    doubted |= {(name, None) for name in unverified}
    return Verified(
        flavor=item.flavor.name,
        packages=len(pins),
        artifacts=sum(len(pin.artifacts) for pin in pins),
        verified=sum(
            not {(pin.name, None), (pin.name, artifact.sha256)} & doubted
            for pin in pins
            for artifact in pin.artifacts
        ),
        findings=tuple(findings),
        unverified=tuple(unverified),
    )


def _judged(item: _Locked) -> Iterator[Finding]:
    """What is wrong with the lock by itself, as check finds it; of an index once in each file."""
    indexes: set[str] = set()
    for problem in refusals_of(item.flavor, item.locks):
        lock, path = item.locks.files[problem.path], problem.path
        kind = _JUDGED.get(problem.code, "edited")
        pin = next((pin for pin in lock.pins if pin.line == problem.line), None)
        package, version = problem.package, None if pin is None else pin.version
        index = index_names(item.spec)[path]
        found: tuple[str, ...] = (str(problem),)
        if kind == "other index":
            if path in indexes:
                continue
            indexes.add(path)
            found = tuple(map(masked, lock.index_urls))
        elif kind == "wrong file" and package is not None:
            # To ask its index where it stands is what the spec says not to do.
            index = item.spec.index_of(package)
            found = (lock_file_name(index),)
        elif kind != "edited":
            texts = dict(lock.unreadable) | {pin.line: pin.text for pin in lock.pins if pin.version is None}
            package, found = masked(texts.get(problem.line or 0, package or "")), ()
        url = item.spec.url_of(index)
        yield Finding(
            kind=kind,
            lock_file=path,
            package=package,
            version=version,
            index=_NAMELESS if url is None else url,
            found=found,
        )


def _unmet(item: _Locked, pages: PinnedPages) -> Iterator[Finding]:
    """What the locked wheels require, as their index tells it, and the lock lacks or contradicts."""
    requires = requires_on_index(item.spec, item.locks, pages)
    found = judge_requirements(item.flavor.name, item.flavor.project, item.locks, requires)
    for problem in refusals(item.flavor.project, found):
        index = item.spec.url_of(item.spec.index_of(problem.package or ""))
        yield Finding(
            kind="edited",
            lock_file=problem.path,
            package=problem.package,
            version=None,
            index=_NAMELESS if index is None else index,
            found=(str(problem),),
        )


def _of_pin(lock_file: str, pin: Pin, page: Page) -> Iterator[Finding]:
    finding = partial(Finding, lock_file=lock_file, package=pin.name, version=pin.version, index=page.index)
    files = page.of_version(pin.name, pin.version or "")
    if page.files is None:
        yield finding(kind="project gone")
    elif not files:
        yield finding(kind="version gone")
    else:
        for artifact in pin.artifacts:
            wrong = _of_artifact(artifact, pin, files)
            if wrong is not None:
                yield finding(
                    kind=wrong[0],
                    file_name=artifact.file_name,
                    locked=artifact.sha256,
                    found=wrong[1],
                    warning=wrong[0] == "yanked",
                )


def _of_artifact(
    artifact: Artifact, pin: Pin, files: Sequence[IndexFile]
) -> tuple[Kind, tuple[str, ...]] | None:
    """What is wrong with a locked file, and the digests that are there instead; None where nothing is."""
    if artifact.file_name is not None:
        files = [file for file in files if file.file_name == artifact.file_name]
        if not files:
            return "file gone", ()
    same = [file for file in files if file.sha256 == artifact.sha256]
    if same:
        return ("yanked", ()) if all(file.yanked for file in same) else None
    if any(file.sha256 is None for file in files):
        return "no digest", ()
    if {file.sha256 for file in files} <= {other.sha256 for other in pin.artifacts}:
        return "unknown hash", ()
    if artifact.file_name is None and len(files) > 1:
        return "unknown hash", ()
    return "re-pushed", tuple(sorted({file.sha256 for file in files if file.sha256 is not None}))


def _in_folders(lock_file: str, pin: Pin, folders: Sequence[Path]) -> list[Finding] | None:
    """What is wrong with a package of a folder; None where none of the folders has it."""
    found: list[Finding] = []
    for artifact in pin.artifacts:
        path = find_wheel(artifact.file_name, folders)
        if path is None:
            return None
        digest = file_sha256(path)
        if digest != artifact.sha256:
            found.append(
                Finding(
                    kind="re-pushed",
                    lock_file=lock_file,
                    package=pin.name,
                    version=pin.version,
                    index=str(path.parent),
                    file_name=path.name,
                    locked=artifact.sha256,
                    found=(digest,),
                )
            )
    return found
