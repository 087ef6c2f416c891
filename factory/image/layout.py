"""An OCI image layout in a folder: its blobs, its index, and images in it with layers put between others.

The form is that of the OCI image-spec (image-layout.md, manifest.md, config.md); layers are not compressed,
so that a layer's digest is its diff_id too. skopeo and podman read it as ``oci:FOLDER:NAME``.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import ImageError
from factory.files import storage_error, write_whole
from factory.image.layer_tar import LayerBlob

INDEX = "index.json"
_BLOBS = Path("blobs") / "sha256"
_NAME = "org.opencontainers.image.ref.name"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """A layer that is put into an image: its blob, and what its history says made it."""

    blob: LayerBlob
    created_by: str


@dataclass(frozen=True, kw_only=True)
class LaidOut:
    """An image in a layout: the digests of its manifest and of its config, and its layers."""

    digest: str
    config: str
    layers: tuple[LayerBlob, ...]


def blobs_folder(layout: Path) -> Path:
    """Where the blobs of a layout lie, by the hex of their SHA-256."""
    return layout / _BLOBS


def insert_layers(
    layout: Path, name: str, inserted: Sequence[Inserted], *, after: int, created: str
) -> LaidOut:
    """Put layers into the image ``name`` of a layout, above its first ``after`` layers.

    The new manifest takes the old one's place in the index in one step; the old blobs stay until
    `remove_unused`.

    Args:
        layout: the folder.
        name: the image's name in it.
        inserted: the layers, the lowest first; their blobs are in the layout already.
        after: how many layers of the image stay below them.
        created: the time of their history entries, RFC 3339.

    Raises:
        ImageError: the layout has no such image, or is none.
        StorageError: the file system refused.
    """
    index = read_index(layout)
    entry = _entry(index, name, layout)
    manifest = _read(layout, entry["digest"])
    config = _read(layout, manifest["config"]["digest"])
    descriptors = [
        {"mediaType": _LAYER, "digest": one.blob.digest, "size": one.blob.size} for one in inserted
    ]
    manifest["layers"][after:after] = descriptors
    config["rootfs"]["diff_ids"][after:after] = [one.blob.digest for one in inserted]
    history = [{"created": created, "created_by": one.created_by} for one in inserted]
    at = _history_position(config.get("history", []), after)
    config.setdefault("history", [])[at:at] = history
    manifest["config"] |= _add(layout, config)
    entry |= _add(layout, manifest)
    write_whole(layout / INDEX, json.dumps(index, indent=2).encode())
    return LaidOut(
        digest=entry["digest"],
        config=manifest["config"]["digest"],
        layers=tuple(LayerBlob(digest=layer["digest"], size=layer["size"]) for layer in manifest["layers"]),
    )


def read_index(layout: Path) -> dict[str, Any]:
    """The index of a layout.

    Raises:
        ImageError: it is no layout.
    """
    try:
        index: dict[str, Any] = json.loads((layout / INDEX).read_bytes())
    except FileNotFoundError as error:
        raise ImageError(f"{layout} is no OCI image layout: it has no {INDEX}", solution=_ANEW) from error
    except ValueError as error:
        raise ImageError(f"{layout / INDEX} is not JSON: {error}", solution=_ANEW) from error
    return index


def has_blob(layout: Path, blob: LayerBlob) -> bool:
    """Whether a blob is there with the size that it should have."""
    path = blobs_folder(layout) / blob.digest.removeprefix("sha256:")
    return path.is_file() and path.stat().st_size == blob.size


def remove_unused(layout: Path, keep: Iterable[str] = ()) -> int:
    """Remove the blobs that no image of the index refers to; return the bytes that this freed.

    Args:
        layout: the folder.
        keep: digests that stay all the same.

    Raises:
        ImageError: it is no layout, or a manifest is missing.
        StorageError: the file system refused.
    """
    used = set(keep)
    for entry in read_index(layout)["manifests"]:
        manifest = _read(layout, entry["digest"])
        used |= {entry["digest"], manifest["config"]["digest"]}
        used |= {layer["digest"] for layer in manifest["layers"]}
    freed = 0
    for path in blobs_folder(layout).iterdir():
        if f"sha256:{path.name}" not in used:
            try:
                freed += path.stat().st_size
                path.unlink()
            except OSError as error:
                raise storage_error(path, error) from error
    return freed


_ANEW = "Remove the folder, or name another, and build again."


def _entry(index: Mapping[str, Any], name: str, layout: Path) -> dict[str, Any]:
    for entry in index.get("manifests", []):
        if entry.get("annotations", {}).get(_NAME) == name and entry.get("mediaType") == _MANIFEST:
            found: dict[str, Any] = entry
            return found
    raise ImageError(f"{layout} holds no image {name}", solution=_ANEW)


def _read(layout: Path, digest: str) -> dict[str, Any]:
    path = blobs_folder(layout) / digest.removeprefix("sha256:")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{layout} lacks the blob {digest}", solution=_ANEW) from error
    found: dict[str, Any] = json.loads(content)
    return found


def _add(layout: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Write a document as a blob; give the part of its descriptor that says which."""
    content = json.dumps(document, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    write_whole(blobs_folder(layout) / digest, content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _history_position(history: Sequence[Mapping[str, Any]], layers: int) -> int:
    """Where in a history the entry of the layer above the first ``layers`` would stand."""
    seen = 0
    for position, entry in enumerate(history):
        if seen == layers:
            return position
        seen += not entry.get("empty_layer", False)
    return len(history)
