"""Which pins of a lock go into which layer of packages."""

from collections.abc import Iterable

from factory.flavor.layers import REST, PackageLayer, layer_of
from factory.lock.lockfile import Pin


def assign(pins: Iterable[Pin], layers: Iterable[PackageLayer]) -> dict[str, tuple[Pin, ...]]:
    """The pins by the name of their layer, in the order of the layers, the last one (``rest``) included.

    Pure, and what the Dockerfile of the template set does: any builder can go by it.
    """
    wanted = tuple(layers)
    found: dict[str, list[Pin]] = {name: [] for name in (*(layer.name for layer in wanted), REST)}
    for pin in pins:
        found[layer_of(pin.name, wanted)].append(pin)
    return {name: tuple(of_layer) for name, of_layer in found.items()}
