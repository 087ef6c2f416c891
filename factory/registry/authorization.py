"""How a registry asks for credentials (RFC 9110's challenges), its token service, and the tokens of that.

The address of the token service (``realm``) comes out of the registry's answer, so what can change an answer
could send the login anywhere. It goes to the registry's own origin (as at quay.io, ghcr.io, Google's and
Azure's registries, Harbor), to a service that is known to belong to the registry, or to the host that the
registry's ``token-host`` in factory.toml names; to nothing else.
"""

import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import httpx

from factory.documents import parse_json
from factory.errors import DocumentError, RegistryError
from factory.http.origins import Origin, origin_of
from factory.registry.declared import Registry

_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
# What the token specification says of one that names no time; renewed a little before its end.
_DEFAULT_SECONDS, _MARGIN_SECONDS, _LEAST_SECONDS = 60.0, 10.0, 5.0
# By their documentation; most registries have their token service at their own origin.
_KNOWN_SERVICES = {"registry-1.docker.io": "auth.docker.io", "registry.gitlab.com": "gitlab.com"}
_MOST_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """How a registry wants to be told: ``basic``, or ``bearer`` with a token of the service at ``realm``."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


class Tokens:
    """The tokens that were given so far, by scope; safe to use from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: dict[str, tuple[str, float]] = {}

    def get(self, scope: str) -> str | None:
        """A token that still holds."""
        with self._guard:
            token, end = self._known.get(scope, ("", 0.0))
        return token if time.monotonic() < end else None

    def put(self, scope: str, token: str, seconds: float) -> None:
        """A token was given, for so many seconds."""
        end = time.monotonic() + max(seconds - _MARGIN_SECONDS, _LEAST_SECONDS)
        with self._guard:
            self._known[scope] = (token, end)

    def forget(self, scope: str) -> None:
        """A token is not taken any more."""
        with self._guard:
            self._known.pop(scope, None)


def read_challenge(headers: Iterable[str]) -> Challenge | None:
    """The challenge in the values of ``WWW-Authenticate`` that the factory can meet; None without one."""
    found = None
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        if scheme.lower() == "bearer":
            said = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
            return Challenge(
                scheme="bearer",
                realm=said.get("realm", ""),
                service=said.get("service", ""),
                scope=said.get("scope", ""),
            )
        if scheme.lower() == "basic":
            found = Challenge(scheme="basic")
    return found


def check_realm(realm: str, *, base: str, registry: Registry, login: bool) -> str:
    """Return the URL of a token service, if the registry's credentials may be sent there.

    Without a login there is nothing to lose but a request: any public host may give a token by https.

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
    """Return the origins, other than its own, of a registry's token service; all speak https."""
    known = _KNOWN_SERVICES.get(own.host) if own.scheme == "https" and registry.tls_verify else None
    return {origin_of(f"https://{host}/") for host in (known, registry.token_host) if host}


class _Token(TypedDict, total=False):
    token: str | None
    access_token: str | None
    # Of any type: services send numbers as texts, and what is no number counts as none.
    expires_in: object


def read_token(content: bytes, *, host: str) -> tuple[str, float]:
    """A token from the answer of a token service, and for how many seconds it holds.

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
    return token, float(min(max(seconds, 0), _MOST_SECONDS))
