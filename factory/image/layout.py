"""An OCI image layout in a folder: its blobs, its index, and images in it with layers put between others.

The form is that of the OCI image-spec (image-layout.md, manifest.md, config.md); layers are not compressed,
so that a layer's digest is its diff_id too. skopeo and podman read it as ``oci:FOLDER:NAME``.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from factory.documents import Size, parse_json, require_shape
from factory.errors import ImageError
from factory.files import (
    is_own_ignore_file,
    is_temporary,
    make_output_folder,
    read_regular,
    storage_error,
    write_whole,
)
from factory.image.layer_tar import LayerBlob
from factory.registry.oci import Sha256

INDEX = "index.json"
_MARKER = "oci-layout"
_BLOBS = Path("blobs") / "sha256"
_NAME = "org.opencontainers.image.ref.name"
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


def prepare_layout(layout: Path) -> None:
    """Make a folder a layout, unless it is one.

    Raises:
        ImageError: it holds something else.
        StorageError: the file system refused.
    """
    try:
        make_output_folder(layout)
        if not (layout / INDEX).exists() and any(map(_is_of_others, layout.iterdir())):
            raise ImageError(
                f"{layout} holds something else than an OCI image layout",
                solution="Name a folder that is empty or not there yet.",
            )
        blobs_folder(layout).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(layout, error) from error
    if not (layout / INDEX).exists():
        write_whole(layout / _MARKER, json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        write_whole(layout / INDEX, json.dumps({"schemaVersion": 2, "manifests": []}).encode())


def _is_of_others(path: Path) -> bool:
    return not is_temporary(path) and not is_own_ignore_file(path)


def insert_layers(
    layout: Path, name: str, source: Path, inserted: Sequence[Inserted], *, after: int, created: str
) -> LaidOut:
    """Give a layout the image ``name``: that of ``source``, with layers put above its first ``after`` ones.

    The index changes in one step; the blobs of what had the name before stay until `remove_unused`.

    Args:
        layout: the folder.
        name: the image's name in it.
        source: another layout that has one image, whose blobs lie in this one.
        inserted: the layers, the lowest first; their blobs are in the layout already.
        after: how many layers of the image stay below them.
        created: the time of their history entries, RFC 3339.

    Raises:
        ImageError: ``source`` or the layout is none.
        StorageError: the file system refused.
    """
    (entry,) = read_index(source)["manifests"]
    manifest = _read(layout, entry["digest"], _Manifest)
    config = _read(layout, manifest["config"]["digest"], _Config)
    descriptors = [
        {"mediaType": _LAYER, "digest": one.blob.digest, "size": one.blob.size} for one in inserted
    ]
    manifest["layers"][after:after] = descriptors
    config["rootfs"]["diff_ids"][after:after] = [one.blob.digest for one in inserted]
    history = [{"created": created, "created_by": one.created_by} for one in inserted]
    config["history"] = config.get("history") or []
    at = _history_position(config["history"], after)
    config["history"][at:at] = history
    manifest["config"] |= _add(layout, config)
    entry |= _add(layout, manifest)
    entry["annotations"] = {_NAME: name}
    index = read_index(layout)
    others = [one for one in index["manifests"] if (one.get("annotations") or {}).get(_NAME) != name]
    index["manifests"] = [*others, entry]
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
    path = layout / INDEX
    try:
        content = read_regular(path)
    except FileNotFoundError as error:
        raise ImageError(f"{layout} is no OCI image layout: it has no {INDEX}", solution=_ANEW) from error
    except OSError as error:
        raise storage_error(path, error) from error
    return _document(content, _Index, source=str(path))


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
    pending = [entry["digest"] for entry in read_index(layout)["manifests"]]
    while pending:
        digest = pending.pop()
        used.add(digest)
        document = _read(layout, digest, _Parts)
        # What is no manifest is an index, and names manifests, or has something else's form.
        pending += [entry["digest"] for entry in document.get("manifests") or ()]
        parts = [document.get("config"), *(document.get("layers") or ())]
        used |= {part["digest"] for part in parts if part}
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


class _Named(TypedDict):
    digest: Sha256


class _Image(_Named):
    annotations: NotRequired[dict[str, str] | None]


class _Index(TypedDict):
    manifests: list[_Image]


class _Parts(TypedDict):
    """A manifest or an index, as far as it names others."""

    config: NotRequired[_Named | None]
    layers: NotRequired[list[_Named] | None]
    manifests: NotRequired[list[_Named] | None]


class _Layer(_Named):
    size: Size


class _Manifest(TypedDict):
    config: _Named
    layers: list[_Layer]


class _RootFs(TypedDict):
    diff_ids: list[str]


class _Config(TypedDict):
    rootfs: _RootFs
    history: NotRequired[list[dict[str, Any]] | None]


def _read(layout: Path, digest: str, shape: type[object]) -> dict[str, Any]:
    path = blobs_folder(layout) / digest.removeprefix("sha256:")
    try:
        content = read_regular(path)
    except FileNotFoundError as error:
        raise ImageError(f"{layout} lacks the blob {digest}", solution=_ANEW) from error
    except OSError as error:
        raise storage_error(path, error) from error
    return _document(content, shape, source=f"the blob {digest} of {layout}")


def _document(content: bytes, shape: type[object], *, source: str) -> dict[str, Any]:
    """Return a document whole, to be written again, if it has a shape."""
    document = parse_json(content, dict[str, Any], source=source, error=ImageError, solution=_ANEW)
    require_shape(document, shape, source=source, error=ImageError, solution=_ANEW)
    return document


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
