"""Deliver an image to one registry: find it there, send what is missing by digest, then set the tags."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal

from factory.console import Progress, human_size
from factory.errors import FactoryError, RegistryError
from factory.files import exclusive, make_output_folder
from factory.http.parallel import in_parallel
from factory.process import Cancellation
from factory.publish.remote import Attachment, list_referrer, referrers_tag
from factory.publish.source import (
    Content,
    PushSource,
    image_contents,
    staged,
)
from factory.registry.client import RegistryClient
from factory.registry.declared import place as host_place
from factory.registry.inventory import attached_to
from factory.registry.oci import Manifest
from factory.registry.tags import (
    Tag,
    TagFacts,
    check_unmoved,
    identity_tag,
)

_BLOBS_AT_ONCE = 8
# Of a repository with many tags so many are looked at for the image; to compress it costs less than more.
_MAX_TAGS = 100

TagState = Literal["sent", "tagged", "already there", "another is there", "would be sent", "would be tagged"]


@dataclass(frozen=True, kw_only=True)
class PushedTag:
    """A tag at a destination, its digest as read back (None before a push), and what was done."""

    tag: str
    moving: bool
    digest: str | None
    state: TagState


@dataclass(frozen=True, kw_only=True)
class PushOutcome:
    """The outcome at one destination.

    ``sent_bytes`` counts what was missing and in no other repository of the registry; None in a dry run that
    would send.
    """

    registry: str
    place: str
    tags: tuple[PushedTag, ...] = ()
    sent_bytes: int | None = 0
    error: FactoryError | None = None

    @property
    def rows(self) -> Iterable[tuple[str, ...]]:
        """Yield a row for each tag; the first has the bytes, since all tags share the content."""
        size = "?" if self.sent_bytes is None else human_size(self.sent_bytes)
        for number, tag in enumerate(self.tags):
            yield (self.place, tag.tag, tag.digest or "-", tag.state, size if number == 0 else human_size(0))
        if self.error is not None:
            yield (self.place, "-", "-", "failed", "-")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A repository of a registry as it was found.

    tags: Those that it has; read for ``semver`` only.
    kept: The version that the image has there already.
    named: The wanted tags, and what each names there now.
    present: The image itself, if another tag or its digest names it there.
    """

    client: RegistryClient
    repository: str
    tags: tuple[str, ...] = ()
    kept: str | None = None
    named: tuple[tuple[Tag, Manifest | None], ...] = ()
    present: Manifest | None = None
    error: FactoryError | None = None

    @property
    def place(self) -> str:
        return f"{self.client.registry.host}/{self.repository}"

    def same(self, source: PushSource) -> Manifest | None:
        """Return the image itself, if it is there already."""
        if source.remote is not None:
            # A copy keeps its digest: the same image under another one does not count.
            return self.present
        named = (found for _, found in self.named if found and self.is_image(found, source))
        return next(named, self.present)

    def is_image(self, manifest: Manifest, source: PushSource) -> bool:
        """Return whether a manifest is of this image: by a digest, or by what it is.

        Its configuration's digest names the uncompressed layers, so that an image which was compressed
        otherwise is recognized. docker's differs from the one in a layout; then the layers are compared, and
        how the image starts.
        """
        content = source.layout or source.remote
        if content is not None and manifest.digest == content.manifest.digest:
            return True
        if source.config is not None and manifest.config_digest == source.config:
            return True
        layers = manifest.document.get("layers") or ()
        if source.contents is None or not layers or len(layers) != len(source.contents.layers):
            return False
        config = self.client.config(self.repository, manifest.digest)
        return config is not None and image_contents(config) == source.contents


def with_named(place: Destination, source: PushSource, tags: Sequence[Tag]) -> Destination:
    """Add what the wanted tags name there now.

    Raises:
        RegistryError: a tag that does not move names another image.
    """
    named = tuple((tag, place.client.manifest(place.repository, tag.name)) for tag in tags)
    for tag, existing in named:
        if existing is not None and not place.is_image(existing, source):
            check_unmoved(tag, place=place.place, there=existing.digest, wanted="")
    return replace(place, named=named)


def with_present(place: Destination, source: PushSource, facts: TagFacts) -> Destination:
    """Add the image itself if the repository has it under another tag, so that it need not be compressed.

    What can be sent as it is has a digest to ask for. For what would have to be compressed first, the tag of
    its identity is looked at, the moving tag, and then the other tags, as far as they are not too many.
    """
    if source.content is not None:
        found = place.client.manifest(place.repository, source.content.manifest.digest)
        return replace(place, present=found)
    if place.same(source) is not None:
        return place
    likely = [*((identity_tag(facts.identity),) if facts.identity else ()), facts.moving_tag]
    for tag in likely:
        found = place.client.manifest(place.repository, tag)
        if found is not None and place.is_image(found, source):
            return replace(place, present=found)
    return replace(place, present=_find_among_tags(place, source))


