"""The source of a push, an image of the engine or a layout, and the layout to send.

In a layout the image is compressed once, so that its digest is known before anything is sent and is the same
in every registry (OCI image-spec, image-layout.md).
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from factory.build.oci_layout import LayoutDescriptor, OciLayout, name_of
from factory.clock import timed
from factory.console import plural
from factory.dockerfile.references import PATH_COMPONENT, find_reference
from factory.documents import parse_json
from factory.engine.engine import (
    Engine,
    Operand,
    Word,
    engine_words,
    find_engine,
    skopeo_words,
)
from factory.engine.images import IMAGE_LABEL, find_image
from factory.errors import ImageError, NotFoundError, RegistryError
from factory.files import exclusive, make_output_folder, staged_folder
from factory.http.parallel import in_parallel
from factory.process import run
from factory.publish.remote import RemoteImage
from factory.registry.oci import OCI_MANIFEST, ImageConfig, Manifest, labels_of, read_manifest

LAYOUT_PREFIX = "oci:"
# skopeo's default; podman's depends on the machine's settings.
_GZIP = ("--compression-format", "gzip")
_STAGED_NAME = "image"
# Another run may be sending the same image, which can take long.
_WAIT_SECONDS = 3600.0
_PLAIN_LAYERS = (".tar", ".rootfs.diff")


@dataclass(frozen=True, kw_only=True)
class ImageContents:
    """What an image is, however compressed: its uncompressed layers, and how it starts, with its labels."""

    layers: tuple[str, ...]
    start: Mapping[str, object]

    @classmethod
    def of(cls, layers: Iterable[str], start: Mapping[str, object]) -> Self:
        """Return them; engines write what is not set in several ways."""
        return cls(layers=tuple(layers), start={name: value for name, value in start.items() if value})


@dataclass(frozen=True, kw_only=True)
class SourceLayout:
    """An image in an OCI layout: its manifest or index, and the manifests of its images.

    ``labels`` and ``contents`` are those of the first image. `verify` checks the blobs, which are not read
    before.
    """

    folder: Path
    name: str | None
    manifest: Manifest
    manifests: tuple[Manifest, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    contents: ImageContents | None = None

    @property
    def operand(self) -> Operand:
        """The image as an operand of skopeo."""
        return Operand.in_layout(self.folder, self.name)

    @property
    def blobs(self) -> dict[str, int]:
        """The digests of all configurations and layers, with their sizes in bytes."""
        return {digest: size for one in self.manifests for digest, size in one.blobs.items()}

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a configuration or a layer to read.

        Raises:
            ImageError, StorageError: it is missing, a link, or not a file.
        """
        with OciLayout.opened(self.folder) as layout:
            return layout.open_blob(digest)

    def verify(self) -> None:
        """Check that each configuration and layer has the digest and the size in its manifest.

        Raises:
            ImageError, StorageError: one differs, is missing, a link, or not a file.
        """
        blobs = [LayoutDescriptor(digest=digest, size=size) for digest, size in self.blobs.items()]
        with OciLayout.opened(self.folder) as layout:
            in_parallel(layout.verify, blobs, jobs=os.cpu_count() or 1)

    @property
    def is_compressed(self) -> bool:
        """Return whether every layer is compressed, as registries expect."""
        layers = (layer for one in self.manifests for layer in one.document.get("layers") or ())
        return not any(str(layer.get("mediaType", "")).endswith(_PLAIN_LAYERS) for layer in layers)


class Content(Protocol):
    """A whole image to send: its manifest or index, its images' manifests, and their blobs."""

    @property
    def manifest(self) -> Manifest:
        """Its manifest or index."""

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The manifests of its images, those that others name first."""

    @property
    def blobs(self) -> dict[str, int]:
        """The digests of all configurations and layers, with their sizes in bytes."""

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a configuration or a layer to read it from its beginning."""


