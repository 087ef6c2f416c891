"""Whether a flavor's index can give a package in a range, and what is nearest to it there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from factory.errors import IndexGapError
from factory.flavor.floor import Floor
from factory.flavor.spec import Spec
from factory.gaps.gaps import Gap
from factory.lock.availability import Offer, has_wheel, in_order, lack_of
from factory.lock.narrow import tag_ranks
from factory.lock.shelf import Shelf


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """A range of a package that the index cannot give, and the versions nearest to it that it can.

    ``instead`` is a floor that it can give, which admits the version above.
    """

    gap: Gap
    below: Version | None
    above: Version | None
    instead: str | None


def usable_versions(offers: Iterable[Offer], spec: Spec) -> tuple[Version, ...]:
    """The versions that have a wheel for every platform of a flavor and its Python, lowest first.

    Yanked files do not count: they are for pins that stand already (PEP 592).
    """
    files: dict[Version, list[Offer]] = {}
    for offer in offers:
        if not offer.yanked and offer.is_wheel and (version := offer.version) is not None:
            files.setdefault(version, []).append(offer)
    ranks = [tag_ranks(python=spec.python, platform=item, glibc=spec.glibc) for item in spec.platforms]
    return tuple(
        version
        for version, found in sorted(files.items())
        if all(has_wheel(found, SpecifierSet(), python=spec.python, ranks=rank) for rank in ranks)
    )


def look_for(
    floor: Floor, wanted: SpecifierSet, spec: Spec, shelf: Shelf, *, locked: str | None
) -> Lacking | tuple[str, ...]:
    """What the index lacks for a floor, or, where it lacks nothing, what a person should know of it.

    Args:
        floor: the package.
        wanted: all that the flavor's lines then ask of its version.
        spec: the flavor's.
        shelf: what the flavor's index offers.
        locked: the version that the flavor has.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    shelf.look_up([floor.package])
    offers = shelf.offers(floor.package)
    usable = usable_versions(offers or (), spec)
    if locked is not None and wanted.contains(locked, prereleases=True):
        # Also where it was yanked since: that is for new choices, and this one stands.
        return ()
    found = _in(wanted, usable)
    if not found:
        return _lacking(floor, wanted, spec, shelf, usable)
    if floor.version in found or floor.version in usable:
        return ()
    there = f"the lowest above it that serves this flavor is {found[0]}"
    return (f"{shelf.url(floor.package)} does not have {floor.package} {floor.version} itself: {there}",)


def lacking_error(lacking: Sequence[Lacking], *, instead: str | None) -> IndexGapError:
    """What is not there, as the error of a floor that cannot be put; ``instead`` is a command that can."""
    lines = []
    for item in lacking:
        gap = item.gap
        lines.append(f"{gap.index} has no {gap.requirement} for {', '.join(gap.platforms)}: {gap.found}")
        nearest = [f"{item.below} below" if item.below else "", f"{item.above} above" if item.above else ""]
        lines.append(f"  nearest that serves this flavor: {' and '.join(filter(None, nearest)) or 'none'}")
    other = f" Or take what is there: `{instead}`" if instead else ""
    return IndexGapError(
        "\n".join(lines),
        solution=f"Ask the owners of the index for it; nothing was edited.{other}",
        gaps=tuple(item.gap for item in lacking),
    )


def _lacking(
    floor: Floor, wanted: SpecifierSet, spec: Spec, shelf: Shelf, usable: tuple[Version, ...]
) -> Lacking:
    requirement = f"{floor.package}{in_order(wanted)}"
    # Where each platform could have a version of its own, no version serves them all.
    platforms = shelf.platforms_without(Requirement(requirement)) or spec.platforms
    lack = lack_of(
        shelf.offers(floor.package),
        wanted,
        python=spec.python,
        glibc=spec.glibc,
        platforms=platforms,
    )
    excluded = [str(clause) for clause in floor.bounds if clause.operator == "!="]
    own = [str(clause) for clause in wanted if clause.operator in {">=", ">", "!="}]
    lower = SpecifierSet(",".join((*own, *excluded)))
    releases = [version for version in usable if not version.is_prerelease] or list(usable)
    above = min((version for version in releases if lower.contains(version, prereleases=True)), default=None)
    return Lacking(
        gap=Gap(
            package=floor.package,
            requirement=requirement,
            kind=lack.kind,
            index=shelf.url(floor.package),
            python=spec.python,
            platforms=platforms,
            found=lack.found,
            would_do=lack.would_do,
            needed_by=("the floor that was asked for",),
        ),
        below=max((version for version in releases if version < floor.version), default=None),
        above=above,
        instead=None if above is None else f"{floor.package}>={','.join((str(above), *excluded))}",
    )


def _in(wanted: SpecifierSet, usable: tuple[Version, ...]) -> list[Version]:
    """The versions in a range; pre-releases where it names one, or where there is nothing else (PEP 440)."""
    only_pre = all(version.is_prerelease for version in usable)
    allowed = bool(only_pre or wanted.prereleases)
    return [version for version in usable if wanted.contains(version, prereleases=allowed)]
