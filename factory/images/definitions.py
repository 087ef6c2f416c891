"""What an image of a repository is: a value, whatever it was read from."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from factory.dockerfile.references import check_image
from factory.errors import SpecError
from factory.flavor.repository import Flavor

Kind = Literal["flavor", "pytorch-base", "stack", "trainer", "launcher"]
Builder = Literal["engine", "layout"]
"""What builds an image: the container engine, or the factory, past it, in an OCI layout."""
TestLevel = Literal["quick", "standard", "full"]
BASE_IMAGE = "BASE_IMAGE"
"""The build argument that names the image which the final stage stands on."""
DOCKERFILE, DOWNSTREAM_DOCKERFILE = "Dockerfile", "Dockerfile.konflux"
DOWNSTREAM_TAG = "downstream"
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Parent:
    """What an image stands on: the build argument that names it, and an image.

    ``image`` is the name of another image of the repository, or a reference to one of somebody else's.
    """

    argument: str
    image: str

    @property
    def is_reference(self) -> bool:
        """Whether it is somebody else's: a reference has a tag or a digest, and a name has neither."""
        return ":" in self.image or "@" in self.image


@dataclass(frozen=True, kw_only=True)
class ImageDefinition:
    """One image: the folder that it is built from, whose name it has, and all that decides what comes of it.

    ``dockerfile`` is a file name in ``folder``; ``inputs`` are patterns relative to it (`Path.glob`), which
    together with the Dockerfile are all that may change the image; None is what the Dockerfile copies.
    ``parents`` are at least one, the one of the final stage first. ``registry`` is the name of a
    registry of the repository, None where the image stays in the engine. ``flavor`` is there for a
    flavor alone. ``problem`` says why a flavor cannot be read; such a one has no parents.
    ``builder`` counts: what the two make of the same inputs has other bytes.
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
    builder: Builder = "engine"

    @property
    def downstream(self) -> bool:
        """Whether it is a flavor's downstream build."""
        return self.dockerfile == DOWNSTREAM_DOCKERFILE

    @property
    def built_names(self) -> tuple[str, ...]:
        """The names of its builds in the engine: that by its own definition, then the downstream one."""
        tags = (self.moving_tag, "latest", *((DOWNSTREAM_TAG,) if self.flavor else ()))
        return tuple(f"localhost/{self.name}:{tag}" for tag in dict.fromkeys(tags))


def check_argument(name: str) -> str:
    """Return the name of a build argument.

    Raises:
        SpecError: no ARG could have it.
    """
    if not _ARGUMENT.fullmatch(name):
        raise SpecError(
            f"{name!r} is not the name of a build argument",
            solution="Use letters, digits and underscores, and no digit first, such as PYTORCH_VERSION.",
        )
    return name


def changed(
    definition: ImageDefinition,
    *,
    base_image: str | None = None,
    downstream: bool = False,
    builder: Builder = "engine",
    build_args: Iterable[tuple[str, str]] = (),
) -> ImageDefinition:
    """The same image, built otherwise: on another base, downstream (a flavor), by a builder, with arguments.

    ``base_image`` takes the place of the first parent; a build argument that names a parent takes that
    one's. A flavor that is built downstream by this and not by its definition has the moving tag
    ``downstream``.

    Raises:
        SpecError: a parent is not an image reference, an argument has no name, or the image has no
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
        # A parent that factory.toml gives it stays.
        first = replace(first, image=spec.downstream_base_image)
    return replace(
        definition,
        dockerfile=DOWNSTREAM_DOCKERFILE,
        parents=(first, *others),
        moving_tag=DOWNSTREAM_TAG,
    )
