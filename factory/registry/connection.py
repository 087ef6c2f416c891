"""Requests to one container registry, with the login or the token that it asks for.

A registry's first answer (``GET /v2/``) says how to authenticate: by a login, or by a token of its token
service. A login or a token goes to the registry's own origin alone
(`factory.http.origins`), and only a challenge of that origin counts (RFC 9110). Plain HTTP is spoken on
loopback, and if TLS is not verified; a login is sent by it on loopback alone.

The address of the token service (``realm``) comes out of the registry's answer, so a changed answer could
send the login anywhere. It goes to the registry's own origin (as at quay.io, ghcr.io, Google's and
Azure's registries, Harbor), to a service that is known to belong to the registry, or to the host that the
registry's ``token-host`` in factory.toml names; to nothing else.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import BinaryIO, Literal, TypedDict
from urllib.parse import quote, urljoin

import httpx

from factory.clock import timed
from factory.documents import parse_json
from factory.errors import DocumentError, RegistryError
from factory.http.client import HttpClient, HttpRequest, HttpResponse, ServerErrors
from factory.http.origins import Login, Origin, is_loopback, may_carry, origin_of, origin_or_none, same_origin
from factory.http.retry import Deadline, Retryable, RetryPolicy
from factory.masking import shown
from factory.process import Cancellation, current_cancellation
from factory.registry.credentials import Credentials
from factory.registry.declared import Registry

Scheme = Literal["http", "https"]
_ERRORS = ServerErrors(
    access=RegistryError,
    content=RegistryError,
    solution="Look at the address of the registry, the network and the registry itself, then run the same "
    "command again: what arrived is not sent twice.",
)
_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# A slow line is not a reason to abort an upload; a stalled one is. A registry may take long to
# put a large blob in its place before it answers.
_LEAST_SECONDS, _LEAST_BYTES_A_SECOND = 300.0, 50_000
_PIECE_BYTES = 1 << 20
# The specification requires manifests of at least 4 MiB; a page of tags is smaller.
MAX_BYTES = 8 << 20
# Docker's name of its public registry, and where that answers.
_API_HOSTS = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
# The token specification's default; a token is renewed a little before its end.
_DEFAULT_SECONDS, _MARGIN_SECONDS, _LEAST_TOKEN_SECONDS = 60.0, 10.0, 5.0
_MAX_TOKEN_SECONDS = 24 * 3600
# By their documentation; most registries have their token service at their own origin.
_KNOWN_SERVICES = {"registry-1.docker.io": "auth.docker.io", "registry.gitlab.com": "gitlab.com"}


@dataclass(frozen=True, kw_only=True)
class _Challenge:
    """How a registry authenticates: ``basic`` for a login, ``bearer`` for a token of ``realm``."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


