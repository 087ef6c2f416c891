"""Manifests and configurations of images, by the OCI image specification (1.1)."""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Annotated, NotRequired, TypedDict

import msgspec

from factory.documents import Size, parse_json
from factory.engine.images import StartConfig
from factory.errors import RegistryError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
_SCHEMA_VERSION = 2
_NO_MANIFEST = (
    "Look at the registry's address, and at what stands before it, such as a login page; push the image "
    "again where it is damaged."
)
# image-spec, descriptor.md: other algorithms than SHA-256 are read, and never written.
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]


class Platform(TypedDict):
    """What an image runs on."""

    os: NotRequired[str]
    architecture: NotRequired[str]


class Descriptor(TypedDict):
    """What names a blob or a manifest. Docker's lists, and layouts of hand, leave out the size."""

    digest: Digest
    size: NotRequired[Size]
    mediaType: NotRequired[str]
    platform: NotRequired[Platform | None]
    annotations: NotRequired[dict[str, str] | None]
    artifactType: NotRequired[str | None]


class ManifestDocument(TypedDict):
    """A manifest, or an index, which has ``manifests`` and no layers."""

    schemaVersion: int
    mediaType: NotRequired[str]
    config: NotRequired[Descriptor | None]
    layers: NotRequired[list[Descriptor] | None]
    manifests: NotRequired[list[Descriptor] | None]
    subject: NotRequired[Descriptor | None]
    annotations: NotRequired[dict[str, str] | None]
    artifactType: NotRequired[str | None]


class RootFileSystem(TypedDict):
    """The digests of an image's uncompressed layers, from the bottom up."""

    diff_ids: NotRequired[list[str] | None]


class ImageConfig(TypedDict):
    """The configuration of an image, as far as it is read in a registry."""

    created: NotRequired[str | None]
    config: NotRequired[StartConfig | None]
    rootfs: NotRequired[RootFileSystem | None]


def labels_of(config: ImageConfig) -> dict[str, str]:
    """Return the labels of an image, by its configuration."""
    return (config.get("config") or {}).get("Labels") or {}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest or index in a registry: its media type and bytes, whose SHA-256 names it."""

    media_type: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and 64 hex digits."""
        return f"sha256:{sha256(self.content).hexdigest()}"

    @cached_property
    def document(self) -> ManifestDocument:
        """Return its content (OCI image-spec).

        Raises:
            RegistryError: it is not a manifest; those of a `RegistryClient` are.
        """
        return read_manifest(self.content, name="an image")

    @property
    def is_index(self) -> bool:
        """Return whether it names manifests for several platforms, and no layers."""
        return self.media_type in INDEXES

    @property
    def blobs(self) -> dict[str, int]:
        """The digests that it names, of its configuration and its layers, with their sizes in bytes."""
        named = [self.document.get("config"), *(self.document.get("layers") or ())]
        return {item["digest"]: item.get("size", 0) for item in named if item}

    @property
    def config_digest(self) -> str | None:
        """The digest of the image's configuration, which an engine calls its ID; None for an index."""
        config = self.document.get("config")
        return None if config is None else config["digest"]

    @property
    def children(self) -> tuple[str, ...]:
        """The digests of the manifests that an index names."""
        return tuple(item["digest"] for item in self.document.get("manifests") or ())


def read_manifest(content: bytes, *, name: str) -> ManifestDocument:
    """Read a manifest or an index (OCI image-spec, schema version 2).

    A proxy's login page is an answer too, with status 200.

    Raises:
        RegistryError: it is not one; ``name`` says in the message what was requested.
    """
    document = parse_json(
        content,
        ManifestDocument,
        source=f"what was given as the manifest of {name}",
        error=RegistryError,
        solution=_NO_MANIFEST,
    )
    if document["schemaVersion"] != _SCHEMA_VERSION:
        raise RegistryError(
            f"what was given as the manifest of {name} is of schema version {document['schemaVersion']}",
            solution=_NO_MANIFEST,
        )
    return document


def platform_of(item: Descriptor) -> str:
    """Return ``OS/ARCHITECTURE`` of a manifest in an index."""
    platform = item.get("platform") or {}
    return f"{platform.get('os', '')}/{platform.get('architecture', '')}"
