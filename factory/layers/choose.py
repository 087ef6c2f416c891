"""The rule that puts packages into layers. Pure: names and sizes in, layers out; for any builder.

What is fetched and stored again when one package changes is its layer. So the accelerator's stack, large and
changed as one, stands alone; a package that is larger than the share stands alone; every other layer stays
within the share, and what is small stands in the last one, which changes most often.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from factory.flavor.layers import ACCELERATOR, PackageLayer, layer_of

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

    A package stays where ``before`` has it as long as its layer keeps within the share, so that a new
    version, or a new package, moves no others.

    Args:
        packages: all that is locked, in any order.
        stack: the layer of the accelerator's stack, which may be of any size.
        before: the layers as they were chosen earlier.
        share: the most that a layer of several packages may be of the sum.

    Returns:
        The stack first, then the others, none of them empty.
    """
    sizes = {package.name: package.size for package in packages}
    limit = share * sum(sizes.values())
    kept = [layer for layer in before if layer.name != stack.name]
    stack = next((layer for layer in before if layer.name == stack.name), stack)
    assigned: dict[str, list[str]] = {layer.name: [] for layer in kept}
    rest: list[str] = []
    for name in sorted(sizes):
        if not stack.takes(name):
            assigned.get(layer_of(name, kept), rest).append(name)
    for names in assigned.values():
        rest += _overflow(names, sizes, limit)
    _relieve(rest, assigned, sizes, limit)
    return (
        stack,
        *(
            PackageLayer(name=name, patterns=tuple(sorted(names)))
            for name, names in assigned.items()
            if names
        ),
    )


def accelerator_stack(layers: Iterable[PackageLayer]) -> PackageLayer | None:
    """The layer of the accelerator's stack among some layers; None where it is not there."""
    return next((layer for layer in layers if layer.name == ACCELERATOR), None)


def _overflow(names: list[str], sizes: Mapping[str, int], limit: float) -> list[str]:
    """Take the smallest out of a layer until it keeps within the limit, or holds one package alone."""
    taken = []
    names.sort(key=lambda name: (-sizes[name], name))
    while len(names) > 1 and sum(sizes[name] for name in names) > limit:
        taken.append(names.pop())
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
