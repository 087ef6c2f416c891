"""Return Training Hub's own requirements as a flavor uses them: extras followed, markers evaluated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from factory.flavor.project import Project, asked, marker_environment
from factory.flavor.spec import Spec
from factory.index.metadata import Metadata
from factory.lock.package_finder import in_order

TRAINING_HUB = "training-hub"
_CAPS = frozenset({"<", "<=", "==", "===", "~="})


@dataclass(frozen=True, kw_only=True)
class HubRequirement:
    """A requirement of Training Hub that applies, with the extras that it asks of the package.

    ``extra`` is the extra of Training Hub that brings it, or "EXTRA of PACKAGE" if another package's does;
    None if it holds without any.
    """

    package: str
    specifier: SpecifierSet
    extras: frozenset[str]
    extra: str | None

    @property
    def text(self) -> str:
        """The requirement as it would be written, and the extra that brings it."""
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        brought = f" (extra {self.extra})" if self.extra else ""
        return f"{self.package}{extras}{in_order(self.specifier)}{brought}"


def used_extras(project: Project) -> frozenset[str] | None:
    """Return the extras of Training Hub in a project's requirement; None without one."""
    found = [item.requirement.extras for item in asked(project) if item.name == TRAINING_HUB]
    if not found:
        return None
    return frozenset(canonicalize_name(extra) for extras in found for extra in extras)


def all_extras(metadata: Metadata, extras: Iterable[str], spec: Spec) -> frozenset[str]:
    """Return extras with those that they bring: one may require its own package with others."""
    active = set(extras)
    while True:
        brought = {
            canonicalize_name(extra)
            for item in metadata.requires
            if canonicalize_name(item.name) == metadata.name and _extra_of(item, active, spec) is not None
            for extra in item.extras
        }
        if brought <= active:
            return frozenset(active)
        active |= brought


def hub_requirements(metadata: Metadata, extras: Iterable[str], spec: Spec) -> tuple[HubRequirement, ...]:
    """Return the requirements that apply on one of the flavor's platforms; each range once, in order.

    One that holds without an extra is listed as such, even if an extra repeats it.
    """
    active = all_extras(metadata, extras, spec)
    found: dict[tuple[str, str], HubRequirement] = {}
    for item in metadata.requires:
        package = canonicalize_name(item.name)
        extra = _extra_of(item, active, spec)
        if extra is None or package == metadata.name:
            continue
        key = (package, str(item.specifier))
        known = found.get(key)
        found[key] = HubRequirement(
            package=package,
            specifier=item.specifier,
            extras=frozenset(map(canonicalize_name, item.extras)) | (known.extras if known else frozenset()),
            extra=None if known and known.extra is None else extra or None,
        )
    return tuple(found.values())


def floating(wanted: Iterable[HubRequirement], own: Mapping[str, SpecifierSet]) -> tuple[str, ...]:
    """Return the packages to which neither Training Hub nor the flavor sets an upper bound."""
    capped: dict[str, bool] = {}
    for item in wanted:
        both = item.specifier & own.get(item.package, SpecifierSet())
        capped[item.package] = capped.get(item.package, False) or has_cap(both)
    return tuple(sorted(package for package, has in capped.items() if not has))


def has_cap(specifier: SpecifierSet) -> bool:
    """Return whether a range has an upper bound."""
    return any(clause.operator in _CAPS for clause in specifier)


def _extra_of(item: Requirement, active: Iterable[str], spec: Spec) -> str | None:
    """Return the active extra under which a requirement applies ("": none needed), else None."""
    if item.marker is None:
        return ""
    for extra in ("", *sorted(active)):
        for platform in spec.platforms:
            if item.marker.evaluate({**marker_environment(spec.python, platform), "extra": extra}):
                return extra
    return None
