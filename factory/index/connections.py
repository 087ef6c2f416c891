"""Connections as this machine is set up for them: its proxies, and the certificates that it believes."""

import os
import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import httpx

from factory import __version__
from factory.errors import IndexAccessError

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# What Python itself reads, then what programs that use `requests` or curl read.
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def open_client(
    *,
    connections: int,
    verified: bool = True,
    proxied: bool = True,
    environment: Mapping[str, str] | None = None,
) -> httpx.Client:
    """A client that follows no redirect of its own, with so many connections at a time.

    Args:
        connections: how many.
        verified: whether servers show by a certificate who they are.
        proxied: whether the proxies of the environment are used.
        environment: where certificates are looked up; the process's own if None.

    Raises:
        IndexAccessError: a proxy or the certificates that the environment names cannot be used.
    """
    try:
        return httpx.Client(
            verify=certificates(os.environ if environment is None else environment) if verified else False,
            trust_env=proxied,
            follow_redirects=False,
            headers={"User-Agent": f"universal-image-factory/{__version__}"},
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )
    except (httpx.InvalidURL, ValueError) as error:
        # What it says is not repeated: a proxy's URL may hold a password.
        named = [name for name in os.environ if name.lower() in _PROXIES]
        raise IndexAccessError(
            f"the environment names a proxy that cannot be used ({', '.join(sorted(named))})",
            solution="Give the proxy as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, and hosts "
            "that need none by name in NO_PROXY.",
        ) from error


def certificates(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Return the authorities that are believed: those of the first variable that names some, else certifi's.

    Raises:
        IndexAccessError: what the environment names cannot be read.
    """
    return _context(
        *next(((name, value) for name in _CERTIFICATES if (value := environment.get(name))), ("", ""))
    )


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
