"""The one HTTP client: for package indexes, container registries, and cloud services.

Every request ends, however slow the server is (`factory.http.retry`), and brings no more than it may
(`factory.http.bounded`). Its authorization goes to the origin that it is for, and to no other
(`factory.http.origins`); no redirect leads from https to http.
"""

import contextlib
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from factory import __version__
from factory.clock import timed
from factory.errors import FactoryError, IndexAccessError
from factory.http.bounded import accepted, read_body
from factory.http.origins import origin_of, same_origin
from factory.http.retry import Deadline, Retryable, RetryPolicy, TooSlowError, retry
from factory.masking import shown
from factory.process import Cancellation

_Result = TypeVar("_Result")
_Sent = Future[httpx.Response]
_MAX_REDIRECTS = 10
_POLL_SECONDS = 0.1
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# What Python itself reads, then what programs that use `requests` or curl read.
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """One request, which may be sent more than once.

    Attributes:
        authorization: The value of that header; another origin, to which a server sends on, does not get it.
        body: The whole, or a function that yields it piece by piece from its beginning.
        follow: Whether redirects of a GET or HEAD are followed; those of other methods never are.
        max_bytes: Of the response's body, unpacked.
        read_statuses: Statuses whose body is read; of others it is left out. All if None.
        read_seconds: How long the server may send nothing; the policy's if None.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = field(default=None, repr=False)
    body: bytes | Callable[[], Iterator[bytes]] = b""
    follow: bool = True
    max_bytes: int = 8 << 20
    read_statuses: frozenset[int] | None = None
    read_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A response, read whole; ``url`` is where it came from in the end."""

    url: str
    status: int
    headers: httpx.Headers
    content: bytes
    encoding: str | None


@dataclass(frozen=True, kw_only=True)
class ServerErrors:
    """The errors about one kind of server, and the solution if one misbehaves."""

    access: type[FactoryError]
    content: type[FactoryError]
    solution: str


