"""How requests to a container registry are made: each has an end, and tells nobody's login but the given one.

Left to itself `requests` puts what ``.netrc`` has for a host, which is a package index's login, in place
of the registry's own, at first and after every redirect.
"""

from collections.abc import Mapping
from functools import partial

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
# In all some seconds; after a refusal (4xx, a certificate) there is nothing to wait for.
_RETRIES = Retry(
    total=3,
    other=0,
    backoff_factor=0.5,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)
# The first two are what `requests` itself reads, the last what the index's client reads.
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def restrained(session: requests.Session) -> requests.Session:
    """The session, whose requests end in time and carry the logins that they are given; proxies stay."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
    limits = (_CONNECT_SECONDS, _READ_SECONDS)
    session.request = partial(session.request, timeout=limits)  # type: ignore[method-assign]
    # Where there is something of this kind, .netrc is not looked at.
    session.auth = _as_it_is
    session.rebuild_auth = partial(_after_redirect, session)  # type: ignore[method-assign]
    return session


def certificates(environment: Mapping[str, str]) -> str | bool:
    """The file of certificates that the environment names; True, which is the library's own, where none."""
    return next(filter(None, map(environment.get, _CERTIFICATES)), True)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _after_redirect(
    session: requests.Session, request: requests.PreparedRequest, response: requests.Response
) -> None:
    """A login goes to the host that it is for, and another host gets none."""
    before, after = response.request.url or "", request.url or ""
    if session.should_strip_auth(before, after):
        request.headers.pop("Authorization", None)
