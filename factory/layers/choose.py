"""The rule that puts packages into layers. Pure: names and sizes in, layers out; for any builder.

What is fetched and stored again when one package changes is its layer. So the accelerator's stack, large and
changed as one, stands alone; a package that is larger than the share stands alone; every other layer stays
within the share, and what is small stands in the last one, which changes most often.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from factory.flavor.layers import ACCELERATOR, PackageLayer

SHARE = 0.08
"""The most that a layer of several packages may be of all: a fix of one then changes less than a tenth
of what a flavor adds, the files around the layers included."""
_LARGE = "large"


@dataclass(frozen=True, kw_only=True)
class SizedPackage:
    """A package by its normalized name, and its size in bytes: of the wheel, or of what it installs."""

    name: str
    size: int


def choose_layers(
    packages: Iterable[SizedPackage],
    *,
    stack: PackageLayer,
    before: Sequence[PackageLayer] = (),
    share: float = SHARE,
) -> tuple[PackageLayer, ...]:
    """Choose the layers of packages; what none of them names is for the last layer.

    The layers of ``before`` keep their order and their patterns, those that fit nothing now as well. Only a
    package that one of them has by name leaves it, and only where the layer is beyond the share: a new
    version, or a new package, moves no others, and what a pattern with ``*`` takes is somebody's choice.

    Args:
        packages: all that is locked, in any order.
        stack: the layer of the accelerator's stack, which may be of any size.
        before: the layers as they were chosen earlier.
        share: the most that a layer of several packages may be of the sum.

    Returns:
        Those of ``before``, with the stack first where it is none of them, then new ones, none of them empty.
    """
    sizes = {package.name: package.size for package in packages}
    limit = share * sum(sizes.values())
    if all(layer.name != stack.name for layer in before):
        before = (stack, *before)
    taken: dict[str, list[str]] = {}
    assigned: dict[str, list[str]] = {}
    left = sorted(sizes)
    # In their order: what an earlier layer gives away may be named by a later one.
    for layer in before:
        names = [name for name in left if layer.takes(name)]
        taken[layer.name] = [] if layer.name == stack.name else _overflow(names, layer, sizes, limit)
        left = [name for name in left if name not in names]
        assigned[layer.name] = names
    rooms = {name: names for name, names in assigned.items() if name != stack.name}
    _relieve(left, rooms, sizes, limit)
    known = {layer.name: layer for layer in before}
    return tuple(
        _layer(known.get(name, PackageLayer(name=name, patterns=())), names, taken.get(name, ()))
        for name, names in (assigned | rooms).items()
    )


def accelerator_stack(layers: Iterable[PackageLayer]) -> PackageLayer | None:
    """The layer of the accelerator's stack among some layers; None where it is not there."""
    return next((layer for layer in layers if layer.name == ACCELERATOR), None)


def _layer(before: PackageLayer, packages: Collection[str], taken: Collection[str]) -> PackageLayer:
    """A layer as it was, without the names that were taken out of it, and with new names after the others."""
    kept = tuple(pattern for pattern in before.patterns if pattern not in taken or pattern in packages)
    layer = replace(before, patterns=kept)
    return replace(layer, patterns=(*kept, *sorted(name for name in packages if not layer.takes(name))))


def _overflow(names: list[str], layer: PackageLayer, sizes: Mapping[str, int], limit: float) -> list[str]:
    """Take the smallest out of a layer until it keeps within the limit, or holds one package alone.

    What a pattern takes that is no name stays.
    """
    patterns = replace(layer, patterns=tuple(pattern for pattern in layer.patterns if "*" in pattern))
    taken = []
    filled = sum(sizes[name] for name in names)
    for name in sorted(names, key=lambda name: (sizes[name], name)):
        if len(names) > 1 and filled > limit and not patterns.takes(name):
            names.remove(name)
            taken.append(name)
            filled -= sizes[name]
    return taken


def _relieve(rest: list[str], assigned: dict[str, list[str]], sizes: Mapping[str, int], limit: float) -> None:
    """Move the largest out of the last layer, into the first with room, until it keeps within the limit."""
    rest.sort(key=lambda name: (sizes[name], name), reverse=True)
    filled = {layer: sum(sizes[name] for name in names) for layer, names in assigned.items()}
    left = sum(sizes[name] for name in rest)
    while left > limit and rest:
        name = rest.pop(0)
        left -= sizes[name]
        layer = next((layer for layer, size in filled.items() if size + sizes[name] <= limit), None)
        if layer is None:
            layer = _new_name(assigned)
            assigned[layer], filled[layer] = [], 0
        assigned[layer].append(name)
        filled[layer] += sizes[name]


def _new_name(assigned: Mapping[str, object]) -> str:
    number = 1
    while f"{_LARGE}-{number}" in assigned:
        number += 1
    return f"{_LARGE}-{number}"
