"""Whether a private index itself stands by what was resolved: its digests, and the packages its files hold.

uv follows a redirect to any host, computes a digest where a page tells none, and takes a wheel of
another version than its name says. So the pages are read once more, by our own rules, and the metadata
of every file that is not known yet.
"""

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from factory.errors import IndexContentError
from factory.flavor.spec import Spec
from factory.index.pages import IndexFile
from factory.index.parallel import in_parallel
from factory.lock.clients import CONNECTIONS, Clients, open_clients
from factory.lock.lockfile import Pin
from factory.lock.pages import Page, PinnedPages

if TYPE_CHECKING:
    from factory.index.client import IndexClient


class Proofs:
    """What a run has read of private indexes: each page and each file once, whichever flavors pin it."""

    def __init__(self, clients: Clients) -> None:
        self._pages = PinnedPages(clients)
        self._guard = threading.Lock()
        self._known: set[tuple[IndexClient, IndexFile]] = set()

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
        self._pages.read((spec, spec.index_of(pin.name), pin.name, pin.version or "") for pin in asked)
        found = [(pin, self._pages.of(spec, spec.index_of(pin.name), pin.name)) for pin in asked]
        if wrong := [text for pin, page in found for text in _wrong(pin, page)]:
            raise IndexContentError(
                "the index does not stand by what it gave:" + "".join(f"\n  - {text}" for text in wrong),
                solution="Ask its owners to publish a SHA-256 of every file (PEP 503); if it was pushed to "
                "just now, lock again.",
            )
        files = {(page.client, file) for pin, page in found for file in _locked(pin, page)}
        # One flavor after the other: what the first has read, the others need not.
        with self._guard:
            order = sorted(files - self._known, key=lambda item: item[1].file_name)
            in_parallel(lambda item: item[0].check_identity(item[1]), order, jobs=CONNECTIONS)
            self._known |= files


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
