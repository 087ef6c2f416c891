"""The layers of packages that a layout has, by what they were made from; each is written down as it comes."""

import json
import threading
from dataclasses import dataclass, field
from typing import TypedDict

from factory.build.layer_making import MadeLayer
from factory.build.layer_tar import LayerBlob, Ownership
from factory.build.layout import OciLayout
from factory.documents import Size, parse_json
from factory.errors import ImageError
from factory.registry.oci import Sha256

_FILE = "factory-layers.json"


class _Recorded(TypedDict):
    digest: Sha256
    size: Size
    removed: dict[str, dict[str, Ownership]]


@dataclass(kw_only=True)
class MadeLayers:
    """The layers of a layout by key. Safe to use from several threads, and by one run at a time."""

    layout: OciLayout
    known: dict[str, MadeLayer]
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def read(layout: OciLayout) -> "MadeLayers":
        """Return the layers that are in a layout whole.

        Raises:
            ImageError: the file that records them is damaged.
            StorageError: it is a link, or no file.
        """
        recorded: dict[str, _Recorded] = {}
        if layout.tree.status(_FILE) is not None:
            recorded = parse_json(
                layout.tree.read(_FILE),
                dict[str, _Recorded],
                source=str(layout.folder / _FILE),
                error=ImageError,
                solution="Remove it; every layer is made again.",
            )
        known = {
            key: MadeLayer(blob=LayerBlob(digest=one["digest"], size=one["size"]), removed=one["removed"])
            for key, one in recorded.items()
        }
        return MadeLayers(
            layout=layout, known={key: made for key, made in known.items() if layout.has_blob(made.blob)}
        )

    def find(self, key: str) -> MadeLayer | None:
        """Return the layer of a key."""
        return self.known.get(key)

    def add(self, key: str, made: MadeLayer) -> None:
        """Keep a layer, whose blob is in the layout.

        Raises:
            StorageError: the file system refused.
        """
        with self._guard:
            self.known[key] = made
            self._write()

    def forget_gone(self) -> None:
        """Forget the layers whose blobs were removed, since no image has them any more.

        Raises:
            StorageError: the file system refused.
        """
        with self._guard:
            self.known = {key: made for key, made in self.known.items() if self.layout.has_blob(made.blob)}
            self._write()

    def _write(self) -> None:
        content = {
            key: {"digest": made.blob.digest, "size": made.blob.size, "removed": made.removed}
            for key, made in self.known.items()
        }
        self.layout.tree.write(_FILE, json.dumps(content, indent=1, sort_keys=True).encode())