@dataclass(frozen=True, kw_only=True)
class PushSource:
    """An image that can be pushed.

    engine: Set for an image of the engine, ``layout`` for one of a layout, ``remote`` for one of a registry.
    config: The digest of its configuration, by which it is recognized without being compressed; None if the
        engine writes another one into a layout, or if there are several.
    contents: What it is, by which it is recognized as well; None if that is not known.
    size: Bytes of its layers.
    """

    reference: str
    name: str
    size: int
    engine: Engine | None = None
    layout: SourceLayout | None = None
    remote: RemoteImage | None = None
    config: str | None = None
    contents: ImageContents | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> Content | None:
        """Return what can be sent as it is; None if it has to be compressed first."""
        if self.remote is not None:
            return self.remote
        return self.layout if self.layout is not None and self.layout.is_compressed else None


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A layout to send from; ``own`` is its folder if it was made for this push."""

    layout: SourceLayout
    own: Path | None

    def discard(self) -> None:
        """Remove the layout if it was made for this push."""
        if self.own is not None:
            shutil.rmtree(self.own, ignore_errors=True)


def find_source(reference: str, *, name: str | None = None, engine: str | None = None) -> PushSource:
    """Find an image by its name in the engine, or ``oci:FOLDER[:NAME]``.

    Args:
        reference: The image.
        name: Its name at the destination; by default the one in its label or else in its reference.
        engine: podman or docker; by default as `find_engine` finds it.

    Raises:
        NotFoundError: the image does not exist.
        ImageError: the folder is not a layout, or has several images and none is named.
        EngineError: the engine is not installed or does not work.
    """
    if reference.startswith(LAYOUT_PREFIX):
        return _checked(_of_layout(reference, name))
    return _checked(_of_engine(reference, name, find_engine(engine)))


def _checked(source: PushSource) -> PushSource:
    """Refuse a name that leads elsewhere in a registry: it may come from anybody's label."""
    if re.fullmatch(PATH_COMPONENT, source.name):
        return source
    raise ImageError(
        f"{source.name!r} cannot be the name of an image in a registry",
        solution="Give one with --name: lower-case letters and digits, with . _ or - between them.",
    )


@contextmanager
def staged(source: PushSource, work: Path) -> Iterator[Staged]:
    """Yield the layout to send: the source's own if compressed, else one made for the push.

    That one is made under ``work/push`` and stays until it is discarded, so that the run after a failed one
    uses it.

    Raises:
        BusyError: another run sends the same image, and does not end.
        ImageError: a layout does not match its manifest.
        ProgramError: the engine, or skopeo, failed.
        StorageError: the file system refused.
    """
    if source.layout is not None:
        source.layout.verify()
        if source.layout.is_compressed:
            yield Staged(layout=source.layout, own=None)
            return
    known = source.config or (source.layout.manifest.digest if source.layout else source.reference)
    folder = work / "push" / known.removeprefix("sha256:").replace("/", "_")
    layout = folder / "layout"
    with exclusive(make_output_folder(folder), wait_seconds=_WAIT_SECONDS):
        if source.config is None and source.layout is None:
            # The name may belong to another image by now.
            shutil.rmtree(layout, ignore_errors=True)
        if not layout.exists():
            with staged_folder(layout) as temporary, timed("compress"):
                run(_staging(source, temporary))
        staged_layout = read_layout(layout, _STAGED_NAME)
        if source.layout is not None and _configs(staged_layout) != _configs(source.layout):
            shutil.rmtree(layout, ignore_errors=True)
            raise ImageError(
                f"{source.reference} was changed while it was compressed",
                solution="Run the same command again, and nothing beside it that writes there.",
            )
        yield Staged(layout=staged_layout, own=layout)


def _configs(layout: SourceLayout) -> list[str | None]:
    """Return the digests of the images' configurations, which name the uncompressed layers."""
    return [one.config_digest for one in layout.manifests]


def read_layout(folder: Path, name: str | None) -> SourceLayout:
    """Read the named image of a layout, or its only one.

    Raises:
        NotFoundError: the folder does not exist.
        ImageError: it is not a layout, has not exactly one such image, or a manifest or configuration does
            not match its digest.
        StorageError: something in it is a link, or not a file.
    """
    if not folder.is_dir():
        raise NotFoundError(
            f"{folder} does not exist", solution="Give the folder of an OCI layout: oci:FOLDER."
        )
    with OciLayout.opened(folder) as layout:
        entry = _chosen(layout, name)
        manifest = _manifest(layout, entry)
        images = [manifest]
        if manifest.is_index:
            images = [_manifest(layout, one) for one in layout.named(manifest.content).get("manifests") or ()]
        named = layout.named(images[0].content).get("config") if images else None
        config = ImageConfig()
        if named is not None:
            source = f"the configuration {named['digest']} of {folder}"
            config = parse_json(layout.read(named), ImageConfig, source=source, error=ImageError)
    return SourceLayout(
        folder=folder,
        name=name,
        manifest=manifest,
        manifests=tuple(images),
        labels=labels_of(config),
        contents=None if manifest.is_index else image_contents(config),
    )


