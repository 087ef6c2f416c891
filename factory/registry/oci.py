"""The documents of the OCI image specification (1.1), as the shapes that are read of them."""

from typing import Annotated, NotRequired, TypedDict

import msgspec

from factory.documents import Size

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


class ManifestDocument(TypedDict):
    """A manifest, or an index, which has ``manifests`` and no layers."""

    schemaVersion: int
    mediaType: NotRequired[str]
    config: NotRequired[Descriptor | None]
    layers: NotRequired[list[Descriptor] | None]
    manifests: NotRequired[list[Descriptor] | None]
    subject: NotRequired[Descriptor | None]
    annotations: NotRequired[dict[str, str] | None]


class Labelled(TypedDict):
    """What a container of an image is started with, as far as it is read in a registry."""

    Labels: NotRequired[dict[str, str] | None]


class ImageConfig(TypedDict):
    """The configuration of an image, as far as it is read in a registry."""

    created: NotRequired[str | None]
    config: NotRequired[Labelled | None]


def labels_of(config: ImageConfig) -> dict[str, str]:
    """Return the labels of an image, by its configuration."""
    return (config.get("config") or {}).get("Labels") or {}
