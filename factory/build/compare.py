"""Compare two images layer by layer, down to the first file that differs."""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Literal

from factory.build.oci_layout import OciLayout
from factory.engine.engine import Engine, Operand, call_engine
from factory.engine.images import EngineImage
from factory.errors import EngineError
from factory.files import scratch_folder

_BUFFER_BYTES = 1 << 20
DifferenceKind = Literal[
    "only in one", "type", "content", "link", "mode", "owner", "time", "attributes", "order"
]


@dataclass(frozen=True, kw_only=True)
class PathDifference:
    """The first path that differs, absolute, how it differs, and what it is in the two layers."""

    path: str
    kind: DifferenceKind
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class LayerDifference:
    """The lowest layer that differs: its number from the bottom, from 0, and the first file in it.

    ``layer`` is None if all layers are equal and the images' settings (OCI image config) differ.
    """

    layer: int | None
    file: PathDifference | None


def compare_images(engine: Engine, one: EngineImage, other: EngineImage) -> LayerDifference | None:
    """Return where two images of the engine differ, from the bottom up; None if equal.

    Raises:
        EngineError: the engine cannot export them.
        ImageError: its export is not an OCI layout.
    """
    if one.id == other.id:
        return None
    pairs = enumerate(zip(one.layers, other.layers, strict=False))
    layer = next((place for place, (left, right) in pairs if left != right), None)
    if layer is None:
        if len(one.layers) != len(other.layers):
            return LayerDifference(layer=min(len(one.layers), len(other.layers)), file=None)
        return LayerDifference(layer=None, file=None)
    with scratch_folder() as folder, ExitStack() as stack:
        left, right = (
            stack.enter_context(_open_layer(engine, image, layer, folder / str(number)))
            for number, image in enumerate((one, other))
        )
        return LayerDifference(layer=layer, file=compare_layers(left, right))


def _open_layer(engine: Engine, image: EngineImage, layer: int, folder: Path) -> BinaryIO:
    form = ("--format", "oci-dir", "--output", folder)
    saved = call_engine(engine, "save", "--quiet", *form, operands=[Operand.image(image.id)])
    if saved.status != 0:
        raise EngineError(
            f"{engine.kind} cannot export an image to compare it: {saved.stderr.strip()}",
            solution="Make room in the temporary folder (TMPDIR), or compare the two images by hand.",
        )
    with OciLayout.opened(folder) as layout:
        manifest = layout.named(layout.read(layout.index()["manifests"][0]))
        return layout.open_blob((manifest.get("layers") or [])[layer]["digest"])


def compare_layers(one: BinaryIO, other: BinaryIO) -> PathDifference | None:
    """Return the first path at which two layers (tar archives, compressed or not) differ.

    None if they have the same files, even if the archives' bytes differ.
    """
    left, right = dict(_entries(one)), dict(_entries(other))
    for path in (*left, *(path for path in right if path not in left)):
        if difference := _difference(path, left.get(path), right.get(path)):
            return difference
    if list(left) != list(right):
        path = next(path for path, twin in zip(left, right, strict=True) if path != twin)
        return PathDifference(path=path, kind="order", first="", second="")
    return None


# The attributes of a path that may differ, in the order of reporting.
_Entry = dict[DifferenceKind, str]


def _entries(file: BinaryIO) -> Iterator[tuple[str, _Entry]]:
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            # All else in a pax header is in other fields.
            attributes = sorted(
                item for item in member.pax_headers.items() if item[0].startswith("SCHILY.xattr.")
            )
            yield (
                "/" + member.name.strip("/"),
                {
                    "type": member.type.decode(),
                    "content": "" if content is None else _digest(content),
                    "link": member.linkname,
                    "mode": f"{member.mode:o}",
                    "owner": f"{member.uid}:{member.gid}",
                    "time": str(member.mtime),
                    "attributes": repr(tuple(attributes)),
                },
            )


def _digest(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_BUFFER_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _difference(path: str, left: _Entry | None, right: _Entry | None) -> PathDifference | None:
    if left is None or right is None:
        first, second = ("not there", "there") if left is None else ("there", "not there")
        return PathDifference(path=path, kind="only in one", first=first, second=second)
    kind = next((kind for kind in left if left[kind] != right[kind]), None)
    return (
        None if kind is None else PathDifference(path=path, kind=kind, first=left[kind], second=right[kind])
    )
