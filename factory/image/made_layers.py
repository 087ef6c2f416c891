"""The layers of packages that a layout has, by what they were made from; each is written down as it comes."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from factory.documents import Size, read_json
from factory.errors import ImageError
from factory.files import storage_error, write_whole
from factory.image.layer_making import MadeLayer
from factory.image.layer_tar import LayerBlob, Ownership
from factory.image.layout import has_blob
from factory.registry.oci import Sha256

_FILE = "factory-layers.json"


class _Entry(TypedDict):
    digest: Sha256
    size: Size
    removed: dict[str, dict[str, Ownership]]


@dataclass(kw_only=True)
class MadeLayers:
    """The layers of a layout by key. Safe to use from several threads, and by one run at a time."""

    layout: Path
    known: dict[str, MadeLayer]
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def read(layout: Path) -> "MadeLayers":
        """The layers that are in a layout whole.

        Raises:
            ImageError: the file that records them is damaged.
            StorageError: the file system refused.
        """
        path = layout / _FILE
        try:
            content = read_json(
                path, dict[str, _Entry], error=ImageError, solution="Remove it; every layer is built again."
            )
        except FileNotFoundError:
            content = {}
        except OSError as error:
            raise storage_error(path, error) from error
        known = {key: _made(layer) for key, layer in content.items()}
        return MadeLayers(
            layout=layout, known={key: made for key, made in known.items() if has_blob(layout, made.blob)}
        )

    def find(self, key: str) -> MadeLayer | None:
        """The layer of a key."""
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
            self.known = {key: made for key, made in self.known.items() if has_blob(self.layout, made.blob)}
            self._write()

    def _write(self) -> None:
        content = {
            key: {"digest": made.blob.digest, "size": made.blob.size, "removed": made.removed}
            for key, made in self.known.items()
        }
        write_whole(self.layout / _FILE, json.dumps(content, indent=1, sort_keys=True).encode())


def _made(layer: _Entry) -> MadeLayer:
    return MadeLayer(blob=LayerBlob(digest=layer["digest"], size=layer["size"]), removed=layer["removed"])