def image_contents(config: ImageConfig) -> ImageContents:
    """Return what an image is, by its configuration."""
    return ImageContents.of((config.get("rootfs") or {}).get("diff_ids") or (), config.get("config") or {})


def _chosen(layout: OciLayout, name: str | None) -> LayoutDescriptor:
    entries: list[LayoutDescriptor] = layout.index()["manifests"]
    chosen = [entry for entry in entries if name_of(entry) == name] if name else entries
    if len(chosen) != 1:
        names = sorted(filter(None, map(name_of, entries)))
        raise ImageError(
            f"{layout.folder} has {plural(len(chosen), 'image') if chosen else 'no image'}"
            f"{f' of the name {name}' if name else ''}",
            solution=f"Name one of them as oci:{layout.folder}:NAME ({', '.join(names) or 'it names none'}).",
        )
    return chosen[0]


def _of_layout(reference: str, name: str | None) -> PushSource:
    path, colon, inner = reference.removeprefix(LAYOUT_PREFIX).rpartition(":")
    # A folder's name may have a colon of its own.
    folder, inner_name = (
        (Path(path), inner) if colon and not Path(path + colon + inner).is_dir() else (None, None)
    )
    layout = read_layout(folder or Path(reference.removeprefix(LAYOUT_PREFIX)), inner_name)
    return PushSource(
        reference=reference,
        name=name or layout.labels.get(IMAGE_LABEL) or layout.folder.absolute().name,
        size=sum(layout.blobs.values()),
        layout=layout,
        config=layout.manifest.config_digest,
        labels=layout.labels,
        contents=layout.contents,
    )


def of_remote(reference: str, image: RemoteImage, name: str | None) -> PushSource:
    """Return an image of a registry as a source.

    Raises:
        ImageError: it cannot have that name in a registry.
    """
    return _checked(
        PushSource(
            reference=reference,
            name=name or image.name,
            size=sum(image.blobs.values()),
            remote=image,
            config=image.manifest.config_digest,
            labels=image.labels,
        )
    )


def _of_engine(reference: str, name: str | None, engine: Engine) -> PushSource:
    found = find_image(engine, reference)
    if found is None:
        raise NotFoundError(
            f"{engine.kind} has no image {reference}",
            solution=f"Build it first (`factory build`); `{engine.kind} image ls` shows what there is.",
        )
    # docker writes another configuration into a layout.
    config = f"sha256:{found.id}" if engine.kind == "podman" else None
    return PushSource(
        reference=reference,
        name=name or found.labels.get(IMAGE_LABEL) or _last_component(reference),
        size=found.size,
        engine=engine,
        config=config,
        contents=ImageContents.of(found.layers, found.config),
        labels=found.labels,
    )


def _last_component(reference: str) -> str:
    found = find_reference(reference)
    return "" if found is None else found.name


def _staging(source: PushSource, folder: Path) -> tuple[Word, ...]:
    """Return the command that writes a source into a layout, compressed the same way every time."""
    target = Operand.in_layout(folder, _STAGED_NAME)
    if source.engine is not None and source.engine.kind == "podman":
        operands = [Operand.image(source.reference), target]
        return engine_words(source.engine, "push", *_GZIP, operands=operands)
    origin = source.layout.operand if source.layout else Operand.in_storage("docker-daemon", source.reference)
    return skopeo_words("copy", "--all", "--quiet", operands=[origin, target])


def _manifest(layout: OciLayout, descriptor: LayoutDescriptor) -> Manifest:
    content = layout.read(descriptor)
    try:
        read_manifest(content, name=f"{layout.folder}: {descriptor['digest']}")
    except RegistryError as error:
        raise ImageError(
            f"{layout.folder} is not a readable OCI layout: {error.reason}",
            solution="Write it again: `factory build --layout`, or `skopeo copy … oci:FOLDER`.",
        ) from error
    return Manifest(media_type=descriptor.get("mediaType", OCI_MANIFEST), content=content)