class _Tokens:
    """The tokens so far, by scope; safe to use from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: dict[str, tuple[str, float]] = {}

    def get(self, scope: str) -> str | None:
        """Return a token that is still valid; None without one."""
        with self._guard:
            token, end = self._known.get(scope, ("", 0.0))
        return token if time.monotonic() < end else None

    def put(self, scope: str, token: str, seconds: float) -> None:
        """Keep a token that is valid for so many seconds."""
        end = time.monotonic() + max(seconds - _MARGIN_SECONDS, _LEAST_TOKEN_SECONDS)
        with self._guard:
            self._known[scope] = (token, end)

    def forget(self, scope: str) -> None:
        """Drop a token that the registry no longer accepts."""
        with self._guard:
            self._known.pop(scope, None)


class Connection:
    """Sends requests to one registry; safe to use from several threads.

    Args:
        registry: Which.
        credentials: Its logins.
        policy: Timeouts and retries.
        connections: How many at a time.
        environment: Where certificates are looked up.
        scheme: What it speaks; by default https, else http if that is allowed.
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
        self._scheme = scheme
        self._http = HttpClient(
            policy=policy,
            connections=connections,
            stop=current_cancellation(),
            errors=_ERRORS,
            environment=environment,
            # As in other tools: loopback is not reached through a proxy.
            proxied=not is_loopback(registry.host),
            verify=self._verifies,
        )
        self._tokens = _Tokens()
        self._opening = threading.Lock()
        self._base: str | None = None
        self._challenge: _Challenge | None = None
        self._silent: RegistryError | None = None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def base(self) -> str:
        """Return the registry's URL with its scheme; found on first use.

        If it did not answer then, later requests do not wait for it again.

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
        """Return whether the registry speaks plain HTTP."""
        return self.base.startswith("http://")

    @timed("request")
    def request(
        self,
        method: str,
        path: str,
        *,
        repository: str = "",
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> HttpResponse:
        """Return the response, whatever its status; transient failures are retried.

        Args:
            method: GET, HEAD, PUT, DELETE; each may be sent twice.
            path: From the registry's root, or a URL on it.
            repository: What a token is asked for; the catalogue if it is empty.
            headers: Beside the one that says who asks.
            content: The body.

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
        request = HttpRequest(
            method=method, url=url, headers=headers or {}, body=content, max_bytes=MAX_BYTES
        )
        deadline = self._http.deadline()
        return self._allowed(
            url, repository, deadline, lambda: self._send_authorized(request, repository, deadline)
        )

    @contextmanager
    def open(
        self, path: str, *, repository: str, headers: Mapping[str, str], deadline: Deadline
    ) -> Iterator[httpx.Response]:
        """Yield the response to a GET, whatever its status, with its body still to be read.

        Raises:
            RegistryError: as `request`.
            httpx.TransportError: the connection failed; nothing is tried again.
        """
        authorization = self._authorization(self._challenge, _scope("GET", repository), repository)
        url = urljoin(self.base, path)
        request = HttpRequest(url=url, headers=headers, authorization=authorization)
        with self._http.open(request, deadline) as response:
            yield response

    def blob_deadline(self, size: int) -> Deadline:
        """Return when the transfer of a blob of so many bytes, begun now, has to be done."""
        return Deadline(_LEAST_SECONDS + size / _LEAST_BYTES_A_SECOND)

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let a repository have a blob of another one of this registry (``POST …?mount=…&from=…``).

        Returns False if the registry does not do it, or not for this login: then the blob has to be sent.
        """
        path = f"/v2/{quote(repository)}/blobs/uploads/?mount={digest}&from={quote(source, safe='')}"
        try:
            answer = self.request("POST", path, repository=repository)
        except RegistryError:
            return False
        if answer.status == HTTPStatus.ACCEPTED:
            # An upload was begun in its place.
            with suppress(RegistryError):
                self.request("DELETE", self._upload_place(answer), repository=repository)
        return answer.status == HTTPStatus.CREATED

    def upload(self, repository: str, digest: str, size: int, opened: Callable[[], BinaryIO]) -> HttpResponse:
        """Push a blob, from its beginning at each try (``POST``, ``PATCH``, ``PUT …/blobs/uploads/``).

        The registry says where it takes the bytes (``Location``). Another origin gets them without the login.

        Args:
            repository: Where it goes.
            digest: Its digest.
            size: Its bytes.
            opened: Opens it.

        Raises:
            RegistryError: the registry refused access, failed, or did not answer, again and again.
            ProgramError: the work was stopped.
        """
        url = f"{self.base}/v2/{quote(repository)}/blobs/uploads/"
        deadline = self.blob_deadline(size)
        described = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        begin = HttpRequest(method="POST", url=url, max_bytes=MAX_BYTES, read_seconds=_LEAST_SECONDS)

        def parts() -> HttpResponse:
            answer = self._send_authorized(begin, repository, deadline)
            if answer.status == HTTPStatus.ACCEPTED:
                place = self._upload_place(answer)
                with opened() as file:
                    body = partial(_pieces, file, deadline, self._http.stop)
                    patch = replace(begin, method="PATCH", url=place, headers=described, body=body)
                    answer = self._send_authorized(patch, repository, deadline)
            if answer.status == HTTPStatus.ACCEPTED:
                last = httpx.URL(self._upload_place(answer)).copy_merge_params({"digest": digest})
                answer = self._send_authorized(
                    replace(begin, method="PUT", url=str(last)), repository, deadline
                )
            return answer

        return self._allowed(url, repository, deadline, parts)

    def _upload_place(self, answer: HttpResponse) -> str:
        """Return where the registry takes the next part of an upload.

        Raises:
            RegistryError: it names no such place, one that others could read along at, or another origin
                that took a part sends back, which would make requests of its choice with the login.
        """
        try:
            place: str = urljoin(answer.url, answer.headers.get("Location", ""))
        except ValueError:
            place = ""
        if same_origin(place, answer.url):
            return place
        origin = origin_or_none(place)
        if origin is None or origin.scheme != "https" or not same_origin(answer.url, self.base):
            raise RegistryError(
                f"{shown(answer.url)} sends the upload on to {origin or 'what is no URL'}",
                solution="Ask the owners of the registry what stands before it.",
            )
        return place

    def _allowed(
        self, url: str, repository: str, deadline: Deadline, sent: Callable[[], HttpResponse]
    ) -> HttpResponse:
        """Return the answer, repeating the request while its failures are transient.

        Raises:
            RegistryError: access is refused, or it did not pass.
            ProgramError: the work was stopped.
        """

        def attempt() -> HttpResponse | Retryable:
            answer = sent()
            return Retryable.of(answer.status, answer.headers) or answer

        answer = self._http.retry(url, attempt, deadline=deadline)
        if answer.status in _REFUSALS:
            raise self._refused(repository, answer.status, url=answer.url)
        return answer

    def _first_contact(self) -> tuple[str, _Challenge | None]:
        """Return the URL at which the registry answers, and how it authenticates.

        No login is sent. A registry that takes no encryption shows it by a refused handshake, one that
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
        deadline = self._http.deadline()

        def attempt() -> tuple[str, HttpResponse] | Retryable:
            base, answer = self._first_answer(bases, deadline)
            return Retryable.of(answer.status, answer.headers) or (base, answer)

        base, answer = self._http.retry(f"{bases[0]}/v2/", attempt, deadline=deadline)
        return base, _challenge_of(answer, base)

    def _first_answer(self, bases: list[str], deadline: Deadline) -> tuple[str, HttpResponse]:
        failed: httpx.TransportError | None = None
        for base in bases:
            try:
                answer = self._http.send_once(HttpRequest(url=f"{base}/v2/", max_bytes=MAX_BYTES), deadline)
            except httpx.TransportError as error:
                # A certificate error says more than the other scheme's refusal.
                failed = error if failed is None or "CERTIFICATE" in str(error) else failed
                continue
            # A server for TLS alone answers a plain request so.
            if base == bases[-1] or answer.status != HTTPStatus.BAD_REQUEST:
                return base, answer
        raise failed or httpx.TransportError("no answer")

    def _send_authorized(self, request: HttpRequest, repository: str, deadline: Deadline) -> HttpResponse:
        """Send an authorized request, and a second one if the registry challenges the first.

        Another origin, at which the registry takes an upload, gets no authorization.
        """
        if not same_origin(request.url, self.base):
            return self._http.send_once(request, deadline)
        challenge = self._challenge
        scope = _scope(request.method, repository)
        authorization = self._authorization(challenge, scope, repository)
        answer = self._http.send_once(replace(request, authorization=authorization), deadline)
        if answer.status != HTTPStatus.UNAUTHORIZED:
            return answer
        asked = _challenge_of(answer, self.base)
        if asked is None or (asked.scheme == "basic" and authorization is not None):
            return answer
        self._challenge = asked
        self._tokens.forget(asked.scope or scope)
        again = self._authorization(asked, asked.scope or scope, repository)
        return self._http.send_once(replace(request, authorization=again), deadline)

    def _authorization(self, challenge: _Challenge | None, scope: str, repository: str) -> str | None:
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            login = self._login(repository)
            return login.authorization if login else None
        token = self._tokens.get(scope)
        if token is None:
            token, seconds = self._new_token(challenge, scope, repository)
            self._tokens.put(scope, token, seconds)
        return f"Bearer {token}"

    def _new_token(self, challenge: _Challenge, scope: str, repository: str) -> tuple[str, float]:
        """Return a token, by the token authentication specification: for the login, or anonymous."""
        login = self._login(repository)
        realm = check_realm(challenge.realm, base=self.base, registry=self.registry, login=login is not None)
        asked = {"service": challenge.service, "scope": scope}
        url = httpx.URL(realm).copy_merge_params({name: value for name, value in asked.items() if value})
        answer = self._http.send(
            HttpRequest(
                url=str(url),
                authorization=login.authorization if login else None,
                follow=False,
                max_bytes=MAX_BYTES,
            )
        )
        if answer.status in {*_REFUSALS, HTTPStatus.BAD_REQUEST}:
            raise self._refused(repository, answer.status)
        return read_token(answer.content, host=self.registry.host)

    def _login(self, repository: str) -> Login | None:
        """Return the login for a repository, which the registry requires; None without one.

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

    def _verifies(self, url: str) -> bool:
        """Return whether a server's certificate is verified: always for another token service."""
        named = self.registry.token_host
        return self.registry.tls_verify or (named is not None and same_origin(url, f"https://{named}/"))

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


