"""Requests to one container registry: with the login that is its own, bounded, and tried again.

A registry says in its first answer (``GET /v2/``) how it wants to be told who asks. A login or a token
goes to the registry's own origin alone (`factory.http.origins`), and only a challenge of that origin counts;
what it sends on to another one goes there without. Plain HTTP is spoken on loopback, and where nobody
verifies TLS; a login is sent by it on loopback alone.
"""

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO, Literal
from urllib.parse import quote, urljoin, urlsplit

import httpx

from factory.errors import IndexAccessError, RegistryError
from factory.http.bounded import accepted, read_body
from factory.http.origins import is_loopback, may_carry, origin_of, same_origin
from factory.http.retry import Deadline, Retryable, RetryPolicy, retry_after, retrying
from factory.index.connections import open_client
from factory.index.exchange import answer_of, interruptible
from factory.masking import shown
from factory.process import Stop, governor
from factory.registry.authorization import Challenge, Tokens, check_realm, read_challenge, read_token
from factory.registry.credentials import Credentials
from factory.registry.declared import Registry
from factory.registry.login import Login

_TRANSIENT = frozenset({408, 425, 429})
_SERVER_ERRORS = range(500, 600)
_MOST_REDIRECTS = 5
# A slow line is no reason to give up an upload; one that brings nothing is. A registry may take long to
# put a large blob in its place before it answers.
_LEAST_SECONDS, _LEAST_BYTES_A_SECOND = 300.0, 50_000
_PIECE_BYTES = 1 << 20
# The specification asks registries to take manifests of 4 MiB at least; a page of tags is smaller.
MOST_BYTES = 8 << 20
# What docker calls its public registry, and where that answers.
_API_HOSTS = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


Scheme = Literal["http", "https"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a registry answered, whole."""

    status: int
    headers: httpx.Headers
    content: bytes
    url: str


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One request, which may be sent more than once.

    ``body`` is the whole, or what gives it piece by piece from its beginning. ``repository`` is what a token
    is asked for. ``read_seconds`` is how long the server may send nothing.
    """

    method: str
    url: str
    deadline: Deadline
    read_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Iterator[bytes]] = b""
    repository: str = ""
    most_bytes: int = MOST_BYTES
    follow: bool = True


