"""Assemble a flavor's image as an OCI layout: the Dockerfile's own RUN lines, stored once and hashed once.

`podman build` stores each layer in its storage and hashes it about five times on the way (measured on podman
4.3). Here the RUN of each layer of packages is run in a container of the same engine, and what it changed
is written from the container's upper folder straight into a blob. All else in the Dockerfile is built by the
engine as ever: it is small. A layer that is in the layout already, made from the same, is taken from there.
"""

import datetime as dt
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from factory.console import Progress
from factory.errors import EngineError, ImageError
from factory.files import exclusive, write_whole
from factory.hermetic.layout import MOUNT_POINT
from factory.image.engine import Engine, find_image
from factory.image.layer_making import Site, make_layer, remove_left_behind
from factory.image.layer_tar import LayerBlob
from factory.image.layout import Inserted, LaidOut, blobs_folder, has_blob, insert_layers, remove_unused
from factory.image.package_layers import PackageLayer, TakenApart, take_apart
from factory.index.parallel import in_parallel
from factory.process import governor, run

_KNOWN = "factory-layers.json"


@dataclass(frozen=True, kw_only=True)
class AssemblyRequest:
    """What to assemble: a Dockerfile with its context, from a prefetched folder, into an OCI layout.

    ``epochs`` are the modification times of the layers of packages by name, in seconds, and ``epoch`` that of
    all else; ``tag`` is the image's name in the layout.
    """

    engine: Engine
    dockerfile: Path
    context: Path
    base_image: str
    prefetched: Path
    layout: Path
    tag: str
    epochs: Mapping[str, int]
    epoch: int
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """An image in a layout. ``made`` are the layers of packages that were installed now."""

    layout: Path
    tag: str
    image: LaidOut
    made: tuple[str, ...]
    seconds: float


