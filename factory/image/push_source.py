"""What is pushed: an image of the engine or of an OCI layout, and the layout that it is sent from.

A layout has the image compressed once, so that its digest is known before anything is sent, and is the
same in every registry (OCI image-spec, image-layout.md).
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NotRequired, TypedDict

from factory.documents import T, read_json
from factory.errors import DocumentError, ImageError, NotFoundError, RegistryError
from factory.files import exclusive, make_output_folder, open_regular, read_regular, staged_folder
from factory.flavor.references import PATH_COMPONENT, find_reference
from factory.image.engine import (
    Engine,
    Operand,
    Word,
    call_engine,
    engine_words,
    find_engine,
    parse_inspected,
    skopeo_words,
)
from factory.image.labels import IMAGE_LABEL
from factory.process import run
from factory.registry.answers import read_manifest
from factory.registry.client import INDEXES, OCI_MANIFEST, Manifest
from factory.registry.oci import Descriptor, ImageConfig, labels_of

LAYOUT_PREFIX = "oci:"
# podman's options for what skopeo does by itself, whatever this machine's settings say.
_GZIP = ("--compression-format", "gzip")
_REFERENCE_NAME = "org.opencontainers.image.ref.name"
_STAGED_NAME = "image"
# Another run may be sending the same image, which takes what it takes.
_WAIT_SECONDS = 3600.0
_PLAIN_LAYERS = (".tar", ".rootfs.diff")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An image in an OCI layout: the folder, and the digest of its manifest or index there."""

    folder: Path
    name: str | None
    manifest: Manifest

    @property
    def operand(self) -> Operand:
        """The image as skopeo takes it."""
        return Operand.in_layout(self.folder, self.name)

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """The manifests of images in it: the one, or those that its index names."""
        if not self.manifest.is_index:
            return (self.manifest,)
        return tuple(
            _manifest(self.folder, item["digest"], item.get("mediaType", OCI_MANIFEST))
            for item in self.manifest.document.get("manifests") or ()
        )

    @property
    def blobs(self) -> dict[str, int]:
        """The digests of all configurations and layers, with their sizes in bytes."""
        return {digest: size for one in self.manifests for digest, size in one.blobs.items()}

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a configuration or a layer to read.

        Raises:
            ImageError: it is not there, or no file.
        """
        try:
            return open_regular(_blob(self.folder, digest))
        except OSError as error:
            raise _damaged(self.folder) from error

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
        ProgramError: the engine, or skopeo, failed.
        StorageError: the file system refused.
    """
    if source.layout is not None and source.layout.is_compressed:
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
        yield Staged(layout=read_layout(layout, _STAGED_NAME), own=layout)


def read_layout(folder: Path, name: str | None) -> Layout:
    """The image of a name in a layout, or its only one.

    Raises:
        NotFoundError: the folder is not there, or has no such image.
        ImageError: it is no layout, or has several images and none is named.
    """
    if not folder.is_dir():
        raise NotFoundError(
            f"{folder} is not there", solution="Give the folder of an OCI layout: oci:FOLDER."
        )
    entries = _json(folder, folder / "index.json", _Index).get("manifests") or []
    named = [item for item in entries if (item.get("annotations") or {}).get(_REFERENCE_NAME) == name]
    chosen = named if name else entries
    if len(chosen) != 1:
        names = sorted(
            filter(None, ((item.get("annotations") or {}).get(_REFERENCE_NAME) for item in entries))
        )
        raise ImageError(
            f"{folder} has {len(chosen) or 'no'} images{f' of the name {name}' if name else ''}",
            solution=f"Name one of them as oci:{folder}:NAME ({', '.join(names) or 'it names none'}).",
        )
    (entry,) = chosen
    media_type = entry.get("mediaType", OCI_MANIFEST)
    return Layout(folder=folder, name=name, manifest=_manifest(folder, entry["digest"], media_type))


class _Index(TypedDict):
    manifests: NotRequired[list[Descriptor] | None]


def _of_layout(reference: str, name: str | None) -> Source:
    path, colon, inner = reference.removeprefix(LAYOUT_PREFIX).rpartition(":")
    # A folder's name may have a colon of its own.
    folder, inner_name = (
        (Path(path), inner) if colon and not Path(path + colon + inner).is_dir() else (None, None)
    )
    layout = read_layout(folder or Path(reference.removeprefix(LAYOUT_PREFIX)), inner_name)
    first = next(iter(layout.manifests), None)
    config_digest = None if first is None else first.config_digest
    config: ImageConfig = {}
    if config_digest is not None:
        config = _json(layout.folder, _blob(layout.folder, config_digest), ImageConfig)
    labels = labels_of(config)
    return Source(
        reference=reference,
        name=name or labels.get(IMAGE_LABEL) or layout.folder.absolute().name,
        size=sum(layout.blobs.values()),
        layout=layout,
        config=None if layout.manifest.media_type in INDEXES else config_digest,
        labels=labels,
    )


def _of_engine(reference: str, name: str | None, engine: Engine) -> Source:
    found = call_engine(engine, "image inspect", operands=[Operand.image(reference)])
    if found.status != 0:
        raise NotFoundError(
            f"{engine.kind} has no image {reference}",
            solution=f"Build it first (`factory build`); `{engine.kind} image ls` shows what there is.",
        )
    document = parse_inspected(engine, found.stdout)[0]
    # docker's images are written anew for a layout, with another configuration.
    config = f"sha256:{document['Id'].removeprefix('sha256:')}" if engine.kind == "podman" else None
    labels = (document.get("Config") or {}).get("Labels") or {}
    return Source(
        reference=reference,
        name=name or labels.get(IMAGE_LABEL) or _last_component(reference),
        size=document.get("Size") or 0,
        engine=engine,
        config=config,
        labels=labels,
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


def _manifest(folder: Path, digest: str, media_type: str) -> Manifest:
    try:
        content = read_regular(_blob(folder, digest))
    except OSError as error:
        raise _damaged(folder) from error
    try:
        read_manifest(content, name=digest)
    except RegistryError as error:
        raise _damaged(folder) from error
    return Manifest(media_type=media_type, content=content)


def _blob(folder: Path, digest: str) -> Path:
    algorithm, _, hexadecimal = digest.partition(":")
    if not (algorithm.isalnum() and hexadecimal.isalnum()):
        raise _damaged(folder)
    return folder / "blobs" / algorithm / hexadecimal


def _json(folder: Path, path: Path, shape: type[T]) -> T:
    try:
        return read_json(path, shape)
    except (OSError, DocumentError) as error:
        raise _damaged(folder) from error


def _damaged(folder: Path) -> ImageError:
    return ImageError(
        f"{folder} is no OCI layout that can be read",
        solution="Write it again: `factory build --layout`, or `skopeo copy … oci:FOLDER`.",
    )
