"""Notice that a lock takes another build of a package: for another accelerator, or built again."""

import re
from collections.abc import Collection, Iterator, Sequence

from factory.errors import OtherBuildError
from factory.flavor.spec import Spec
from factory.lock.lockfile import Pin

FOR_GPUS = ("nvidia-", "cuda-")
"""How packages begin that a build of torch for CUDA brings."""
_BUILD = re.compile(r"(?P<accelerator>cuda|cu(?=\d)|rocm|cpu)(?P<version>\d[\d.]*)?(?![a-z])")


def built_for(version: str) -> tuple[str, str] | None:
    """Return the accelerator that a version (PEP 440) is built for, and its version's digits.

    ``2.13.0+cu130`` gives ``("cuda", "130")``, ``2.13.0+cpu`` gives ``("cpu", "")``; None without a local
    version that tells.
    """
    match = _BUILD.match(version.partition("+")[2].lower())
    if match is None:
        return None
    accelerator = {"cu": "cuda"}.get(match["accelerator"], match["accelerator"])
    return accelerator, (match["version"] or "").replace(".", "")


def refuse_other_builds(
    spec: Spec, before: Sequence[Pin], after: Sequence[Pin], *, upgraded: Collection[str] | None
) -> None:
    """Pass a new lock whose packages are the builds that they were, or those that the spec is for.

    Args:
        spec: the flavor's; a change to a build for its accelerator is what it asks for.
        before: the pins of the lock so far; without any there is nothing to change.
        after: those of the new one.
        upgraded: packages whose local version may change as well, such as by a build of the index's owners
            that took the place of another; None for all.

    Raises:
        OtherBuildError: a package would be built for another accelerator, or otherwise.
    """
    changed = list(_changed(spec, before, after, upgraded))
    gpus = [] if any(_for_gpus(pin) for pin in before) else [pin for pin in after if _for_gpus(pin)]
    if spec.accelerator != "cpu" or not before:
        gpus = []
    if not changed and not gpus:
        return
    parts = [f"another build would take the place of the one that is locked: {', '.join(changed)}"]
    if gpus:
        count = f"{len(gpus)} packages" if len(gpus) > 1 else "a package"
        parts.append(f"{count} for GPUs would come into a CPU flavor, {gpus[0].name} the first")
    raise OtherBuildError(
        "; ".join(parts if changed else parts[1:]),
        solution="Name the index that has the build: index-url, or an entry of [[tool.factory.indexes]] for "
        "these packages alone; or give their wheels with --find-links. If the change is meant, give "
        "--allow-other-build. Nothing was written.",
    )


def _changed(
    spec: Spec, before: Sequence[Pin], after: Sequence[Pin], upgraded: Collection[str] | None
) -> Iterator[str]:
    known = {pin.name: pin.version for pin in before}
    for pin in after:
        old, new = known.get(pin.name), pin.version
        if old is None or new is None or old.partition("+")[2] == new.partition("+")[2]:
            continue
        was, now = built_for(old), built_for(new)
        rebuilt = old.partition("+")[0] == new.partition("+")[0]
        asked = upgraded is None or pin.name in upgraded
        if _is_of(spec, now) or (was == now and (not rebuilt or (asked and "+" in new))):
            continue
        yield f"{pin.name} {old} -> {new}"


def _is_of(spec: Spec, build: tuple[str, str] | None) -> bool:
    """Whether a build is for the accelerator of a spec, as far as it tells the version."""
    if build is None or build[0] != spec.accelerator:
        return False
    wanted = (spec.accelerator_version or "").replace(".", "")
    return wanted.startswith(build[1]) or build[1].startswith(wanted)


def _for_gpus(pin: Pin) -> bool:
    return pin.name.startswith(FOR_GPUS)
