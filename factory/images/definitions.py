"""The definition of one image: what it is built from and where it is published."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from factory.dockerfile.references import check_image
from factory.errors import SpecError
from factory.flavor.repository import Flavor

Kind = Literal["flavor", "pytorch-base", "stack", "trainer", "launcher"]
BuilderName = Literal["engine", "layout"]
"""What builds an image: the container engine, or the factory itself in an OCI layout."""
TestLevel = Literal["quick", "standard", "full"]
BASE_IMAGE = "BASE_IMAGE"
"""The build argument that names the image of the final stage's FROM."""
DOCKERFILE, DOWNSTREAM_DOCKERFILE = "Dockerfile", "Dockerfile.konflux"
DOWNSTREAM_TAG = "downstream"
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def local_reference(name: str, tag: str) -> str:
    """Return the name that an image of the repository has in the engine."""
    return f"localhost/{name}:{tag}"


@dataclass(frozen=True, kw_only=True)
class Parent:
    """An image that another is built from, and the build argument that names it.

    ``image`` is the name of an image of the repository, or a reference to an external image.
    """

    argument: str
    image: str

    @property
    def is_reference(self) -> bool:
        """Return whether the image is external: only a reference has a tag or digest."""
        return ":" in self.image or "@" in self.image


@dataclass(frozen=True, kw_only=True)
class ImageDefinition:
    """One image: its folder, which has the image's name, and everything that decides its content.

    dockerfile: A file name in the folder.
    parents: The parent of the final stage first. Empty only for a flavor with a ``problem``.
    inputs: Patterns relative to the folder (`Path.glob`) that cover every file the build may use beside
        the Dockerfile; None for the files that the Dockerfile copies.
    registry: The name of a declared registry; None if the image stays in the engine.
    flavor: Set for a flavor only.
    problem: Why a flavor cannot be read; empty otherwise.
    builder: Counts in the identity, since the two builders write different bytes.
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
    problem: str = ""
    builder: BuilderName = "engine"

    @property
    def downstream(self) -> bool:
        """Return whether this is the downstream build of a flavor."""
        return self.dockerfile == DOWNSTREAM_DOCKERFILE

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
        tags = (self.moving_tag, "latest", *((DOWNSTREAM_TAG,) if self.flavor else ()))
        return tuple(local_reference(self.name, tag) for tag in dict.fromkeys(tags))


def check_argument(name: str) -> str:
    """Return the name of a build argument.

    Raises:
        SpecError: it is not a name that ARG accepts.
    """
    if not _ARGUMENT.fullmatch(name):
        raise SpecError(
            f"{name!r} is not the name of a build argument",
            solution="Use letters, digits and underscores, but no digit first, such as PYTORCH_VERSION.",
        )
    return name


def changed(
    definition: ImageDefinition,
    *,
    base_image: str | None = None,
    downstream: bool = False,
    builder: BuilderName = "engine",
    build_args: Iterable[tuple[str, str]] = (),
) -> ImageDefinition:
    """Return the definition with the options of one build applied.

    Args:
        definition: The image.
        base_image: Replaces the first parent.
        downstream: Build the flavor downstream; unless its definition says so too, its moving tag becomes
            ``downstream``.
        builder: What builds it.
        build_args: Further arguments; one that names a parent replaces that parent.

    Raises:
        SpecError: a parent is not an image reference, an argument is not a name, or the image has no
            downstream build.
    """
    result = _downstream(definition) if downstream and not definition.downstream else definition
    parents = {parent.argument: parent.image for parent in result.parents}
    if base_image is not None:
        parents[result.parents[0].argument] = check_image(base_image, of="the base image")
    arguments = dict(result.build_args)
    for name, value in build_args:
        if check_argument(name) in parents:
            parents[name] = check_image(value, of=f"the build argument {name}")
        else:
            arguments[name] = value
    return replace(
        result,
        parents=tuple(Parent(argument=argument, image=image) for argument, image in parents.items()),
        build_args=tuple(arguments.items()),
        builder=builder,
    )


def _downstream(definition: ImageDefinition) -> ImageDefinition:
    if definition.flavor is None:
        raise SpecError(
            f"{definition.name} has no downstream build: it is a {definition.kind}",
            solution="Build it without --downstream, --hermetic and --layout, which are for flavors.",
        )
    spec = definition.flavor.project.spec
    first, *others = definition.parents
    if first.image == spec.base_image:
        # A parent from factory.toml is kept.
        first = replace(first, image=spec.downstream_base_image)
    return replace(
        definition,
        dockerfile=DOWNSTREAM_DOCKERFILE,
        parents=(first, *others),
        moving_tag=DOWNSTREAM_TAG,
    )
