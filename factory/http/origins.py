"""The one rule for credentials: a login or token is sent only to its own origin.

An origin is a scheme, a host and a port (RFC 6454): another port of the same host is another origin.
Credentials need https, except on an origin that is loopback itself, where nobody else reads along. All that
sends requests asks `may_carry`; a challenge (``WWW-Authenticate``) counts if `same_origin` says so.
"""

import base64
import ipaddress
from dataclasses import dataclass, field
from typing import Self

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535


@dataclass(frozen=True)
class Origin:
    """Scheme, host (lower case, no brackets) and port of a URL."""

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Return whether the host is this machine: ``localhost``, 127.0.0.0/8 or ``::1``."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keeps_secrets(self) -> bool:
        """Return whether credentials may be sent to it: encrypted, or without leaving this machine."""
        return self.scheme == "https" or self.is_loopback

    @property
    def is_public_name(self) -> bool:
        """Return whether the host has a domain name: no address, no local name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return "." in self.host.strip(".") and not self.host.strip(".").replace(".", "").isdecimal()
        return False

    @property
    def netloc(self) -> str:
        """``HOST[:PORT]``, without the port if it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """``SCHEME://HOST[:PORT]``."""
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user name and a password; neither is shown where the value is printed."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def decoded(cls, encoded: str) -> Self:
        """Return the login that is ``USER:PASSWORD`` in base64.

        Raises:
            ValueError: it is not one.
        """
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        return cls(user=user, password=password)

    @property
    def encoded(self) -> str:
        """``USER:PASSWORD`` in base64, as RFC 7617 and auth files have it."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def authorization(self) -> str:
        """The value of the header ``Authorization`` (RFC 7617)."""
        return f"Basic {self.encoded}"


def origin_of(url: str) -> Origin:
    """Return the origin of an http or https URL, read as the client reads it that connects.

    Raises:
        ValueError: it has another scheme, no host, or a port out of range.
    """
    # The parser of the client that connects. Commands without requests, such as a plan, do not import it.
    import httpx  # noqa: PLC0415

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    default = _DEFAULT_PORTS.get(parsed.scheme)
    port = default if parsed.port is None else parsed.port
    if default is None or port is None or not parsed.host:
        raise ValueError("it is no http or https URL")
    if not 0 < port <= _MAX_PORT:
        # A socket would take another port for it, modulo 65536.
        raise ValueError(f"{port} is no port")
    return Origin(parsed.scheme, parsed.host.lower(), port)


def origin_or_none(url: str) -> Origin | None:
    """Return the origin of a URL; None if it has none."""
    try:
        return origin_of(url)
    except ValueError:
        return None


def same_origin(url: str, other: str) -> bool:
    """Return whether two URLs have one origin; False if either has none."""
    origin = origin_or_none(url)
    return origin is not None and origin == origin_or_none(other)


def may_carry(url: str, *, owner: str) -> bool:
    """Return whether a request for ``url`` may carry credentials that are for the origin of ``owner``."""
    return same_origin(url, owner) and origin_of(url).keeps_secrets


def is_loopback(host: str) -> bool:
    """Return whether ``HOST[:PORT]`` is this machine."""
    origin = origin_or_none(f"http://{host}/")
    return origin is not None and origin.is_loopback
