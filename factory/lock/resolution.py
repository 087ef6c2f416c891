"""Resolve a flavor's project into its lock's packages, the same versions on every platform."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.errors import SpecError
from factory.flavor.project import Project
from factory.flavor.spec import MAIN_INDEX
from factory.lock.find_links import WheelFolder
from factory.lock.uv import NoSolution, Package, Request, resolve

# A marker that no platform meets: as an override it removes a package from the resolution.
NEVER = "sys_platform == 'never'"


# How often versions that serve all platforms are searched for. Each round settles at least one package, or
# one version of it.
_ROUNDS = 10


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The platform that cannot meet the requirements, the requirements, and uv's explanation."""

    request: Request
    explanation: str


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Platforms that each have a solution, but different ones: ``versions`` by platform and name.

    ``explanation`` is why ``platform`` refuses the versions of the others.
    """

    versions: Mapping[str, Mapping[str, str]]
    platform: str
    explanation: str

    def differing(self) -> dict[str, dict[str, str]]:
        """Return by name the version on each platform, of packages that are not the same on all."""
        names = sorted({name for versions in self.versions.values() for name in versions})
        found = {
            name: {
                platform: self.versions[platform][name]
                for platform in sorted(self.versions)
                if name in self.versions[platform]
            }
            for name in names
        }
        return {
            name: versions
            for name, versions in found.items()
            if len(set(versions.values())) > 1 or len(versions) < len(self.versions)
        }


@dataclass(frozen=True, kw_only=True)
class _Stuck:
    """A platform that refuses the versions (``pins``) of those before it."""

    request: Request
    pins: Mapping[str, str]
    explanation: str


def resolve_project(
    project: Project,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
    stub_wheels: tuple[str, ...] = (),
) -> dict[str, tuple[Package, ...]] | Refused | Disagreement:
    """Resolve for each platform of the spec; every platform gets the same packages and versions.

    The lock carries no markers, so a package that one platform needs is installed on all of them. It is
    therefore required, at the same version, on the platforms that would not need it. If a platform cannot
    have another's versions, its own are preferred on all of them; then the versions that a platform cannot
    have are excluded on all.

    Returns:
        The packages of each platform, or what uv refused.

    Raises:
        SpecError: as for `request_for`.
        IndexAccessError, ResolutionError, ProgramError: as for `factory.lock.uv.resolve`.
    """
    base = request_for(project, preferences=preferences, folders=folders, stub_wheels=stub_wheels)
    answer = _agreed(base, project.spec.platforms)
    if not isinstance(answer, Disagreement):
        return answer
    return _without_the_unfit(base, project.spec.platforms, answer) or answer


def _agreed(
    base: Request, platforms: tuple[str, ...]
) -> dict[str, tuple[Package, ...]] | Refused | Disagreement:
    """Return the packages of each platform, resolved with the preferences of each."""
    tried = [base.preferences]
    while True:
        answer = _resolve_together(base, platforms)
        if not isinstance(answer, _Stuck):
            return answer
        possible = _possible(base, answer)
        if isinstance(possible, Refused):
            return possible
        preferred = {**base.preferences, **possible}
        if preferred in tried or len(tried) > _ROUNDS:
            return _disagreement(base, platforms, answer)
        tried.append(preferred)
        base = replace(base, preferences=preferred)


def _without_the_unfit(
    base: Request, platforms: tuple[str, ...], disagreement: Disagreement
) -> dict[str, tuple[Package, ...]] | None:
    """Resolve without the versions that a platform cannot have; None if that fails.

    The newest version of each platform may hide an older one that serves them all.
    """
    left_out: set[str] = set()
    for _ in range(_ROUNDS):
        unfit = _unfit(base, platforms, disagreement) - left_out
        if not unfit:
            return None
        left_out |= unfit
        base = replace(base, constraints=(*base.constraints, *sorted(unfit)))
        answer = _agreed(base, platforms)
        if not isinstance(answer, Disagreement):
            return None if isinstance(answer, Refused) else answer
        disagreement = answer
    return None


def _unfit(base: Request, platforms: tuple[str, ...], disagreement: Disagreement) -> set[str]:
    """Return constraints that exclude one platform's versions that another cannot have.

    Skips packages that a platform needs and another cannot have at all: those are to be reported, and not
    avoided with an older version of what requires them.
    """
    unfit = set()
    for name, versions in disagreement.differing().items():
        for platform in platforms:
            alone = replace(base, platform=platform)
            if platform not in versions and not _can_be_had(
                replace(alone, requirements=(*alone.requirements, name))
            ):
                return set()
            unfit |= {
                f"{name}!={version}"
                for version in set(versions.values()) - {versions.get(platform)}
                if not _can_be_had(_with_pins(alone, {name: version}))
            }
    return unfit


def _can_be_had(request: Request) -> bool:
    return not isinstance(resolve(request), NoSolution)


def _with_pins(request: Request, pins: Mapping[str, str]) -> Request:
    """Return a request with packages at these versions, whether anything requires them or not."""
    exact = {name: f"{name}=={version}" for name, version in pins.items()}
    # A stub wheel, which is an override onto a URL, is the same on all platforms.
    overridden = {package_of(line) for line in request.overrides if Requirement(line).url is None}
    return replace(
        request,
        requirements=(*request.requirements, *exact.values()),
        # An override replaces every requirement of its package, including these.
        overrides=(*request.overrides, *(exact[name] for name in sorted(overridden & exact.keys()))),
    )


def _resolve_together(
    base: Request, platforms: tuple[str, ...]
) -> dict[str, tuple[Package, ...]] | Refused | _Stuck:
    pins: dict[str, str] = {}
    resolved: dict[str, tuple[Package, ...]] = {}
    waiting = list(platforms)
    while waiting:
        platform = waiting.pop(0)
        request = _with_pins(replace(base, platform=platform), pins)
        packages = resolve(request)
        if isinstance(packages, NoSolution):
            if not pins:
                return Refused(request=request, explanation=packages.explanation)
            return _Stuck(request=request, pins=pins, explanation=packages.explanation)
        resolved[platform] = packages
        found = _versions(packages)
        if pins and found.keys() - pins.keys():
            # This platform needs more; the others must have it as well.
            waiting += [other for other in resolved if other != platform and other not in waiting]
        pins |= found
    return resolved


def _possible(base: Request, stuck: _Stuck) -> dict[str, str] | Refused:
    """Return the versions the platform can have, of its own needs and the others'."""
    alone = replace(base, platform=stuck.request.platform)
    packages = resolve(alone)
    if isinstance(packages, NoSolution):
        return Refused(request=alone, explanation=packages.explanation)
    versions = _versions(packages)
    if not_needed := tuple(sorted(stuck.pins.keys() - versions.keys())):
        packages = resolve(replace(alone, requirements=(*alone.requirements, *not_needed)))
        if not isinstance(packages, NoSolution):
            versions = _versions(packages)
    return versions


