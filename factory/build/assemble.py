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
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from factory.build.building import PartBuilder, PartBuilt, Recipe
from factory.build.layer_making import MadeLayer, Site, engine_states, make_layer
from factory.build.layer_tar import write_removals
from factory.build.layout import Inserted, LaidOut, OciLayout
from factory.build.made_layers import MadeLayers
from factory.build.package_layers import PackageLayer, TakenApart, take_apart
from factory.dockerfile.steps import parse_steps
from factory.engine.engine import Engine, Operand, mount_image, skopeo_words
from factory.engine.images import find_image
from factory.errors import EngineError, ImageError
from factory.files import exclusive, make_output_folder, scratch_folder
from factory.http.parallel import in_parallel
from factory.process import governor, run
from factory.tree import Entry, Tree

_LAYERS = "layers"
# Counted in the key of each layer: raised where a layer is made in another way.
_VERSION = 3
_COMMENTED_SIZE = re.compile(rb"#.*, (\d{1,15}) bytes")
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
    make_output_folder(request.layout)
    with (
        exclusive(request.layout),
        OciLayout.prepared(request.layout) as layout,
        scratch_folder() as folder,
        Tree.opened(folder) as locks,
    ):
        work = _Work(request=request, say=say, layout=layout, folder=locks, made=MadeLayers.read(layout))
        image = work.assemble()
        layout.remove_unused()
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
    layout: OciLayout
    folder: Tree
    made: MadeLayers
    parts: list[PartBuilt] = field(default_factory=list)
    missing: list[PackageLayer] = field(default_factory=list)

    def __post_init__(self) -> None:
        found = parse_steps(self.request.recipe.dockerfile)
        self.apart: TakenApart = take_apart(found)
        self.builder = PartBuilder(
            recipe=self.request.recipe, found=found, fresh=self.request.fresh, named=True, say=self.say
        )

    def assemble(self) -> LaidOut:
        """All of it, in order; the layers and what stands on them beside each other."""
        recipe, layers = self.request.recipe, self.apart.layers
        self.parts.extend(self.builder.stages())
        self._bring_out_locks()
        ground = self._ground()
        with self.folder.below(_LAYERS) as locks:
            keys = {layer.name: _key(recipe, layer, ground, locks) for layer in layers}
            self.missing = [
                layer for layer in layers if self.request.fresh or self.made.find(keys[layer.name]) is None
            ]
            staged = self.folder.root / "image"
            self._make(self._site(ground, locks), keys, staged)
        return self._insert([self.made.known[keys[layer.name]] for layer in layers], staged, ground)

    def _bring_out_locks(self) -> None:
        """Copy what the layers copy from the builder stage."""
        engine, image = self.request.recipe.engine, self.builder.images[self.apart.builder]
        with mount_image(engine, image) as tree:
            if tree is None or tree.status(_LAYERS) is None:
                raise EngineError(
                    f"podman does not show the folder /{_LAYERS} of the stage {self.apart.builder}",
                    solution=f"See to it that `podman image mount {image[:12]}` works.",
                )
            _copy_files(tree, self.folder)

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
        """Make as many layers at a time as there are CPUs: the one that takes longest first."""
        recipe = self.request.recipe
        waiting = deque(sorted(self.missing, key=lambda layer: -_effort(site.locks, layer)))
        at_once = min(os.cpu_count() or 1, len(waiting))
        engine_made = engine_states(site) if waiting else {}

        def work() -> None:
            while (layer := _next(waiting)) is not None:
                self.say(f"{recipe.name}: layer {layer.name}")
                made = make_layer(site, layer, engine_made, epoch=_epoch(recipe, layer))
                self.made.add(keys[layer.name], made)

        def tried(task: Callable[[], None]) -> None:
            ended = False
            try:
                task()
                ended = True
            finally:
                if not ended:
                    waiting.clear()  # after a failure no other layer is begun

        tasks: list[Callable[[], None]] = [work] * at_once
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
                "--dest-shared-blob-dir", self.layout.folder / "blobs",
                operands=[
                    Operand.in_storage("containers-storage", part.image),
                    Operand.in_layout(staged, "image"),
                ],
            )
        )  # fmt: skip

    def _insert(self, made: list[MadeLayer], staged: Path, ground: str) -> LaidOut:
        recipe = self.request.recipe
        removed = {path: above for layer in made for path, above in layer.removed.items()}
        inserted = [
            Inserted(blob=layer.blob, created_by=f"RUN {package.run}")
            for layer, package in zip(made, self.apart.layers, strict=True)
        ]
        if removed:
            epoch = _epoch(recipe, self.apart.layers[0])
            gone = write_removals(removed, self.layout.blobs, epoch=epoch)
            inserted.insert(0, Inserted(blob=gone, created_by="what the layers of packages replace"))
        return self.layout.insert(
            self.request.tag,
            staged,
            inserted,
            after=_layer_count(recipe.engine, ground),
            created=dt.datetime.fromtimestamp(recipe.epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _site(self, ground: str, locks: Tree) -> Site:
        recipe = self.request.recipe
        return Site(
            engine=recipe.engine,
            ground=ground,
            user=self.apart.layers[0].user,
            prefetched=recipe.prefetched or self.folder.root,
            locks=locks,
            blobs=self.layout.blobs,
            owner=recipe.owner,
        )


def _copy_files(source: Tree, target: Tree) -> None:
    """Copy a folder of folders of lock files; anything else, such as a link, could lead out of the image."""
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


def _key(recipe: Recipe, layer: PackageLayer, ground: str, locks: Tree) -> str:
    """The digest of all that decides what comes of a layer."""
    files = {entry.path: locks.read(entry.path).hex() for entry in locks.entries(layer.name)}
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


def _effort(locks: Tree, layer: PackageLayer) -> int:
    """Return how long a layer takes, in bytes of wheels: what its locks say, and what each package adds."""
    texts = [locks.read(entry.path) for entry in locks.entries(layer.name)]
    sizes = [size for text in texts for size in _COMMENTED_SIZE.findall(text)]
    return sum(map(int, sizes)) + _PACKAGE_BYTES * len(sizes)


def _layer_count(engine: Engine, image: str) -> int:
    found = find_image(engine, image)
    if found is None:
        raise EngineError(f"podman lost the image {image[:12]} that it just built", solution="Build again.")
    return len(found.layers)
