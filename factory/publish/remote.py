"""An image in a registry as the source of a push: read by its digest, and sent on without an engine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from factory.dockerfile.references import ImageReference, find_reference
from factory.errors import NotFoundError, RegistryError, SpecError
from factory.masking import masked_address
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry, given_registry, lies_in, place
from factory.registry.inventory import attached_to
from factory.registry.oci import OCI_INDEX, Descriptor, Manifest, labels_of
from factory.registry.tags import LATEST

REMOTE_PREFIX = "docker://"
# More is nobody's image; each is read into memory.
_MAX_MANIFESTS, _MAX_DEPTH = 500, 4


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """What is attached to an image, such as an SBOM or a signature.

    subject: The digest of what it is attached to.
    tag: The tag that attaches it, as cosign's ``sha256-….sbom``; None if its ``subject`` does.
    manifests: Its manifest last, after those that it names.
    """

    subject: str
    tag: str | None
    manifests: tuple[Manifest, ...]

    @property
    def manifest(self) -> Manifest:
        """Its own manifest."""
        return self.manifests[-1]


@dataclass(frozen=True, kw_only=True)
class RemoteImage:
    """An image in a registry: its manifest or index, all manifests that it names, and its attachments.

    client: Opens the blobs; None until `connected`.
    """

    registry: Registry
    repository: str
    tag: str | None
    manifest: Manifest
    manifests: tuple[Manifest, ...]
    attachments: tuple[Attachment, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    client: RegistryClient | None = None

    @property
    def name(self) -> str:
        """The last component of its repository."""
        return self.repository.rpartition("/")[2]

    @property
    def blobs(self) -> dict[str, int]:
        """The digests of all configurations and layers, with their sizes in bytes."""
        return {digest: size for one in self.manifests for digest, size in one.blobs.items()}

    def connected(self, client: RegistryClient) -> "RemoteImage":
        """Return the image with a client of its registry."""
        return replace(self, client=client)

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a configuration or a layer to read it once, checked at its end."""
        sizes = self.blobs | {
            blob: size
            for attachment in self.attachments
            for manifest in attachment.manifests
            for blob, size in manifest.blobs.items()
        }
        if self.client is None:
            message = "the image is not connected to its registry"
            raise ValueError(message)
        return self.client.open_blob(self.repository, digest, sizes[digest])


def remote_reference(image: str, declared: Mapping[str, Registry]) -> tuple[Registry, ImageReference] | None:
    """Return the registry and the reference that IMAGE of a push names; None if it names no registry.

    That is ``NAME/REFERENCE`` with the name of a declared registry, a reference in the place of a declared
    one, or ``docker://`` and any reference.

    Raises:
        SpecError: what follows ``docker://`` or the name of a registry is not a reference.
    """
    name, slash, rest = image.partition("/")
    if image.startswith(REMOTE_PREFIX):
        text = image.removeprefix(REMOTE_PREFIX)
    elif slash and name in declared:
        text = f"{declared[name].url}/{rest}"
    else:
        text = image
    found = find_reference(text)
    if found is None or not found.domain or (text is image and found.domain == "localhost"):
        if text is image:
            return None
        raise SpecError(
            f"{masked_address(image)!r} names no image in a registry",
            solution="Write NAME/IMAGE:TAG with the name of a registry of factory.toml, or "
            "docker://HOST/PATH/IMAGE:TAG; a digest may take the place of the tag.",
        )
    inside = [one for one in declared.values() if lies_in(place(found.repository), place(one.url))]
    nearest = max(inside, key=lambda one: len(one.url), default=None)
    if nearest is None and not image.startswith(REMOTE_PREFIX):
        return None
    return nearest or given_registry(found.domain, of=REMOTE_PREFIX), found


def read_remote(registry: Registry, reference: ImageReference) -> RemoteImage:
    """Read an image of a registry with everything that it names; its blobs are not read.

    Raises:
        NotFoundError: the registry does not have it.
        RegistryError: the registry refused, failed, or did not answer; or it is no image.
    """
    repository = reference.repository.partition("/")[2]
    tag = reference.tag or (None if reference.digest else LATEST)
    with open_registry(registry) as client:
        manifest = client.manifest(repository, reference.digest or tag or LATEST)
        if manifest is None:
            raise NotFoundError(
                f"the registry {registry.name} ({registry.host}) has no image {reference}",
                solution="Look at its tags, such as with `skopeo list-tags`; an image of the engine is named "
                "localhost/NAME:TAG.",
            )
        manifests = _with_children(client, repository, manifest)
        config = client.config(repository, manifest.digest)
        return RemoteImage(
            registry=registry,
            repository=repository,
            tag=tag,
            manifest=manifest,
            manifests=manifests,
            attachments=_attachments(client, repository, manifests),
            labels={} if config is None else labels_of(config),
        )