def _disagreement(base: Request, platforms: tuple[str, ...], stuck: _Stuck) -> Disagreement | Refused:
    versions = {}
    for platform in platforms:
        request = replace(base, platform=platform)
        packages = resolve(request)
        if isinstance(packages, NoSolution):
            return Refused(request=request, explanation=packages.explanation)
        versions[platform] = _versions(packages)
    return Disagreement(versions=versions, platform=stuck.request.platform, explanation=stuck.explanation)


def _versions(packages: tuple[Package, ...]) -> dict[str, str]:
    return {package.name: package.version for package in packages}


def request_for(
    project: Project,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
    stub_wheels: tuple[str, ...] = (),
) -> Request:
    """Return uv's request for the first platform, without what the spec records as missing.

    ``stub_wheels`` are overrides onto wheels that replace packages (`factory.gaps.stub_wheels`): URLs, so
    that no index is asked about those packages.

    Raises:
        SpecError: a requirement names a URL, which no lock of an index can hold; a requirement is recorded as
            missing; or an override changes a package of a further index.
    """
    spec = project.spec
    _refuse_overridden(project)
    for line in (*project.dependencies, *project.constraints, *project.overrides):
        if Requirement(line).url is not None:
            raise SpecError(
                f"{line!r} is required from a URL, and a lock holds only what the index has",
                solution="Put the package on the index, and require it by name and version.",
            )
    missing = {missing.package for missing in spec.missing}
    for name in sorted(missing & {package_of(line) for line in project.dependencies}):
        raise SpecError(
            f"{name} stands in [project] dependencies and under [[tool.factory.missing]]: "
            "it cannot be both locked and left out",
            solution="Take it out of one of the two in pyproject.toml.",
        )
    return Request(
        requirements=project.dependencies,
        constraints=project.constraints,
        overrides=(
            *(line for line in project.overrides if package_of(line) not in missing),
            *(f"{name} ; {NEVER}" for name in sorted(missing)),
            *stub_wheels,
        ),
        preferences=preferences,
        python=spec.python,
        platform=spec.platforms[0],
        glibc=spec.glibc,
        index_url=spec.index_url,
        find_links=tuple(folder.shown for folder in folders),
        further=spec.indexes,
    )


def _refuse_overridden(project: Project) -> None:
    """Refuse overrides of further indexes' packages: uv would look for them on the main index."""
    for line in project.overrides:
        name = package_of(line)
        index = project.spec.index_of(name)
        if index != MAIN_INDEX and not is_taken_out(line):
            raise SpecError(
                f"override-dependencies has {line!r}, and {name} comes from the index {index!r}: "
                "uv would look for it on the main index, which may have another package of that name",
                solution=f"Write {name} into [project] dependencies or constraint-dependencies, "
                f"or take it out of the packages of {index!r}.",
            )


def is_taken_out(override: str) -> bool:
    """Return whether an override removes its package, so that uv never looks for it."""
    marker = Requirement(override).marker
    return marker is not None and str(marker) == str(Marker(NEVER))


def package_of(requirement: str) -> str:
    """Return the normalized name (PEP 503) in a PEP 508 requirement."""
    return canonicalize_name(Requirement(requirement).name)


def folder_of(local: Path, folders: tuple[WheelFolder, ...]) -> WheelFolder:
    """Return the folder that uv's copy of a wheel came from."""
    return next(folder for folder in folders if folder.shown == local.parent)