def _find_among_tags(place: Destination, source: PushSource) -> Manifest | None:
    try:
        tags = place.tags or place.client.tags(place.repository)
    except RegistryError:
        # A login that may push need not be one that may list.
        return None
    others = [tag for tag in tags if attached_to(tag) is None]
    if len(others) > _MAX_TAGS:
        return None
    digests = place.client.digests((place.repository, tag) for tag in others)
    distinct = dict.fromkeys(filter(None, digests.values()))
    manifests = in_parallel(
        lambda digest: place.client.manifest(place.repository, digest), distinct, jobs=_BLOBS_AT_ONCE
    )
    return next((found for found in manifests if found and place.is_image(found, source)), None)


def preview(place: Destination, source: PushSource) -> PushOutcome:
    """Return what a push would do at a destination."""
    same = place.same(source)
    otherwise: TagState = "would be tagged" if same else "would be sent"
    tags = tuple(
        _pushed(tag, existing.digest, "already there")
        if existing is not None and place.is_image(existing, source)
        else _pushed(tag, same.digest if same else None, otherwise)
        for tag, existing in place.named
    )
    for attachment in source.remote.attachments if source.remote and not place.error else ():
        tag = attachment.tag or referrers_tag(attachment.subject)
        there, state = _attached(place, attachment)
        tags += (PushedTag(tag=tag, moving=False, digest=there, state=state or "would be sent"),)
    return PushOutcome(
        registry=place.client.registry.name,
        place=place.place,
        tags=() if place.error else tags,
        sent_bytes=0 if same or place.error else None,
        error=place.error,
    )


def _pushed(tag: Tag, digest: str | None, state: TagState) -> PushedTag:
    return PushedTag(tag=tag.name, moving=tag.moving, digest=digest, state=state)


def deliver_all(
    found: Sequence[Destination], source: PushSource, work: Path, progress: Progress, stop: Cancellation
) -> list[PushOutcome]:
    """Bring the image to all destinations; they were only read so far."""
    with ExitStack() as stack:
        staging = None
        missing = any(place.error is None and place.same(source) is None for place in found)
        if missing and source.remote is None:
            if source.content is None:
                progress.begin(f"{source.reference}: compressed once for all destinations")
            staging = stack.enter_context(staged(source, work))
            source = replace(source, layout=staging.layout)
        outcomes = in_parallel(
            lambda place: _deliver(place, source, work, progress), found, jobs=len(found), stop=stop
        )
        if staging is not None and not any(outcome.error for outcome in outcomes):
            staging.discard()
    return outcomes


def _deliver(place: Destination, source: PushSource, work: Path, progress: Progress) -> PushOutcome:
    """Bring the image to one destination: its content, then its tags."""
    done: list[PushedTag] = []
    sent, error = 0, place.error
    try:
        if error is None:
            manifest = place.same(source)
            if manifest is None:
                manifest, sent = _send(place, source, progress)
            sent += _attach_all(place, source, done)
            _set_tags(place, manifest, source, work, done, state="sent" if sent else "tagged")
    except FactoryError as failure:
        error = failure
    progress.advance(message=place.place)
    return PushOutcome(
        registry=place.client.registry.name,
        place=place.place,
        tags=tuple(done),
        sent_bytes=sent,
        error=error,
    )


def _send(place: Destination, source: PushSource, progress: Progress) -> tuple[Manifest, int]:
    """Send what is missing; return the image as read back by digest, and the bytes sent."""
    content = source.content
    if content is None:
        raise _mismatch(place, "nothing")
    client, repository = place.client, place.repository
    wanted = content.manifest.digest
    size = 0
    if client.digest(repository, wanted) is None:
        blobs = _missing_blobs(place, content)
        sizes = human_size(sum(blobs.values())), human_size(sum(content.blobs.values()))
        progress.begin(f"{place.place}: {sizes[0]} of {sizes[1]}")
        size = _send_blobs(place, content, blobs, mount_from=_mountable(place, source))
        _put_manifests(place, content.manifests, content.manifest)
    arrived = client.manifest(repository, wanted)
    if arrived is None or arrived.content != content.manifest.content:
        raise _mismatch(place, "nothing" if arrived is None else arrived.digest)
    return arrived, size + len(arrived.content) if size else 0


def _mountable(place: Destination, source: PushSource) -> str | None:
    """Return the repository of the source, if the destination's registry is its own."""
    remote = source.remote
    if remote is None or host_place(remote.registry.host) != host_place(place.client.registry.host):
        return None
    return remote.repository


