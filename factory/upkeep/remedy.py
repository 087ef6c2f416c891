"""The commands that would be rid of vulnerabilities; no index is asked whether they can do it."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.version import Version

from factory.flavor.spec import Spec

# The spec names the version of these, and the folder is called after it: another one is another flavor.
_IN_THE_SPEC = ("torch", "training-hub")


@dataclass(frozen=True, kw_only=True)
class Need:
    """A vulnerability, by the id to call it by, that a flavor has to be rid of.

    ``cures`` are versions above the flavor's pin that do not have it.
    """

    flavor: str
    vulnerability: str
    cures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Commands that put one version of a package into flavors, and what these would be rid of by it."""

    commands: tuple[str, ...]
    flavors: tuple[str, ...]
    vulnerabilities: tuple[str, ...]


def remedies(package: str, needs: Iterable[Need], specs: Mapping[str, Spec]) -> tuple[Remedy, ...]:
    """How flavors are rid of all that is known of a package; flavors of the same remedy share it.

    A flavor's version is the lowest that is rid of everything, and no pre-release where there is one:
    it is of the pin's own series where that has one. Where no version is rid of everything, each
    vulnerability has its own. What no version is rid of has no remedy.

    Args:
        package: by its normalized name.
        needs: what each flavor has to be rid of.
        specs: the specs of those flavors, by name.
    """
    by_flavor: dict[str, list[Need]] = {}
    for need in needs:
        if need.cures:
            by_flavor.setdefault(need.flavor, []).append(need)
    by_version: dict[Version, list[Need]] = {}
    for of_one in by_flavor.values():
        whole = _lowest(of_one)
        for need in of_one:
            version = whole or _lowest([need])
            if version is not None:
                by_version.setdefault(version, []).append(need)
    return tuple(_remedy(package, version, by_version[version], specs) for version in sorted(by_version))


def _lowest(needs: Sequence[Need]) -> Version | None:
    """The lowest version that is among the cures of each."""
    common = set.intersection(*({Version(cure) for cure in need.cures} for need in needs))
    return min(common, key=lambda version: (version.is_prerelease, version), default=None)


def _remedy(package: str, version: Version, needs: Sequence[Need], specs: Mapping[str, Spec]) -> Remedy:
    flavors = tuple(dict.fromkeys(need.flavor for need in needs))
    vulnerabilities = tuple(sorted({need.vulnerability for need in needs}))
    if package in _IN_THE_SPEC:
        commands = tuple(_in_the_spec(name, specs[name], package, str(version)) for name in flavors)
    else:
        named = (word for name in flavors for word in ("--flavor", name))
        reason = ", ".join(vulnerabilities)
        words = ("factory", "bump", f"{package}>={version}", *named, "--reason", reason)
        commands = (shlex.join(words),)
    return Remedy(commands=commands, flavors=flavors, vulnerabilities=vulnerabilities)


def _in_the_spec(name: str, spec: Spec, package: str, version: str) -> str:
    new = replace(spec, torch=version) if package == "torch" else replace(spec, training_hub=version)
    if new.derived_name == name:
        again = f"factory sync {shlex.quote(name)} && factory lock {shlex.quote(name)}"
        return f"{again}  # after setting {package} to {version} in its pyproject.toml"
    versions = {
        "--accelerator": new.accelerator,
        "--accelerator-version": new.accelerator_version,
        "--torch": new.torch,
        "--python": new.python,
        "--training-hub": new.training_hub,
    }
    options = (word for option, value in versions.items() if value is not None for word in (option, value))
    return shlex.join(("factory", "new-flavor", "--from", name, *options))
