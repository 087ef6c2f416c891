"""Assemble a flavor's image as an OCI layout: the Dockerfile's own RUN lines, stored once and hashed once.

`podman build` stores each layer in its storage and hashes it about five times on the way (measured on podman
4.3). Here the RUN of each layer of packages is run in a container of the same engine, and what it changed
is written from the container's own folders straight into a blob. All else in the Dockerfile is built by the
engine as ever: it is small. A layer that is in the layout already, made from the same, is taken from there.
"""

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from factory.errors import EngineError, ImageError
from factory.files import exclusive, storage_error
from factory.image.building import PartBuilder, PartBuilt, Recipe
from factory.image.engine import Engine, Operand, find_image, skopeo_words
from factory.image.layer_making import MadeLayer, Site, bench, remove_left_behind
from factory.image.layer_tar import write_removals
from factory.image.layout import (
    Inserted,
    LaidOut,
    blobs_folder,
    insert_layers,
    prepare_layout,
    remove_unused,
)
from factory.image.made_layers import MadeLayers
from factory.image.mounting import mounted, without_links
from factory.image.package_layers import PackageLayer, TakenApart, take_apart
from factory.image.segments import cut
from factory.index.parallel import in_parallel
from factory.process import governor, run

_LAYERS = "/layers"
# Counted in the key of each layer: what is made here in another way is made anew.
_VERSION = 2
_COMMENTED_SIZE = re.compile(r"#.*, (\d+) bytes")
# Measured on the CPU flavor: 62 small packages of 34 MB in all take about as long as one of 60 MB.
_PACKAGE_BYTES = 500_000


@dataclass(frozen=True, kw_only=True)
class AssemblyRequest:
    """What to assemble: an image by its recipe, which has a prefetched folder, under a name in a layout.

    ``fresh``: every layer is made, whatever is there.
    """

    recipe: Recipe
    layout: Path
    tag: str
    fresh: bool = False


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """An image in a layout.

    ``made`` are the layers of packages that were installed now, ``taken`` those that were there. ``parts``
    are what the engine built of it, or had; ``seconds`` is what all of it took.
    """

    layout: Path
    tag: str
    image: LaidOut
    made: tuple[str, ...]
    taken: tuple[str, ...]
    parts: tuple[PartBuilt, ...]
    seconds: float


def assemble(request: AssemblyRequest, *, say: Callable[[str], None]) -> Assembled:
    """Assemble an image. Of an interrupted run the layers that were made stay for the next one.

    Raises:
        EngineError: the engine is not podman run by root, or failed.
        ImageError: the Dockerfile has no layers of packages, or runs something above them.
        BusyError: another run is working on the layout.
        ProgramError, StorageError: as their names say.
    """
    require_possible(request.recipe.engine, request.layout)
    start = time.monotonic()
    prepare_layout(request.layout)
    with exclusive(request.layout), tempfile.TemporaryDirectory() as folder:
        work = _Work(request=request, say=say, folder=Path(folder), made=MadeLayers.read(request.layout))
        image = work.assemble()
        remove_unused(request.layout)
        work.made.forget_gone()
    return Assembled(
        layout=request.layout,
        tag=request.tag,
        image=image,
        made=tuple(layer.name for layer in work.missing),
        taken=tuple(layer.name for layer in work.apart.layers if layer not in work.missing),
        parts=tuple(work.parts),
        seconds=round(time.monotonic() - start, 1),
    )


def require_possible(engine: Engine, layout: Path) -> None:
    """Check that a layout can be assembled here.

    Raises:
        EngineError: the engine is not podman run by root, or a path cannot be told to it.
    """
    if engine.kind != "podman" or os.geteuid() != 0:
        raise EngineError(
            "a layout is written from a container's own folders, which podman tells and only root can read",
            solution="Run it as root with podman, as a CI runner does, or build without --layout.",
        )
    if ":" in str(layout):
        raise EngineError(
            f"a layout cannot be in {layout}: a colon ends its path in what skopeo and podman are told",
            solution="Name a folder without a colon in its path.",
        )


