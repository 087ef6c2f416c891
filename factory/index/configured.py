"""Which index is the public one on this machine, as uv finds it.

uv's own order, observed: the environment, an ``[[index]]`` with ``default``, ``index-url`` in
``[pip]``, ``index-url`` outside of it; at each step the user's configuration before the system's.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pypi_simple

from factory.errors import IndexAccessError

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_SYSTEM_FILE = Path("/etc/uv/uv.toml")


def public_index_url(environment: Mapping[str, str]) -> str:
    """The index that this machine's clients use where none is named.

    uv's settings go before pip's variable; without any it is the Python Package Index.

    Args:
        environment: where ``UV_*``, ``PIP_INDEX_URL``, ``XDG_*`` and ``HOME`` are looked up.

    Raises:
        IndexAccessError: uv's configuration cannot be read. The message does not repeat it.
    """
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if value := environment.get(name, "").strip():
            # uv accepts NAME=URL.
            return re.sub(r"^[A-Za-z0-9._-]+=(?=https?://)", "", value)
    settings = zip(*(_read(path) for path in _files(environment)), strict=True)
    configured = [url for setting in settings for url in setting if isinstance(url, str)]
    in_pips = environment.get("PIP_INDEX_URL", "").strip()
    return next(iter(configured), in_pips or pypi_simple.PYPI_SIMPLE_ENDPOINT)


def _files(environment: Mapping[str, str]) -> list[Path]:
    """The files that uv reads outside of a project: one that is named, or the user's and the system's."""
    if named := environment.get("UV_CONFIG_FILE"):
        return [Path(named)]
    if environment.get("UV_NO_CONFIG", "").lower() in _TRUE:
        return []
    # The XDG base directory specification: a folder that is not absolute does not count.
    user = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not user.is_absolute():
        user = Path(environment.get("HOME", "~")).expanduser() / ".config"
    folders = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    system = [*(Path(folder) / "uv" / "uv.toml" for folder in folders), _SYSTEM_FILE]
    found = [path for path in system if path.is_file()]
    return [path for path in (user / "uv" / "uv.toml", *found[:1]) if path.is_file()]


def _read(path: Path) -> tuple[object, ...]:
    """The index by each of the three settings, what counts most first; None where one is not there."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        defaults = [index["url"] for index in document.get("index", []) if index.get("default")]
        of_pip = document.get("pip", {}).get("index-url")
        return defaults[0] if defaults else None, of_pip, document.get("index-url")
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        # Not there, not TOML, or of another shape, at which uv stops too.
        raise IndexAccessError(
            f"{path}, uv's configuration, cannot be read ({type(error).__name__})",
            solution="Mend the file, or name the public index in UV_DEFAULT_INDEX.",
        ) from error
