"""Requirements on one package that no version of it could meet together."""

import re
from collections.abc import Iterable, Iterator, Sequence

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.gaps.blame import PROJECT, Need

_NAME = re.compile(r"[^A-Za-z0-9._-]")
# Greater than any component that a range is likely to name.
_MUCH = 999_999


def contradicted(need: Need, needs: Sequence[Need]) -> tuple[Need, ...]:
    """The needs that hold in any case, of the project or of somebody else, and that this one excludes.

    Of an owner with several needs on a package nobody knows which holds: they are its versions'.
    """
    return tuple(
        other
        for other in needs
        if other.package == need.package and _holds(other, need, needs) and _exclude_each_other(need, other)
    )


def disjoint(first: SpecifierSet, second: SpecifierSet) -> bool:
    """Whether no version is in both ranges (PEP 440), judged by the versions at and beside their bounds."""
    both = first & second
    if not both or any(clause.operator == "===" for clause in both):
        return False
    return not any(both.contains(version, prereleases=True) for version in _beside_bounds(both))


def _holds(other: Need, need: Need, needs: Iterable[Need]) -> bool:
    if other.by is None or PROJECT in other.by:
        return True
    return _owner(other) != _owner(need) and _is_only_one(other, needs)


def _is_only_one(need: Need, needs: Iterable[Need]) -> bool:
    return sum(other.package == need.package and _owner(other) == _owner(need) for other in needs) == 1


def _owner(need: Need) -> str | None:
    return None if need.by is None else canonicalize_name(_NAME.split(need.by, maxsplit=1)[0])


def _exclude_each_other(first: Need, second: Need) -> bool:
    return all(
        disjoint(one.specifier, other.specifier)
        for one in first.requirements
        for other in second.requirements
    )


def _beside_bounds(specifier: SpecifierSet) -> Iterator[Version]:
    for clause in specifier:
        try:
            bound = Version(clause.version.removesuffix(".*"))
        except ValueError:
            continue
        yield bound
        release = bound.release
        yield _version(bound.epoch, (*release, 0, 1))
        yield _version(bound.epoch, (*release[:-1], release[-1] + 1))
        last = max((place for place, part in enumerate(release) if part), default=None)
        if last is not None:
            yield _version(bound.epoch, (*release[:last], release[last] - 1, _MUCH))


def _version(epoch: int, release: tuple[int, ...]) -> Version:
    return Version(f"{epoch}!{'.'.join(map(str, release))}")
