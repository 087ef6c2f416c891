"""Build a flavor's image as an OCI layout: each layer of packages is stored once and hashed once.

`podman build` stores each layer in its storage and hashes it about five times on the way (measured on podman
4.3). Here the RUN of each layer of packages is run in a container of the same engine, and what it changed
is written from the container's own folders straight into a blob. The engine builds everything else in the
Dockerfile: it is small. A layer that is in the layout already, made from the same, is taken from there.
"""

import datetime as dt
import hashlib
import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypedDict

from factory.build.layer_container import BuildContainer, InstalledLayer, engine_states, install_layer
from factory.build.layer_tar import LayerBlob, Ownership, write_removals
from factory.build.oci_layout import (
    InsertedLayer,
    OciImage,
    OciLayout,
    layout_notes,
    record_layout,
)
from factory.build.package_layers import LayerInstall, split_layers
from factory.build.parts import PartBuilder
from factory.build.plan import BuildRequest, Target
from factory.build.prepare import Prepared
from factory.build.report import LayoutImage, layout_name
from factory.documents import Size, parse_json
from factory.engine.engine import Engine, Operand, mount_image, skopeo_words
from factory.engine.images import PARTS_REPOSITORY, find_image
from factory.errors import EngineError, ImageError, SpecError
from factory.files import exclusive, make_output_folder, scratch_folder
from factory.http.parallel import in_parallel
from factory.process import current_cancellation, run
from factory.registry.oci import Sha256
from factory.tree import Entry, Tree

_LAYERS = "layers"
_RECORD = "factory-layers.json"
# Counted in the key of each layer: raised if a layer is made in another way.
_VERSION = 3
_COMMENTED_SIZE = re.compile(rb"#.*, (\d{1,15}) bytes")
# Measured on the CPU flavor: 62 small packages of 34 MB in all take about as long as one of 60 MB.
_PACKAGE_BYTES = 500_000


def require_layout_possible(engine: Engine, target: Target, request: BuildRequest) -> None:
    """Check that an image can be built in a layout here. Nothing is changed.

    Raises:
        SpecError: it is to be built in another way at the same time.
        EngineError: the engine is not podman run by root, or cannot take the path.
    """
    if request.verify:
        raise SpecError(
            "--verify-reproducible compares what the engine builds",
            solution="Give it without --layout; a layout assembled twice with --force has the same digest.",
        )
    if engine.kind != "podman" or os.geteuid() != 0:
        raise EngineError(
            "a layout is written from a container's own folders, which only podman names and only root can "
            "read",
            solution="Run it as root with podman, as a CI runner does, or build without --layout.",
        )
    if ":" in str(target.layout):
        raise EngineError(
            f"a layout cannot be in {target.layout}: skopeo and podman take a colon for the end of its path",
            solution="Name a folder without a colon in its path.",
        )


@dataclass(frozen=True)
class OciBuilder:
    """Builds images in the OCI layout of a folder, which is absolute."""

    folder: Path

    def notes(self, folders: Path, name: str) -> Path:
        """Return the folder with the notes of an image's layouts."""
        return layout_notes(folders, name)

    def build(self, prepared: Prepared) -> LayoutImage:
        """Build an image. The layers that an interrupted run made stay for the next one.

        Raises:
            EngineError: the engine failed.
            ImageError: the Dockerfile has no layers of packages, or runs something above them.
            BusyError: another run is working on the layout.
            ProgramError, StorageError: as their names say.
        """
        start = time.monotonic()
        make_output_folder(self.folder)
        with (
            exclusive(self.folder),
            OciLayout.prepared(self.folder) as layout,
            scratch_folder() as scratch,
            Tree.opened(scratch) as folder,
        ):
            assembly = _Assembly(
                prepared=prepared, layout=layout, folder=folder, cache=LayerCache.read(layout)
            )
            image = assembly.run()
            layout.remove_unused()
            assembly.cache.forget_removed()
        assembly.parts.remove_superseded()
        target, name = prepared.target, layout_name(prepared.target)
        layers, missing = assembly.split.layers, assembly.missing
        return LayoutImage(
            image=target.name,
            layout=self.folder,
            tag=name,
            reference=f"oci:{self.folder}:{name}",
            digest=image.digest,
            identity=target.step.identity or "",
            base_image=target.step.parents[0].reference,
            prefetched=prepared.prefetched,
            size=sum(layer.size for layer in image.layers),
            layers=len(image.layers),
            made=tuple(layer.name for layer in missing),
            taken=tuple(layer.name for layer in layers if layer not in missing),
            seconds=round(time.monotonic() - start, 1),
        )

    def publish_names(self, prepared: Prepared, image: LayoutImage) -> None:
        """Record where the image is; its name is in the layout's index.

        Raises:
            StorageError: the file system refused.
        """
        record_layout(prepared.owner.notes, image.layout, image.tag)


