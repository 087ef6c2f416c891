"""How far one version is from another, in the words of those who have to judge it."""

from typing import Literal

from packaging.version import Version

Rank = tuple[bool, Version]
"""How versions are ordered: what is no version comes below all that are."""

Step = Literal["major", "minor", "patch", "build", "other"]
"""The part of the version that differs first; ``build``: the public version (PEP 440) is the same."""


def step(before: str, after: str) -> Step:
    """The first part in which two versions differ, whichever is the newer."""
    old, new = _parse(before), _parse(after)
    if old is None or new is None or old.epoch != new.epoch:
        return "other"
    if old.public == new.public:
        return "build"
    width = max(len(old.release), len(new.release), 3)
    a, b = ((*version.release, *([0] * width))[:width] for version in (old, new))
    differing = next((place for place in range(width) if a[place] != b[place]), None)
    if differing is None:  # a pre-release, or a post-release
        return "patch"
    return ("major", "minor")[differing] if differing < 2 else "patch"  # noqa: PLR2004 - major, minor


def is_older(before: str, after: str) -> bool:
    """Whether the second version is older than the first."""
    old, new = _parse(before), _parse(after)
    return old is not None and new is not None and new < old


def public(version: str) -> str:
    """A version without its local part: 2.13.0 of 2.13.0+cpu, and of 2.13.0+cu130."""
    parsed = _parse(version)
    return version if parsed is None else parsed.public


def newest_first(version: str) -> Rank:
    """A key that sorts versions and is the same for equal ones; with ``reverse``, the newest come first."""
    parsed = _parse(version)
    return parsed is not None, parsed or Version("0")


def _parse(version: str) -> Version | None:
    try:
        return Version(version)
    except ValueError:
        return None
