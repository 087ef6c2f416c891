"""What is in each layer of packages: its pins, when they were published, and how large they are.

A layer's time follows from its own pins, so that a security fix in one layer leaves the others as they are.
"""

from collections.abc import Iterable
from pathlib import Path

from factory.errors import IndexContentError, LockFileError, PrefetchError
from factory.flavor.spec import REST, PackageLayer, layer_of
from factory.index.wheel import check_wheel
from factory.layers.choose import SizedPackage
from factory.lock.lockfile import Artifact, Pin
from factory.lock.lockset import LockSet
from factory.lock.prefetched import open_artifact, open_prefetched
from factory.tree import Tree


def pins_by_layer(pins: Iterable[Pin], layers: Iterable[PackageLayer]) -> dict[str, tuple[Pin, ...]]:
    """Return the pins by the name of their layer, in the order of the layers, ``rest`` included.

    The Dockerfile of the template set splits a lock in the same way.
    """
    wanted = tuple(layers)
    found: dict[str, list[Pin]] = {name: [] for name in (*(layer.name for layer in wanted), REST)}
    for pin in pins:
        found[layer_of(pin.name, wanted)].append(pin)
    return {name: tuple(of_layer) for name, of_layer in found.items()}


def layer_epochs(locks: LockSet, layers: Iterable[PackageLayer]) -> dict[str, int | None]:
    """Return the newest upload in each layer, ``rest`` included, in seconds since 1970.

    None if a layer is empty, or the lock records no upload time of its artifacts.
    """
    return {name: _newest(pins) for name, pins in pins_by_layer(locks.pins, layers).items()}


def newest_upload(locks: LockSet) -> int | None:
    """Return the newest upload of all that is locked; None if the lock records none."""
    return _newest(locks.pins)


def _newest(pins: Iterable[Pin]) -> int | None:
    return max(
        (artifact.uploaded for pin in pins for artifact in pin.artifacts if artifact.uploaded is not None),
        default=None,
    )


def installed_sizes(pins: Iterable[Pin], prefetched: Path) -> tuple[SizedPackage, ...]:
    """Return the bytes that each package installs, from a prefetched folder; the largest of its platforms.

    Raises:
        NotFoundError: the folder is not a prefetched one.
        PrefetchError: a wheel is missing, is not the locked one, or is not valid.
        StorageError: a part of the folder is a link, or cannot be read.
    """
    with open_prefetched(prefetched) as folder:
        return tuple(
            SizedPackage(
                name=pin.name,
                size=max((_unpacked(artifact, folder.artifacts) for artifact in pin.artifacts), default=0),
            )
            for pin in pins
        )


def _unpacked(artifact: Artifact, artifacts: Tree) -> int:
    if artifact.file_name is None:
        raise PrefetchError(
            f"the lock does not name the file of sha256:{artifact.sha256}",
            solution="Lock again (`factory lock`); versions are kept.",
        )
    try:
        with open_artifact(artifacts, artifact.file_name, sha256=artifact.sha256) as file:
            return check_wheel(file, of=artifact.file_name).installed_bytes
    except IndexContentError as error:
        raise PrefetchError(error.reason, solution=error.solution) from error


def wheel_sizes(pins: Iterable[Pin], *, flavor: str) -> tuple[SizedPackage, ...]:
    """Return the bytes of each package's wheel, from the lock; the largest of its platforms.

    Raises:
        LockFileError: the lock records no sizes: it is an older one, or the index has none.
    """
    found = []
    for pin in pins:
        sizes = [artifact.size for artifact in pin.artifacts if artifact.size is not None]
        if not sizes:
            raise LockFileError(
                f"{flavor}: the lock does not record the size of {pin.name}",
                solution=f"Lock again (`factory lock {flavor}`; versions are kept). If the index has no "
                f"sizes (PEP 691), prefetch first and give the folder: `factory layers {flavor} --prefetched "
                "FOLDER`.",
            )
        found.append(SizedPackage(name=pin.name, size=max(sizes)))
    return tuple(found)