@dataclass(kw_only=True)
class _Assembly:
    """One image under construction; ``folder`` holds intermediate files."""

    prepared: Prepared
    layout: OciLayout
    folder: Tree
    cache: "LayerCache"
    missing: list[LayerInstall] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = PartBuilder(self.prepared)
        self.split = split_layers(self.parts.steps)

    def run(self) -> OciImage:
        """Build all of it, in order; the layers and what is above them in parallel."""
        layers = self.split.layers
        self.parts.build_stages()
        self._copy_locks()
        base = self._build_below()
        with self.folder.below(_LAYERS) as locks:
            keys = {layer.name: self._key(layer, base, locks) for layer in layers}
            self.missing = [
                layer for layer in layers if self.prepared.fresh or self.cache.find(keys[layer.name]) is None
            ]
            above = self.folder.root / "image"
            self._install(self._container(base, locks), keys, above)
        return self._insert([self.cache.known[keys[layer.name]] for layer in layers], above, base)

    def _copy_locks(self) -> None:
        """Copy what the layers copy from the builder stage."""
        engine, image = self.prepared.engine, self.parts.images[self.split.builder]
        with mount_image(engine, image) as tree:
            if tree is None or tree.status(_LAYERS) is None:
                raise EngineError(
                    f"podman does not show the folder /{_LAYERS} of the stage {self.split.builder}",
                    solution=f"Check that `podman image mount {image[:12]}` works.",
                )
            copy_locks(tree, self.folder)

    def _build_below(self) -> str:
        """Return the image that the layers are on."""
        base = self.parts.base(self.parts.steps.final)
        if self.split.below is None:
            return base
        epoch = self.prepared.layer_epoch(self.split.layers[0].name)
        part = self.parts.build(self.split.below, title="below the packages", base=base, epoch=epoch)
        return part.image

    def _container(self, base: str, locks: Tree) -> BuildContainer:
        return BuildContainer(
            engine=self.prepared.engine,
            base=base,
            user=self.split.layers[0].user,
            prefetched=self.prepared.target.prefetched or self.folder.root,
            locks=locks,
            blobs=self.layout.blobs,
            owner=self.prepared.owner,
        )

    def _install(self, container: BuildContainer, keys: Mapping[str, str], above: Path) -> None:
        """Install as many layers at a time as there are CPUs: the one that takes longest first."""
        waiting = deque(sorted(self.missing, key=lambda layer: -_effort(container.locks, layer)))
        at_once = min(os.cpu_count() or 1, len(waiting))
        engine_made = engine_states(container) if waiting else {}

        def work() -> None:
            while (layer := _next(waiting)) is not None:
                self.prepared.say(f"{self.prepared.target.name}: layer {layer.name}")
                epoch = self.prepared.layer_epoch(layer.name)
                self.cache.add(keys[layer.name], install_layer(container, layer, engine_made, epoch=epoch))

        def tried(task: Callable[[], None]) -> None:
            ended = False
            try:
                task()
                ended = True
            finally:
                if not ended:
                    waiting.clear()  # after a failure no other layer is begun

        tasks: list[Callable[[], None]] = [work] * at_once
        tasks.append(partial(self._build_above, container.base, above))
        in_parallel(tried, tasks, jobs=len(tasks), stop=current_cancellation())

    def _build_above(self, base: str, above: Path) -> None:
        """Build what is above the packages, without them, and copy it into the layout's blobs."""
        part = self.parts.build(
            self.split.above,
            title="above the packages",
            base=base,
            epoch=self.prepared.epoch,
            labels=self.prepared.labels,
        )
        run(
            skopeo_words(
                "copy", "--quiet", "--dest-oci-accept-uncompressed-layers",
                "--dest-shared-blob-dir", self.layout.folder / "blobs",
                operands=[
                    Operand.in_storage("containers-storage", part.image),
                    Operand.in_layout(above, "image"),
                ],
            )
        )  # fmt: skip

    def _insert(self, installed: list[InstalledLayer], above: Path, base: str) -> OciImage:
        epoch = self.prepared.epoch
        removed = {path: folders for layer in installed for path, folders in layer.removed.items()}
        inserted = [
            InsertedLayer(blob=layer.blob, created_by=f"RUN {install.run}")
            for layer, install in zip(installed, self.split.layers, strict=True)
        ]
        if removed:
            first = self.prepared.layer_epoch(self.split.layers[0].name)
            whiteouts = write_removals(removed, self.layout.blobs, epoch=first)
            # History is part of the image's digest.
            inserted.insert(
                0, InsertedLayer(blob=whiteouts, created_by="what the layers of packages replace")
            )
        return self.layout.insert(
            layout_name(self.prepared.target),
            above,
            inserted,
            after=_layer_count(self.prepared.engine, base),
            created=dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            local=PARTS_REPOSITORY,
        )

    def _key(self, layer: LayerInstall, base: str, locks: Tree) -> str:
        """Return the digest of all that decides what a layer becomes."""
        files = {entry.path: locks.read(entry.path).hex() for entry in locks.entries(layer.name)}
        epoch = self.prepared.layer_epoch(layer.name)
        content = [_VERSION, base, layer.user, layer.run, layer.target, files, epoch]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def copy_locks(source: Tree, target: Tree) -> None:
    """Copy a folder of folders of lock files; refuse anything else, such as a link.

    Raises:
        ImageError: something is neither a folder nor a file where it has to be.
    """
    target.make_folder(_LAYERS)
    for folder in source.entries(_LAYERS):
        _require(folder, folder.is_folder, "folder")
        target.make_folder(folder.path)
        for file in source.entries(folder.path):
            _require(file, file.is_file, "file")
            target.write(file.path, source.read(file.path))


