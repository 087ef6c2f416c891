"""The user's home folder, which a container that runs under any user id may not have."""

from collections.abc import Mapping
from pathlib import Path


def home_folder(environment: Mapping[str, str]) -> Path | None:
    """What ``HOME`` names, else what the system knows of the user; None where neither says."""
    try:
        return Path(environment.get("HOME") or "~").expanduser()
    except RuntimeError:
        return None
