"""Where a registry is: the same value for all ways to write one place, so that one is never taken for two."""

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address

Place = tuple[str, ...]
"""A host, and the components of a path on it."""

# RFC 6761 gives this machine all names below localhost, and files of hosts some more.
_LOOPBACK = re.compile(
    r"(?:[a-z0-9-]+\.)*localhost(?:\.localdomain)?|localhost6?|ip6-(?:localhost|loopback)|\[::1\]"
)
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
# Amazon's registry of an account and region has several hosts: with and without FIPS, IPv4 alone and both.
_AMAZON = re.compile(r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\..+")
# Google's older hosts are repositories of Artifact Registry, named after the host, in these locations.
_GOOGLE = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}
# Either may be left out; and whether TLS is spoken does not make it another place.
_STANDARD_PORTS = frozenset({"", "80", "443"})


def place(url: str) -> Place:
    """Where ``HOST[:PORT][/PATH]`` is: whatever is written so comes to one host and the path's components."""
    host, *path = url.split("/")
    name, port = _parted(host)
    address = _address(name)
    if address is not None:
        name = str(address)
    if _LOOPBACK.fullmatch(name) or (address and (address.is_loopback or address.is_unspecified)):
        name = "localhost"
    elif name in _DOCKER_HUB:
        name = _DOCKER_HUB[0]
    elif match := _AMAZON.fullmatch(name):
        name = f"{match['account']}.{match['region']}"
    elif name in _GOOGLE and path:
        name, path = f"{_GOOGLE[name]}-docker.pkg.dev", [path[0], name, *path[1:]]
    return (name if port in _STANDARD_PORTS else f"{name}:{port}", *path)


def lies_in(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Whether a place is another one, or lies in it."""
    return tuple(inner[: len(outer)]) == tuple(outer)


def _address(name: str) -> IPv4Address | None:
    """The address that a host's name is, in any form that resolvers take (inet_aton), such as 127.1."""
    with suppress(OSError):
        return IPv4Address(socket.inet_aton(name))
    return None


def _parted(host: str) -> tuple[str, str]:
    """A host's name, and its port without zeros before it; the port is empty where none is given."""
    name, colon, port = host.rpartition(":")
    if not (colon and port.isdecimal()):
        return host, ""
    return name, str(int(port))