def _require(entry: Entry, fits: bool, what: str) -> None:  # noqa: FBT001 - what was found of the entry
    if not fits:
        raise ImageError(
            f"/{entry.path} of the builder stage is no {what}",
            solution="Build it with the engine: without --layout.",
        )


def _next(waiting: deque[LayerInstall]) -> LayerInstall | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _effort(locks: Tree, layer: LayerInstall) -> int:
    """Return how long a layer takes, in bytes of wheels, with a fixed number for each package."""
    texts = [locks.read(entry.path) for entry in locks.entries(layer.name)]
    sizes = [size for text in texts for size in _COMMENTED_SIZE.findall(text)]
    return sum(map(int, sizes)) + _PACKAGE_BYTES * len(sizes)


def _layer_count(engine: Engine, image: str) -> int:
    found = find_image(engine, image)
    if found is None:
        raise EngineError(f"podman lost the image {image[:12]} that it just built", solution="Build again.")
    return len(found.layers)


class _RecordedLayer(TypedDict):
    digest: Sha256
    size: Size
    removed: dict[str, dict[str, Ownership]]


@dataclass(kw_only=True)
class LayerCache:
    """The package layers of a layout by the key of their inputs; each is recorded at once.

    Safe to use from several threads, and by one run at a time.
    """

    layout: OciLayout
    known: dict[str, InstalledLayer]
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def read(layout: OciLayout) -> "LayerCache":
        """Return the layers that are in a layout whole.

        Raises:
            ImageError: the file that records them is damaged.
            StorageError: it is a link, or no file.
        """
        recorded: dict[str, _RecordedLayer] = {}
        if layout.tree.status(_RECORD) is not None:
            recorded = parse_json(
                layout.tree.read(_RECORD),
                dict[str, _RecordedLayer],
                source=str(layout.folder / _RECORD),
                error=ImageError,
                solution="Remove it; every layer is made again.",
            )
        known = {
            key: InstalledLayer(
                blob=LayerBlob(digest=one["digest"], size=one["size"]), removed=one["removed"]
            )
            for key, one in recorded.items()
        }
        return LayerCache(
            layout=layout, known={key: layer for key, layer in known.items() if layout.has_blob(layer.blob)}
        )

    def find(self, key: str) -> InstalledLayer | None:
        """Return the layer of a key."""
        return self.known.get(key)

    def add(self, key: str, layer: InstalledLayer) -> None:
        """Keep a layer, whose blob is in the layout.

        Raises:
            StorageError: the file system refused.
        """
        with self._guard:
            self.known[key] = layer
            self._write()

    def forget_removed(self) -> None:
        """Forget the layers whose blobs were removed, since no image has them any more.

        Raises:
            StorageError: the file system refused.
        """
        with self._guard:
            self.known = {key: layer for key, layer in self.known.items() if self.layout.has_blob(layer.blob)}
            self._write()

    def _write(self) -> None:
        content = {
            key: {"digest": layer.blob.digest, "size": layer.blob.size, "removed": layer.removed}
            for key, layer in self.known.items()
        }
        self.layout.tree.write(_RECORD, json.dumps(content, indent=1, sort_keys=True).encode())
