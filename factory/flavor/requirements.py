"""Requirements of a project as they apply to its flavor: markers evaluated, overrides in force."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.dockerfile.references import PLATFORMS, parse_requirement
from factory.flavor.project import Project
from factory.flavor.spec import Spec

_LOCAL = re.compile(r"\+[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A requirement of ``pyproject.toml``: where it stands, as written, and read."""

    key: str
    text: str
    requirement: Requirement
    name: str


def asked(project: Project) -> Iterator[Asked]:
    """The requirements in force on one of the flavor's platforms.

    As in uv, an override takes the place of the dependencies on the same package and leaves the
    constraints in force; one whose marker is never true takes the package out.
    """
    overridden = {canonicalize_name(parse(text).name) for text in project.overrides}
    tables = (
        ("dependencies", project.dependencies),
        ("constraint-dependencies", project.constraints),
        ("override-dependencies", project.overrides),
    )
    for key, texts in tables:
        for text in texts:
            requirement = parse(text)
            name = canonicalize_name(requirement.name)
            replaced = name in overridden and key == "dependencies"
            if not replaced and applies(requirement, project.spec):
                yield Asked(key=key, text=text, requirement=requirement, name=name)


def dropped(project: Project) -> frozenset[str]:
    """The packages that the lock leaves out: overridden away, or recorded as missing."""
    overrides = [parse(text) for text in project.overrides]
    present = {canonicalize_name(item.name) for item in overrides if applies(item, project.spec)}
    absent = {canonicalize_name(item.name) for item in overrides} - present
    return frozenset(absent | {missing.package for missing in project.spec.missing})


@lru_cache(maxsize=4096)
def parse(text: str) -> Requirement:
    """A PEP 508 requirement; flavors share most of theirs, so each is read once a run."""
    return parse_requirement(text)


def applies(requirement: Requirement, spec: Spec) -> bool:
    """Whether the requirement's marker is true on one of the flavor's platforms."""
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate(marker_environment(spec.python, name)) for name in spec.platforms)


def admits(specifier: SpecifierSet, version: str) -> bool:
    """Whether a specifier admits a version (PEP 440); the spec's 2.13.0 fits a pin on 2.13.0+cpu."""
    if Version(version).local is None and "+" in str(specifier):
        specifier = SpecifierSet(_LOCAL.sub("", str(specifier)))
    return specifier.contains(version, prereleases=True)


@lru_cache(maxsize=64)
def marker_environment(python: str, platform: str) -> Mapping[str, str]:
    """What markers see on a platform (PEP 508), where no extra is asked for."""
    # The patch release is the base image's; uv resolves for .0 as well when it is given X.Y.
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": PLATFORMS[platform],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }
