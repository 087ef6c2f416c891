"""How large the packages of a lock are: what they install where the wheels are at hand, else their wheels."""

from collections.abc import Iterable
from pathlib import Path

from factory.errors import IndexContentError, LockFileError, PrefetchError
from factory.index.wheel import check_wheel
from factory.layers.choose import SizedPackage
from factory.lock.lockfile import Artifact, Pin
from factory.lock.prefetched import open_artifact, open_prefetched
from factory.tree import Tree


def installed_sizes(pins: Iterable[Pin], prefetched: Path) -> tuple[SizedPackage, ...]:
    """The bytes that each package installs, from a prefetched folder; of several platforms the largest.

    Raises:
        NotFoundError: the folder is no prefetched one.
        PrefetchError: a wheel is not there, is not the locked one, or is not valid.
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
