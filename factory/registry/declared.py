"""The registries that a repository declares in ``[registries]`` of its ``factory.toml``, and their places."""

import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import combinations
from pathlib import Path
from typing import Literal

from factory.console import did_you_mean
from factory.dockerfile.references import PATH_COMPONENT
from factory.documents import TableReader
from factory.errors import NotFoundError, SpecError
from factory.http.origins import is_loopback, origin_or_none
from factory.masking import masked_address
from factory.pages import docs_command
from factory.settings import SETTINGS_FILE, read_settings

TABLE = "registries"

RegistryClass = Literal["persistent", "disposable"]
DriverName = Literal["oci", "ecr", "artifact-registry"]

_EXAMPLE = f"{docs_command('registries')} shows a whole table"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
# Docker takes a first component without a dot and a port as a path on its own registry.
_URL = re.compile(
    rf"(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|[a-z0-9-]+(?=:))(?::[0-9]{{1,5}})?(?:/{PATH_COMPONENT})*"
)
_TOKEN_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?")
# On loopback a test server may replace the service.
_HOSTS = {
    "ecr": (re.compile(r"[0-9]{12}\.dkr[.-]ecr.+"), "ACCOUNT.dkr.ecr.REGION.amazonaws.com"),
    "artifact-registry": (re.compile(r".+-docker\.pkg\.dev|(?:.+\.)?gcr\.io"), "REGION-docker.pkg.dev"),
}


@dataclass(frozen=True, kw_only=True)
class Registry:
    """One registry, or a part of one, into which images are pushed.

    url: ``HOST[:PORT][/PATH]``; an image's name follows after a slash.
    kind: Nothing is ever deleted from a ``persistent`` one: its images took hours to build.
    keep: How many of the newest images of each name `prune` keeps.
    keep_days: The age in days up to which `prune` keeps all images.
    prune_after_push: Whether a push prunes it afterwards; only of a ``disposable`` one.
    token_host: The ``HOST[:PORT]`` of a token service at another origin, which gets the login by https.
    """

    name: str
    url: str
    kind: RegistryClass
    driver: DriverName = "oci"
    keep: int = 10
    keep_days: int = 30
    tls_verify: bool = True
    prune_after_push: bool = False
    token_host: str | None = None

    @property
    def host(self) -> str:
        """The host with its port, as auth files name it."""
        return self.url.partition("/")[0]

    def repository(self, image: str) -> str:
        """Return the repository of an image without the host: ``PATH/IMAGE``."""
        path = self.url.partition("/")[2]
        return f"{path}/{image}" if path else image

    def reference(self, image: str, tag: str) -> str:
        """Return the reference of an image: ``HOST/PATH/IMAGE:TAG``."""
        return f"{self.url}/{image}:{tag}"


def read_registries(root: Path) -> dict[str, Registry]:
    """Return the registries of the repository at root by name, in the order of its ``factory.toml``.

    Raises:
        SpecError: the file or its table ``[registries]`` is not acceptable.
        StorageError: the file system refused.
    """
    return parse_registries(read_settings(root))


def parse_registries(document: Mapping[str, object]) -> dict[str, Registry]:
    """Return the registries that ``factory.toml``, given as data, declares.

    Raises:
        SpecError: a key is missing, unknown, of the wrong type or not acceptable, or two registries are
            the same place, or one lies in another of a different class.
    """
    content = document.get(TABLE, {})
    if not isinstance(content, dict):
        raise SpecError(
            f"{SETTINGS_FILE}: {TABLE} is not a table", solution=f"Write [{TABLE}.NAME]; {_EXAMPLE}."
        )
    found = {name: _registry(name, table) for name, table in content.items()}
    for one, other in combinations(found.values(), 2):
        _refuse_overlap(one, other)
    return found


def find_registry(registries: Mapping[str, Registry], name: str) -> Registry:
    """Return the declared registry of a name.

    Raises:
        NotFoundError: it does not exist.
    """
    if name in registries:
        return registries[name]
    raise NotFoundError(
        f"there is no registry {name!r} in {SETTINGS_FILE}",
        solution=f"{did_you_mean(name, registries, listing='factory registry status')} "
        f"Or declare it as [{TABLE}.{name}]; {_EXAMPLE}.",
    )


def given_registry(url: str, *, of: str) -> Registry:
    """Return a registry that is given by its address alone, from which nothing may be deleted.

    Raises:
        SpecError: it is not the address of a registry; ``of`` says in the message what gave it.
    """
    given = {TABLE: {"given": {"url": url, "class": "persistent"}}}
    try:
        return replace(parse_registries(given)["given"], name=url)
    except SpecError as error:
        raise SpecError(f"{of}: {error.reason.partition(': ')[2]}", solution=error.solution) from error


