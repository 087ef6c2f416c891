"""What registries hold, as values: images, what is attached to them, and what could not be looked at."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from factory.errors import RegistryError
from factory.registry.declared import Place, Registry, place

# cosign's tags for what belongs to an image, and the OCI distribution specification's for its referrers.
_ATTACHMENT = re.compile(r"sha256-(?P<digest>[0-9a-f]{64})(?:\.(?P<what>[a-z0-9]+))?")


@dataclass(frozen=True, kw_only=True)
class RecordedParent:
    """A parent as the label of an image tells it: a name or a reference, and which one of it it was."""

    image: str
    identity: str | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class FactoryLabels:
    """What an image says of itself that the factory made: its name, its identity, and its parents.

    ``parents`` is None where the label that tells them cannot be read.
    """

    image: str
    identity: str
    parents: tuple[RecordedParent, ...] | None


LabelReader = Callable[[Mapping[str, str]], FactoryLabels | None]
"""What the labels of an image tell; None where the factory did not make it."""


@dataclass(frozen=True, kw_only=True)
class RegistryImage:
    """A manifest in a repository, with every tag that it has.

    ``image`` is the repository's name behind the registry's own path. ``moment`` is when it was pushed,
    where the service tells, else when it says that it was created; None where neither is known.
    ``blobs`` are all that it and its parts name, with their sizes in bytes, and ``layers`` its own in order.
    ``parts`` are the manifests that it names where it is an index, ``subjects`` the digests of what it is
    attached to (a bill of materials, a signature), and ``gone`` those subjects that are there no more.
    ``problem`` says why it could not be read.
    """

    repository: str
    image: str
    digest: str
    tags: tuple[str, ...] = ()
    moment: dt.datetime | None = None
    blobs: Mapping[str, int] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    config_digest: str | None = None
    parts: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    gone: frozenset[str] = frozenset()
    labels: FactoryLabels | None = None
    problem: str = ""

    @property
    def size(self) -> int:
        """Bytes of all that it names."""
        return sum(self.blobs.values())

    @property
    def own_tags(self) -> tuple[str, ...]:
        """Its tags, but for those that say what it is attached to."""
        return tuple(tag for tag in self.tags if attached_to(tag) is None)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What one registry holds.

    ``partial`` says which of it was not looked for, such as repositories that nobody names; ``error``
    why the registry, or a part of it, could not be read.
    """

    registry: Registry
    repositories: tuple[str, ...] = ()
    images: tuple[RegistryImage, ...] = ()
    partial: str = ""
    error: RegistryError | None = None

    def place_of(self, image: RegistryImage) -> Place:
        """Where an image's repository is."""
        return place(f"{self.registry.host}/{image.repository}")


def attached_to(tag: str) -> str | None:
    """The digest of the image that what has this tag belongs to; None for any other tag."""
    match = _ATTACHMENT.fullmatch(tag)
    return f"sha256:{match['digest']}" if match else None
