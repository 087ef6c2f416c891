"""The contract of a registry's driver, and what drivers share: reading manifests as images of a registry."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, Self

from factory.clock import parse_moment
from factory.documents import parse_json
from factory.errors import RegistryError
from factory.http.parallel import in_parallel
from factory.registry.client import RegistryClient
from factory.registry.inventory import LabelReader, RegistryImage, attached_to
from factory.registry.oci import ImageConfig, Manifest, labels_of

State = Literal["ok", "created", "would be created", "wrong", "not checked"]


@dataclass(frozen=True, kw_only=True)
class RegistryCheck:
    """The result of one check of a registry: its subject, its state, and a solution."""

    what: str
    state: State
    detail: str = ""
    solution: str = ""

    @classmethod
    def wrong(cls, what: str, detail: str, solution: str) -> Self:
        """Return what has to be put right."""
        return cls(what=what, state="wrong", detail=detail, solution=solution)


@dataclass(frozen=True, kw_only=True)
class Repositories:
    """The repositories of a registry, without its host; ``partial`` says what is missing from the list."""

    names: tuple[str, ...]
    partial: str = ""


class Driver(Protocol):
    """One kind of registry. Repositories are named without the host, digests are ``sha256:…``.

    Every method raises RegistryError if the registry does not answer, refuses or fails.
    """

    def check(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Check that the registry serves for these images, without changing it."""
        ...

    def create(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Create what the images need and is missing, and test what only a write shows.

        Another run may create it meanwhile.
        """
        ...

    def repositories(self, images: Collection[str]) -> Repositories:
        """Return the repositories in the registry's path; if it does not list them, those of the images."""
        ...

    def images(self, repository: str) -> tuple[RegistryImage, ...]:
        """Return everything in a repository, each manifest once with all its tags."""
        ...

    def tags(self, repository: str) -> Mapping[str, str]:
        """Return the tags of a repository, and the digest of each."""
        ...

    def has(self, repository: str, digest: str) -> bool:
        """Return whether a manifest exists, under the registry's own host."""
        ...

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a manifest with all its tags; return False if it does not exist."""
        ...

    def delete_repository(self, repository: str) -> bool:
        """Delete an empty repository if the service can; return False if it stays."""
        ...

    def by_hand(self, repository: str, digest: str) -> str:
        """Return the command with which a person deletes a manifest."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


_AT_ONCE = 16
# A reproducible build without a time writes the beginning of some count of time.
_NO_TIME = dt.datetime(1981, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class ListedManifest:
    """One manifest in a list of a registry; ``pushed`` is None if the list does not say."""

    digest: str
    tags: tuple[str, ...]
    pushed: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True)
class OciInterface(ABC):
    """The part of a `Driver` that reads through the registry's own OCI interface."""

    client: RegistryClient
    read_labels: LabelReader = field(repr=False)

    @abstractmethod
    def list_manifests(self, repository: str) -> Collection[ListedManifest]:
        """Return what the registry lists of a repository."""

    def images(self, repository: str) -> tuple[RegistryImage, ...]:
        """Read what is listed, and what is attached to that."""
        return read_images(self.client, repository, self.list_manifests(repository), self.read_labels)

    def tags(self, repository: str) -> Mapping[str, str]:
        """Return the tags of a repository, and the digest of each."""
        return {tag: listed.digest for listed in self.list_manifests(repository) for tag in listed.tags}

    def has(self, repository: str, digest: str) -> bool:
        """Return whether a manifest is there."""
        return self.client.digest(repository, digest) is not None

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def tag_digests(client: RegistryClient, repository: str) -> dict[str, str]:
    """Return the tags of a repository and the digest of each, without those deleted meanwhile."""
    found = client.digests((repository, tag) for tag in client.tags(repository))
    return {tag: digest for (_, tag), digest in found.items() if digest is not None}


def read_images(
    client: RegistryClient, repository: str, listed: Iterable[ListedManifest], read_labels: LabelReader
) -> tuple[RegistryImage, ...]:
    """Return the manifests of a list, in its order, and those that are attached to them.

    One that was deleted meanwhile is left out; one that cannot be read has a ``problem``.

    Raises:
        RegistryError: The registry refused, failed, or did not answer.
    """
    own = client.registry.url.partition("/")[2]
    image = repository.removeprefix(f"{own}/") if own else repository
    reading = _Reading(client=client, repository=repository, image=image, read_labels=read_labels)
    found = in_parallel(reading.read, listed, jobs=_AT_ONCE)
    there = {stored.digest: stored for stored in found if stored is not None}
    new = _digests(there.values())
    while new:
        # An attachment may have attachments in turn.
        attached = [digest for digest in _referrers(client, repository, new) if digest not in there]
        unlisted = (ListedManifest(digest=digest, tags=()) for digest in dict.fromkeys(attached))
        read = in_parallel(reading.read, unlisted, jobs=_AT_ONCE)
        further = {stored.digest: stored for stored in read if stored is not None}
        there.update(further)
        new = _digests(further.values())
    return _with_gone(client, repository, tuple(there.values()))


@dataclass(frozen=True, kw_only=True)
class _Reading:
    client: RegistryClient
    repository: str
    image: str
    read_labels: LabelReader

    def read(self, listed: ListedManifest) -> RegistryImage | None:
        known = RegistryImage(
            repository=self.repository,
            image=self.image,
            digest=listed.digest,
            tags=listed.tags,
            moment=listed.pushed,
        )
        try:
            manifest = self.client.manifest(self.repository, listed.digest)
            if manifest is None:
                return None
            return self._read(manifest, known)
        except RegistryError as error:
            # One damaged image must not hide the others.
            return replace(known, problem=error.reason)

    def _read(self, manifest: Manifest, known: RegistryImage) -> RegistryImage:
        parts = [self._part(digest) for digest in manifest.children] if manifest.is_index else []
        blobs = dict(manifest.blobs)
        for part in parts:
            blobs.update(part.blobs)
        subject = manifest.document.get("subject")
        subjects = {attached_to(tag) for tag in known.tags} | {subject["digest"] if subject else None}
        config = self._config(manifest, parts)
        return replace(
            known,
            moment=known.moment or _created(config),
            blobs=blobs,
            layers=tuple(item["digest"] for item in manifest.document.get("layers") or ()),
            config_digest=manifest.config_digest,
            parts=manifest.children if manifest.is_index else (),
            subjects=tuple(sorted(filter(None, subjects))),
            labels=self.read_labels(labels_of(config)),
        )

    def _part(self, digest: str) -> Manifest:
        """Return a part of an index; an empty one if it was never pushed."""
        part = self.client.manifest(self.repository, digest)
        return part or Manifest(media_type="", content=b'{"schemaVersion": 2}')

    def _config(self, manifest: Manifest, parts: list[Manifest]) -> ImageConfig:
        chosen = next((part for part in parts if part.config_digest), None) if parts else manifest
        if chosen is None or chosen.config_digest is None:
            return {}
        content = self.client.blob(self.repository, chosen.config_digest) or b"{}"
        return parse_json(content, ImageConfig, source="its configuration", error=RegistryError)


def _digests(images: Iterable[RegistryImage]) -> list[str]:
    """Return the images' own digests, and those of their parts."""
    return [digest for image in images for digest in (image.digest, *image.parts)]


def _with_gone(
    client: RegistryClient, repository: str, images: tuple[RegistryImage, ...]
) -> tuple[RegistryImage, ...]:
    """Record the deleted subjects of images; a subject without a tag is on no list."""
    known = set(_digests(images))
    unknown = {digest for image in images for digest in image.subjects if digest not in known}
    asked = client.digests((repository, digest) for digest in sorted(unknown))
    gone = {digest for (_, digest), found in asked.items() if found is None}
    return tuple(
        replace(image, gone=frozenset(gone.intersection(image.subjects))) if image.subjects else image
        for image in images
    )


def _referrers(client: RegistryClient, repository: str, digests: list[str]) -> list[str]:
    """Return the digests of what is attached to manifests by ``subject`` (OCI distribution-spec 1.1).

    A registry of an earlier version has a tag instead, which is in the list of tags.
    """

    def ask(digest: str) -> list[str] | None:
        found = client.referrers(repository, digest)
        return None if found is None else [item["digest"] for item in found]

    first = ask(digests[0])
    if first is None:
        return []
    found = in_parallel(ask, digests[1:], jobs=_AT_ONCE)
    return [*first, *(digest for named in found for digest in named or ())]


def _created(config: ImageConfig) -> dt.datetime | None:
    """Return when an image was created by its configuration (RFC 3339); None if it does not say."""
    moment = parse_moment(config.get("created") or "")
    return None if moment is None or moment < _NO_TIME else moment