def _missing_blobs(place: Destination, content: Content) -> dict[str, int]:
    """Return the blobs that a destination does not have, with their sizes in bytes."""
    blobs = content.blobs
    present = in_parallel(
        lambda digest: place.client.has_blob(place.repository, digest), blobs, jobs=_BLOBS_AT_ONCE
    )
    return {item: size for (item, size), has in zip(blobs.items(), present, strict=True) if not has}


def _send_blobs(
    place: Destination, content: Content, blobs: Mapping[str, int], *, mount_from: str | None
) -> int:
    """Send blobs, and return how many bytes went over the line: what the registry has is mounted.

    Raises:
        RegistryError: it failed repeatedly, or was refused.
        ProgramError: the work was stopped.
    """
    client, repository = place.client, place.repository

    def send(item: tuple[str, int]) -> int:
        digest, size = item
        opened = partial(content.open_blob, digest)
        return size if client.put_blob(repository, digest, size, opened, mount_from=mount_from) else 0

    try:
        return sum(in_parallel(send, blobs.items(), jobs=_BLOBS_AT_ONCE))
    except RegistryError as error:
        raise _not_taken(place, error) from error


def _put_manifests(place: Destination, manifests: Sequence[Manifest], last: Manifest) -> None:
    """Put manifests under their digests, an index after those that it names."""
    try:
        for manifest in dict.fromkeys((*manifests, last)):
            place.client.put_tag(place.repository, manifest.digest, manifest)
    except RegistryError as error:
        raise _not_taken(place, error) from error


def _not_taken(place: Destination, error: RegistryError) -> RegistryError:
    return RegistryError(
        f"{place.place} did not take the image: {error.reason}",
        solution=f"{error.solution} What arrived is not sent twice, and no tag was set.",
    )


def _attached(place: Destination, attachment: Attachment) -> tuple[str | None, TagState | None]:
    """Return what a destination has in the place of an attachment, and its state; None if nothing."""
    wanted = attachment.manifest.digest
    there = place.client.digest(place.repository, attachment.tag or wanted)
    if there is None:
        return None, None
    return there, "already there" if there == wanted else "another is there"


def _attach_all(place: Destination, source: PushSource, done: list[PushedTag]) -> int:
    """Bring what is attached to an image of a registry, such as its SBOM; return the bytes sent.

    An attachment that differs under the same tag stays: its registry may have one of its own.
    """
    remote = source.remote
    if remote is None:
        return 0
    client, repository, total = place.client, place.repository, 0
    for attachment in remote.attachments:
        tag, manifest = attachment.tag or referrers_tag(attachment.subject), attachment.manifest
        there, state = _attached(place, attachment)
        if state is not None:
            done.append(PushedTag(tag=tag, moving=False, digest=there, state=state))
        else:
            blobs = {digest: size for one in attachment.manifests for digest, size in one.blobs.items()}
            total += _send_blobs(place, remote, blobs, mount_from=_mountable(place, source))
            _put_manifests(place, attachment.manifests, manifest)
            if attachment.tag is not None:
                client.put_tag(repository, attachment.tag, manifest)
            done.append(PushedTag(tag=tag, moving=False, digest=manifest.digest, state="sent"))
        if attachment.tag is None:
            list_referrer(client, repository, attachment)
    return total


def _set_tags(
    place: Destination,
    manifest: Manifest,
    source: PushSource,
    work: Path,
    done: list[PushedTag],
    *,
    state: TagState,
) -> None:
    """Set the tags in order, and add each to ``done`` once it was read back."""
    client, repository = place.client, place.repository
    guard = make_output_folder(work / "push" / "tags" / sha256(place.place.encode()).hexdigest()[:16])
    with exclusive(guard):
        for tag, _ in place.named:
            # Read again: sending took a while.
            existing = client.manifest(repository, tag.name)
            if existing is not None:
                if existing.digest == manifest.digest or (
                    not tag.moving and place.is_image(existing, source)
                ):
                    done.append(_pushed(tag, existing.digest, "already there"))
                    continue
                check_unmoved(tag, place=place.place, there=existing.digest, wanted=manifest.digest)
            client.put_tag(repository, tag.name, manifest)
            if (seen := client.digest(repository, tag.name)) != manifest.digest:
                raise _mismatch(place, seen or "nothing", tag=tag.name)
            done.append(_pushed(tag, manifest.digest, state))


def _mismatch(place: Destination, seen: str, *, tag: str | None = None) -> RegistryError:
    name = f"{place.place}:{tag}" if tag else place.place
    return RegistryError(
        f"{name} was read back and is not what was pushed: {seen}",
        solution="Somebody else may push there at the same moment. Look at what it names now "
        "(`skopeo inspect`), and run the same command again.",
    )