def _registry(name: str, content: object) -> Registry:
    if not isinstance(content, dict):
        raise SpecError(
            f"{SETTINGS_FILE}: [{TABLE}] {name} is not a table",
            solution=f"Write it as [{TABLE}.{name}] with url and class; {_EXAMPLE}.",
        )
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"{SETTINGS_FILE}: [{TABLE}] {name!r} is not a name for a registry",
            solution="Use lower-case letters, digits and hyphens between them, such as release.",
        )
    table = TableReader(content, where=SETTINGS_FILE, name=f"{TABLE}.{name}", example=_EXAMPLE)
    driver, kind = _driver(table), _class(table)
    registry = Registry(
        name=name,
        url=_url(table, driver),
        kind=kind,
        driver=driver,
        keep=_at_least(table, "keep", 1, default=Registry.keep),
        keep_days=_at_least(table, "keep-days", 0, default=Registry.keep_days),
        tls_verify=table.flag("tls-verify", default=Registry.tls_verify),
        prune_after_push=_prune_after_push(table, kind),
        token_host=_token_host(table),
    )
    table.refuse_the_rest()
    return registry


def _prune_after_push(table: TableReader, kind: RegistryClass) -> bool:
    wanted = table.flag("prune-after-push", default=False)
    if wanted and kind != "disposable":
        raise table.refuse(
            "prune-after-push",
            "is for a disposable registry, and this one is persistent: nothing is ever deleted from it",
            'Remove the line, or write class = "disposable" if its images may go.',
        )
    return wanted


def _class(table: TableReader) -> RegistryClass:
    match table.optional_text("class"):
        case "persistent":
            return "persistent"
        case "disposable":
            return "disposable"
        case given:
            problem = "is missing, and it has no default" if given is None else f"{given!r} is not a class"
            raise table.refuse(
                "class",
                problem,
                'Write class = "persistent", from which the factory never deletes anything, or '
                'class = "disposable", which prune and teardown may empty.',
            )


def _driver(table: TableReader) -> DriverName:
    match table.optional_text("driver"):
        case None | "oci":
            return "oci"
        case "ecr":
            return "ecr"
        case "artifact-registry":
            return "artifact-registry"
        case given:
            raise table.refuse(
                "driver",
                f"{given!r} is not a driver",
                "Use oci, which serves every registry, ecr or artifact-registry.",
            )


def _url(table: TableReader, driver: DriverName) -> str:
    url = table.text("url")
    if url.startswith("["):
        raise table.refuse(
            "url",
            f"{masked_address(url)!r} has an address of IPv6, which no name of an image may have",
            "Write a name that leads there in its place, such as localhost:5000/team for [::1]:5000/team.",
        )
    if not _URL.fullmatch(url):
        raise table.refuse(
            "url",
            f"{masked_address(url)!r} is not the address of a registry",
            "Write HOST[:PORT][/PATH] in lower case, such as quay.io/universal-images: no scheme, no tag, no "
            "slash at its end; the image's name follows.",
        )
    host, _, path = url.partition("/")
    name = host.partition(":")[0]
    if driver in _HOSTS and not is_loopback(name):
        pattern, example = _HOSTS[driver]
        if not pattern.fullmatch(name):
            raise table.refuse(
                "url", f"{host} is no host of {driver}", f'Write {example}/…, or driver = "oci".'
            )
    if driver == "artifact-registry" and "gcr.io" not in host and path.count("/") < 1:
        raise table.refuse(
            "url", f"{url} names no repository", "Write REGION-docker.pkg.dev/PROJECT/REPOSITORY."
        )
    return url


def _token_host(table: TableReader) -> str | None:
    host = table.optional_text("token-host")
    if host is not None and not (_TOKEN_HOST.fullmatch(host) and origin_or_none(f"https://{host}/")):
        raise table.refuse(
            "token-host",
            f"{masked_address(host)!r} is no host",
            "Write HOST[:PORT] in lower case, such as auth.example.com: no scheme, no path.",
        )
    return host


def _at_least(table: TableReader, key: str, least: int, *, default: int) -> int:
    number = table.number(key, default=default)
    if number < least:
        raise table.refuse(key, f"{number} is less than {least}", f"Write a whole number from {least} on.")
    return number


def _refuse_overlap(one: Registry, other: Registry) -> None:
    """Refuse two classes in one place: a command would delete what the other must keep."""
    first, second = place(one.url), place(other.url)
    if first == second:
        raise SpecError(
            f"{SETTINGS_FILE}: the registries {one.name} and {other.name} are the same place: {one.url}",
            solution="Declare it once, or give each a path of its own.",
        )
    if (lies_in(first, second) or lies_in(second, first)) and one.kind != other.kind:
        raise SpecError(
            f"{SETTINGS_FILE}: the registries {one.name} ({one.kind}, {one.url}) and {other.name} "
            f"({other.kind}, {other.url}) lie one in the other, and their classes differ",
            solution="Give each a path that is not in the other's, so that what one may delete is nothing "
            "that the other has to keep.",
        )


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
    """Return the place of ``HOST[:PORT][/PATH]``: all spellings of one place give the same value."""
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
    """Return whether a place is the same as another one, or lies in it."""
    return tuple(inner[: len(outer)]) == tuple(outer)


def _address(name: str) -> IPv4Address | None:
    """Return the address that a host is, in any form that resolvers accept (inet_aton), such as 127.1."""
    with suppress(OSError):
        return IPv4Address(socket.inet_aton(name))
    return None


def _parted(host: str) -> tuple[str, str]:
    """Return a host's name, and its port without leading zeros; empty if it has none."""
    name, colon, port = host.rpartition(":")
    if not (colon and port.isdecimal()):
        return host, ""
    return name, str(int(port))