class Transport:
    """Sends requests to one registry; safe to use from several threads.

    Args:
        registry: where to.
        credentials: whom the registry is told.
        policy: timeouts and retries.
        connections: how many at a time.
        environment: where certificates are looked up.
        scheme: what it speaks; by default https, else http where that is allowed.
    """

    def __init__(
        self,
        registry: Registry,
        credentials: Credentials,
        *,
        policy: RetryPolicy,
        connections: int,
        environment: Mapping[str, str],
        scheme: Scheme | None = None,
    ) -> None:
        self.registry = registry
        self.credentials = credentials
        self._policy = policy
        self._connections = connections
        self._environment = environment
        self._scheme = scheme
        self._stop = governor()
        self._tokens = Tokens()
        self._opening = threading.Lock()
        self._connecting = threading.Lock()
        self._clients: dict[tuple[str, bool], httpx.Client] = {}
        self._base: str | None = None
        self._challenge: Challenge | None = None
        self._silent: RegistryError | None = None

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    @property
    def base(self) -> str:
        """The registry's URL, with the scheme that it speaks; asked for at the first use.

        One that did not answer then, at any try, is not waited for again by each request that follows.

        Raises:
            RegistryError: it does not answer.
        """
        with self._opening:
            if self._silent is not None:
                raise self._silent
            if self._base is None:
                try:
                    self._base, self._challenge = self._first_contact()
                except RegistryError as error:
                    self._silent = error
                    raise
            return self._base

    @property
    def plain_http(self) -> bool:
        """Whether the registry speaks plain HTTP."""
        return self.base.startswith("http://")

    def request(
        self,
        method: str,
        path: str,
        *,
        repository: str = "",
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """What the registry answers, whatever its status; but for those that may pass, which are tried again.

        Args:
            method: GET, HEAD, PUT, DELETE; each may be sent twice.
            path: from the registry's root, or a URL on it.
            repository: what a token is asked for; the catalogue where it is empty.
            headers: beside the one that says who asks.
            content: the body.
            most_bytes: how large the answer may be.

        Raises:
            RegistryError: it refuses access (401, 403), fails, or does not answer, again and again.
            ProgramError: the work was stopped.
        """
        url = urljoin(self.base, path)
        if not same_origin(url, self.base):
            raise RegistryError(
                f"{self.registry.host} names {shown(url)} as its own, which is another host",
                solution="Ask the owners of the registry what stands before it.",
            )
        request = replace(
            self._request(method, url),
            headers=headers or {},
            body=content,
            repository=repository,
            most_bytes=most_bytes,
        )
        return self._allowed(request, lambda: self._sent(request))

    def upload(self, repository: str, digest: str, size: int, opened: Callable[[], BinaryIO]) -> Answer:
        """Send a blob, from its beginning at each try (``POST``, ``PATCH``, ``PUT …/blobs/uploads/``).

        The registry says where it takes the bytes (``Location``). Another origin gets them without the login.

        Args:
            repository: where it goes.
            digest: what it is.
            size: its bytes.
            opened: opens it.

        Raises:
            RegistryError: the registry refused access, failed, or did not answer, again and again.
            ProgramError: the work was stopped.
        """
        url = f"{self.base}/v2/{quote(repository)}/blobs/uploads/"
        deadline = Deadline(_LEAST_SECONDS + size / _LEAST_BYTES_A_SECOND)

        described = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        begin = _Request(
            method="POST", url=url, deadline=deadline, read_seconds=_LEAST_SECONDS, repository=repository
        )

        def parts() -> Answer:
            answer = self._sent(begin)
            if answer.status == httpx.codes.ACCEPTED:
                place = self._upload_place(answer)
                with opened() as file:
                    body = partial(_pieces, file, deadline, self._stop)
                    answer = self._sent(
                        replace(begin, method="PATCH", url=place, headers=described, body=body)
                    )
            if answer.status == httpx.codes.ACCEPTED:
                last = httpx.URL(self._upload_place(answer)).copy_merge_params({"digest": digest})
                answer = self._sent(replace(begin, method="PUT", url=str(last)))
            return answer

        return self._allowed(begin, parts)

    def _upload_place(self, answer: Answer) -> str:
        """Where the registry takes the next part of an upload.

        Raises:
            RegistryError: it names no such place, one that others could read along at, or another origin
                that took a part sends back, which would make requests of its choice with the login.
        """
        place = _onward(answer.url, answer.headers.get("Location", ""))
        if same_origin(place, answer.url):
            return place
        if origin_of(place).scheme != "https" or not same_origin(answer.url, self.base):
            raise _unfollowed(answer.url, f"sends the upload on to {origin_of(place)}")
        return place

    def _request(self, method: str, url: str) -> _Request:
        """A request as most are, which begins now."""
        deadline = Deadline(self._policy.total_seconds)
        return _Request(method=method, url=url, deadline=deadline, read_seconds=self._policy.read_seconds)

    def _allowed(self, request: _Request, sent: Callable[[], Answer]) -> Answer:
        """What is answered, tried again while it may pass.

        Raises:
            RegistryError: access is refused, or it did not pass.
            ProgramError: the work was stopped.
        """

        def attempt() -> Answer | Retryable:
            answer = sent()
            return _transient(answer) or answer

        answer = self._patiently(request, attempt)
        if answer.status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise self._refused(request.repository, answer.status, url=answer.url)
        return answer

    def _patiently(self, request: _Request, attempt: Callable[[], Answer | Retryable]) -> Answer:
        try:
            return retrying(
                request.url, attempt, policy=self._policy, stop=self._stop, deadline=request.deadline
            )
        except IndexAccessError as error:
            # RetryPolicy and connections are the index's, and say what they say of it.
            raise RegistryError(
                error.reason,
                solution="Look at the address of the registry, the network and the registry itself, then run "
                "the same command again: what arrived is not sent twice.",
            ) from error

    def _first_contact(self) -> tuple[str, Challenge | None]:
        """The URL at which the registry answers, and what it wants to be told.

        Nothing is told yet. A registry that takes no encryption shows it by a refused handshake, one that
        wants it by a refused request; so either order finds out, and on loopback plain HTTP is likely.
        """
        host = _API_HOSTS.get(self.registry.host, self.registry.host)
        bases = [f"{self._scheme or 'https'}://{host}"]
        if self._scheme is not None:
            pass
        elif is_loopback(self.registry.host):
            bases.insert(0, f"http://{host}")
        elif not self.registry.tls_verify:
            bases.append(f"http://{host}")
        request = self._request("GET", f"{bases[0]}/v2/")
        answered = {}

        def attempt() -> Answer | Retryable:
            base, answer = self._first_answer(bases, request)
            answered[answer.url] = base
            return _transient(answer) or answer

        answer = self._patiently(request, attempt)
        base = answered[answer.url]
        return base, _challenge_of(answer, base)

    def _first_answer(self, bases: list[str], request: _Request) -> tuple[str, Answer]:
        failed: httpx.TransportError | None = None
        for base in bases:
            try:
                answer = self._once(replace(request, url=f"{base}/v2/"))
            except httpx.TransportError as error:
                # A certificate that was looked at says more than how another scheme was refused.
                failed = error if failed is None or "CERTIFICATE" in str(error) else failed
                continue
            # So a server for TLS alone answers a request without.
            if base == bases[-1] or answer.status != httpx.codes.BAD_REQUEST:
                return base, answer
        raise failed or httpx.TransportError("no answer")

    def _sent(self, request: _Request) -> Answer:
        """One request with who asks; a second where the first is told that the token is another's.

        Another origin, where the registry takes an upload, is told nothing.
        """
        if not same_origin(request.url, self.base):
            return self._once(request)
        challenge, repository = self._challenge, request.repository
        scope = _scope(request.method, repository)
        told = self._authorization(challenge, scope, repository)
        answer = self._once(request, told)
        if answer.status != httpx.codes.UNAUTHORIZED:
            return answer
        asked = _challenge_of(answer, self.base)
        if asked is None or (asked.scheme == "basic" and "Authorization" in told):
            return answer
        self._challenge = asked
        self._tokens.forget(asked.scope or scope)
        return self._once(request, self._authorization(asked, asked.scope or scope, repository))

    def _authorization(self, challenge: Challenge | None, scope: str, repository: str) -> dict[str, str]:
        if challenge is None:
            return {}
        if challenge.scheme == "basic":
            login = self._login(repository)
            return {"Authorization": f"Basic {login.encoded}"} if login else {}
        token = self._tokens.get(scope)
        if token is None:
            token, seconds = self._new_token(challenge, scope, repository)
            self._tokens.put(scope, token, seconds)
        return {"Authorization": f"Bearer {token}"}

    def _new_token(self, challenge: Challenge, scope: str, repository: str) -> tuple[str, float]:
        """A token, by the specification of token authentication: for the login, or for anybody."""
        login = self._login(repository)
        realm = check_realm(challenge.realm, base=self.base, registry=self.registry, login=login is not None)
        asked = {"service": challenge.service, "scope": scope}
        url = str(httpx.URL(realm).copy_merge_params({name: value for name, value in asked.items() if value}))
        told = {"Authorization": f"Basic {login.encoded}"} if login else {}
        request = replace(self._request("GET", url), follow=False)

        def attempt() -> Answer | Retryable:
            answer = self._once(request, told)
            return _transient(answer) or answer

        answer = self._patiently(request, attempt)
        if answer.status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.BAD_REQUEST}:
            raise self._refused(repository, answer.status)
        return read_token(answer.content, host=self.registry.host)

    def _login(self, repository: str) -> Login | None:
        """The login for a repository, which the registry asks for; None where nobody has one.

        Raises:
            RegistryError: others could read it on its way; or as `Credentials.of`.
        """
        login = self.credentials.of(repository)
        if login is not None and not may_carry(self.base, owner=self.base):
            raise RegistryError(
                f"{self.registry.host} asks for a login and speaks plain HTTP, by which none is sent",
                solution="Let it speak https: SSL_CERT_FILE names the certificates of an authority of your "
                f"own. If it needs no login, `podman logout {self.registry.host}`.",
            )
        return login

    def _once(self, request: _Request, authorization: Mapping[str, str] | None = None) -> Answer:
        """One request and its redirects, of which reading ones alone are followed.

        Args:
            request: what is sent.
            authorization: the header that says who asks; another origin does not get it.
        """
        follow = request.follow and request.method in {"GET", "HEAD"}
        current = replace(request, headers={**request.headers, **(authorization or {})})
        for _ in range(_MOST_REDIRECTS):
            with self._response(current) as response:
                if not (follow and response.has_redirect_location):
                    return Answer(
                        status=response.status_code,
                        headers=response.headers,
                        content=_read(response, request.most_bytes, request.deadline),
                        url=current.url,
                    )
                onward = _onward(current.url, response.headers["Location"])
            kept = current.headers if same_origin(onward, request.url) else request.headers
            current = replace(current, url=onward, headers=kept)
        raise _unfollowed(request.url, "is sent on and on")

    @contextlib.contextmanager
    def _response(self, request: _Request) -> Iterator[httpx.Response]:
        request.deadline.check()
        client = self._client(request.url)
        body = request.body
        built = client.build_request(
            request.method,
            request.url,
            headers=accepted(request.headers),
            content=(body or None) if isinstance(body, bytes) else body(),
            timeout=httpx.Timeout(
                self._policy.read_seconds,
                read=request.read_seconds,
                connect=self._policy.connect_seconds,
                pool=None,
            ),
        )
        # httpx.Auth() is nobody: else a URL that somebody sends on to would say who asks.
        response = answer_of(
            lambda: client.send(built, stream=True, auth=httpx.Auth()),
            seconds=request.deadline.left,
            stop=self._stop,
        )
        try:
            with interruptible(response, self._stop):
                yield response
        finally:
            response.close()

    def _client(self, url: str) -> httpx.Client:
        """The connections of a scheme; certificates are read where they are needed, which takes a while."""
        scheme = urlsplit(url).scheme
        # A token service at another origin gets the login, so what it is called has to be true.
        named = self.registry.token_host
        verified = scheme == "https" and (
            self.registry.tls_verify or (named is not None and same_origin(url, f"https://{named}/"))
        )
        with self._connecting:
            if (scheme, verified) not in self._clients:
                self._clients[scheme, verified] = open_client(
                    connections=self._connections,
                    verified=verified,
                    # As other tools have it: what is on this machine is not asked through a proxy.
                    proxied=not is_loopback(self.registry.host),
                    environment=self._environment,
                )
            return self._clients[scheme, verified]

    def _refused(self, repository: str, status: int, *, url: str | None = None) -> RegistryError:
        name = f"{self.registry.host}/{repository}" if repository else self.registry.host
        if url is not None and not same_origin(url, self.base):
            return RegistryError(
                f"{name} is sent on to {origin_of(url)}, which refuses access (HTTP {status}): it gets no "
                "login",
                solution="Name the registry that holds it in its place, or ask the owners of the registry.",
            )
        return RegistryError(
            f"the registry refuses access to {name} (HTTP {status})",
            solution=f"Log in as somebody who may: `podman login {self.registry.host}`, or name a file of "
            "logins in REGISTRY_AUTH_FILE.",
        )


