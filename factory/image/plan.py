"""What has to be built, in order, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.flavor.repository import Repository
from factory.image.definitions import ImageDefinition
from factory.image.identity import Manifest

Action = Literal["build", "nothing", "blocked"]


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What is asked for.

    ``names`` are names of images or paths of flavor folders, none of them is all; ``change`` is made to
    each image that is named, and not to the parents that come along (`definitions.changed`). ``pull``:
    ask the origins of external parents for their digests. ``offline``: ask no registry. ``force``:
    build what is asked for, whatever is there. ``engine`` as in `factory.image.engine.find_engine`.
    """

    names: Sequence[str] = ()
    change: Callable[[ImageDefinition], ImageDefinition] | None = None
    pull: bool = False
    offline: bool = False
    force: bool = False
    engine: str | None = None


@dataclass(frozen=True, kw_only=True)
class ParentReference:
    """The image that a build argument names: a reference to build FROM, and where it comes from.

    ``image`` is the name of an image of the repository, None for one of somebody else's. ``registry`` is
    the name of the declared registry that has it, where it is not in the engine and not to be built before.
    ``pinned`` is the reference with its digest in the place of the tag, where that is known; an image
    of this machine (``localhost/…``) has none.
    """

    argument: str
    reference: str
    image: str | None = None
    pinned: str | None = None
    registry: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One image: what it is made of now, where it is, and what has to be done.

    ``tag`` is that of its identity; ``local`` the reference with it in the engine, ``remote`` that in its
    registry, None where it has none. ``in_engine`` and ``in_registry`` are None where that was not looked at.
    ``blocked``: it cannot be built now, and nobody asked for it by name; the reasons say why.
    """

    definition: ImageDefinition
    manifest: Manifest | None
    identity: str | None
    tag: str | None
    local: str | None
    remote: str | None
    in_engine: bool | None
    in_registry: bool | None
    action: Action
    reasons: tuple[str, ...]
    parents: tuple[ParentReference, ...]

    @property
    def name(self) -> str:
        """The image's name."""
        return self.definition.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The images that were asked for and those parents of theirs that have to be built, parents first.

    ``digests`` are those of external parents that the origins gave (``pull``), by reference.
    """

    steps: tuple[Step, ...]
    digests: dict[str, str]

    @property
    def to_build(self) -> tuple[Step, ...]:
        """What has to be built, in order."""
        return tuple(step for step in self.steps if step.action == "build")


def plan_images(repository: Repository, request: PlanRequest) -> Plan:
    """Say what has to be built.

    Raises:
        SpecError: ``factory.toml`` or a flavor says what is not acceptable.
        NotFoundError: an image that is named is not there.
        ImageError: an image that is named cannot be built as it is defined.
        LockFileError: a flavor that is named is not locked.
        RegistryError: a registry did not answer, or refused.
        EngineError: the engine is not there or does not work, and is needed.
        StorageError: a file cannot be read.
    """
    raise NotImplementedError
