"""Read and change an OCI image layout in a folder.

The form is that of the OCI image-spec (image-layout.md, manifest.md, config.md). A layout may come from
anybody: it is read through directory descriptors, no link in it is followed, and a document counts only if
it has the digest and the size of its descriptor. skopeo and podman read it as ``oci:FOLDER:NAME``.

The layers that the factory itself inserts are not compressed, so that a layer's digest is its diff_id too.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, NotRequired, TypedDict

from factory.build.layer_tar import LayerBlob
from factory.clock import timed
from factory.documents import Size, parse_json, require_shape
from factory.errors import ImageError
from factory.files import (
    is_own_ignore_file,
    is_temporary,
    make_output_folder,
    read_regular,
    write_whole,
)
from factory.registry.oci import Sha256
from factory.tree import Tree

INDEX = "index.json"
REFERENCE_NAME = "org.opencontainers.image.ref.name"
_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_MARKER = "oci-layout"
_RECORD = "layout"
_BLOBS = "blobs/sha256"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# A manifest or a configuration; registries refuse manifests above 4 MB.
_MOST_BYTES = 16_000_000
_BUFFER_BYTES = 1 << 20
_SOLUTION = "Write it again: `factory build --layout`, or `skopeo copy … oci:FOLDER`."


class LayoutDescriptor(TypedDict):
    """The name of a blob in a layout (OCI image-spec, descriptor.md); it may have more members."""

    digest: Sha256
    size: Size
    mediaType: NotRequired[str]
    annotations: NotRequired[dict[str, str] | None]


class Named(TypedDict):
    """The digests that a manifest or an index names."""

    config: NotRequired[LayoutDescriptor | None]
    layers: NotRequired[list[LayoutDescriptor] | None]
    manifests: NotRequired[list[LayoutDescriptor] | None]


class _Manifest(TypedDict):
    config: LayoutDescriptor
    layers: list[LayoutDescriptor]
    annotations: NotRequired[dict[str, str] | None]


class _RootFs(TypedDict):
    diff_ids: list[str]


class _Config(TypedDict):
    rootfs: _RootFs
    history: NotRequired[list[dict[str, Any]] | None]


@dataclass(frozen=True, kw_only=True)
class InsertedLayer:
    """A layer that is inserted into an image: its blob, and the command in its history."""

    blob: LayerBlob
    created_by: str


@dataclass(frozen=True, kw_only=True)
class OciImage:
    """An image in a layout: the digests of its manifest and of its config, and its layers."""

    digest: str
    config: str
    layers: tuple[LayerBlob, ...]


class OciLayout:
    """An open layout. ``tree`` is its folder, ``blobs`` that of its blobs, by the hex of their SHA-256."""

    def __init__(self, tree: Tree, blobs: Tree) -> None:
        self.tree = tree
        self.blobs = blobs

    @staticmethod
    @contextmanager
    def opened(folder: Path) -> "Iterator[OciLayout]":
        """Open a layout.

        Raises:
            ImageError: the folder is not a layout.
            StorageError: it, or its folder of blobs, is missing, or is a link in it.
        """
        with Tree.opened(folder, root_may_be_link=True) as tree:
            if tree.status(INDEX) is None:
                raise ImageError(
                    f"{folder} is no OCI image layout: it has no {INDEX}",
                    solution="Remove the folder, or name another, and build again.",
                )
            if tree.status(_BLOBS) is None:
                raise _damaged(folder, f"it has no {_BLOBS}")
            with tree.below(_BLOBS) as blobs:
                yield OciLayout(tree, blobs)

    @staticmethod
    @contextmanager
    def prepared(folder: Path) -> "Iterator[OciLayout]":
        """Make a folder a layout, unless it is one, and open it.

        Raises:
            ImageError: it holds something else.
            StorageError: the file system refused, or a link is in the way.
        """
        make_output_folder(folder)
        with Tree.opened(folder, root_may_be_link=True) as tree:
            if tree.status(INDEX) is None:
                _require_empty(tree)
                tree.make_folder(_BLOBS)
                tree.write(_MARKER, json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
                tree.write(INDEX, json.dumps({"schemaVersion": 2, "manifests": []}).encode())
            tree.make_folder(_BLOBS)
        with OciLayout.opened(folder) as layout:
            yield layout

    @property
    def folder(self) -> Path:
        """The folder of the layout."""
        return self.tree.root

    def index(self) -> dict[str, Any]:
        """Return the index; its ``manifests`` are descriptors.

        Raises:
            ImageError: it is not one.
        """
        return read_index(self.tree)

    def read(self, descriptor: LayoutDescriptor) -> bytes:
        """Return a manifest, an index or a configuration, checked against its descriptor.

        Raises:
            ImageError: it is missing, or has another size or digest.
            StorageError: it is a link, or not a file.
        """
        content = self.blobs.read(self._there(descriptor["digest"]), limit=_MOST_BYTES)
        self._require(descriptor, hashlib.sha256(content).hexdigest(), len(content))
        return content

    @timed("hash")
    def verify(self, descriptor: LayoutDescriptor) -> None:
        """Check that a blob of any size matches its descriptor.

        Raises:
            ImageError, StorageError: as for `read`.
        """
        digest, size = hashlib.sha256(), 0
        with self.open_blob(descriptor["digest"]) as file:
            while data := file.read(_BUFFER_BYTES):
                digest.update(data)
                size += len(data)
        self._require(descriptor, digest.hexdigest(), size)

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a blob to read.

        Raises:
            ImageError: it is missing.
            StorageError: it is a link, or not a file.
        """
        return self.blobs.open(self._there(digest))

    def has_blob(self, blob: LayerBlob) -> bool:
        """Return whether a blob exists as a file of its expected size."""
        if _DIGEST.fullmatch(blob.digest) is None:
            return False
        status = self.blobs.status(blob.digest.removeprefix("sha256:"))
        return status is not None and S_ISREG(status.st_mode) and status.st_size == blob.size

    def insert(
        self,
        name: str,
        source: Path,
        inserted: Sequence[InsertedLayer],
        *,
        after: int,
        created: str,
        local: str,
    ) -> OciImage:
        """Add the image ``name``: ``source``'s, with layers inserted above its first ``after`` ones.

        The index changes in one step; the blobs of an earlier image of that name stay until `remove_unused`.

        Args:
            name: the image's name in the layout.
            source: another layout that has one image, whose blobs lie in this one.
            inserted: the layers, the lowest first; their blobs are in the layout already.
            after: how many layers of the image stay below them.
            created: the time of their history entries, RFC 3339.
            local: the repository of images that only this machine has. Their names are left out: an image
                would otherwise have another digest on each machine.

        Raises:
            ImageError: ``source`` or the layout is not one.
            StorageError: the file system refused.
        """
        with Tree.opened(source) as tree:
            (entry,) = read_index(tree)["manifests"]
        manifest = self._document(entry, _Manifest)
        config = self._document(manifest["config"], _Config)
        descriptors = [
            {"mediaType": _LAYER, "digest": one.blob.digest, "size": one.blob.size} for one in inserted
        ]
        manifest["layers"][after:after] = descriptors
        self._require_whole(manifest["layers"])
        config["rootfs"]["diff_ids"][after:after] = [one.blob.digest for one in inserted]
        history = [{"created": created, "created_by": one.created_by} for one in inserted]
        config["history"] = config.get("history") or []
        at = _history_position(config["history"], after)
        config["history"][at:at] = history
        _forget_local(manifest, config, local)
        manifest["config"] |= self._add(config)
        entry |= self._add(manifest)
        entry["annotations"] = {REFERENCE_NAME: name}
        index = self.index()
        others = [one for one in index["manifests"] if name_of(one) != name]
        index["manifests"] = [*others, entry]
        self.tree.write(INDEX, json.dumps(index, indent=2).encode())
        return OciImage(
            digest=entry["digest"],
            config=manifest["config"]["digest"],
            layers=tuple(
                LayerBlob(digest=layer["digest"], size=layer["size"]) for layer in manifest["layers"]
            ),
        )

    def remove_unused(self, keep: Iterable[str] = ()) -> int:
        """Remove the blobs that no image of the index refers to; return the freed bytes.

        A file that is named neither like a blob nor like an unfinished one belongs to a person, and stays.

        Args:
            keep: digests that stay in any case.

        Raises:
            ImageError: a manifest is missing, or does not match its descriptor.
            StorageError: the file system refused.
        """
        used = set(keep)
        pending: list[LayoutDescriptor] = list(self.index()["manifests"])
        while pending:
            descriptor = pending.pop()
            used.add(descriptor["digest"])
            named = self.named(self.read(descriptor))
            # A document without layers is an index, or has another form.
            pending += named.get("manifests") or ()
            parts = [named.get("config"), *(named.get("layers") or ())]
            used |= {part["digest"] for part in parts if part}
        freed = 0
        for entry in self.blobs.entries():
            if f"sha256:{entry.path}" not in used and _UNUSED.fullmatch(entry.path):
                self.blobs.remove(entry.path)
                freed += entry.status.st_size
        return freed

    def named(self, content: bytes) -> Named:
        """Return the digests that a manifest or an index names.

        Raises:
            ImageError: it is not one.
        """
        return parse_json(
            content, Named, source=f"a manifest in {self.folder}", error=ImageError, solution=_SOLUTION
        )

    def _document(self, descriptor: LayoutDescriptor, shape: type[object]) -> dict[str, Any]:
        """Return all of a document, to be written again, if it has a shape."""
        return _whole(
            self.read(descriptor), shape, source=f"the blob {descriptor['digest']} of {self.folder}"
        )

    def _there(self, digest: str) -> str:
        """Return the name of a blob that is there."""
        if _DIGEST.fullmatch(digest) is None:
            raise _damaged(self.folder, f"{digest!r} is no SHA-256 digest")
        name = digest.removeprefix("sha256:")
        if self.blobs.status(name) is None:
            raise _damaged(self.folder, f"the blob {digest} is missing")
        return name

    def _require(self, descriptor: LayoutDescriptor, hexadecimal: str, size: int) -> None:
        said = descriptor["digest"]
        if f"sha256:{hexadecimal}" != said or size != descriptor["size"]:
            raise _damaged(
                self.folder,
                f"the blob {said} of {descriptor['size']} bytes has the digest sha256:{hexadecimal} and "
                f"{size} bytes",
            )

    def _require_whole(self, layers: Iterable[Mapping[str, Any]]) -> None:
        for layer in layers:
            if not self.has_blob(LayerBlob(digest=layer["digest"], size=layer["size"])):
                raise _damaged(self.folder, f"the layer {layer['digest']} is not there whole")

    def _add(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Write a document as a blob; return its digest and size for a descriptor."""
        content = json.dumps(document, separators=(",", ":")).encode()
        digest = hashlib.sha256(content).hexdigest()
        self.blobs.write(digest, content)
        return {"digest": f"sha256:{digest}", "size": len(content)}


# A blob, or one that a killed run did not finish: the factory's or skopeo's.
_UNUSED = re.compile(r"[0-9a-f]{64}|layer-[0-9a-f]+|\..*\.factory-tmp|oci-put-blob\d+")


def record_layout(notes: Path, layout: Path, name: str) -> None:
    """Record in an image's notes its layout, and its name there.

    Raises:
        StorageError: the file system refused.
    """
    write_whole(notes / _RECORD, f"{layout}:{name}".encode())


def find_layout(folders: Path, image: str) -> str | None:
    """Return ``FOLDER:NAME`` of an image's latest layout; None if it does not exist.

    ``folders`` is the folder with each image's notes.
    """
    try:
        found = read_regular(layout_notes(folders, image) / _RECORD).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return found if Path(found.rpartition(":")[0], INDEX).is_file() else None


def layout_notes(folders: Path, image: str) -> Path:
    """Return the folder with the notes of an image's layouts, one folder for each layout."""
    return folders / f"{image}@layout"


def read_index(tree: Tree) -> dict[str, Any]:
    """Return the index of a layout; its ``manifests`` are descriptors.

    Raises:
        ImageError: it is not one.
        StorageError: it is missing, or a link.
    """
    try:
        index = _whole(tree.read(INDEX, limit=_MOST_BYTES), Named, source=INDEX)
    except ImageError as error:
        raise _damaged(tree.root, error.reason) from error
    index["manifests"] = index.get("manifests") or []
    return index


def _whole(content: bytes, shape: type[object], *, source: str) -> dict[str, Any]:
    document = parse_json(content, dict[str, Any], source=source, error=ImageError, solution=_SOLUTION)
    require_shape(document, shape, source=source, error=ImageError, solution=_SOLUTION)
    return document


def name_of(descriptor: LayoutDescriptor) -> str | None:
    """Return an image's name in its layout; None if it has none."""
    return (descriptor.get("annotations") or {}).get(REFERENCE_NAME)


def _require_empty(tree: Tree) -> None:
    """Refuse a folder that has anything else in it."""
    names = [tree.root / entry.path for entry in tree.entries()]
    # A killed run may have made some of it.
    own = {tree.root / _MARKER, tree.root / "blobs"}
    if any(path not in own and not is_temporary(path) and not is_own_ignore_file(path) for path in names):
        raise ImageError(
            f"{tree.root} holds something else than an OCI image layout",
            solution="Name a folder that is empty or not there yet.",
        )


def _damaged(folder: Path, why: str) -> ImageError:
    return ImageError(f"{folder} is no OCI layout that can be read: {why}", solution=_SOLUTION)


def _history_position(history: Sequence[Mapping[str, Any]], layers: int) -> int:
    """Return the position in a history of the entry above the first ``layers`` layers."""
    seen = 0
    for position, entry in enumerate(history):
        if seen == layers:
            return position
        seen += not entry.get("empty_layer", False)
    return len(history)


def _forget_local(manifest: dict[str, Any], config: dict[str, Any], local: str) -> None:
    """Remove the names of a repository's images, which builders note as base images."""
    annotations = manifest.get("annotations") or {}
    if annotations.get(_BASE_NAME, "").startswith(f"{local}/"):
        manifest["annotations"] = {
            name: value for name, value in annotations.items() if name not in {_BASE_NAME, _BASE_DIGEST}
        }
    for entry in config["history"]:
        if entry.get("comment", "").startswith(f"FROM {local}/"):
            del entry["comment"]
