"""Whether an index has a wheel for a requirement, and what it has instead."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from factory.lock.narrow import fits, platforms_of

_VERSIONS_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A file that a project's page, or a folder, offers. ``requires_python`` is as the page says it."""

    file_name: str
    yanked: bool = False
    requires_python: str | None = None

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel, by its name."""
        return self.file_name.endswith(".whl")

    @property
    def version(self) -> Version | None:
        """The version in its name; None where the name is that of no distribution."""
        try:
            if self.is_wheel:
                return parse_wheel_filename(self.file_name)[1]
            return parse_sdist_filename(self.file_name)[1]
        except (InvalidWheelFilename, InvalidSdistFilename):
            return None

    def satisfies(self, specifier: SpecifierSet) -> bool:
        """Whether its version is in a range; pre-releases count as any other."""
        version = self.version
        return version is not None and specifier.contains(version, prereleases=True)

    def runs_on(self, python: str) -> bool:
        """Whether a Python minor version meets Requires-Python; what cannot be read restricts nothing."""
        try:
            return SpecifierSet(self.requires_python or "").contains(f"{python}.0")
        except InvalidSpecifier:
            return True


def has_wheel(
    offers: Sequence[Offer], specifier: SpecifierSet, *, python: str, ranks: Mapping[Tag, int]
) -> bool:
    """Whether one of the offers is a wheel that satisfies and that the platform can install.

    Pre-releases count where the specifier names one, or where there is nothing else (PEP 440);
    yanked files where the specifier is an exact pin (PEP 592).
    """
    return any(
        offer.is_wheel and fits(offer.file_name, ranks) and offer.runs_on(python)
        for offer in _matching(offers, specifier)
    )


def describe_lack(offers: Sequence[Offer] | None, specifier: SpecifierSet, *, python: str) -> str:
    """What there is instead of a wheel that satisfies; None stands for a project that is not there."""
    if not offers:
        return "the index has no such project"
    matching = _matching(offers, specifier)
    if not matching:
        yanked = [offer for offer in offers if offer.yanked and offer.satisfies(specifier)]
        versions = _versions(yanked or [offer for offer in offers if not offer.yanked])
        return f"the index has {versions}" + (", yanked" if yanked else "")
    wheels = [offer for offer in matching if offer.is_wheel]
    if not wheels:
        return f"the index has {_versions(matching)} as sdist only"
    running = [offer for offer in wheels if offer.runs_on(python)]
    if not running:
        return f"the index has {_versions(wheels)}, which requires Python {wheels[-1].requires_python}"
    platforms = platforms_of(offer.file_name for offer in running)
    tags = sorted({offer.file_name.removesuffix(".whl").split("-", 2)[2] for offer in running})
    where = f" for {', '.join(platforms)}" if platforms else ""
    return f"the index has {_versions(running)} with wheels{where} ({', '.join(tags[:_VERSIONS_SHOWN])})"


def _matching(offers: Iterable[Offer], specifier: SpecifierSet) -> list[Offer]:
    versions = {offer: version for offer in offers if (version := offer.version) is not None}
    only_pre = all(version.is_prerelease for version in versions.values())
    exact = any(clause.operator in {"==", "==="} for clause in specifier)
    return [
        offer
        for offer, version in versions.items()
        if specifier.contains(version, prereleases=bool(only_pre or specifier.prereleases))
        and (exact or not offer.yanked)
    ]


def _versions(offers: Iterable[Offer]) -> str:
    versions = sorted({version for offer in offers if (version := offer.version) is not None})
    shown = ", ".join(str(version) for version in versions[-_VERSIONS_SHOWN:])
    return f"… {shown}" if len(versions) > _VERSIONS_SHOWN else shown or "nothing that can be read"
