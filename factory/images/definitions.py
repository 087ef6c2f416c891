"""The definition of one image: what it is built from and where it is published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.flavor.kinds import Kind, Parent
from factory.flavor.project import ImageFolder
from factory.flavor.repository import Flavor

BuilderName = Literal["engine", "layout"]
"""What builds an image: the container engine, or the factory itself in an OCI layout."""
TestLevel = Literal["quick", "standard", "full"]
DOCKERFILE, DOWNSTREAM_DOCKERFILE = "Dockerfile", "Dockerfile.konflux"
DOWNSTREAM_TAG, MIDSTREAM_TAG = "downstream", "midstream"
"""The moving tags of an image that is built downstream, or midstream, and not as its settings say."""


def local_reference(name: str, tag: str) -> str:
    """Return the name that an image of the repository has in the engine."""
    return f"localhost/{name}:{tag}"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Which of an image's possible builds one is; with other options it is another variant.

    downstream: None if the image is the same downstream and midstream: none of its parents is a flavor.
    builder: What builds it.
    base_image: The base image that an option named; None for the one that the settings say.
    """

    downstream: bool | None = None
    builder: BuilderName = "engine"
    base_image: str | None = None

    @property
    def words(self) -> str:
        """The variant for people: ``downstream on REFERENCE, in a layout``; empty for the only one."""
        stream = {True: "downstream", False: "midstream", None: ""}[self.downstream]
        base = "" if self.base_image is None else f"on {self.base_image}"
        place = "in a layout" if self.builder == "layout" else ""
        return ", ".join(part for part in (f"{stream} {base}".strip(), place) if part)

    def same_as(self, other: "Variant") -> bool:
        """Return whether both are one variant; without a difference, an image counts as midstream."""
        return self.key == other.key

    @property
    def key(self) -> tuple[bool, BuilderName, str | None]:
        """What two builds of one variant have in common."""
        return bool(self.downstream), self.builder, self.base_image


@dataclass(frozen=True, kw_only=True)
class VariantOptions:
    """The options of a command that mean another variant than the settings do; None for what those say.

    downstream: For every image and its parents.
    base_image: For the images in ``rebased``, which have their base from it.
    builder: For the named flavors.
    """

    downstream: bool | None = None
    base_image: str | None = None
    builder: BuilderName | None = None
    rebased: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Return whether one was given."""
        return self.downstream is not None or self.base_image is not None or self.builder is not None


@dataclass(frozen=True, kw_only=True)
class ImageDefinition:
    """One image: its folder, which has the image's name, and everything that decides its content.

    dockerfile: A file name in the folder.
    parents: The parent of the final stage first. Empty only for a flavor with a ``problem``.
    inputs: Patterns relative to the folder (`Path.glob`) that cover every file the build may use beside
        the Dockerfile; None for the files that the Dockerfile copies.
    registry: The name of a declared registry; None if the image stays in the engine.
    flavor: Set for a flavor only.
    packages: Its folder if it installs packages, which a flavor always does; None otherwise.
    problem: Why a flavor cannot be read; empty otherwise.
    variant: Which of its builds this is; its builder counts in the identity, since the two builders write
        different bytes.
    declared: Whether the settings say if it is built downstream or midstream.
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
    packages: ImageFolder | None = None
    problem: str = ""
    variant: Variant = Variant()
    declared: bool = False

    @property
    def downstream(self) -> bool:
        """Return whether this is the downstream build of a flavor, or is built on one."""
        return self.variant.downstream is True

    @property
    def builder(self) -> BuilderName:
        """Return what builds it."""
        return self.variant.builder

    @property
    def own_parents(self) -> tuple[Parent, ...]:
        """The parents that are images of the repository."""
        return tuple(parent for parent in self.parents if not parent.is_reference)

    @property
    def arguments(self) -> dict[str, str]:
        """The build arguments, those of the parents with the image that each names."""
        return {parent.argument: parent.image for parent in self.parents} | dict(self.build_args)

    @property
    def built_names(self) -> tuple[str, ...]:
        """The names of its builds in the engine: its own build first, then the downstream one."""
        tags = (
            self.moving_tag,
            "latest",
            *((DOWNSTREAM_TAG,) if self.variant.downstream is not None else ()),
        )
        return tuple(local_reference(self.name, tag) for tag in dict.fromkeys(tags))
