"""The rule that assigns packages to layers: names and sizes in, layers out.

When a package changes, its whole layer is fetched and stored again. So the accelerator's stack, large and
changed as one, is a layer of its own; so is a package larger than the share; every other layer stays within
the share, and small packages are in the last one, which changes most often.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from factory.flavor.spec import PackageLayer

SHARE = 0.08
"""The largest part of all packages that one layer of several may be. A fix of one package then changes less
than a tenth of what a flavor adds, the files around the layers included."""
_LARGE = "large"


@dataclass(frozen=True, kw_only=True)
class SizedPackage:
    """A package's normalized name, and its size in bytes: of the wheel, or of what it installs."""

    name: str
    size: int


def choose_layers(
    packages: Iterable[SizedPackage],
    *,
    stack: PackageLayer,
    before: Sequence[PackageLayer] = (),
    share: float = SHARE,
) -> tuple[PackageLayer, ...]:
    """Choose the layers of packages; a package in none of them belongs to the last layer.

    The layers of ``before`` keep their order and their patterns, also patterns that match nothing now. Only a
    package that a layer has by name leaves it, and only if the layer exceeds the share: a new version, or a
    new package, moves no others, and a pattern with ``*`` is a person's choice.

    Args:
        packages: all that is locked, in any order.
        stack: the layer of the accelerator's stack, which may be of any size.
        before: the layers as they were chosen earlier.
        share: the largest part of the sum that a layer of several packages may be.

    Returns:
        Those of ``before``, with the stack first if it is not among them, then new ones, none of them empty.
    """
    sizes = {package.name: package.size for package in packages}
    limit = share * sum(sizes.values())
    if all(layer.name != stack.name for layer in before):
        before = (stack, *before)
    taken: dict[str, list[str]] = {}
    assigned: dict[str, list[str]] = {}
    left = sorted(sizes)
    # In order: a later layer may name what an earlier one releases.
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


def _layer(before: PackageLayer, packages: Collection[str], taken: Collection[str]) -> PackageLayer:
    """Return a layer without the removed names, and with new names at the end."""
    kept = tuple(pattern for pattern in before.patterns if pattern not in taken or pattern in packages)
    layer = replace(before, patterns=kept)
    return replace(layer, patterns=(*kept, *sorted(name for name in packages if not layer.takes(name))))


def _overflow(names: list[str], layer: PackageLayer, sizes: Mapping[str, int], limit: float) -> list[str]:
    """Move the smallest out of a layer until it fits, or holds a single package.

    Packages that a pattern with ``*`` matches stay.
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
    """Move the largest from the last layer into the first with room, until the last fits."""
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
