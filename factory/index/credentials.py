"""Who a package index is told is asking: credentials from the index URL and from ``.netrc``."""

import netrc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from factory.errors import IndexAccessError


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user name and a password, which is not shown where the value is printed."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Without the password, so that no log or traceback can hold it."""
        return f"Login(user={self.user!r})"


def split_credentials(url: str) -> tuple[str, Login | None]:
    """A URL without its user information, and what that said."""
    parts = urlsplit(url)
    user_information, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = user_information.partition(":")
    bare = urlunsplit(parts._replace(netloc=host))
    return bare, Login(user=unquote(user), password=unquote(password))


def shown(url: str) -> str:
    """A URL as messages may show it: no credentials, and no query, which may be a signature."""
    bare, _ = split_credentials(url)
    return urlunsplit(urlsplit(bare)._replace(query="", fragment=""))


def read_netrc(environment: Mapping[str, str]) -> dict[str, Login]:
    """Host name to login, from the file that ``NETRC`` names or from ``~/.netrc``; empty without one.

    A ``default`` entry is passed over: it would be sent to every host that a page links to.

    Raises:
        IndexAccessError: the file is there and cannot be read. The message does not repeat it.
    """
    path = Path(environment.get("NETRC") or Path(environment.get("HOME", "~")).expanduser() / ".netrc")
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
