"""When what is in a layer of packages was published: the time that the layer's files get.

A layer's time follows from its own pins, so that a security fix in one layer leaves the others as they are.
"""

from collections.abc import Iterable

from factory.flavor.layers import PackageLayer
from factory.layers.assign import assign
from factory.lock.lockfile import Pin
from factory.lock.lockset import LockSet


def layer_epochs(locks: LockSet, layers: Iterable[PackageLayer]) -> dict[str, int | None]:
    """By the name of each layer, ``rest`` included, the newest upload in it in seconds since 1970.

    None where a layer is empty, or the lock does not tell of any of its artifacts.
    """
    return {name: _newest(pins) for name, pins in assign(locks.pins, layers).items()}


def newest_upload(locks: LockSet) -> int | None:
    """The newest upload of all that is locked; None where the lock does not tell."""
    return _newest(locks.pins)


def _newest(pins: Iterable[Pin]) -> int | None:
    return max(
        (artifact.uploaded for pin in pins for artifact in pin.artifacts if artifact.uploaded is not None),
        default=None,
    )
