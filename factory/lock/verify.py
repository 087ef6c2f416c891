"""Verify that the indexes list an existing lock's pins, or a new one's before writing.

`verify_flavors` compares locks with the pages of their indexes (PEP 503, PEP 691), file by file. It resolves
nothing, and reads each page once, however many flavors pin its project.

`IndexVerifier` checks a new lock: uv follows a redirect to any host, computes a digest if a page has none,
and takes a wheel of another version than its name says. So the pages of private indexes are read once more by
the factory's own rules, and the metadata of every new file.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, TypeVar

from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.console import Report, plural
from factory.errors import FactoryError, IndexContentError, LockFileError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient, RetryPolicy, client_for
from factory.index.metadata import project_of
from factory.index.pages import IndexFile
from factory.lock.find_links import file_sha256, find_wheel
from factory.lock.judgement import Requires, judge_requirements, refusals, refusals_of, requires_of
from factory.lock.lockfile import Artifact, Pin
from factory.lock.lockset import LockSet, index_names, lock_file_name, misplaced, require_lock_set
from factory.lock.report import ErrorBody, FailedFlavor, error_body
from factory.masking import masked, shown

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")
# As many pages at a time: half of uv's own limit.
CONNECTIONS = 24
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
# Findings of the judgement for which this command has its own word.
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
class VerifyFinding:
    """A difference between a locked file and its index. Digests are SHA-256 in hex.

    ``file_name`` is None if it is about the package or the lock file as a whole. ``found`` is what exists
    instead: digests, the index that the file names, or the file where the pin belongs. A ``warning`` does not
    count against the lock.
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
    """A flavor whose lock was compared with its indexes.

    ``verified`` of its ``artifacts`` are unchanged on their index. ``unverified`` are packages from a folder
    of
    wheels that is not at hand: no index can confirm them.
    """

    flavor: str
    packages: int
    artifacts: int
    verified: int
    findings: tuple[VerifyFinding, ...]
    unverified: tuple[str, ...] = ()


@dataclass
class Clients:
    """One client per index, shared by all flavors; `open_clients` closes them."""

    connections: int
    policy: RetryPolicy | None
    _stack: ExitStack
    _made: dict[tuple[object, ...], IndexClient] = field(default_factory=dict)

    def of(self, spec: Spec, index: str) -> IndexClient:
        """Return the client for an index of a spec, by its name.

        Raises:
            IndexAccessError: the credentials for it cannot be read.
        """
        url = spec.url_of(index)
        key = (url, index, spec.redirect_hosts)
        if key not in self._made:
            client = client_for(spec, index, connections=self.connections, policy=self.policy)
            self._made[key] = self._stack.enter_context(client)
        return self._made[key]


@contextmanager
def open_clients(*, connections: int = CONNECTIONS, policy: RetryPolicy | None = None) -> Iterator[Clients]:
    """Open clients, closed when the block ends; they connect on the first request."""
    with ExitStack() as stack:
        yield Clients(connections, policy, stack)


@dataclass(frozen=True, kw_only=True)
class Page:
    """An index's files of a project's pinned versions; ``files`` is None if it has no such project.

    ``index`` is its URL as messages show it, ``client`` reads it.
    """

    index: str
    client: IndexClient
    files: tuple[IndexFile, ...] | None

    def of_version(self, package: str, version: str) -> tuple[IndexFile, ...]:
        """Return the files of one version."""
        return tuple(
            file for file in self.files or () if _pinned(file.file_name) == (package, normal(version))
        )