def assemble(request: AssemblyRequest, progress: Progress) -> Assembled:
    """Assemble an image. Of an interrupted run the layers that were made stay for the next one.

    Raises:
        EngineError: the engine is not podman run by root, or failed.
        ImageError: the Dockerfile has no layers of packages, or runs something above them.
        BusyError: another run is working on the layout.
        ProgramError, StorageError: as their names say.
    """
    _require_root_podman(request.engine)
    start = time.monotonic()
    parts = take_apart(request.dockerfile.read_text(encoding="utf-8"))
    blobs_folder(request.layout).mkdir(parents=True, exist_ok=True)
    with exclusive(request.layout), tempfile.TemporaryDirectory() as folder:
        locks = Path(folder) / "layers"
        ground = _prepare(request, parts, locks)
        keys = {layer.name: _key(request, layer, ground, locks) for layer in parts.layers}
        kept = _Kept(layout=request.layout, blobs=_read_known(request.layout, keys))
        missing = [layer for layer in parts.layers if keys[layer.name] not in kept.blobs]
        _make(request, missing, keys, kept, _site(request, ground, locks), progress)
        progress.begin("the rest of the image")
        rest = _build_text(request, parts.without, labelled=True)
        _copy(request, rest)
        image = insert_layers(
            request.layout,
            request.tag,
            [
                Inserted(blob=kept.blobs[keys[layer.name]], created_by=f"RUN {layer.run}")
                for layer in parts.layers
            ],
            after=_layer_count(request.engine, ground),
            created=dt.datetime.fromtimestamp(request.epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        remove_unused(request.layout, keep=[blob.digest for blob in kept.blobs.values()])
    made = tuple(layer.name for layer in missing)
    seconds = round(time.monotonic() - start, 1)
    return Assembled(layout=request.layout, tag=request.tag, image=image, made=made, seconds=seconds)


@dataclass
class _Kept:
    """The layers of packages that are in a layout, by key; each is written down as it comes."""

    layout: Path
    blobs: dict[str, LayerBlob]
    guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str, blob: LayerBlob) -> None:
        with self.guard:
            self.blobs[key] = blob
            content = {key: {"digest": one.digest, "size": one.size} for key, one in self.blobs.items()}
            write_whole(self.layout / _KNOWN, json.dumps(content, indent=2, sort_keys=True).encode())


def _require_root_podman(engine: Engine) -> None:
    if engine.kind != "podman" or os.geteuid() != 0:
        raise EngineError(
            "a layout is written from a container's own folders, which podman tells and only root can read",
            solution="Run it as root with podman, as a CI runner does, or build without --layout.",
        )


def _prepare(request: AssemblyRequest, parts: TakenApart, locks: Path) -> str:
    """Build what the layers stand on, and bring out what they copy; give the ID of the image below them."""
    builder = _build(request, request.dockerfile, "--target", parts.builder)
    with _created(request.engine, builder) as container:
        run([request.engine.program, "cp", f"{container}:/layers", locks])
    return _build_text(request, parts.below)


def _make(
    request: AssemblyRequest,
    layers: list[PackageLayer],
    keys: Mapping[str, str],
    kept: _Kept,
    site: Site,
    progress: Progress,
) -> None:
    """Make layers, as many at a time as there are CPUs."""
    if not layers:
        return
    remove_left_behind(request.engine, site.mark)

    def make(layer: PackageLayer) -> None:
        progress.begin(layer.name)
        kept.add(keys[layer.name], make_layer(site, layer, epoch=_epoch(request, layer)))
        progress.advance()

    in_parallel(make, layers, jobs=os.cpu_count() or 1, stop=governor())


def _site(request: AssemblyRequest, ground: str, locks: Path) -> Site:
    return Site(
        engine=request.engine,
        ground=ground,
        prefetched=request.prefetched,
        locks=locks,
        blobs=blobs_folder(request.layout),
        mark=f"io.universal-image-factory.layout={request.layout}",
    )


def _build(request: AssemblyRequest, dockerfile: Path, *options: str) -> str:
    """Build with the engine; give the image's ID. ``--timestamp`` makes what is small reproducible too."""
    finished = run(
        [
            request.engine.program, "build", "--quiet", "--layers", "--pull=never", "--network", "none",
            "--timestamp", str(request.epoch), "--build-arg", f"BASE_IMAGE={request.base_image}",
            "--volume", f"{request.prefetched}:{MOUNT_POINT}:ro,z", "--file", dockerfile,
            *options, request.context,
        ]
    )  # fmt: skip
    return finished.stdout.split()[-1]


def _build_text(request: AssemblyRequest, text: str, *, labelled: bool = False) -> str:
    options = [f"--label={key}={value}" for key, value in request.labels.items()] if labelled else []
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "Dockerfile"
        written.write_text(text, encoding="utf-8")
        return _build(request, written, *options)


@contextmanager
def _created(engine: Engine, image: str) -> Iterator[str]:
    container = run([engine.program, "create", "--network", "none", image]).stdout.strip()
    try:
        yield container
    finally:
        run([engine.program, "rm", container], accept_failure=True)


def _key(request: AssemblyRequest, layer: PackageLayer, ground: str, locks: Path) -> str:
    """The digest of all that decides what comes of a layer."""
    files = {path.name: path.read_text() for path in sorted((locks / layer.name).iterdir())}
    content = [ground, layer.user, layer.run, layer.target, files, _epoch(request, layer)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _epoch(request: AssemblyRequest, layer: PackageLayer) -> int:
    return request.epochs.get(layer.name, request.epoch)


def _copy(request: AssemblyRequest, image: str) -> None:
    destination = f"oci:{request.layout}:{request.tag}"
    run(
        [
            "skopeo", "copy", "--quiet", "--dest-oci-accept-uncompressed-layers",
            f"containers-storage:{image}", destination,
        ]
    )  # fmt: skip


def _layer_count(engine: Engine, image: str) -> int:
    found = find_image(engine, image)
    if found is None:
        raise EngineError(f"podman lost the image {image[:12]} that it just built", solution="Build again.")
    return len(found.layers)


def _read_known(layout: Path, keys: Mapping[str, str]) -> dict[str, LayerBlob]:
    """The layers of these keys that are in a layout whole."""
    try:
        content = json.loads((layout / _KNOWN).read_bytes())
        known = {key: LayerBlob(digest=blob["digest"], size=blob["size"]) for key, blob in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(
            f"{layout / _KNOWN} is damaged: {error}", solution="Remove it; every layer is made anew."
        ) from error
    return {key: known[key] for key in keys.values() if key in known and has_blob(layout, known[key])}
