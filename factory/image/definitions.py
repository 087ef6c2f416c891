"""The images of a repository: flavors, and what ``[images]`` of its ``factory.toml`` defines."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.flavor.repository import Flavor

Kind = Literal["flavor", "pytorch-base", "stack", "trainer", "launcher"]
TestLevel = Literal["quick", "standard", "full"]


@dataclass(frozen=True, kw_only=True)
class Parent:
    """What an image stands on: the build argument that names it, and an image.

    ``image`` is the name of another image of the repository, or a reference to one of somebody else's.
    """

    argument: str
    image: str


@dataclass(frozen=True, kw_only=True)
class ImageDefinition:
    """One image: the folder that it is built from, whose name it has, and all that decides what comes of it.

    ``dockerfile`` is a file name in ``folder``; ``inputs`` are patterns relative to it (`Path.glob`), which
    together with the Dockerfile are all that may change the image; None is what the Dockerfile copies.
    ``parents`` are at least one, the one of the final stage first. ``registry`` is the name of a registry of the repository, None where
    the image stays in the engine. ``flavor`` is there for a flavor alone.
    """

    name: str
    kind: Kind
    folder: Path
    dockerfile: str
    parents: tuple[Parent, ...]
    inputs: tuple[str, ...] | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    registry: str | None = None
    tests: TestLevel = "quick"
    moving_tag: str = "latest"
    flavor: Flavor | None = None


def changed(
    definition: ImageDefinition,
    *,
    base_image: str | None = None,
    downstream: bool | None = None,
    build_args: Iterable[tuple[str, str]] = (),
) -> ImageDefinition:
    """The same image, built otherwise: on another base, downstream (a flavor), with further arguments.

    ``base_image`` takes the place of the first parent. A flavor that is built downstream by this and not
    by its definition has the moving tag ``downstream``.

    Raises:
        SpecError: the base image is not an image reference, or the image has no downstream build.
    """
    raise NotImplementedError
