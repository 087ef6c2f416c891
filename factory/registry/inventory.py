"""The inventory of a registry: its images, their attachments, and what could not be read."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from factory.errors import RegistryError
from factory.registry.declared import Place, Registry, place

# The tags of cosign for attachments, and of the OCI distribution specification for referrers.
_ATTACHMENT = re.compile(r"sha256-(?P<digest>[0-9a-f]{64})(?:\.(?P<what>[a-z0-9]+))?")


@dataclass(frozen=True, kw_only=True)
class RecordedParent:
    """A parent as an image's label records it: name or reference, and identity or digest."""

    image: str
    identity: str | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class FactoryLabels:
    """The labels of an image built by the factory; ``parents`` is None if they cannot be read."""

    image: str
    identity: str
    parents: tuple[RecordedParent, ...] | None


LabelReader = Callable[[Mapping[str, str]], FactoryLabels | None]
"""Returns what the labels of an image record; None if the factory did not build it."""


@dataclass(frozen=True, kw_only=True)
class RegistryImage:
    """A manifest in a repository, with all its tags.

    image: The repository's name after the registry's own path.
    moment: When it was pushed, if the service says so, else when it was created; None if neither is known.
    blobs: The digests that it and its parts name, with sizes in bytes; ``layers`` are its own, in order.
    parts: The manifests that it names if it is an index.
    subjects: The digests of what it is attached to, if it is an SBOM or a signature.
    gone: Those of the subjects that no longer exist.
    problem: Why it could not be read.
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
        """Bytes of all its blobs."""
        return sum(self.blobs.values())

    @property
    def own_tags(self) -> tuple[str, ...]:
        """Its tags, except those that say what it is attached to."""
        return tuple(tag for tag in self.tags if attached_to(tag) is None)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The content of one registry.

    partial: What was not searched, such as repositories that nobody names.
    error: Why the registry, or a part of it, could not be read.
    """

    registry: Registry
    repositories: tuple[str, ...] = ()
    images: tuple[RegistryImage, ...] = ()
    partial: str = ""
    error: RegistryError | None = None

    def place_of(self, image: RegistryImage) -> Place:
        """Return the place of an image's repository."""
        return place(f"{self.registry.host}/{image.repository}")


def attached_to(tag: str) -> str | None:
    """Return the digest of the image that a tag attaches something to; None for any other tag."""
    match = _ATTACHMENT.fullmatch(tag)
    return f"sha256:{match['digest']}" if match else None