class HttpClient:
    """Sends requests; safe to use from several threads. Nothing is connected before the first one.

    Args:
        policy: Timeouts and retries.
        connections: How many at a time.
        stop: Cancels requests.
        errors: The errors about its servers.
        environment: Where certificates are looked up; the process's own if None.
        proxied: Whether the proxies of the environment are used.
        verify: Whether the server at an https URL has to prove who it is by a certificate.
        check_redirect: Raises if a request for a URL may not be sent on to another one.
    """

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        connections: int,
        stop: Cancellation,
        errors: ServerErrors,
        environment: Mapping[str, str] | None = None,
        proxied: bool = True,
        verify: Callable[[str], bool] = lambda _: True,
        check_redirect: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.policy = policy
        self.stop = stop
        self._connections = connections
        self._errors = errors
        self._environment = environment
        self._proxied = proxied
        self._verify = verify
        self._check_redirect = check_redirect
        self._opening = threading.Lock()
        self._opened: dict[bool, httpx.Client] = {}
        self._senders = _Senders(connections)

    def close(self) -> None:
        """Close the connections."""
        self._senders.close()
        for client in self._opened.values():
            client.close()

    @timed("request")
    def send(self, request: HttpRequest) -> HttpResponse:
        """Return the response, whatever its status, but for failures that may pass: those are retried.

        Raises:
            FactoryError: of the client's family: the server failed, did not answer, or sent too much.
            ProgramError: the work was stopped.
        """
        deadline = self.deadline()

        def attempt() -> HttpResponse | Retryable:
            response = self.send_once(request, deadline)
            return Retryable.of(response.status, response.headers) or response

        return self.retry(request.url, attempt, deadline=deadline)

    def send_once(self, request: HttpRequest, deadline: Deadline) -> HttpResponse:
        """Return the response to one try, after its redirects.

        Raises:
            FactoryError: as for `send`.
            ProgramError: the work was stopped.
            httpx.HTTPError: what `retry` takes for a failure that may pass, or makes an error of.
        """
        with self.open(request, deadline) as response:
            wanted = request.read_statuses is None or response.status_code in request.read_statuses
            return HttpResponse(
                url=str(response.url),
                status=response.status_code,
                headers=response.headers,
                content=self._read(response, request, deadline) if wanted else b"",
                encoding=response.charset_encoding,
            )

    @contextlib.contextmanager
    def open(self, request: HttpRequest, deadline: Deadline) -> Iterator[httpx.Response]:
        """Send a request, follow its redirects, and yield the response with its body still to be read.

        Raises:
            FactoryError, ProgramError, httpx.HTTPError: as for `send_once`.
        """
        follow = request.follow and request.method in {"GET", "HEAD"}
        current = request
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._send(current, deadline)
            try:
                if not (follow and response.has_redirect_location):
                    with _interruptible(response, self.stop):
                        yield response
                    return
                target = self._target(response)
            finally:
                response.close()
            self._check_redirect(request.url, target)
            schemes = urlsplit(current.url).scheme, urlsplit(target).scheme
            if schemes not in {("http", "http"), ("http", "https"), ("https", "https")}:
                raise self.failure(current.url, "is sent on without encryption")
            kept = current.authorization if same_origin(target, current.url) else None
            current = replace(current, url=target, authorization=kept)
        raise self.failure(request.url, "cannot be followed: it is sent on and on")

    def retry(
        self,
        url: str,
        attempt: Callable[[], _Result | Retryable],
        *,
        deadline: Deadline | None = None,
        received: Callable[[], int] = lambda: 0,
    ) -> _Result:
        """Return the result of an attempt at a URL, by the client's policy (`factory.http.retry.retry`)."""
        return retry(
            attempt,
            policy=self.policy,
            stop=self.stop,
            failure=lambda reason: self.failure(url, reason),
            deadline=deadline,
            received=received,
        )

    def deadline(self) -> Deadline:
        """Return when a request that begins now, and is read whole, has to be done."""
        return Deadline(self.policy.total_seconds)

    def failure(self, url: str, reason: str) -> FactoryError:
        """Return an error of the client's family about a URL."""
        return self._errors.access(f"{shown(url)} {reason}", solution=self._errors.solution)

    def _send(self, request: HttpRequest, deadline: Deadline) -> httpx.Response:
        deadline.check()
        try:
            origin = origin_of(request.url)
        except ValueError as error:
            raise self.failure(request.url, f"cannot be followed ({error})") from error
        # TLS to a plain http URL is a proxy's at most.
        verified = self._verify(request.url) if origin.scheme == "https" else self._proxied
        client = self._client(verified=verified)
        authorization = {} if request.authorization is None else {"Authorization": request.authorization}
        body = request.body
        built = client.build_request(
            request.method,
            request.url,
            headers={**accepted(request.headers), **authorization},
            content=(body or None) if isinstance(body, bytes) else body(),
            timeout=httpx.Timeout(
                self.policy.read_seconds,
                read=request.read_seconds or self.policy.read_seconds,
                connect=self.policy.connect_seconds,
                pool=None,
            ),
        )
        # Without it httpx would take a login from the URL or .netrc.
        return self._senders.run(
            lambda: client.send(built, stream=True, auth=httpx.Auth()), seconds=deadline.left, stop=self.stop
        )

    def _client(self, *, verified: bool) -> httpx.Client:
        """Return the connections, opened at the first use: to read certificates takes a while."""
        with self._opening:
            if verified not in self._opened:
                self._opened[verified] = open_connections(
                    self._connections,
                    verified=verified,
                    proxied=self._proxied,
                    environment=self._environment,
                )
            return self._opened[verified]

    def _target(self, response: httpx.Response) -> str:
        """Return the target of a response's redirect."""
        url = str(response.url)
        try:
            return urljoin(url, response.headers["Location"])
        except ValueError as error:
            raise self.failure(url, "cannot be followed: it is sent on to what is no URL") from error

    def _read(self, response: httpx.Response, request: HttpRequest, deadline: Deadline) -> bytes:
        return read_body(
            response,
            name=shown(str(response.url)),
            max_bytes=request.max_bytes,
            error=self._errors.content,
            check=deadline.check,
        )


