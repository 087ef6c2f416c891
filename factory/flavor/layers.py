"""The layers of packages of an image: ``[tool.factory.layers]`` of a flavor, as values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from factory.flavor.table import Table

ACCELERATOR = "accelerator"
"""The layer of the accelerator's stack."""
REST = "rest"
"""The last layer: what no other names."""
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# They land in a shell's `case`: letters, digits and hyphens of normalized names (PEP 503), and the star.
_PATTERN = re.compile(r"[a-z0-9*]+(?:-[a-z0-9*]+)*")


@dataclass(frozen=True, kw_only=True)
class PackageLayer:
    """A layer by name, and the patterns (a shell's, with ``*``) of the normalized names that go into it."""

    name: str
    patterns: tuple[str, ...]

    def takes(self, package: str) -> bool:
        """Whether one of the patterns fits a package's normalized name."""
        return any(fnmatchcase(package, pattern) for pattern in self.patterns)


_TORCH = ("torch", "torchaudio", "torchvision")
_STACKS = {
    "cpu": _TORCH,
    "cuda": (*_TORCH, "triton", "pytorch-triton*", "nvidia-*", "cuda-*"),
    "rocm": (*_TORCH, "triton*", "pytorch-triton*", "amd-*", "rocm*"),
}


def default_layers(accelerator: str) -> tuple[PackageLayer, ...]:
    """What is in layers of its own where a flavor says nothing: the accelerator's stack."""
    return (PackageLayer(name=ACCELERATOR, patterns=_STACKS[accelerator]),)


def read_layers(table: Table) -> tuple[PackageLayer, ...]:
    """Read ``[tool.factory.layers]``, in its order; empty where there is no such table.

    Raises:
        SpecError: a name is not one, is ``rest``, or a pattern could not stand in the Dockerfile.
    """
    layers = table.table("layers")
    return tuple(
        PackageLayer(name=_name(layers, name), patterns=_patterns(layers, name)) for name in layers.keys
    )


def layer_of(package: str, layers: Iterable[PackageLayer]) -> str:
    """The name of the layer that a package, by its normalized name, goes into: the first that takes it."""
    return next((layer.name for layer in layers if layer.takes(package)), REST)


def _name(table: Table, name: str) -> str:
    if not _NAME.fullmatch(name) or name == REST:
        raise table.refuse(
            name,
            f"{name!r} is no name for a layer",
            f"Use lower-case letters, digits and hyphens, and not {REST}, which holds what no layer names.",
        )
    return name


def _patterns(table: Table, name: str) -> tuple[str, ...]:
    patterns = table.texts(name)
    if not patterns:
        raise table.refuse(name, "it names no package", "Name packages, or leave the layer out.")
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise table.refuse(
                name,
                f"{pattern!r} is no pattern of package names",
                "Write names in their normal form, lower case with hyphens, such as nvidia-* or torch.",
            )
    return patterns
