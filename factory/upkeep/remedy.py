"""The commands that would be rid of a vulnerability; no index is asked whether they can do it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from packaging.version import Version

from factory.flavor.spec import Spec

# The spec names the version of these, and the folder is called after it: another one is another flavor.
_IN_THE_SPEC = ("torch", "training-hub")


def remedy(
    package: str, fixed: Sequence[str], flavors: Mapping[str, Spec], *, reason: str
) -> tuple[str, ...]:
    """The commands that put a fixed version into flavors; none where no fixed version is known.

    The lowest of them that is no pre-release: it is of the pin's own series where that has one.

    Args:
        package: by its normalized name.
        fixed: versions above the pin that are rid of it, in order.
        flavors: the specs of the flavors that pin a version that is not, by name.
        reason: an id of the vulnerability.
    """
    final = [version for version in fixed if not Version(version).is_prerelease]
    lowest = next(iter(final or fixed), None)
    if lowest is None:
        return ()
    if package in _IN_THE_SPEC:
        return tuple(_in_the_spec(name, spec, package, lowest) for name, spec in flavors.items())
    named = (word for name in flavors for word in ("--flavor", name))
    return (shlex.join(("factory", "bump", f"{package}>={lowest}", *named, "--reason", reason)),)


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
