"""Attach an SBOM to its image in the registry, as ``cosign attach sbom`` does and Konflux expects.

It is an OCI image (image-spec 1.0) of one layer, the SBOM, under the tag ``sha256-DIGEST.sbom`` of the same
repository. Equal SBOMs make equal manifests, so that a second run changes nothing.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from typing import Literal

from factory.dockerfile.references import find_reference
from factory.errors import IndexAccessError, RegistryError, SbomError
from factory.masking import masked_address
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry
from factory.registry.oci import OCI_MANIFEST, Manifest

LAYER = "application/vnd.cyclonedx+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True, kw_only=True)
class RegistryAccess:
    """How to reach a registry: over plain HTTP, or over TLS that may go unverified."""

    plain_http: bool = False
    tls_verify: bool = True


@dataclass(frozen=True, kw_only=True)
class AttachedSbom:
    """An SBOM in a registry: its own reference by digest, which is Konflux's SBOM_BLOB_URL, and its tag."""

    blob_url: str
    tag: str


@dataclass(frozen=True, kw_only=True)
class PushedImage:
    """An image by its digest, in 64 hex digits; ``repository`` begins with the host."""

    host: str
    repository: str
    digest: str

    @property
    def path(self) -> str:
        """The repository without the host."""
        return self.repository.removeprefix(f"{self.host}/")


def read_reference(image: str) -> PushedImage:
    """Parse ``REGISTRY/REPOSITORY@sha256:…``, with a tag or without.

    Raises:
        SbomError: it is not such a reference.
    """
    found = find_reference(image)
    algorithm, _, digest = (found.digest or "").partition(":") if found else ("", "", "")
    if found is None or not found.domain or algorithm != "sha256":
        raise SbomError(
            f"{masked_address(image)!r} names no image by its digest",
            solution="Give it as REGISTRY/REPOSITORY@sha256:…, the reference that the push printed.",
        )
    return PushedImage(host=found.domain, repository=found.repository, digest=digest)


def attach(
    sbom: bytes,
    image: PushedImage,
    *,
    access: RegistryAccess,
    environment: Mapping[str, str],
    declared: Collection[Registry] = (),
) -> AttachedSbom:
    """Push an SBOM in CycloneDX JSON beside an image.

    Args:
        sbom: what is pushed.
        image: its image, which has to be there.
        access: how to reach the registry.
        environment: where the container engine's and docker's files of logins, and the file of certificates,
            are looked up.
        declared: the registries of factory.toml; the image's own has the driver and the token service.

    Raises:
        SbomError: the image is missing, or the registry refused, failed or did not answer.
    """
    scheme: Literal["http", "https"] = "http" if access.plain_http else "https"
    registry = _registry(image, access, declared)
    try:
        with open_registry(registry, environment=environment, scheme=scheme) as client:
            return _attach(client, image, sbom)
    except (RegistryError, IndexAccessError) as error:
        raise SbomError(
            f"{image.host} did not take the bill of materials: {error.reason}",
            solution=f"{error.solution} --plain-http is for a registry on this machine.",
        ) from error


def _registry(image: PushedImage, access: RegistryAccess, declared: Collection[Registry]) -> Registry:
    """Return the declared registry that an image is in, or its host."""
    found = [one for one in declared if f"{image.repository}/".startswith(f"{one.url}/")]
    host = Registry(name=image.host, url=image.host, kind="persistent")
    chosen = max(found, key=lambda one: len(one.url), default=host)
    return replace(chosen, tls_verify=chosen.tls_verify and access.tls_verify)


def _attach(client: RegistryClient, image: PushedImage, sbom: bytes) -> AttachedSbom:
    if client.digest(image.path, f"sha256:{image.digest}") is None:
        raise SbomError(
            f"{image.repository}@sha256:{image.digest} is not in the registry",
            solution="Push the image first, and give the digest that it got.",
        )
    layer = _put_blob(client, image, sbom, media_type=LAYER)
    config = _put_blob(client, image, _config(layer), media_type=CONFIG)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
    tag = f"sha256-{image.digest}.sbom"
    client.put_tag(image.path, tag, Manifest(media_type=OCI_MANIFEST, content=json.dumps(document).encode()))
    return AttachedSbom(
        blob_url=f"{image.repository}@{layer['digest']}",
        tag=f"{image.repository}:{tag}",
    )


def _put_blob(
    client: RegistryClient, image: PushedImage, content: bytes, *, media_type: str
) -> dict[str, str | int]:
    digest = f"sha256:{sha256(content).hexdigest()}"
    client.put_blob(image.path, digest, len(content), lambda: BytesIO(content))
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _config(layer: Mapping[str, str | int]) -> bytes:
    """Return the configuration of an image that nobody runs, as cosign writes it."""
    root = {"type": "layers", "diff_ids": [layer["digest"]]}
    return json.dumps({"architecture": "", "config": {}, "os": "", "rootfs": root}).encode()