@dataclass
class _Work:
    """One image under way."""

    request: AssemblyRequest
    say: Callable[[str], None]
    folder: Path
    made: MadeLayers
    parts: list[PartBuilt] = field(default_factory=list)
    missing: list[PackageLayer] = field(default_factory=list)

    def __post_init__(self) -> None:
        found = cut(self.request.recipe.dockerfile)
        self.apart: TakenApart = take_apart(found)
        self.builder = PartBuilder(
            recipe=self.request.recipe, found=found, fresh=self.request.fresh, named=True, say=self.say
        )
        self.mark = f"io.universal-image-factory.layout={self.request.layout}"

    def assemble(self) -> LaidOut:
        """All of it, in order; the layers and what stands on them beside each other."""
        recipe, layers = self.request.recipe, self.apart.layers
        remove_left_behind(recipe.engine, self.mark)
        self.parts.extend(self.builder.stages())
        locks = self._bring_out_locks()
        ground = self._ground()
        keys = {layer.name: _key(recipe, layer, ground, locks) for layer in layers}
        self.missing = [
            layer for layer in layers if self.request.fresh or self.made.find(keys[layer.name]) is None
        ]
        site = self._site(ground, locks)
        staged = self.folder / "image"
        self._make(site, keys, staged)
        return self._insert([self.made.known[keys[layer.name]] for layer in layers], staged, ground)

    def _bring_out_locks(self) -> Path:
        """What the layers copy from the builder stage."""
        engine, image = self.request.recipe.engine, self.builder.images[self.apart.builder]
        with mounted(engine, image) as tree:
            found = None if tree is None else without_links(tree, _LAYERS)
            if found is None:
                raise EngineError(
                    f"podman does not show the folder {_LAYERS} of the stage {self.apart.builder}",
                    solution=f"See to it that `podman image mount {image[:12]}` works.",
                )
            locks = self.folder / found.name
            _copy_files(found, locks)
        return locks

    def _ground(self) -> str:
        """The image that the layers stand on."""
        base = self.builder.base(self.builder.found.final)
        if self.apart.below is None:
            return base
        epoch = _epoch(self.request.recipe, self.apart.layers[0])
        part = self.builder.build(self.apart.below, title="below the packages", base=base, epoch=epoch)
        self.parts.append(part)
        return part.image

    def _make(self, site: Site, keys: Mapping[str, str], staged: Path) -> None:
        """Make the layers on as many benches as there are CPUs: the one that takes longest first."""
        recipe = self.request.recipe
        waiting = deque(sorted(self.missing, key=lambda layer: -_effort(site.locks / layer.name)))
        benches = min(os.cpu_count() or 1, len(waiting))

        def work() -> None:
            while waiting:
                with bench(site, self.missing) as place:
                    while not place.used_up and (layer := _next(waiting)) is not None:
                        self.say(f"{recipe.name}: layer {layer.name}")
                        made = place.make(layer, epoch=_epoch(recipe, layer))
                        self.made.add(keys[layer.name], made)

        def tried(task: Callable[[], None]) -> None:
            ended = False
            try:
                task()
                ended = True
            finally:
                if not ended:
                    waiting.clear()  # after a failure no bench begins another layer

        tasks: list[Callable[[], None]] = [work] * benches
        tasks.append(partial(self._build_above, site.ground, staged))
        in_parallel(tried, tasks, jobs=len(tasks), stop=governor())

    def _build_above(self, ground: str, staged: Path) -> None:
        """Build what stands on the packages, without them, and put it beside the layers."""
        recipe = self.request.recipe
        part = self.builder.build(
            self.apart.above,
            title="above the packages",
            base=ground,
            epoch=recipe.epoch,
            labels=recipe.labels,
        )
        self.parts.append(part)
        run(
            skopeo_words(
                "copy", "--quiet", "--dest-oci-accept-uncompressed-layers",
                "--dest-shared-blob-dir", blobs_folder(self.request.layout).parent,
                operands=[
                    Operand.in_storage("containers-storage", part.image),
                    Operand.in_layout(staged, "image"),
                ],
            )
        )  # fmt: skip

    def _insert(self, made: list[MadeLayer], staged: Path, ground: str) -> LaidOut:
        recipe, layout = self.request.recipe, self.request.layout
        removed = {path: above for layer in made for path, above in layer.removed.items()}
        inserted = [
            Inserted(blob=layer.blob, created_by=f"RUN {package.run}")
            for layer, package in zip(made, self.apart.layers, strict=True)
        ]
        if removed:
            epoch = _epoch(recipe, self.apart.layers[0])
            gone = write_removals(removed, blobs_folder(layout), epoch=epoch)
            inserted.insert(0, Inserted(blob=gone, created_by="what the layers of packages replace"))
        return insert_layers(
            layout,
            self.request.tag,
            staged,
            inserted,
            after=_layer_count(recipe.engine, ground),
            created=dt.datetime.fromtimestamp(recipe.epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _site(self, ground: str, locks: Path) -> Site:
        recipe = self.request.recipe
        return Site(
            engine=recipe.engine,
            ground=ground,
            prefetched=recipe.prefetched or self.folder,
            locks=locks,
            blobs=blobs_folder(self.request.layout),
            mark=self.mark,
        )


def _copy_files(source: Path, target: Path) -> None:
    """Copy a folder of folders of files; anything else, such as a link, could lead out of the image."""
    try:
        for folder in sorted(source.iterdir()):
            for path in (folder, *(sorted(folder.iterdir()) if folder.is_dir() else ())):
                mode = path.lstat().st_mode
                if not (stat.S_ISDIR(mode) if path == folder else stat.S_ISREG(mode)):
                    raise ImageError(
                        f"{_LAYERS}/{path.relative_to(source)} of the builder stage is no "
                        f"{'folder' if path == folder else 'file'}",
                        solution="Build it with the engine: without --layout.",
                    )
            shutil.copytree(folder, target / folder.name)
    except OSError as error:
        raise storage_error(target, error) from error


def _key(recipe: Recipe, layer: PackageLayer, ground: str, locks: Path) -> str:
    """The digest of all that decides what comes of a layer."""
    files = {path.name: path.read_text() for path in sorted((locks / layer.name).iterdir())}
    content = [_VERSION, ground, layer.user, layer.run, layer.target, files, _epoch(recipe, layer)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _epoch(recipe: Recipe, layer: PackageLayer) -> int:
    epoch = recipe.layer_epochs.get(layer.name)
    return recipe.epoch if epoch is None else epoch


def _next(waiting: deque[PackageLayer]) -> PackageLayer | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _effort(locks: Path) -> int:
    """How long a layer takes, in bytes of wheels: what its locks tell, and what each package adds to that."""
    sizes = [size for path in locks.iterdir() for size in _COMMENTED_SIZE.findall(path.read_text())]
    return sum(map(int, sizes)) + _PACKAGE_BYTES * len(sizes)


def _layer_count(engine: Engine, image: str) -> int:
    found = find_image(engine, image)
    if found is None:
        raise EngineError(f"podman lost the image {image[:12]} that it just built", solution="Build again.")
    return len(found.layers)
