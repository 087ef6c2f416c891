"""Read this machine's settings: its public index, as uv finds it, and the user's home folder.

uv's own order, observed: the environment, an ``[[index]]`` with ``default``, ``index-url`` in ``[pip]``,
``index-url`` outside of it; at each step the user's configuration before the system's.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict
from urllib.parse import urljoin

from packageurl.contrib.purl2url import get_repo_url

from factory.documents import read_toml, require_shape
from factory.errors import DocumentError, IndexAccessError

# The public index's address is not written here: no file of this project names a registry's host.
PYTHON_PACKAGE_INDEX = urljoin(str(get_repo_url("pkg:pypi/pip")), "/simple/")  # type: ignore[no-untyped-call]
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
# uv accepts NAME=URL.
NAMED = re.compile(r"^[A-Za-z0-9._-]+=(?=https?://)")
_TRANSPORT = frozenset(
    {
        *("native-tls", "system-certs", "allow-insecure-host", "http-proxy", "https-proxy", "no-proxy"),
        *("cache-dir", "no-cache", "concurrent-downloads", "keyring-provider"),
    }
)
_SYSTEM_FILE = Path("/etc/uv/uv.toml")


def public_index_url(environment: Mapping[str, str]) -> str:
    """Return the index that this machine's clients use by default.

    uv's settings take precedence over pip's variable; without any it is the Python Package Index.

    Args:
        environment: where ``UV_*``, ``PIP_INDEX_URL``, ``XDG_*`` and ``HOME`` are looked up.

    Raises:
        IndexAccessError: uv's configuration cannot be read. The message does not repeat it.
    """
    configured = configured_index(environment)
    if configured is not None:
        return NAMED.sub("", configured)
    return PYTHON_PACKAGE_INDEX


def configured_index(environment: Mapping[str, str]) -> str | None:
    """Return the setting of the public index for ``UV_DEFAULT_INDEX``: URL or NAME=URL.

    Returns None if it is not set. Arguments and errors are those of `public_index_url`.
    """
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if value := environment.get(name, "").strip():
            return value
    settings = zip(*(_indexes(path) for path in _files(environment)), strict=True)
    configured = [url for setting in settings for url in setting if isinstance(url, str)]
    return next(iter(configured), environment.get("PIP_INDEX_URL", "").strip() or None)


def transport_settings(environment: Mapping[str, str]) -> dict[str, object]:
    """Return uv's settings of how hosts are reached, by key, without those of indexes and versions.

    Arguments and errors are those of `public_index_url`.
    """
    found: dict[str, object] = {}
    for path in reversed(_files(environment)):
        found |= {key: value for key, value in _document(path).items() if key in _TRANSPORT}
    return found


def _files(environment: Mapping[str, str]) -> list[Path]:
    """Return uv's configuration files outside of a project: the named one, or user's and system's."""
    if named := environment.get("UV_CONFIG_FILE"):
        return [Path(named)]
    if environment.get("UV_NO_CONFIG", "").lower() in _TRUE:
        return []
    # The XDG base directory specification ignores a relative path.
    user = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not user.is_absolute():
        user = (home_folder(environment) or Path(os.devnull)) / ".config"
    folders = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    system = [*(Path(folder) / "uv" / "uv.toml" for folder in folders), _SYSTEM_FILE]
    found = [path for path in system if path.is_file()]
    return [path for path in (user / "uv" / "uv.toml", *found[:1]) if path.is_file()]


def _indexes(path: Path) -> tuple[object, ...]:
    """Return the index of each of the three settings, by precedence; None if one is missing."""
    document = _document(path)
    try:
        settings = require_shape(document, _Settings, source=str(path))
    except DocumentError as error:
        raise _unreadable(path, error) from error
    defaults = [index for index in settings.get("index", []) if index.get("default")]
    of_index = [f"{index['name']}={index['url']}" if "name" in index else index["url"] for index in defaults]
    return next(iter(of_index), None), settings.get("pip", {}).get("index-url"), settings.get("index-url")


class _Index(TypedDict):
    url: str
    name: NotRequired[str]
    default: NotRequired[bool]


_Pip = TypedDict("_Pip", {"index-url": NotRequired[str]})
_Settings = TypedDict(
    "_Settings",
    {"index": NotRequired[list[_Index]], "pip": NotRequired[_Pip], "index-url": NotRequired[str]},
)


def _document(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path, dict[str, Any])
    except (OSError, DocumentError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> IndexAccessError:
    """Return the error for missing or invalid configuration, at which uv stops too."""
    return IndexAccessError(
        f"{path}, uv's configuration, cannot be read ({type(error).__name__})",
        solution="Fix the file, or name the public index in UV_DEFAULT_INDEX.",
    )


def home_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the user's home; None without one, as in a container under any user id."""
    try:
        return Path(environment.get("HOME") or "~").expanduser()
    except RuntimeError:
        return None