def _transient(answer: Answer) -> Retryable | None:
    """Whether the answer may be another one later."""
    if answer.status not in _TRANSIENT and answer.status not in _SERVER_ERRORS:
        return None
    wait = retry_after(answer.headers.get("Retry-After", ""), now=dt.datetime.now(dt.UTC))
    return Retryable(reason=f"answers HTTP {answer.status}", wait_seconds=wait)


def _challenge_of(answer: Answer, base: str) -> Challenge | None:
    """The challenge of the registry itself; None where another origin, which it sent on to, has one."""
    if answer.status != httpx.codes.UNAUTHORIZED or not same_origin(answer.url, base):
        return None
    return read_challenge(answer.headers.get_list("WWW-Authenticate"))


def _scope(method: str, repository: str) -> str:
    """What a token has to allow, in the words of the token specification."""
    if not repository:
        return "registry:catalog:*"
    actions = {"GET": "pull", "HEAD": "pull", "DELETE": "pull,delete"}.get(method, "pull,push")
    return f"repository:{repository}:{actions}"


def _onward(url: str, location: str) -> str:
    """Where a request is sent on to: never from encryption to none."""
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
    except ValueError as error:
        raise _unfollowed(url, "is sent on to what is no URL") from error
    if parts.scheme not in {"http", "https"} or (parts.scheme == "http" and url.startswith("https:")):
        raise _unfollowed(url, "is sent on without encryption")
    return target


def _unfollowed(url: str, reason: str) -> RegistryError:
    return RegistryError(
        f"{shown(url)} cannot be read: it {reason}",
        solution="Ask the owners of the registry what stands before it.",
    )


def _pieces(file: BinaryIO, deadline: Deadline, stop: Stop) -> Iterator[bytes]:
    """A file from its beginning, until nobody waits any more for what becomes of it."""
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        if stop.stopped or not deadline.left:
            raise httpx.WriteError("the upload was stopped")
        yield piece


def _read(response: httpx.Response, most_bytes: int, deadline: Deadline) -> bytes:
    return read_body(
        response,
        name=shown(str(response.url)),
        max_bytes=most_bytes,
        error=RegistryError,
        check=deadline.check,
    )