class _Senders:
    """A fixed number of threads, each of which sends a request and waits for its response's head.

    httpx counts its timeouts afresh with each byte, so that a server which drips its header, or a silent name
    server, could hold a request for ever. A thread can be left behind with it; as it keeps its connection
    too, there are as many threads as connections.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._tasks: queue.SimpleQueue[tuple[_Sent, Callable[[], httpx.Response]] | None] = (
            queue.SimpleQueue()
        )
        self._idle = threading.Semaphore(0)
        self._guard = threading.Lock()
        self._started = 0

    def run(
        self, send: Callable[[], httpx.Response], *, seconds: float, stop: Cancellation
    ) -> httpx.Response:
        """Return the response, its body unread, within so many seconds.

        Raises:
            TooSlowError: none has come yet.
            ProgramError: the work was stopped.
            httpx.HTTPError: as the client raises it.
        """
        sent = _Sent()
        self._tasks.put((sent, send))
        self._start()
        end = time.monotonic() + seconds
        answered = False
        try:
            while not answered:
                left = end - time.monotonic()
                with contextlib.suppress(TimeoutError):
                    sent.exception(min(_POLL_SECONDS, max(left, 0.001)))
                    answered = True
                if not answered:
                    stop.check()
                    if left <= 0:
                        raise TooSlowError("too slow")
        finally:
            if not answered:
                sent.cancel()
                sent.add_done_callback(_close_unwanted)
        return sent.result()

    def close(self) -> None:
        """End the threads, each when it has what it waits for."""
        with self._guard:
            for _ in range(self._started):
                self._tasks.put(None)

    def _start(self) -> None:
        if self._idle.acquire(blocking=False):
            return
        with self._guard:
            if self._started < self._count:
                self._started += 1
                threading.Thread(target=self._work, daemon=True, name="http").start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            sent, send = task
            if sent.set_running_or_notify_cancel():
                try:
                    sent.set_result(send())
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    sent.set_exception(error)
                except Exception as error:  # noqa: BLE001 - raised where it is waited for
                    # A client that is closed meanwhile raises RuntimeError.
                    sent.set_exception(httpx.TransportError(str(error)))
            self._idle.release()


def _close_unwanted(sent: _Sent) -> None:
    """Close a response that no thread waits for any more."""
    if not sent.cancelled() and sent.exception() is None:
        sent.result().close()


@contextlib.contextmanager
def _interruptible(response: httpx.Response, stop: Cancellation) -> Iterator[None]:
    """Cut the response's connection when the work is stopped, which ends reading its body in the block."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None

    def cut() -> None:
        # By the plain socket's method: a TLS socket's own would unwrap it under its reader.
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    with stop.calling(cut):
        yield


def open_connections(
    connections: int,
    *,
    verified: bool = True,
    proxied: bool = True,
    environment: Mapping[str, str] | None = None,
) -> httpx.Client:
    """Open connections with this machine's proxies and trusted certificates.

    No redirect is followed by it.

    Raises:
        IndexAccessError: a proxy or the certificates that the environment names cannot be used.
    """
    try:
        return httpx.Client(
            verify=_certificates(os.environ if environment is None else environment) if verified else False,
            trust_env=proxied,
            follow_redirects=False,
            headers={"User-Agent": f"universal-image-factory/{__version__}"},
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )
    except (httpx.InvalidURL, ValueError) as error:
        # Its text is not repeated: a proxy's URL may hold a password.
        named = [name for name in os.environ if name.lower() in _PROXIES]
        raise IndexAccessError(
            f"the environment names a proxy that cannot be used ({', '.join(sorted(named))})",
            solution="Give the proxy as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, and hosts "
            "that need none by name in NO_PROXY.",
        ) from error


def _certificates(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Return the authorities that the first variable with a value names, else those of certifi."""
    named = ((name, value) for name in _CERTIFICATES if (value := environment.get(name)))
    return _context(*next(named, ("", "")))


@cache
def _context(variable: str, path: str) -> ssl.SSLContext:
    """Read certificates, once: it takes longer than a request."""
    try:
        if not variable:
            return httpx.create_ssl_context(trust_env=False)
        is_folder = Path(path).is_dir()
        return ssl.create_default_context(
            cafile=None if is_folder else path, capath=path if is_folder else None
        )
    except OSError as error:
        raise IndexAccessError(
            "the certificates of authorities cannot be read: "
            f"{f'{variable}={path}' if variable else 'those that came with Python'} "
            f"({error.strerror or type(error).__name__})",
            solution="Let SSL_CERT_FILE name a file of certificates in PEM, or SSL_CERT_DIR a folder; "
            "without both, those that came with Python are believed.",
        ) from error
