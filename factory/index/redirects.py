"""Where a server may send a request on to.

Private indexes keep their files in an object store or behind a CDN and send a download on to it. The
public index does not: its pages link to its files. So another host than the one that was asked has to
be named; one that nobody named may be anybody's. The digest in a lock proves the bytes in the end, but
a page or metadata that is read for a lock has nothing that proves it.
"""

from collections.abc import Set as AbstractSet
from urllib.parse import urlsplit

from factory.errors import RedirectError
from factory.masking import shown


def check_redirect(url: str, target: str, *, named: AbstractSet[str]) -> None:
    """That a request for a URL may be sent on to a target: on its own host, or on one that is named.

    Another port of the same host is the same host; https is never left for http, wherever it leads.

    Raises:
        RedirectError: it may not.
    """
    asked, going = urlsplit(url), urlsplit(target)
    if going.scheme not in {"http", "https"} or (asked.scheme, going.scheme) == ("https", "http"):
        raise RedirectError(
            f"{shown(url)} is sent on to {shown(target)}, from {asked.scheme} to {going.scheme}",
            solution="Ask the owners of the index to serve it over https throughout.",
        )
    if going.hostname not in {asked.hostname, *named}:
        raise RedirectError(
            f"{shown(url)} is sent on to another host, {going.hostname}, which the flavor does not name",
            solution="If the owners of the index say that it keeps its files there, write "
            f'redirect-hosts = ["{going.hostname}"] into [tool.factory].',
        )
