"""What containers need of this machine to reach package indexes: its settings, given when they run."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

_PASSED = re.compile(r"^((UV|PIP)_.*|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_FILE|REQUESTS_CA_BUNDLE)$", re.IGNORECASE)
# Places for what is kept are the machine's own, and a file on it may say more than is meant for others.
_KEPT_BACK = re.compile(r"^(UV|PIP)_(CACHE_DIR|PYTHON.*|PROJECT.*|CONFIG_FILE|TARGET|PREFIX)$")
_FILES = ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/etc/uv/uv.toml", "/etc/xdg/uv/uv.toml")
# Where Python and Go programs look when no variable names another place.
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def machine_settings() -> tuple[dict[str, str], list[Path]]:
    """Variables to set in a container, and files and folders that it has to see under the same paths."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if _PASSED.match(name) and not _KEPT_BACK.match(name) and value
    }
    named = [Path(word) for value in variables.values() for word in re.split(r"[\s,]+", value)]
    paths = [path for path in named if path.is_absolute() and path.exists()]
    files = [Path(name) for name in (*_FILES, _CERTIFICATES) if Path(name).is_file()]
    return variables, _outermost([*paths, *files, *_local_indexes(files)])


def _local_indexes(files: list[Path]) -> list[Path]:
    """Folders that the machine's settings name."""
    words = [
        word.removeprefix("file://")
        for path in files
        if path.suffix in {".conf", ".toml"}
        for word in re.split(r"[\s=\"',]+", path.read_text(encoding="utf-8"))
    ]
    return [Path(word) for word in words if word.startswith("/") and Path(word).exists()]


def _outermost(paths: list[Path]) -> list[Path]:
    """Each once, and none that is inside of another."""
    every = sorted(set(paths))
    return [path for path in every if not any(other in path.parents for other in every)]


def with_find_links(variables: Mapping[str, str], folder: Path | None) -> dict[str, str]:
    """The variables, with a folder of wheels that uv looks into."""
    return dict(variables) if folder is None else {**variables, "UV_FIND_LINKS": str(folder)}
