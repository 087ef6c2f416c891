"""Who wants a package that is lacking, in words, and the range that would meet them all."""

import re
from collections.abc import Collection, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from factory.flavor.project import Asked
from factory.gaps.blame import PROJECT
from factory.gaps.needs import CONSTRAINTS
from factory.gaps.owners import Owner, in_words, plain

_NAME = re.compile(r"[^A-Za-z0-9._-]")
_OVERRIDES = "override-dependencies"
# Where the project sets the range of what others require, by the key of the line.
_PLACES = {"constraint-dependencies": CONSTRAINTS, _OVERRIDES: f"the overrides in {PROJECT}"}


def who_wants(told: Sequence[str], owners: Sequence[Owner], own: Sequence[Asked]) -> tuple[str, ...]:
    """Everybody who wants a package, each with the requirement where it is known.

    Args:
        told: those whom uv's explanation tells, in its words.
        owners: those who require it in a resolution.
        own: the project's lines on it; constraints and overrides set the range of what others require.
    """
    known: dict[str, Owner] = {canonicalize_name(owner.name): owner for owner in owners}
    by_name = {owner_name(text): text for text in told}
    words = [
        in_words(known[name]) if name in known and known[name].requirements else text
        for name, text in by_name.items()
    ]
    words += [in_words(owner) for name, owner in known.items() if name not in by_name]
    for item in own:
        line = plain(item.requirement)
        if item.key in _PLACES and f"{PROJECT} ({line})" not in words:
            words.append(f"{_PLACES[item.key]} ({line})")
    return tuple(dict.fromkeys(words))


def wanted_in_all(
    requirement: Requirement, told: Collection[str], owners: Sequence[Owner], own: Sequence[Asked]
) -> SpecifierSet:
    """The range that meets everybody; an override takes the place of what others require.

    ``requirement`` is what uv's explanation says is wanted; the others are as for `who_wants`.
    """
    specifier = SpecifierSet()
    for line in own:
        specifier &= line.requirement.specifier
    if any(line.key == _OVERRIDES for line in own):
        return specifier
    # uv names of a range only what is there of it, so its words count where nobody has better ones.
    exact = {canonicalize_name(owner.name) for owner in owners if owner.requirements}
    project = {owner_name(PROJECT), owner_name(CONSTRAINTS)}
    if not {owner_name(text) for text in told} <= exact | project:
        specifier &= requirement.specifier
    for owner in owners:
        for item in owner.requirements:
            specifier &= item.specifier
    return specifier


def owner_name(text: str) -> str:
    """The normalized name at the beginning of what names an owner."""
    return canonicalize_name(_NAME.split(text, maxsplit=1)[0])