def _challenge_of(answer: HttpResponse, base: str) -> _Challenge | None:
    """Return the registry's own challenge; None if another origin, after a redirect, sent it."""
    if answer.status != HTTPStatus.UNAUTHORIZED or not same_origin(answer.url, base):
        return None
    return _read_challenge(answer.headers.get_list("WWW-Authenticate"))


def _scope(method: str, repository: str) -> str:
    """Return the scope of a token, by the token specification."""
    if not repository:
        return "registry:catalog:*"
    actions = {"GET": "pull", "HEAD": "pull", "DELETE": "pull,delete"}.get(method, "pull,push")
    return f"repository:{repository}:{actions}"


def _pieces(file: BinaryIO, deadline: Deadline, stop: Cancellation) -> Iterator[bytes]:
    """Yield a file from its beginning, until the upload is stopped or out of time."""
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        if stop.stopped or not deadline.left:
            raise httpx.WriteError("the upload was stopped")
        yield piece


def _read_challenge(headers: Iterable[str]) -> _Challenge | None:
    """Return a challenge of ``WWW-Authenticate`` that can be met; None without one."""
    found = None
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        if scheme.lower() == "bearer":
            said = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
            return _Challenge(
                scheme="bearer",
                realm=said.get("realm", ""),
                service=said.get("service", ""),
                scope=said.get("scope", ""),
            )
        if scheme.lower() == "basic":
            found = _Challenge(scheme="basic")
    return found


