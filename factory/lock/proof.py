"""Whether a private index itself lists what was resolved, with the digests that go into the lock.

uv follows a redirect to any host, and computes a digest where a page tells none: whoever is asked
instead of the index could then say what is locked. So its pages are read once more, by our own rules.
"""

from collections.abc import Collection, Iterable, Iterator

from factory.errors import IndexContentError
from factory.flavor.spec import Spec
from factory.lock.clients import open_clients
from factory.lock.lockfile import Pin
from factory.lock.pages import Page, PinnedPages


def prove(spec: Spec, pins: Iterable[Pin], *, from_folders: Collection[str]) -> None:
    """See that the pages of the private indexes list every file of new pins.

    The public index is left out: it has no other host that could answer for it, and thousands of users
    who would see. So are packages ``from_folders`` of wheels, by normalized name.

    Raises:
        IndexContentError: a page tells no digest of a file, another one, or does not list it.
        IndexAccessError: an index refused, failed or did not answer.
        RedirectError: it sends on to a host that the spec does not name.
    """
    asked = [
        pin
        for pin in pins
        if pin.name not in from_folders and spec.url_of(spec.index_of(pin.name)) is not None
    ]
    if not asked:
        return
    with open_clients() as clients:
        pages = PinnedPages(clients)
        pages.read((spec, spec.index_of(pin.name), pin.name, pin.version or "") for pin in asked)
        wrong = [
            text for pin in asked for text in _wrong(pin, pages.of(spec, spec.index_of(pin.name), pin.name))
        ]
    if wrong:
        raise IndexContentError(
            "the index does not stand by what it gave:" + "".join(f"\n  - {text}" for text in wrong),
            solution="Ask its owners to publish a SHA-256 of every file (PEP 503); if it was pushed to just "
            "now, lock again.",
        )


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
