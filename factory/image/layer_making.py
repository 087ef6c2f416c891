"""Make one layer of packages: run its RUN in a container, and write what that changed as a blob.

Each layer has a container of its own on the same image, so that several are made at a time: what they install
is disjoint, and what a container's upper folder holds afterwards is the layer. What of the image below they
replaced is told apart: it is removed below all of them, so that no layer hides what another installs.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.errors import EngineError
from factory.hermetic.layout import MOUNT_POINT
from factory.image.engine import Engine
from factory.image.layer_changes import Overlay, changes_since, states
from factory.image.layer_tar import LayerBlob, Ownership, folders_above, write_layer
from factory.image.package_layers import PackageLayer
from factory.process import Stop, run

_LOCKS = "/factory-layers"
# What the COPY of a layer does, and then the layer's RUN as another user: two calls, as in a Dockerfile.
_COPY = 'mkdir -p "$1" && cp -r "$2". "$1" && chown -R 0:0 "$1" && chmod 0755 "$1" && chmod 0644 "$1"*'
# A container whose run was killed, and that no later run comes to remove, ends by itself.
_MOST_SECONDS = 6 * 3600
_LAST_WORDS = 3000


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where layers are made: the image that they stand on, and what a build of them mounts.

    ``locks`` is a folder with the lock files of each layer, in a folder of its name; ``blobs`` is where a
    layer comes to lie; ``mark`` a label for the containers, so that those of a killed run are found.
    """

    engine: Engine
    ground: str
    prefetched: Path
    locks: Path
    blobs: Path
    mark: str


@dataclass(frozen=True, kw_only=True)
class MadeLayer:
    """A layer's blob, and what it took away of the image below: paths with the folders above each."""

    blob: LayerBlob
    removed: Mapping[str, Mapping[str, Ownership]]


def make_layer(site: Site, layer: PackageLayer, *, epoch: int) -> MadeLayer:
    """Install a layer and write it into the blobs of a layout.

    Raises:
        EngineError: its RUN failed, or podman's storage driver is not overlay.
        ProgramError, StorageError: as their names say.
    """
    with _container(site) as container:
        overlay = mounted_overlay(site.engine, container)
        before = states(overlay)
        _exec(site.engine, container, "0", _COPY, layer, layer.target, f"{_LOCKS}/{layer.name}/")
        _exec(site.engine, container, layer.user, layer.run, layer)
        changes = changes_since(overlay, before)
        # Not from the upper folder: with overlay's metacopy a file there may have no content of its own.
        blob = write_layer(overlay.merged, changes.made, site.blobs, epoch=epoch)
        removed = {path: _owned(overlay.merged, folders_above(path)) for path in changes.removed}
        return MadeLayer(blob=blob, removed=removed)


def remove_left_behind(engine: Engine, mark: str) -> None:
    """Remove the containers of a run that was killed; none of another run may have the same mark.

    Raises:
        ProgramError: the engine does not work.
    """
    found = run([engine.program, "ps", "--all", "--quiet", "--filter", f"label={mark}"])
    for container in found.stdout.split():
        remove_container(engine, container)


def remove_container(engine: Engine, container: str) -> None:
    """Remove a container if it is there, also when the run was interrupted.

    Raises:
        ProgramError: the engine does not work.
    """
    with Stop().governing():
        run([engine.program, "rm", "--force", "--time", "0", container], accept_failure=True)


@contextmanager
def _container(site: Site) -> Iterator[str]:
    """A container that waits, with no network."""
    program = site.engine.program
    container = f"factory-layer-{os.urandom(6).hex()}"
    try:
        started = run(
            [
                # With --rm podman mounts the container volatile (overlayfs): nothing is flushed when it ends.
                program, "run", "--rm", "--detach", "--pull=never", "--name", container, "--network", "none",
                "--user", "0", "--entrypoint", "/bin/sh", "--label", site.mark,
                "--volume", f"{site.prefetched}:{MOUNT_POINT}:ro,z",
                "--volume", f"{site.locks}:{_LOCKS}:ro,z",
                site.ground, "-c", f"exec sleep {_MOST_SECONDS}",
            ],
            accept_failure=True,
        )  # fmt: skip
        if started.status != 0:
            raise EngineError(
                f"podman could not start a container: {started.stderr.strip()}",
                solution=f"See to it that `podman run --rm {site.ground[:12]} true` works.",
            )
        yield container
    finally:
        remove_container(site.engine, container)


def mounted_overlay(engine: Engine, container: str) -> Overlay:
    """The folders of a running container's mount.

    Raises:
        EngineError: podman's storage driver is not overlay.
        ProgramError: the container is not there.
    """
    told = run([engine.program, "inspect", "--format", "{{json .GraphDriver}}", container])
    driver = json.loads(told.stdout)
    data = driver.get("Data") or {}
    if driver.get("Name") != "overlay" or not {"UpperDir", "MergedDir", "LowerDir"} <= set(data):
        raise EngineError(
            "podman's storage driver is not overlay, and has no folder of what a container changed",
            solution="Build it with the engine: without --layout.",
        )
    return Overlay(
        upper=Path(data["UpperDir"]),
        merged=Path(data["MergedDir"]),
        lowers=tuple(Path(lower) for lower in data["LowerDir"].split(":")),
    )


def _owned(tree: Path, folders: tuple[str, ...]) -> dict[str, Ownership]:
    found = {folder: (tree / folder).lstat() for folder in folders}
    return {
        path: (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) for path, status in found.items()
    }


def _exec(
    engine: Engine, container: str, user: str | None, script: str, layer: PackageLayer, *arguments: str
) -> None:
    as_user = ["--user", user] if user else []
    finished = run(
        [engine.program, "exec", *as_user, container, "/bin/sh", "-c", script, "sh", *arguments],
        accept_failure=True,
    )
    if finished.status != 0:
        raise EngineError(
            f"the layer {layer.name} could not be made:\n{finished.stderr.strip()[-_LAST_WORDS:]}",
            solution="Mend what it names; layers that were made are kept for the next run.",
        )
