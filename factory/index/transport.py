"""Requests to the servers of one index: with its credentials, its redirects, and a retry policy.

"Not there" (404, 410) and "not allowed" (401, 403) are never taken for each other. What is sent on to
another origin goes there without credentials.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx

from factory.errors import IndexAccessError, IndexContentError
from factory.http.bounded import accepted, read_body
from factory.http.origins import same_origin
from factory.http.retry import Deadline, Retryable, RetryPolicy, retry_after, retrying, unreachable
from factory.index.connections import open_client
from factory.index.credentials import Logins, login_variables
from factory.index.exchange import answer_of, interruptible
from factory.index.redirects import check_redirect
from factory.masking import shown
from factory.process import Stop

# Beside whatever the server itself says is its own failure (5xx): the request may be right later.
_TRANSIENT = frozenset({408, 425, 429})
_SERVER_ERRORS = range(500, 600)
_MOST_REDIRECTS = 10


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A small thing that was read whole: its bytes, headers, and the URL that it came from in the end."""

    content: bytes
    url: str
    status: int
    headers: httpx.Headers
    encoding: str | None


class Transport:
    """Sends requests for one index; safe to use from several threads.

    Args:
        logins: whom each server is told.
        name: the index's name, for messages about credentials.
        connections: how many at a time.
        policy: timeouts and retries.
        redirect_hosts: hosts, beside its own, that a server may send a request on to.
        max_download: the most bytes of a file whose size nobody gives.
        stop: ends what is waited for.
    """

    def __init__(
        self,
        logins: Logins,
        *,
        name: str | None,
        connections: int,
        policy: RetryPolicy,
        redirect_hosts: frozenset[str],
        max_download: int,
        stop: Stop,
    ) -> None:
        self.max_download = max_download
        self.policy = policy
        self.stop = stop
        self._logins = logins
        self._name = name
        self._redirect_hosts = redirect_hosts
        self._client = open_client(connections=connections)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(self, url: str, *, headers: Mapping[str, str], most_bytes: int) -> Answer | None:
        """A small thing, whole; None where it is not there.

        Where the headers ask for a range and the server gives the whole file instead, which may be
        large, the answer's status is 200 and its content empty.

        Raises:
            IndexAccessError: the server refused, failed, or did not answer.
            IndexContentError: it is larger than it may be.
            RedirectError: the server sends on to a host that is not named.
            ProgramError: the work was stopped.
        """
        deadline = Deadline(self.policy.total_seconds)

        def attempt() -> Answer | Retryable | None:
            with self.opened(url, accepted(headers), deadline) as response:
                again, there = self.judge(response)
                if again is not None or not there:
                    return again
                ignored = "Range" in headers and response.status_code == httpx.codes.OK
                return Answer(
                    content=b"" if ignored else _read(response, most_bytes, deadline),
                    url=str(response.url),
                    status=response.status_code,
                    headers=response.headers,
                    encoding=response.charset_encoding,
                )

        return retrying(url, attempt, policy=self.policy, stop=self.stop, deadline=deadline)

    @contextlib.contextmanager
    def opened(self, url: str, headers: Mapping[str, str], deadline: Deadline) -> Iterator[httpx.Response]:
        """A response whose body is still to be read, after the redirects that are allowed.

        Raises:
            RedirectError: the server sends on to a host that is not named, or from https to http.
            ProgramError: the work was stopped.
            httpx.HTTPError: as the client raises it.
        """
        response = self._sent(url, headers, deadline, with_login=True)
        try:
            for _ in range(_MOST_REDIRECTS):
                if not response.has_redirect_location:
                    break
                target = _target(response)
                check_redirect(url, target, named=self._redirect_hosts)
                response.close()
                response = self._sent(target, headers, deadline, with_login=same_origin(target, url))
            else:
                raise unreachable(url, "cannot be followed: it is sent on and on")
            with interruptible(response, self.stop):
                yield response
        finally:
            response.close()

    def judge(self, response: httpx.Response) -> tuple[Retryable | None, bool]:
        """What to try again, if so, and whether the thing is there.

        Raises:
            IndexAccessError: the server refuses access, or answers what no index does.
        """
        status = response.status_code
        url = str(response.url)
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise self._refused(url, status)
        if status in _TRANSIENT or status in _SERVER_ERRORS:
            wait = retry_after(response.headers.get("Retry-After", ""), now=dt.datetime.now(dt.UTC))
            return Retryable(reason=f"answers HTTP {status}", wait_seconds=wait), False
        if status in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            return None, False
        partial = status == httpx.codes.PARTIAL_CONTENT and "Range" in response.request.headers
        if status != httpx.codes.OK and not partial:
            raise unreachable(url, f"answers HTTP {status}")
        return None, True

    def _sent(
        self, url: str, headers: Mapping[str, str], deadline: Deadline, *, with_login: bool
    ) -> httpx.Response:
        deadline.check()
        _check_port(url)
        login = self._logins.of(url) if with_login else None
        request = self._client.build_request(
            "GET",
            url,
            headers=dict(headers),
            timeout=httpx.Timeout(self.policy.read_seconds, connect=self.policy.connect_seconds, pool=None),
        )
        # Given with each request, and never none: httpx would take what a link's URL says instead.
        auth = httpx.BasicAuth(login.user, login.password) if login else httpx.Auth()
        return answer_of(
            lambda: self._client.send(request, stream=True, auth=auth), seconds=deadline.left, stop=self.stop
        )

    def _refused(self, url: str, status: int) -> IndexAccessError:
        host = urlsplit(url).hostname
        if self._logins.are_withheld and same_origin(url, self._logins.index_url):
            return IndexAccessError(
                f"{shown(url)} refuses access (HTTP {status}), and by plain HTTP no login is sent to {host}",
                solution="Give the index as https://…; SSL_CERT_FILE names the certificates of an authority "
                "of your own.",
            )
        variables = f", or into {' and '.join(login_variables(self._name))}" if self._name else ""
        return IndexAccessError(
            f"{shown(url)} refuses access (HTTP {status})",
            solution=f"Put the credentials for {host} into ~/.netrc (machine {host} login … password …)"
            f"{variables}; or ask the owners of the index for access.",
        )


def _target(response: httpx.Response) -> str:
    """Where a response sends the request on to."""
    url = str(response.url)
    try:
        return urljoin(url, response.headers["Location"])
    except ValueError as error:
        raise unreachable(url, "cannot be followed: it is sent on to what is no URL") from error


def _check_port(url: str) -> None:
    """That a URL's port is one: a socket would take another for it, modulo 65536."""
    try:
        port = urlsplit(url).port
    except ValueError as error:
        raise unreachable(url, f"cannot be followed ({error})") from error
    if port == 0:
        raise unreachable(url, "cannot be followed (0 is no port)")


def _read(response: httpx.Response, most_bytes: int, deadline: Deadline) -> bytes:
    return read_body(
        response,
        name=shown(str(response.url)),
        max_bytes=most_bytes,
        error=IndexContentError,
        check=deadline.check,
    )
