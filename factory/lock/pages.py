"""The pages of pinned projects, each read once from the one index that its package comes from."""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.errors import FactoryError
from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient
from factory.index.metadata import project_of
from factory.index.pages import IndexFile
from factory.lock.clients import CONNECTIONS, Clients
from factory.lock.judgement import Requires, requires_of
from factory.lock.lockset import LockSet
from factory.masking import shown


@dataclass(frozen=True, kw_only=True)
class Page:
    """What an index has of the pinned versions of a project; ``files`` None: it has no such project.

    ``index`` is its URL as messages show it, ``client`` what reads it.
    """

    index: str
    client: IndexClient
    files: tuple[IndexFile, ...] | None

    def of_version(self, package: str, version: str) -> tuple[IndexFile, ...]:
        """The files of one version."""
        return tuple(
            file for file in self.files or () if _pinned(file.file_name) == (package, normal(version))
        )


class PinnedPages:
    """Pages by the index and the project; an index that fails once is not asked again.

    Several threads may read, each what it needs: what one has read is there for the others.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._guard = threading.Lock()
        self._known: dict[tuple[IndexClient, str], Page | FactoryError] = {}
        self._asked: dict[tuple[IndexClient, str], set[tuple[str, str]]] = {}
        self._failed: dict[IndexClient, FactoryError] = {}

    def read(self, pins: Iterable[tuple[Spec, str, str, str]]) -> None:
        """Ask for projects, several at a time.

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
        """A page that was read.

        Raises:
            FactoryError: what its index refused, failed to give, or answered too late.
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
                # The other pages would wait as long for the same answer.
                self._failed[client] = error
        return self._failed[client]


def requires_on_index(spec: Spec, locks: LockSet, pages: PinnedPages) -> Requires:
    """Return what the locked wheels require, from pages that were read and the metadata beside them.

    The metadata is the index's where it serves it (PEP 658), or from the cache; what is neither is not known,
    since reading it out of every wheel would take longer than all the pages.
    """
    files: dict[tuple[str, str], tuple[IndexClient, IndexFile]] = {}
    for pin in locks.pins:
        if pin.version is None or pin.name in locks.beside_index:
            continue
        page = pages.of(spec, spec.index_of(pin.name), pin.name)
        locked = {artifact.sha256 for artifact in pin.artifacts}
        for file in page.of_version(pin.name, pin.version):
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
    """What an index has of one version of a project.

    Raises:
        IndexAccessError, IndexContentError, RedirectError: as for `IndexClient.project`.
    """
    return _page(client, package, {(package, normal(version))})


def _page(client: IndexClient, package: str, pinned: Collection[tuple[str, str]]) -> Page:
    files = client.project(package, keep=lambda name: _may_be(name, pinned))
    return Page(index=shown(client.url), client=client, files=files)


@lru_cache(maxsize=4096)
def normal(version: str) -> str:
    """A version as PEP 440 writes it, so that one in a lock is one in a file name."""
    try:
        return str(Version(version))
    except ValueError:
        return version


def _may_be(file_name: str, pinned: Collection[tuple[str, str]]) -> bool:
    """Whether a file may be of one of the versions: of a wheel by two fields, and not by its whole grammar.

    A page has hundreds of names, and nearly all are of other versions.
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