class PinnedPages:
    """Pages by index and project; an index that fails once is not asked again.

    Several threads may read; each finds the pages that others read.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._guard = threading.Lock()
        self._known: dict[tuple[IndexClient, str], Page | FactoryError] = {}
        self._asked: dict[tuple[IndexClient, str], set[tuple[str, str]]] = {}
        self._failed: dict[IndexClient, FactoryError] = {}

    def read(self, pins: Iterable[tuple[Spec, str, str, str]]) -> None:
        """Read pages of projects, several at a time.

        Args:
            pins: spec, name of its index, normalized name of the package and version, of each pin.
        """
        with self._guard:
            wanted: set[tuple[IndexClient, str]] = set()
            for spec, index, package, version in pins:
                key = self._clients.of(spec, index), package
                pinned = package, normal(version)
                if pinned not in self._asked.setdefault(key, set()):
                    self._asked[key].add(pinned)
                    wanted.add(key)
            order = sorted(wanted, key=lambda key: key[1])
            pages = in_parallel(lambda key: self._ask(*key, self._asked[key]), order, jobs=CONNECTIONS)
            self._known |= dict(zip(order, pages, strict=True))

    def of(self, spec: Spec, index: str, package: str) -> Page:
        """Return a page that was read.

        Raises:
            FactoryError: its index refused, failed or answered too late.
        """
        with self._guard:
            page = self._known[self._clients.of(spec, index), package]
        if isinstance(page, FactoryError):
            raise page
        return page

    def _ask(self, client: IndexClient, package: str, pinned: set[tuple[str, str]]) -> Page | FactoryError:
        if client not in self._failed:
            try:
                return _page(client, package, pinned)
            except FactoryError as error:
                # The other pages would wait as long for the same failure.
                self._failed[client] = error
        return self._failed[client]


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
    done: Callable[[Verified | FailedFlavor], None],
) -> tuple[Verified | FailedFlavor, ...]:
    """Compare the locks of flavors with their indexes; writes nothing.

    Args:
        flavors: what to verify.
        find_links: folders of wheels in which to look for packages of folders.
        public_find_links: such folders for flavors of the public index alone.
        done: called with each outcome, in the order of the flavors.

    Returns:
        A result for each flavor; `FailedFlavor` if it has no lock to verify, or no index to ask.
    """
    read = [_read(flavor) for flavor in flavors]
    locked = [item for item in read if isinstance(item, _Locked)]
    outcomes: list[Verified | FailedFlavor] = []
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


def _read(flavor: Flavor) -> _Locked | FailedFlavor:
    try:
        spec = flavor.project.spec
        return _Locked(flavor=flavor, spec=spec, locks=require_lock_set(flavor.folder, spec))
    except FactoryError as error:
        return FailedFlavor(flavor=flavor.name, error=error)


def _on_indexes(item: _Locked) -> Iterator[tuple[Spec, str, str, str]]:
    """Yield the pins to look up: not those of folders, nor of files without an index."""
    wrong = {found.pin for found in misplaced(item.locks, item.spec)}
    for lock in item.locks.files.values():
        for pin in lock.pins:
            if pin.version is not None and pin.name not in lock.beside_index and pin not in wrong:
                yield item.spec, item.spec.index_of(pin.name), pin.name, pin.version


def _verify(item: _Locked, pages: PinnedPages, folders: tuple[Path, ...]) -> Verified | FailedFlavor:
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
        return FailedFlavor(flavor=item.flavor.name, error=error)
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


def _judged(item: _Locked) -> Iterator[VerifyFinding]:
    """Yield the problems of the lock itself, as check finds them; each index once per file."""
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
            # The spec does not allow asking its index about it.
            index = item.spec.index_of(package)
            found = (lock_file_name(index),)
        elif kind != "edited":
            texts = dict(lock.unreadable) | {pin.line: pin.text for pin in lock.pins if pin.version is None}
            package, found = masked(texts.get(problem.line or 0, package or "")), ()
        url = item.spec.url_of(index)
        yield VerifyFinding(
            kind=kind,
            lock_file=path,
            package=package,
            version=version,
            index=_NAMELESS if url is None else url,
            found=found,
        )


def _unmet(item: _Locked, pages: PinnedPages) -> Iterator[VerifyFinding]:
    """Yield requirements of locked wheels, by their index, that the lock lacks or contradicts."""
    requires = requires_on_index(item.spec, item.locks, pages)
    found = judge_requirements(item.flavor.name, item.flavor.project, item.locks, requires)
    for problem in refusals(item.flavor.project, found):
        index = item.spec.url_of(item.spec.index_of(problem.package or ""))
        yield VerifyFinding(
            kind="edited",
            lock_file=problem.path,
            package=problem.package,
            version=None,
            index=_NAMELESS if index is None else index,
            found=(str(problem),),
        )


def _of_pin(lock_file: str, pin: Pin, page: Page) -> Iterator[VerifyFinding]:
    finding = partial(
        VerifyFinding, lock_file=lock_file, package=pin.name, version=pin.version, index=page.index
    )
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
    """Return the problem of a locked file, and the digests found instead; None if it is right."""
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


def _in_folders(lock_file: str, pin: Pin, folders: Sequence[Path]) -> list[VerifyFinding] | None:
    """Return the problem of a folder's package; None if none of the folders has it."""
    found: list[VerifyFinding] = []
    for artifact in pin.artifacts:
        path = find_wheel(artifact.file_name, folders)
        if path is None:
            return None
        digest = file_sha256(path)
        if digest != artifact.sha256:
            found.append(
                VerifyFinding(
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


class IndexVerifier:
    """The pages and files a run has read of private indexes, each once for all flavors."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._guard = threading.Lock()
        self._pages: dict[tuple[IndexClient, str, str], Future[Page]] = {}
        self._files: dict[tuple[IndexClient, IndexFile], Future[None]] = {}

    def verify(self, spec: Spec, pins: Iterable[Pin], *, from_folders: Collection[str]) -> None:
        """Check that the private indexes list every pinned file, and that each is its package.

        The public index is left out: no other host could answer for it, and thousands of users would notice.
        So are packages ``from_folders`` of wheels, by normalized name.

        Raises:
            IndexContentError: a page omits a file or its digest, or gives a different digest; or a file holds
                the metadata of another package than its name says.
            IndexAccessError: an index refused, failed or did not answer.
            RedirectError: it redirects to a host that the spec does not name.
        """
        asked = [
            pin
            for pin in pins
            if pin.name not in from_folders and spec.url_of(spec.index_of(pin.name)) is not None
        ]
        found = in_parallel(lambda pin: self._verified_pin(spec, pin), asked, jobs=CONNECTIONS)
        if wrong := [text for texts in found for text in texts]:
            raise IndexContentError(
                "the index no longer lists what it served:" + "".join(f"\n  - {text}" for text in wrong),
                solution="Ask its owners to publish a SHA-256 of every file (PEP 503); if it was pushed to "
                "just now, lock again.",
            )

    def _verified_pin(self, spec: Spec, pin: Pin) -> tuple[str, ...]:
        """Return the problem of a pin's page; without one, check that its files are the package."""
        with self._guard:
            client = self._clients.of(spec, spec.index_of(pin.name))
        version = pin.version or ""
        page = self._once(
            self._pages, (client, pin.name, version), lambda: read_page(client, pin.name, version)
        )
        wrong = tuple(_wrong(pin, page))
        for file in () if wrong else _locked(pin, page):
            self._once(self._files, (client, file), partial(client.check_identity, file))
        return wrong

    def _once(self, known: dict[_Key, Future[_Result]], key: _Key, read: Callable[[], _Result]) -> _Result:
        """Return what a thread has read, wait for one that is reading, or read now."""
        with self._guard:
            waiting = known.get(key)
            future = known.setdefault(key, Future())
        if waiting is None:
            try:
                future.set_result(read())
            except FactoryError as error:
                future.set_exception(error)
            finally:
                # Whatever happened, no thread may wait for a result that never comes.
                future.cancel()
        return future.result()


@contextmanager
def open_index_verifier() -> Iterator[IndexVerifier]:
    """Open the verifier of a run's new locks; its connections close when the block ends."""
    with open_clients() as clients:
        yield IndexVerifier(clients)


def _locked(pin: Pin, page: Page) -> Iterator[IndexFile]:
    locked = {artifact.file_name for artifact in pin.artifacts}
    for file in page.of_version(pin.name, pin.version or ""):
        if file.file_name in locked:
            yield file


def _wrong(pin: Pin, page: Page) -> Iterator[str]:
    listed = {file.file_name: file.sha256 for file in page.of_version(pin.name, pin.version or "")}
    for artifact in pin.artifacts:
        name = artifact.file_name or pin.text
        if name not in listed:
            yield f"{name} is not on its page at {page.index}"
        elif listed[name] is None:
            yield f"{page.index} gives no digest of {name}"
        elif listed[name] != artifact.sha256:
            yield (
                f"{name} has sha256:{listed[name]} on its page at {page.index}, "
                f"and was resolved with sha256:{artifact.sha256}"
            )


def requires_on_index(spec: Spec, locks: LockSet, pages: PinnedPages) -> Requires:
    """Return the requirements of the locked wheels, from the pages read and their metadata.

    The metadata is the index's if it serves it (PEP 658), or from the cache. Any other is skipped: reading it
    out of every wheel would take longer than all the pages.
    """
    files: dict[tuple[str, str], tuple[IndexClient, IndexFile]] = {}
    for pin in locks.pins:
        if pin.version is None or pin.name in locks.beside_index:
            continue
        page = pages.of(spec, spec.index_of(pin.name), pin.name)
        locked = {artifact.sha256 for artifact in pin.artifacts}
        for file in page.files or ():
            if file.sha256 is not None and file.sha256 in locked:
                files[file.file_name, file.sha256] = (page.client, file)
    contents = in_parallel(lambda key: _metadata(*files[key]), list(files), jobs=CONNECTIONS)
    known = dict(zip(files, contents, strict=True))
    names = {sha256: file_name for file_name, sha256 in files}
    return requires_of(spec, names, lambda file_name, sha256: known[file_name, sha256])


def _metadata(client: IndexClient, file: IndexFile) -> bytes | None:
    found = client.cache.get(client.url, file)
    return client.core_metadata(file) if found is None and file.metadata_url is not None else found


def read_page(client: IndexClient, package: str, version: str) -> Page:
    """Return an index's files of one version of a project.

    Raises:
        IndexAccessError, IndexContentError, RedirectError: as for `IndexClient.project`.
    """
    return _page(client, package, {(package, normal(version))})


def _page(client: IndexClient, package: str, pinned: Collection[tuple[str, str]]) -> Page:
    files = client.project(package, keep=lambda name: _may_be(name, pinned))
    return Page(index=shown(client.url), client=client, files=files)


@lru_cache(maxsize=4096)
def normal(version: str) -> str:
    """Normalize a version (PEP 440), so that one in a lock equals one in a file name."""
    try:
        return str(Version(version))
    except ValueError:
        return version


def _may_be(file_name: str, pinned: Collection[tuple[str, str]]) -> bool:
    """Return whether a file may be one of the versions, by two fields of its name.

    A page has hundreds of names, nearly all of other versions; parsing all of each would be slow.
    """
    name, _, rest = file_name.partition("-")
    if not file_name.endswith(".whl"):
        return _pinned(file_name) in pinned
    return (_canonical(name), normal(rest.partition("-")[0])) in pinned


@lru_cache(maxsize=4096)
def _canonical(name: str) -> str:
    return canonicalize_name(name)


def _pinned(file_name: str) -> tuple[str, str] | None:
    found = project_of(file_name)
    return None if found is None else (found[0], str(found[1]))


@dataclass(frozen=True, kw_only=True)
class VerifyReport(Report):
    """Every flavor of the run; ``errors`` by the flavors that could not be verified.

    ``not_locked`` are those of the latter without a lock.
    """

    flavors: tuple[Verified, ...]
    errors: dict[str, ErrorBody]
    not_locked: tuple[str, ...] = ()

    def failures(self) -> Iterable[ErrorBody]:
        return self.errors.values()

    def differs(self) -> bool:
        return any(not finding.warning for flavor in self.flavors for finding in flavor.findings)

    def describe(self) -> Iterator[str]:
        """Yield each flavor, and below it each file that changed."""
        for flavor in self.flavors:
            wrong = sum(not finding.warning for finding in flavor.findings)
            state = plural(wrong, "finding") if wrong else "as it was locked"
            artifacts = plural(flavor.artifacts, "artifact")
            yield f"{flavor.flavor}: {state}, {flavor.verified} of {artifacts} verified"
            yield from (f"  {line}" for finding in flavor.findings for line in _lines(finding))
            if flavor.unverified:
                yield (
                    "  not verified, since they came from a folder of wheels and not from the index: "
                    f"{', '.join(flavor.unverified)} (give the folder with --find-links)"
                )
            yield from (f"  what to do: {advice}" for advice in _advice(flavor))
        yield from (f"{name}: not verified ({error.kind})" for name, error in self.errors.items())


def verify_report(outcomes: Sequence[Verified | FailedFlavor]) -> VerifyReport:
    """Return the outcomes of a run as data."""
    failed = [item for item in outcomes if isinstance(item, FailedFlavor)]
    return VerifyReport(
        flavors=tuple(item for item in outcomes if isinstance(item, Verified)),
        errors={item.flavor: error_body(item.error) for item in failed},
        not_locked=tuple(
            item.flavor for item in failed if isinstance(item.error, LockFileError) and item.error.not_locked
        ),
    )


def headline(finding: VerifyFinding) -> str:
    """Return a finding in one line."""
    return next(_lines(finding))


def _lines(finding: VerifyFinding) -> Iterator[str]:
    package = f"{finding.package} {finding.version}"
    name = finding.file_name or package
    instead = " or ".join(f"sha256:{digest}" for digest in finding.found)
    text = {
        "re-pushed": f"re-pushed: {name} has other bytes on {finding.index}",
        "unknown hash": f"no file of {package} on {finding.index} has sha256:{finding.locked}: "
        "it was added to the lock, or a file was pushed again",
        "file gone": f"gone: {name} is not on {finding.index} any more, which has other files of {package}",
        "version gone": f"gone: {finding.index} has {finding.package}, and not {finding.version} any more",
        "project gone": f"gone: {finding.index} has no project {finding.package} any more",
        "no digest": f"cannot be verified: {finding.index} gives no digest of {name}",
        "no hash": f"cannot be verified: {finding.lock_file} has no hash for {package}",
        "not pinned": f"cannot be verified: {finding.lock_file} has {finding.package!r}, which pins nothing",
        "other index": f"{finding.lock_file} names {' and '.join(finding.found) or 'no index'}, "
        f"and the spec {finding.index}",
        "wrong file": f"{package} is in {finding.lock_file}, and the spec gives it to {finding.index}: "
        f"it belongs into {' '.join(finding.found)}",
        "edited": " ".join(finding.found),
        "yanked": f"warning: yanked: {name} is marked on {finding.index} as not to be used any more",
    }
    yield text[finding.kind]
    if finding.kind == "re-pushed":
        yield f"  locked sha256:{finding.locked}"
        yield f"  now    {instead}"


def _advice(flavor: Verified) -> Iterator[str]:
    kinds = {finding.kind for finding in flavor.findings}
    if "re-pushed" in kinds:
        yield (
            f"ask the owners of the index whether they pushed again; if so, `factory rehash {flavor.flavor}` "
            "takes the new hashes and keeps every version"
        )
    if kinds & {"file gone", "version gone", "project gone"}:
        yield (
            f"`factory index-gaps {flavor.flavor}` says what the index lacks; `factory lock {flavor.flavor}` "
            "takes what it has"
        )
    if kinds & {"unknown hash", "no hash", "not pinned", "other index", "wrong file", "edited"}:
        yield f"lock again: `factory lock {flavor.flavor}`"
    if "no digest" in kinds:
        yield "ask the owners of the index to publish hashes (PEP 503)"
