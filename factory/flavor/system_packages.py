"""Compare names of system packages: which one pins what another asks for."""

import fnmatch
import re
from collections.abc import Iterable, Sequence

# Where a pattern begins to say a version: libnccl-2*+cuda13.* is about libnccl.
_VERSION_PATTERN = re.compile(r"-\d[^-]*[*?\[].*")
_VERSION = re.compile(r"-(?:\d+:)?\d.*|\.(?:x86_64|aarch64|noarch|i686)")


def is_pin_of(package: str, entry: str) -> bool:
    """Return whether a package says more of the version than an entry that installs it as well.

    ``libnccl-2.30.7-1+cuda13.3`` is one of ``libnccl-2*+cuda13.*``, and ``rdma-core-46.0`` of ``rdma-core``.
    dnf refuses to install both, so that the pin has to take the place of the entry.
    """
    if package == entry:
        return False
    rest = package.removeprefix(_name(entry))
    said = rest != package and _VERSION.fullmatch(rest) is not None
    return said or fnmatch.fnmatchcase(package, entry)


def is_installed_by(package: str, entry: str) -> bool:
    """Return whether an entry installs what a package asks for: the same, or any version of it."""
    return package in {entry, _name(entry)}


def unpinned(entries: Iterable[str], pins: Sequence[str]) -> list[str]:
    """Return the entries that no pin takes the place of."""
    return [entry for entry in entries if not any(is_pin_of(pin, entry) for pin in pins)]


def _name(entry: str) -> str:
    return _VERSION_PATTERN.sub("", entry)
