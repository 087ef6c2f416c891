"""What a registry wants to be told of who asks (RFC 9110's challenges), and the tokens that it gives for it.

A login goes to the registry itself and, where the registry hands out tokens, to the service that it
names for that: over TLS that was verified to any host, else to the registry's own host alone.
"""

import json
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from factory.errors import RegistryError

_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
# What the token specification says of one that names no time; renewed a little before its end.
_DEFAULT_SECONDS, _MARGIN_SECONDS, _LEAST_SECONDS = 60.0, 10.0, 5.0


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


def check_realm(realm: str, *, base: str, verified: bool) -> str:
    """The URL of a token service, where a login may be sent to it.

    Args:
        realm: what the registry named.
        base: the registry's own URL.
        verified: whether the registry is who it says, by its certificate.

    Raises:
        RegistryError: it is no URL, carries a login, or the login could be read by others on the way there.
    """
    asked = urlsplit(base)
    try:
        service = urlsplit(realm)
        fitting = service.scheme in {"http", "https"} and service.hostname and "@" not in service.netloc
        own = service.hostname == asked.hostname
    except ValueError:
        fitting = own = False
    if fitting and service.scheme in {"https", asked.scheme} and (verified or own):
        return realm
    raise RegistryError(
        f"{asked.netloc} names a token service that no login is sent to",
        solution="A token service is reached by https; where the registry's certificate is not verified, it "
        "has to be on the registry's own host. Ask the owners of the registry.",
    )


def read_token(content: bytes, *, host: str) -> tuple[str, float]:
    """A token from the answer of a token service, and for how many seconds it holds.

    Raises:
        RegistryError: the answer holds none. The message does not repeat it.
    """
    try:
        document = json.loads(content)
        token = document.get("token") or document.get("access_token")
        seconds = document.get("expires_in")
    except (ValueError, AttributeError):
        token = seconds = None
    if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
        raise RegistryError(
            f"the token service of {host} gave no token",
            solution="Log in again (`podman login`), or ask the owners of the registry.",
        )
    return token, float(seconds) if isinstance(seconds, int | float) else _DEFAULT_SECONDS
