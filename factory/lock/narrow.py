"""Select the one wheel of a package that an installer takes on a platform."""

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from factory.dockerfile.references import PLATFORMS

# The oldest C library that perennial manylinux tags (PEP 600) name, and the legacy aliases
# (PEP 513, 571, 599) of three later ones. None of them exists for aarch64 but manylinux2014.
_OLDEST_GLIBC_MINOR = 5
_LEGACY_TAGS = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_LEGACY_OF_AARCH64 = frozenset({"manylinux2014"})


def best_wheel(file_names: Iterable[str], ranks: Mapping[Tag, int]) -> str | None:
    """Return the wheel that an installer takes: most specific tag, then highest build number (PEP 427).

    Args:
        file_names: wheels of one version of one package; other names are skipped.
        ranks: the platform's tags and their places in its order (`tag_ranks`), lowest first.

    Returns:
        The file name, or None if none of them fits.
    """
    # In the order of their names, of which max() keeps the first: equal wheels give equal locks.
    fitting = [(key, name) for name in sorted(file_names) if (key := _preference(name, ranks)) is not None]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def fits(file_name: str, ranks: Mapping[Tag, int]) -> bool:
    """Return whether a file is a wheel that the platform can install."""
    return _preference(file_name, ranks) is not None


@cache
def tag_ranks(*, python: str, platform: str, glibc: str) -> Mapping[Tag, int]:
    """Return the tags that CPython on a platform installs, with their places in the order of preference.

    Args:
        python: the minor version, such as ``3.12``.
        platform: ``linux/amd64`` or ``linux/arm64``.
        glibc: the version of the image's C library; it bounds the manylinux tags (PEP 600).
    """
    major, minor = (int(part) for part in python.split("."))
    platforms = list(_platform_tags(PLATFORMS[platform], glibc))
    interpreter = f"cp{major}{minor}"
    tags = [
        *cpython_tags((major, minor), abis=[interpreter], platforms=platforms),
        *compatible_tags((major, minor), interpreter=interpreter, platforms=platforms),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def platforms_of(file_names: Iterable[str]) -> tuple[str, ...]:
    """Return the platforms that wheels are built for, whatever their Python and C library."""
    found = set()
    for name in file_names:
        platform_tag = name.removesuffix(".whl").rpartition("-")[2]
        found |= {
            platform
            for platform, machine in PLATFORMS.items()
            if platform_tag == "any" or re.search(rf"linux.*_{machine}(\.|$)", platform_tag)
        }
    return tuple(platform for platform in PLATFORMS if platform in found)


def _platform_tags(machine: str, glibc: str) -> Iterable[str]:
    for minor in range(Version(glibc).minor, _OLDEST_GLIBC_MINOR - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        legacy = _LEGACY_TAGS.get(minor)
        if legacy is not None and (machine == "x86_64" or legacy in _LEGACY_OF_AARCH64):
            yield f"{legacy}_{machine}"
    yield f"linux_{machine}"


def _preference(name: str, ranks: Mapping[Tag, int]) -> tuple[int, tuple[()] | tuple[int, str]] | None:
    """Return a key whose greatest is the best; no build number sorts below any (PEP 427)."""
    read = _build_and_tags(name)
    if read is None:
        return None
    build, tags = read
    rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
    return None if rank is None else (-rank, build)


@lru_cache(maxsize=1 << 14)  # many flavors lock the same files
def _build_and_tags(name: str) -> tuple[tuple[()] | tuple[int, str], frozenset[Tag]] | None:
    try:
        _, _, build, tags = parse_wheel_filename(name)
    except ValueError:
        return None
    return build, tags
