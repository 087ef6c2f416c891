"""How large the packages of a lock are: what they install where the wheels are at hand, else their wheels."""

from collections.abc import Iterable
from pathlib import Path

from factory.errors import IndexContentError, LockFileError, PrefetchError, StorageError
from factory.index.wheel import check_wheel_at
from factory.layers.choose import SizedPackage
from factory.lock.lockfile import Artifact, Pin


def installed_sizes(pins: Iterable[Pin], wheels: Path) -> tuple[SizedPackage, ...]:
    """The bytes that each package installs, from its wheels in a folder; of several platforms the largest.

    Raises:
        PrefetchError: a wheel is not there, or is none.
    """
    return tuple(
        SizedPackage(
            name=pin.name, size=max((_unpacked(artifact, wheels) for artifact in pin.artifacts), default=0)
        )
        for pin in pins
    )


def wheel_sizes(pins: Iterable[Pin], *, flavor: str) -> tuple[SizedPackage, ...]:
    """The bytes of each package's wheel, from the lock; of several platforms the largest.

    Raises:
        LockFileError: the lock does not tell: it is an older one, or the index tells no sizes.
    """
    found = []
    for pin in pins:
        sizes = [artifact.size for artifact in pin.artifacts if artifact.size is not None]
        if not sizes:
            raise LockFileError(
                f"{flavor}: the lock does not tell the size of {pin.name}",
                solution=f"Lock again (`factory lock {flavor}`; versions are kept). Where the index tells no "
                f"sizes (PEP 691), prefetch first and give the folder: `factory layers {flavor} --prefetched "
                "FOLDER`.",
            )
        found.append(SizedPackage(name=pin.name, size=max(sizes)))
    return tuple(found)


def _unpacked(artifact: Artifact, wheels: Path) -> int:
    path = wheels / (artifact.file_name or "")
    try:
        return check_wheel_at(path).installed_bytes
    except (IndexContentError, StorageError) as error:
        raise PrefetchError(
            f"{path} cannot be read as a wheel: {error.reason}",
            solution="Prefetch again (`factory prefetch`) and give the folder that this prints.",
        ) from error
