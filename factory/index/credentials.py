"""The logins for a package index: from its URL, the environment and ``.netrc``."""

import netrc
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from factory.errors import IndexAccessError
from factory.http.origins import Login, may_carry, origin_of, origin_or_none
from factory.index.configured import home_folder


@dataclass(frozen=True, kw_only=True)
class Logins:
    """The logins of one index: its own, and those of ``.netrc`` by host."""

    index_url: str
    own: Login | None
    by_host: Mapping[str, Login]

    def authorization(self, url: str) -> str | None:
        """Return the Authorization header for a URL; None without a login."""
        login = self.of(url)
        return None if login is None else login.authorization

    def of(self, url: str) -> Login | None:
        """Return the login for a URL; None without one (`factory.http.origins`).

        The index's own is sent only to its origin. ``.netrc`` has hosts without ports: its login of a host is
        sent to the index, if that is the host, and to ``https://HOST/`` at the port of https.
        """
        if may_carry(url, owner=self.index_url):
            return self.own or self.by_host.get(origin_of(url).host)
        origin = origin_or_none(url)
        if origin is None or str(origin) != f"https://{origin.host}":
            return None
        return self.by_host.get(origin.host)

    @property
    def are_withheld(self) -> bool:
        """Return whether the index's login is withheld, since others could read it on its way."""
        origin = origin_or_none(self.index_url)
        if origin is None or origin.keeps_secrets:
            return False
        return self.own is not None or origin.host in self.by_host


def read_logins(
    index_url: str, environment: Mapping[str, str], *, name: str | None = None
) -> tuple[str, Logins]:
    """Return an index URL without its user information, and the logins for the index.

    The URL's own takes precedence over the environment's, as with uv, and that over ``.netrc``'s.

    Args:
        index_url: The index, with or without credentials.
        environment: Where ``UV_INDEX_<NAME>_USERNAME``, ``UV_INDEX_<NAME>_PASSWORD``, ``NETRC`` and
            ``HOME`` are looked up.
        name: The flavor's name of the index; None if it has none.

    Raises:
        IndexAccessError: ``.netrc`` cannot be read, or the index URL is not a URL.
    """
    try:
        bare, in_url = split_credentials(index_url)
    except ValueError as error:
        # Not repeated: it may hold a password.
        raise IndexAccessError(
            f"what is configured as the index{f' {name}' if name else ''} is not a URL",
            solution="Give it as https://HOST/PATH/ in the spec, or the public one in UV_DEFAULT_INDEX.",
        ) from error
    own = in_url or (_in_environment(name, environment) if name else None)
    return bare, Logins(index_url=bare, own=own, by_host=read_netrc(environment))


def login_variables(name: str) -> tuple[str, str]:
    """Return uv's names of the variables with an index's user and password."""
    stem = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return f"UV_INDEX_{stem}_USERNAME", f"UV_INDEX_{stem}_PASSWORD"


def split_credentials(url: str) -> tuple[str, Login | None]:
    """Return a URL without its user information, and the login in it."""
    parts = urlsplit(url)
    user_information, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = user_information.partition(":")
    bare = urlunsplit(parts._replace(netloc=host))
    return bare, Login(user=unquote(user), password=unquote(password))


def read_netrc(environment: Mapping[str, str]) -> dict[str, Login]:
    """Return logins by host name, from the file that ``NETRC`` names or from ``~/.netrc``.

    A ``default`` entry is skipped: it would be sent to every host that a page links to.

    Raises:
        IndexAccessError: The file cannot be read. The message does not repeat it.
    """
    home = home_folder(environment)
    if not environment.get("NETRC") and home is None:
        return {}
    path = Path(environment.get("NETRC") or (home or Path()) / ".netrc")
    try:
        hosts = netrc.netrc(path).hosts
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        raise IndexAccessError(
            f"{path} cannot be read as a .netrc file ({type(error).__name__})",
            solution="Write `machine HOST login USER password PASSWORD` lines, readable by you alone.",
        ) from error
    return {
        host: Login(user=login, password=password or "")
        for host, (login, _account, password) in hosts.items()
        if host != "default"
    }


def _in_environment(name: str, environment: Mapping[str, str]) -> Login | None:
    user, password = (environment.get(variable) for variable in login_variables(name))
    return None if user is None and password is None else Login(user=user or "", password=password or "")
