"""From a flavor's project to the packages of its lock, the same versions on every platform."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.errors import SpecError
from factory.flavor.project import Project
from factory.lock.find_links import WheelFolder
from factory.lock.uv import NoSolution, Package, Request, resolve

# A marker that no platform meets: as an override it takes a package out of the resolution.
NEVER = "sys_platform == 'never'"


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The platform whose resolution failed, what was asked, and uv's explanation."""

    request: Request
    explanation: str


def resolve_project(
    project: Project, *, preferences: Mapping[str, str], folders: tuple[WheelFolder, ...]
) -> dict[str, tuple[Package, ...]] | Refused:
    """Resolve for each platform of the spec; every platform gets the same packages and versions.

    The lock carries no markers, so a package that one platform needs is installed on all of them.
    It is therefore asked for, at the same version, on the platforms that would not need it.

    Returns:
        The packages of each platform, or what uv refused.

    Raises:
        SpecError: as for `request_for`.
        IndexAccessError, ResolutionError, ProgramError: as for `factory.lock.uv.resolve`.
    """
    base = request_for(project, preferences=preferences, folders=folders)
    pins: dict[str, str] = {}
    resolved: dict[str, tuple[Package, ...]] = {}
    waiting = list(project.spec.platforms)
    while waiting:
        platform = waiting.pop(0)
        exact = tuple(f"{name}=={version}" for name, version in pins.items())
        request = replace(base, platform=platform, requirements=(*base.requirements, *exact))
        packages = resolve(request)
        if isinstance(packages, NoSolution):
            return Refused(request=request, explanation=packages.explanation)
        resolved[platform] = packages
        found = {package.name: package.version for package in packages}
        if pins and found.keys() - pins.keys():
            # This platform needs more: the others must have that as well.
            waiting += [other for other in resolved if other != platform and other not in waiting]
        pins |= found
    return resolved


def request_for(
    project: Project, *, preferences: Mapping[str, str], folders: tuple[WheelFolder, ...]
) -> Request:
    """What uv is asked for the first platform; what the spec records as missing is taken out.

    Raises:
        SpecError: a requirement names a URL, which no lock of an index can hold, or what is required
            is recorded as missing.
    """
    spec = project.spec
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
        ),
        preferences=preferences,
        python=spec.python,
        platform=spec.platforms[0],
        glibc=spec.glibc,
        index_url=spec.index_url,
        find_links=tuple(folder.shown for folder in folders),
    )


def package_of(requirement: str) -> str:
    """The normalized name (PEP 503) in a PEP 508 requirement."""
    return canonicalize_name(Requirement(requirement).name)


def folder_of(local: Path, folders: tuple[WheelFolder, ...]) -> WheelFolder:
    """The folder that a wheel was shown from."""
    return next(folder for folder in folders if folder.shown == local.parent)
