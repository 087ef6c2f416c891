"""The name of a flavor, derived from its spec and never parsed to find a version."""

import re

from packaging.version import Version

from factory.errors import SpecError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
# Pipelines name their runs after the flavor; a Kubernetes label holds at most 63 characters.
MAX_NAME_LENGTH = 63


def derive_name(
    *, accelerator: str, accelerator_version: str | None, torch: str, python: str, training_hub: str
) -> str:
    """The default name: ``th09-cuda130-torch2110-py312``.

    Digits run together: major and minor of Training Hub, accelerator and Python, and major, minor
    and patch of torch. The result cannot be read back (``torch210`` may be 2.1.0 or 2.10.0), which
    is why the spec holds the versions.
    """
    return "-".join(
        (
            f"th{_digits(training_hub, 2)}",
            accelerator if accelerator_version is None else accelerator + _digits(accelerator_version, 2),
            f"torch{_digits(torch, 3)}",
            f"py{_digits(python, 2)}",
        )
    )


def check_name(name: str) -> str:
    """Return a name that can be a folder directly under ``flavors/`` and a pipeline's name.

    Raises:
        SpecError: it is a path, or has characters that a folder, a tag or a pipeline would not take.
    """
    if "/" in name or "\\" in name or name in {".", ".."}:
        raise SpecError(
            f"the name {name!r} leaves flavors/",
            solution="Give a plain folder name: a flavor stands directly under flavors/.",
        )
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise SpecError(
            f"the name {name!r} is not a flavor name",
            solution=f"Use at most {MAX_NAME_LENGTH} lower-case letters, digits and hyphens between them.",
        )
    return name


def _digits(version: str, parts: int) -> str:
    release = Version(version).release
    padded = (*release, *([0] * parts))[:parts]
    return "".join(str(number) for number in padded)