def _with_children(client: RegistryClient, repository: str, top: Manifest) -> tuple[Manifest, ...]:
    """Return the manifests that an index names, and then the index itself; of an image the image."""
    found: dict[str, Manifest] = {}

    def visit(manifest: Manifest, depth: int) -> None:
        if len(found) > _MAX_MANIFESTS or depth > _MAX_DEPTH:
            raise RegistryError(
                f"{client.registry.host}/{repository}@{top.digest} names too many manifests to be an image",
                solution="Copy the image of one platform by its own digest.",
            )
        for digest in manifest.children:
            if digest not in found:
                visit(_required(client, repository, digest), depth + 1)
        found[manifest.digest] = manifest

    visit(top, 0)
    return tuple(found.values())


def _required(client: RegistryClient, repository: str, digest: str) -> Manifest:
    manifest = client.manifest(repository, digest)
    if manifest is None:
        raise RegistryError(
            f"{client.registry.host}/{repository}@{digest} is missing, and an image there names it",
            solution="Push the image there again, or copy another one: this one is not whole.",
        )
    return manifest


def _attachments(
    client: RegistryClient, repository: str, manifests: tuple[Manifest, ...]
) -> tuple[Attachment, ...]:
    """Return what is attached to manifests, and to that, by tag or by ``subject``."""
    tags = [tag for tag in client.tags(repository) if attached_to(tag)]
    seen: set[str] = set()
    found: list[Attachment] = []
    waiting = [manifest.digest for manifest in manifests]
    while waiting:
        subject = waiting.pop(0)
        if subject in seen:
            continue
        seen.add(subject)
        new = [*_by_tag(client, repository, subject, tags), *_by_subject(client, repository, subject, tags)]
        unique = [one for one in new if one.manifest.digest not in {each.manifest.digest for each in found}]
        found += unique
        waiting += [one.manifest.digest for one in unique]
        if len(found) > _MAX_MANIFESTS:
            raise RegistryError(
                f"{client.registry.host}/{repository} has too many attachments of one image",
                solution="Remove those that nobody needs, or copy the image with another tool.",
            )
    return tuple(found)


def _by_tag(client: RegistryClient, repository: str, subject: str, tags: list[str]) -> list[Attachment]:
    """Return what cosign's tags attach (``sha256-….sbom``, ``….sig``, ``….att``)."""
    found = []
    for tag in tags:
        if attached_to(tag) == subject and tag != referrers_tag(subject):
            manifest = client.manifest(repository, tag)
            if manifest is not None:
                manifests = _with_children(client, repository, manifest)
                found.append(Attachment(subject=subject, tag=tag, manifests=manifests))
    return found


def _by_subject(client: RegistryClient, repository: str, subject: str, tags: list[str]) -> list[Attachment]:
    """Return what names a manifest as its ``subject``; registries of before 1.1 have a tag that lists it."""
    listed: tuple[Descriptor, ...] = client.referrers(repository, subject) or ()
    if referrers_tag(subject) in tags:
        index = client.manifest(repository, referrers_tag(subject))
        listed += tuple(index.document.get("manifests") or ()) if index else ()
    digests = dict.fromkeys(item["digest"] for item in listed)
    return [
        Attachment(subject=subject, tag=None, manifests=_with_children(client, repository, manifest))
        for digest in digests
        # What a list names may have been deleted since.
        if (manifest := client.manifest(repository, digest)) is not None
    ]


def referrers_tag(digest: str) -> str:
    """Return the tag that lists a manifest's referrers in a registry of before distribution-spec 1.1."""
    return digest.replace(":", "-")


def list_referrer(client: RegistryClient, repository: str, attachment: Attachment) -> None:
    """Add what its ``subject`` attaches to the tag that lists it, if the registry lists nothing itself.

    The entries of others stay (distribution-spec 1.1, "Referrers Tag Schema").

    Raises:
        RegistryError: the registry refused, failed, or did not answer.
    """
    if client.referrers(repository, attachment.subject) is not None:
        return
    tag, manifest = referrers_tag(attachment.subject), attachment.manifest
    existing = client.manifest(repository, tag)
    entries = list(existing.document.get("manifests") or ()) if existing else []
    if any(entry["digest"] == manifest.digest for entry in entries):
        return
    document = manifest.document
    config = document.get("config") or Descriptor(digest="")
    described = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.content),
        "artifactType": document.get("artifactType") or config.get("mediaType"),
        "annotations": document.get("annotations"),
    }
    kept = {name: value for name, value in described.items() if value}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, kept]}
    client.put_tag(repository, tag, Manifest(media_type=OCI_INDEX, content=json.dumps(index).encode()))
