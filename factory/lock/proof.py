"""Whether a private index itself stands by what was resolved: its digests, and the packages its files hold.

uv follows a redirect to any host, computes a digest where a page tells none, and takes a wheel of
another version than its name says. So the pages are read once more, by our own rules, and the metadata
of every file that is not known yet.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from factory.errors import FactoryError, IndexContentError
from factory.flavor.spec import Spec
from factory.http.parallel import in_parallel
from factory.index.pages import IndexFile
from factory.lock.clients import CONNECTIONS, Clients, open_clients
from factory.lock.lockfile import Pin
from factory.lock.pages import Page, read_page

if TYPE_CHECKING:
    from factory.index.client import IndexClient

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


class Proofs:
    """What a run has read of private indexes: each page and each file once, whichever flavors pin it."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._guard = threading.Lock()
        self._pages: dict[tuple[IndexClient, str, str], Future[Page]] = {}
        self._files: dict[tuple[IndexClient, IndexFile], Future[None]] = {}

    def prove(self, spec: Spec, pins: Iterable[Pin], *, from_folders: Collection[str]) -> None:
        """See that the private indexes list every file of new pins, and that each is its package.

        The public index is left out: it has no other host that could answer for it, and thousands of
        users who would see. So are packages ``from_folders`` of wheels, by normalized name.

        Raises:
            IndexContentError: a page tells no digest of a file, another one, or does not list it; or a
                file holds the metadata of another package than its name says.
            IndexAccessError: an index refused, failed or did not answer.
            RedirectError: it sends on to a host that the spec does not name.
        """
        asked = [
            pin
            for pin in pins
            if pin.name not in from_folders and spec.url_of(spec.index_of(pin.name)) is not None
        ]
        found = in_parallel(lambda pin: self._proved(spec, pin), asked, jobs=CONNECTIONS)
        if wrong := [text for texts in found for text in texts]:
            raise IndexContentError(
                "the index does not stand by what it gave:" + "".join(f"\n  - {text}" for text in wrong),
                solution="Ask its owners to publish a SHA-256 of every file (PEP 503); if it was pushed to "
                "just now, lock again.",
            )

    def _proved(self, spec: Spec, pin: Pin) -> tuple[str, ...]:
        """What the page of a pin has wrong; where it is right, its files are seen to be the package."""
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
        """What was read before, is being read by another thread, or is read now."""
        with self._guard:
            waiting = known.get(key)
            future = known.setdefault(key, Future())
        if waiting is None:
            try:
                future.set_result(read())
            except FactoryError as error:
                future.set_exception(error)
            finally:
                # Whatever else happened: nobody waits for what does not come.
                future.cancel()
        return future.result()


@contextmanager
def open_proofs() -> Iterator[Proofs]:
    """The proofs of a run; the connections are closed when the block ends."""
    with open_clients() as clients:
        yield Proofs(clients)


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
            yield f"{page.index} tells no digest of {name}"
        elif listed[name] != artifact.sha256:
            yield (
                f"{name} has sha256:{listed[name]} on its page at {page.index}, "
                f"and was resolved with sha256:{artifact.sha256}"
            )
