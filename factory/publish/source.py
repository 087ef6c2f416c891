"""What is pushed: an image of the engine or of an OCI layout, and the layout that it is sent from.

A layout has the image compressed once, so that its digest is known before anything is sent, and is the
same in every registry (OCI image-spec, image-layout.md).
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from factory.build.oci_layout import Descriptor, OciLayout, name_of
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
from factory.registry.answers import read_manifest
from factory.registry.client import OCI_MANIFEST, Manifest
from factory.registry.oci import ImageConfig, labels_of

LAYOUT_PREFIX = "oci:"
# podman's options for what skopeo does by itself, whatever this machine's settings say.
_GZIP = ("--compression-format", "gzip")
_STAGED_NAME = "image"
# Another run may be sending the same image, which takes what it takes.
_WAIT_SECONDS = 3600.0
_PLAIN_LAYERS = (".tar", ".rootfs.diff")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An image in an OCI layout, as it was read: its manifest or index there, and what the two name.

    ``manifests`` are those of images in it: the one, or those that its index names. ``labels`` are the
    first one's. `verify` says whether all else is what the manifests say.
    """

    folder: Path
    name: str | None
    manifest: Manifest
    manifests: tuple[Manifest, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def operand(self) -> Operand:
        """The image as skopeo takes it."""
        return Operand.in_layout(self.folder, self.name)

    @property
    def blobs(self) -> dict[str, int]:
        """The digests of all configurations and layers, with their sizes in bytes."""
        return {digest: size for one in self.manifests for digest, size in one.blobs.items()}

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a configuration or a layer to read.

        Raises:
            ImageError, StorageError: it is not there, a link, or no file.
        """
        with OciLayout.opened(self.folder) as layout:
            return layout.open_blob(digest)

    def verify(self) -> None:
        """Check that each configuration and layer has the digest and the size that its manifest says.

        Raises:
            ImageError, StorageError: one has not, is missing, a link, or no file.
        """
        blobs = [Descriptor(digest=digest, size=size) for digest, size in self.blobs.items()]
        with OciLayout.opened(self.folder) as layout:
            in_parallel(layout.verify, blobs, jobs=os.cpu_count() or 1)

    @property
    def is_compressed(self) -> bool:
        """Whether each layer is compressed, as registries want it."""
        layers = (layer for one in self.manifests for layer in one.document.get("layers") or ())
        return not any(str(layer.get("mediaType", "")).endswith(_PLAIN_LAYERS) for layer in layers)


@dataclass(frozen=True, kw_only=True)
class Source:
    """An image that can be pushed.

    ``engine`` is None for one of a layout, ``layout`` for one of an engine. ``config`` is the digest of its
    configuration, by which it is known again without being compressed; None where an engine writes it anew
    for a layout, or where there are several. ``size`` is that of its layers in bytes.
    """

    reference: str
    name: str
    size: int
    engine: Engine | None = None
    layout: Layout | None = None
    config: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A layout that can be sent from; ``own`` is its folder where it was made for that alone."""

    layout: Layout
    own: Path | None

    def discard(self) -> None:
        """Remove what was made for the sending."""
        if self.own is not None:
            shutil.rmtree(self.own, ignore_errors=True)


def find_source(reference: str, *, name: str | None = None, engine: str | None = None) -> Source:
    """An image by its name in the engine, or ``oci:FOLDER[:NAME]``.

    Args:
        reference: which image.
        name: what it is called there; by default as its label says or, without one, its reference.
        engine: podman or docker; by default as `find_engine` finds it.

    Raises:
        NotFoundError: there is no such image.
        ImageError: the folder is no layout, or has several images and none is named.
        EngineError: the engine is missing, or does not work.
    """
    if reference.startswith(LAYOUT_PREFIX):
        return _checked(_of_layout(reference, name))
    return _checked(_of_engine(reference, name, find_engine(engine)))


def _checked(source: Source) -> Source:
    """The source, where its name, which may be anybody's label, leads nowhere else in a registry."""
    if re.fullmatch(PATH_COMPONENT, source.name):
        return source
    raise ImageError(
        f"{source.name!r} is no name for an image in a registry",
        solution="Give one with --name: lower-case letters and digits, with . _ or - between them.",
    )


@contextmanager
def staged(source: Source, work: Path) -> Iterator[Staged]:
    """The layout that a source is sent from; a compressed one of its own where it has none.

    It is made under ``work/push``, once, and stays until it is discarded, so that a run after one that failed
    goes on from there.

    Raises:
        BusyError: another run sends the same image, and does not end.
        ImageError: a layout has something that is not what its manifest says.
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
            # Under a name there may be another image by now.
            shutil.rmtree(layout, ignore_errors=True)
        if not layout.exists():
            with staged_folder(layout) as temporary:
                run(_staging(source, temporary))
        staged_layout = read_layout(layout, _STAGED_NAME)
        if source.layout is not None and _configs(staged_layout) != _configs(source.layout):
            shutil.rmtree(layout, ignore_errors=True)
            raise ImageError(
                f"{source.reference} was changed while it was compressed",
                solution="Run the same command again, and nothing beside it that writes there.",
            )
        yield Staged(layout=staged_layout, own=layout)


def _configs(layout: Layout) -> list[str | None]:
    """Return the digests of the images' configurations, which name the layers uncompressed."""
    return [one.config_digest for one in layout.manifests]


def read_layout(folder: Path, name: str | None) -> Layout:
    """The image of a name in a layout, or its only one.

    Raises:
        NotFoundError: the folder is not there, or has no such image.
        ImageError: it is no layout, has several images and none is named, or a manifest or configuration is
            not what is said of it.
        StorageError: something in it is a link, or no file.
    """
    if not folder.is_dir():
        raise NotFoundError(
            f"{folder} is not there", solution="Give the folder of an OCI layout: oci:FOLDER."
        )
    with OciLayout.opened(folder) as layout:
        entry = _chosen(layout, name)
        manifest = _manifest(layout, entry)
        images = [manifest]
        if manifest.is_index:
            images = [_manifest(layout, one) for one in layout.named(manifest.content).get("manifests") or ()]
        config = layout.named(images[0].content).get("config") if images else None
        labels: dict[str, str] = {}
        if config is not None:
            source = f"the configuration {config['digest']} of {folder}"
            labels = labels_of(parse_json(layout.read(config), ImageConfig, source=source, error=ImageError))
    return Layout(folder=folder, name=name, manifest=manifest, manifests=tuple(images), labels=labels)


def _chosen(layout: OciLayout, name: str | None) -> Descriptor:
    entries: list[Descriptor] = layout.index()["manifests"]
    chosen = [entry for entry in entries if name_of(entry) == name] if name else entries
    if len(chosen) != 1:
        names = sorted(filter(None, map(name_of, entries)))
        raise ImageError(
            f"{layout.folder} has {len(chosen) or 'no'} images{f' of the name {name}' if name else ''}",
            solution=f"Name one of them as oci:{layout.folder}:NAME ({', '.join(names) or 'it names none'}).",
        )
    return chosen[0]


def _of_layout(reference: str, name: str | None) -> Source:
    path, colon, inner = reference.removeprefix(LAYOUT_PREFIX).rpartition(":")
    # A folder's name may have a colon of its own.
    folder, inner_name = (
        (Path(path), inner) if colon and not Path(path + colon + inner).is_dir() else (None, None)
    )
    layout = read_layout(folder or Path(reference.removeprefix(LAYOUT_PREFIX)), inner_name)
    return Source(
        reference=reference,
        name=name or layout.labels.get(IMAGE_LABEL) or layout.folder.absolute().name,
        size=sum(layout.blobs.values()),
        layout=layout,
        config=layout.manifest.config_digest,
        labels=layout.labels,
    )


def _of_engine(reference: str, name: str | None, engine: Engine) -> Source:
    found = find_image(engine, reference)
    if found is None:
        raise NotFoundError(
            f"{engine.kind} has no image {reference}",
            solution=f"Build it first (`factory build`); `{engine.kind} image ls` shows what there is.",
        )
    # docker's images are written anew for a layout, with another configuration.
    config = f"sha256:{found.id}" if engine.kind == "podman" else None
    return Source(
        reference=reference,
        name=name or found.labels.get(IMAGE_LABEL) or _last_component(reference),
        size=found.size,
        engine=engine,
        config=config,
        labels=found.labels,
    )


def _last_component(reference: str) -> str:
    found = find_reference(reference)
    return "" if found is None else found.name


def _staging(source: Source, folder: Path) -> tuple[Word, ...]:
    """The command that writes a source into a layout, compressed in the one way that is always the same."""
    target = Operand.in_layout(folder, _STAGED_NAME)
    if source.engine is not None and source.engine.kind == "podman":
        operands = [Operand.image(source.reference), target]
        return engine_words(source.engine, "push", *_GZIP, operands=operands)
    origin = source.layout.operand if source.layout else Operand.in_storage("docker-daemon", source.reference)
    return skopeo_words("copy", "--all", "--quiet", operands=[origin, target])


def _manifest(layout: OciLayout, descriptor: Descriptor) -> Manifest:
    content = layout.read(descriptor)
    try:
        read_manifest(content, name=f"{layout.folder}: {descriptor['digest']}")
    except RegistryError as error:
        raise ImageError(
            f"{layout.folder} is no OCI layout that can be read: {error.reason}",
            solution="Write it again: `factory build --layout`, or `skopeo copy … oci:FOLDER`.",
        ) from error
    return Manifest(media_type=descriptor.get("mediaType", OCI_MANIFEST), content=content)
