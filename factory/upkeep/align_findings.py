"""What does not fit between Training Hub's requirements and a flavor: each with what to do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.flavor.project import Project
from factory.flavor.requirements import Asked, admits, asked, dropped
from factory.gaps.contradiction import disjoint
from factory.index.metadata import Metadata
from factory.lock.availability import in_order, lack_of
from factory.lock.shelf import Shelf
from factory.upkeep.align_wanted import TRAINING_HUB, WantedByHub, used_extras, wanted_by

KINDS = {
    "version-not-there": "the index does not have this Training Hub",
    "not-required": "the flavor does not require Training Hub",
    "no-such-extra": "no such extra",
    "python": "another Python is wanted",
    "extra-not-used": "an extra is not used",
    "contradiction": "contradiction",
    "taken-out": "taken out by an override",
    "unmet": "the lock does not meet it",
    "lacks": "the lock lacks it",
    "index-gap": "nothing on the index satisfies",
}
"""What can be found, and how it is called in words."""


@dataclass(frozen=True, kw_only=True)
class AlignFinding:
    """Something that does not fit: a kind out of `KINDS`, what is wanted, what there is, what to do."""

    kind: str
    package: str
    requirement: str
    there: str
    to_do: str


@dataclass(frozen=True, kw_only=True)
class Excused:
    """A requirement that the spec records as missing; ``there_now`` is whether the index has it by now."""

    requirement: str
    package: str
    recorded: str
    reason: str
    there_now: bool


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """What a requirement is compared with; ``training_hub`` is a version to come, None for the present."""

    project: Project
    versions: Mapping[str, str] | None
    shelf: Shelf
    flavor: str
    training_hub: str | None
    own: Mapping[str, Sequence[Asked]]
    dropped: frozenset[str]


def against_flavor(
    wanted: Iterable[WantedByHub],
    project: Project,
    versions: Mapping[str, str] | None,
    shelf: Shelf,
    *,
    flavor: str,
    training_hub: str | None,
) -> tuple[tuple[AlignFinding, ...], tuple[Excused, ...]]:
    """Compare requirements with what a flavor asks for, what its lock has, and what its index has.

    Args:
        wanted: Training Hub's requirements; all of them were looked up on the shelf.
        project: the flavor's.
        versions: name to version in the lock; None where there is none.
        shelf: the flavor's index.
        flavor: its name.
        training_hub: the version that is asked about, where it is not the flavor's own.
    """
    own: dict[str, list[Asked]] = {}
    for line in asked(project):
        own.setdefault(line.name, []).append(line)
    sides = _Sides(
        project=project,
        versions=versions,
        shelf=shelf,
        flavor=flavor,
        training_hub=training_hub,
        own=own,
        dropped=dropped(project),
    )
    missing = {item.package: item for item in project.spec.missing}
    findings: list[AlignFinding] = []
    excused: list[Excused] = []
    for item in wanted:
        if item.package in missing:
            recorded = missing[item.package]
            apart = disjoint(item.specifier, Requirement(recorded.requirement).specifier)
            if apart:
                place = "[[tool.factory.missing]]"
                findings.append(_contradiction(item, place, recorded.requirement, sides))
            excused.append(
                Excused(
                    requirement=item.text,
                    package=item.package,
                    recorded=recorded.requirement,
                    reason=recorded.reason,
                    there_now=not shelf.platforms_without(Requirement(recorded.requirement)),
                )
            )
        else:
            findings += _compare(item, sides)
    return tuple(findings), tuple(excused)


def nowhere_used(
    metadata: Metadata,
    extras: frozenset[str],
    template: Project | None,
    versions: Mapping[str, str],
    *,
    flavor: str,
) -> tuple[AlignFinding, ...]:
    """The extras that a new flavor of this accelerator would use, and this one does not."""
    found: list[AlignFinding] = []
    if template is None:
        return ()
    for extra in sorted(((used_extras(template) or frozenset()) - extras) & metadata.extras):
        brought = [item for item in wanted_by(metadata, [extra], template.spec) if item.extra is not None]
        lacking = [item.package for item in brought if item.package not in versions]
        there = f"the template for {template.spec.accelerator} uses [{extra}] and {flavor} does not"
        if lacking:
            there += f"; the lock has no {', '.join(dict.fromkeys(lacking))}"
        found.append(
            AlignFinding(
                kind="extra-not-used",
                package=TRAINING_HUB,
                requirement=f"{TRAINING_HUB}[{extra}]",
                there=there,
                to_do=f"write {TRAINING_HUB}[{','.join(sorted(extras | {extra}))}] in [project] dependencies "
                f"of pyproject.toml, then factory lock {flavor}",
            )
        )
    return tuple(found)


def _compare(item: WantedByHub, sides: _Sides) -> Iterator[AlignFinding]:
    own = sides.own.get(item.package, ())
    apart = [one for one in own if disjoint(item.specifier, one.requirement.specifier)]
    for one in apart:
        yield _contradiction(item, one.key, one.text, sides)
    if item.package in sides.dropped:
        yield _finding(
            "taken-out",
            item,
            "override-dependencies takes it out, and the image goes without",
            f"take the override of {item.package} out, then factory lock {sides.flavor}",
        )
        return
    for one in own:
        lost = item.extras - {canonicalize_name(extra) for extra in one.requirement.extras}
        if one.key == "override-dependencies" and lost:
            extras = f"[{','.join(sorted(lost))}]"
            yield _finding(
                "taken-out",
                item,
                f"{one.key} has {one.text!r}, without {extras}",
                f"write {extras} in that override, then factory lock {sides.flavor}",
            )
    if apart:
        return
    lack = _index_gap(item, own, sides)
    yield from _lock(item, sides, on_index=lack is None)
    if lack is not None:
        yield lack


def _lock(item: WantedByHub, sides: _Sides, *, on_index: bool) -> Iterator[AlignFinding]:
    if sides.versions is None:
        return
    locked = sides.versions.get(item.package)
    if locked is not None and admits(item.specifier, locked):
        return
    to_do = f"factory lock {sides.flavor}"
    if sides.training_hub is not None:
        to_do += f", once Training Hub is {sides.training_hub} there"
    if not on_index:
        to_do = f"factory index-gaps {sides.flavor}: the index comes first"
    if locked is None:
        yield _finding("lacks", item, "the lock has no version of it", to_do)
    else:
        yield _finding("unmet", item, f"the lock has {locked}", to_do)


def _index_gap(item: WantedByHub, own: Sequence[Asked], sides: _Sides) -> AlignFinding | None:
    """What the index lacks for a requirement together with the flavor's own words on the package."""
    specifier = item.specifier
    for one in own:
        specifier &= one.requirement.specifier
    wanted = Requirement(f"{item.package}{specifier}")
    platforms = sides.shelf.platforms_without(wanted)
    if not platforms:
        return None
    spec = sides.project.spec
    offers = sides.shelf.offers(canonicalize_name(item.package))
    lack = lack_of(offers, specifier, python=spec.python, glibc=spec.glibc, platforms=platforms)
    asked_for = f", and {in_order(specifier)} is wanted in all" if own and specifier else ""
    return _finding(
        "index-gap",
        item,
        f"for {' and '.join(platforms)} {lack.found}{asked_for}",
        f"factory index-gaps {sides.flavor}",
    )


def _contradiction(item: WantedByHub, place: str, text: str, sides: _Sides) -> AlignFinding:
    return _finding(
        "contradiction",
        item,
        f"{place} has {text!r}",
        f"change that line of pyproject.toml so that it admits {in_order(item.specifier)}, "
        f"then factory lock {sides.flavor}",
    )


def _finding(kind: str, item: WantedByHub, there: str, to_do: str) -> AlignFinding:
    return AlignFinding(kind=kind, package=item.package, requirement=item.text, there=there, to_do=to_do)
