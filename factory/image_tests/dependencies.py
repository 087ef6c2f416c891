"""Whether installed packages fit together, as ``pip check`` says it, from what an image tells of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from factory.dockerfile.references import parse_requirement


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A requirement that does not hold: of which package, and what is installed, None where nothing is."""

    package: str
    requirement: str
    wanted: str
    installed: str | None

    @property
    def problem(self) -> str:
        """What does not hold, in words."""
        there = "it is not installed" if self.installed is None else f"{self.installed} is installed"
        return f"requires {self.requirement}, and {there}"


def conflicts(packages: Sequence[Mapping[str, Any]], environment: Mapping[str, str]) -> tuple[Conflict, ...]:
    """The requirements that do not hold (core metadata: Requires-Dist, Requires-Python), by package.

    ``environment`` are the variables of environment markers (PEP 508) in the image. Extras count for
    nothing, since an installation does not record them; what cannot be read is passed over, as pip does.
    """
    installed = {canonicalize_name(package["name"]): package["version"] for package in packages}
    found: list[Conflict] = []
    for package in sorted(packages, key=lambda package: str(package["name"]).lower()):
        if (python := _python_conflict(package, environment)) is not None:
            found.append(python)
        for text in package["requires"]:
            try:
                requirement = parse_requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker and not requirement.marker.evaluate({**environment, "extra": ""}):
                continue
            wanted = canonicalize_name(requirement.name)
            version = installed.get(wanted)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                told = f"{requirement.name}{requirement.specifier}"
                found.append(
                    Conflict(package=package["name"], requirement=told, wanted=wanted, installed=version)
                )
    return tuple(found)


def _python_conflict(package: Mapping[str, Any], environment: Mapping[str, str]) -> Conflict | None:
    python = environment["python_full_version"]
    try:
        wanted = SpecifierSet(package["python"] or "")
    except ValueError:
        return None
    if wanted.contains(python, prereleases=True):
        return None
    return Conflict(
        package=package["name"], requirement=f"Python {wanted}", wanted="python", installed=python
    )