def check_realm(realm: str, *, base: str, registry: Registry, login: bool) -> str:
    """Return the URL of a token service if the registry's credentials may be sent there.

    Without a login only a request is at risk: any public host may be asked for a token by https.

    Args:
        realm: What the registry's challenge names.
        base: The registry's own URL.
        registry: Its settings.
        login: Whether a login goes with the request.

    Raises:
        RegistryError: It is no URL, has a login in it, or is another origin that nobody named.
    """
    own = origin_of(base)
    try:
        service = None if httpx.URL(realm).userinfo else origin_of(realm)
    except (ValueError, httpx.InvalidURL):
        service = None
    if service is not None and (
        service == own
        or service in _named_services(own, registry)
        or (not login and service.scheme == "https" and service.is_public_name)
    ):
        return realm
    raise RegistryError(
        f"{registry.host} names a token service that no login is sent to"
        + (f": {service} is another origin" if service else ", which is no URL for one"),
        solution="Ask the owners of the registry whether it is theirs. If so, and it speaks https, write "
        f'token-host = "{service.netloc if service else "HOST"}" into the table [registries.NAME] of '
        f"{registry.host} in factory.toml.",
    )


def _named_services(own: Origin, registry: Registry) -> set[Origin]:
    """Return the other origins of a registry's token service; all speak https."""
    known = _KNOWN_SERVICES.get(own.host) if own.scheme == "https" and registry.tls_verify else None
    return {origin_of(f"https://{host}/") for host in (known, registry.token_host) if host}


class _Token(TypedDict, total=False):
    token: str | None
    access_token: str | None
    # Of any type: services send numbers as strings; other values are ignored.
    expires_in: object


def read_token(content: bytes, *, host: str) -> tuple[str, float]:
    """Return the token of a token service's answer, and its lifetime in seconds.

    Raises:
        RegistryError: the answer holds none. The message does not repeat it.
    """
    try:
        document = parse_json(content, _Token, source="the answer")
    except DocumentError:
        document = _Token()
    token = document.get("token") or document.get("access_token") or ""
    if not (token and token.isascii() and token.isprintable()):
        raise RegistryError(
            f"the token service of {host} gave no token",
            solution="Log in again (`podman login`), or ask the owners of the registry.",
        )
    seconds = document.get("expires_in")
    if not isinstance(seconds, int | float):
        return token, _DEFAULT_SECONDS
    # Bounded before it is a float, which 10^400 cannot be.
    return token, float(min(max(seconds, 0), _MAX_TOKEN_SECONDS))
