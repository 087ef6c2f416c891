"""Compare two images layer by layer, down to the first file that differs."""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypedDict

from factory.documents import read_json
from factory.engine.engine import Engine, Operand, call_engine
from factory.engine.images import EngineImage
from factory.errors import EngineError
from factory.files import open_regular, scratch_folder
from factory.registry.oci import Descriptor, ManifestDocument

Kind = Literal["only in one", "type", "content", "mode", "owner", "time", "link", "attributes", "order"]
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One path of a layer. ``mtime`` is in seconds; ``content`` is a SHA-256, empty if it is no file."""

    type: bytes
    content: str
    mode: int
    owner: tuple[int, int]
    mtime: float
    link: str
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class FileDifference:
    """The first path that differs, absolute, how it differs, and what it is in the two layers."""

    path: str
    kind: Kind
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class LayerDifference:
    """The lowest layer that differs: its number from the bottom, from 0, and the first file in it.

    ``layer`` is None if all layers are the same and the images' settings (OCI image config) are not.
    """

    layer: int | None
    file: FileDifference | None


def compare_images(engine: Engine, one: EngineImage, other: EngineImage) -> LayerDifference | None:
    """Return where two images of the engine differ, from the bottom up; None if they are the same.

    Raises:
        EngineError: the engine cannot export them.
    """
    if one.id == other.id:
        return None
    pairs = enumerate(zip(one.layers, other.layers, strict=False))
    layer = next((place for place, (left, right) in pairs if left != right), None)
    if layer is None:
        if len(one.layers) != len(other.layers):
            return LayerDifference(layer=min(len(one.layers), len(other.layers)), file=None)
        return LayerDifference(layer=None, file=None)
    with scratch_folder() as folder:
        blobs = [_exported(engine, image, layer, folder / str(n)) for n, image in enumerate((one, other))]
        with open_regular(blobs[0]) as left, open_regular(blobs[1]) as right:
            return LayerDifference(layer=layer, file=compare_layers(left, right))


def compare_layers(one: BinaryIO, other: BinaryIO) -> FileDifference | None:
    """Return the first path at which two layers (tar archives, compressed or not) differ.

    None if they have the same files, byte for byte or not.
    """
    left, right = dict(_entries(one)), dict(_entries(other))
    for path in (*left, *(path for path in right if path not in left)):
        if difference := _difference(path, left.get(path), right.get(path)):
            return difference
    if list(left) != list(right):
        path = next(path for path, twin in zip(left, right, strict=True) if path != twin)
        return FileDifference(path=path, kind="order", first="", second="")
    return None


class _Exported(TypedDict):
    manifests: list[Descriptor]


def _exported(engine: Engine, image: EngineImage, layer: int, folder: Path) -> Path:
    """Return the blob of one layer of an image."""
    form = ("--format", "oci-dir", "--output", folder)
    saved = call_engine(engine, "save", "--quiet", *form, operands=[Operand.image(image.id)])
    if saved.status != 0:
        raise EngineError(
            f"{engine.kind} cannot export an image to look into it: {saved.stderr.strip()}",
            solution="Make room in the temporary folder (TMPDIR), or compare the two images by hand.",
        )
    blobs = folder / "blobs" / "sha256"
    (named, *_) = read_json(folder / "index.json", _Exported, error=EngineError)["manifests"]
    manifest = read_json(blobs / _hex(named["digest"]), ManifestDocument, error=EngineError)
    return blobs / _hex((manifest.get("layers") or [])[layer]["digest"])


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _entries(file: BinaryIO) -> Iterator[tuple[str, Entry]]:
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            yield (
                "/" + member.name.strip("/"),
                Entry(
                    type=member.type,
                    content="" if content is None else _digest(content),
                    mode=member.mode,
                    owner=(member.uid, member.gid),
                    mtime=member.mtime,
                    link=member.linkname,
                    attributes=_attributes(member),
                ),
            )


def _digest(content: "tarfile.ExFileObject | BinaryIO | object") -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_BUFFER_BYTES):  # type: ignore[union-attr]
        digest.update(chunk)
    return digest.hexdigest()


def _attributes(member: tarfile.TarInfo) -> tuple[tuple[str, str], ...]:
    """Return extended attributes; all else in a pax header is in other fields."""
    return tuple(
        sorted((key, value) for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr."))
    )


def _difference(path: str, left: Entry | None, right: Entry | None) -> FileDifference | None:
    if left is None or right is None:
        there, gone = "there", "not there"
        first, second = (gone, there) if left is None else (there, gone)
        return FileDifference(path=path, kind="only in one", first=first, second=second)
    compared: tuple[tuple[Kind, str, str], ...] = (
        ("type", left.type.decode(), right.type.decode()),
        ("content", left.content, right.content),
        ("link", left.link, right.link),
        ("mode", f"{left.mode:o}", f"{right.mode:o}"),
        ("owner", "{}:{}".format(*left.owner), "{}:{}".format(*right.owner)),
        ("time", str(left.mtime), str(right.mtime)),
        ("attributes", repr(left.attributes), repr(right.attributes)),
    )
    return next(
        (
            FileDifference(path=path, kind=kind, first=one, second=other)
            for kind, one, other in compared
            if one != other
        ),
        None,
    )
