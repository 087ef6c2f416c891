"""Make one layer of packages: run its RUN in a container, and write what that changed as a blob.

Each layer has a container of its own on the same image, so that several are made at a time: what they install
is disjoint, and what a container's upper folder holds afterwards is the layer.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.errors import EngineError
from factory.hermetic.layout import MOUNT_POINT
from factory.image.engine import Engine
from factory.image.layer_tar import LayerBlob, write_layer
from factory.image.package_layers import PackageLayer
from factory.process import run

_LOCKS = "/factory-layers"
# What the COPY of a layer does, and then the layer's RUN as another user: two calls, as in a Dockerfile.
_COPY = 'mkdir -p "$1" && cp -r "$2". "$1" && chown -R 0:0 "$1" && chmod 0755 "$1" && chmod 0644 "$1"*'
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


def make_layer(site: Site, layer: PackageLayer, *, epoch: int) -> LayerBlob:
    """Install a layer and write it into the blobs of a layout.

    Raises:
        EngineError: its RUN failed, or podman's storage driver is not overlay.
        ProgramError, StorageError: as their names say.
    """
    with _container(site) as (container, upper):
        begun = time.time()
        _exec(site.engine, container, "0", _COPY, layer, layer.target, f"{_LOCKS}/{layer.name}/")
        _exec(site.engine, container, layer.user, layer.run, layer)
        return write_layer(upper, _changed_since(upper, begun), site.blobs, epoch=epoch)


def remove_left_behind(engine: Engine, mark: str) -> None:
    """Remove the containers of a run that was killed; none of another run may have the same mark.

    Raises:
        ProgramError: the engine does not work.
    """
    found = run([engine.program, "ps", "--all", "--quiet", "--filter", f"label={mark}"])
    for container in found.stdout.split():
        run([engine.program, "rm", "--force", "--time", "0", container], accept_failure=True)


@contextmanager
def _container(site: Site) -> Iterator[tuple[str, Path]]:
    """A container that waits, with no network, and the folder that holds what it changes."""
    program = site.engine.program
    container = f"factory-layer-{os.urandom(6).hex()}"
    started = run(
        [
            # With --rm podman mounts the container volatile (overlayfs): nothing is flushed when it ends.
            program, "run", "--rm", "--detach", "--name", container, "--network", "none", "--user", "0",
            "--entrypoint", "/bin/sh",
            "--volume", f"{site.prefetched}:{MOUNT_POINT}:ro,z", "--volume", f"{site.locks}:{_LOCKS}:ro,z",
            "--label", site.mark, site.ground, "-c", "while :; do sleep 1000; done",
        ],
        accept_failure=True,
    )  # fmt: skip
    try:
        if started.status != 0:
            raise EngineError(
                f"podman could not start a container: {started.stderr.strip()}",
                solution=f"See to it that `podman run --rm {site.ground[:12]} true` works.",
            )
        told = run([program, "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", container])
        upper = told.stdout.strip()
        if not upper.startswith("/"):
            raise EngineError(
                "podman's storage driver is not overlay, and has no folder of what a container changed",
                solution="Build it with the engine: without --layout.",
            )
        yield container, Path(upper)
    finally:
        run([program, "rm", "--force", "--time", "0", container], accept_failure=True)


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


def _changed_since(upper: Path, moment: float) -> Iterator[str]:
    """What was made in a container after its start: files, links, and folders that hold nothing.

    What the engine itself put there, such as the mount points, is older.
    """
    for folder, folders, files in os.walk(upper):
        inside = os.path.relpath(folder, upper)
        prefix = "" if inside == "." else f"{inside}/"
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            if Path(folder, name).lstat().st_ctime >= moment:
                yield prefix + name
        if not files and not folders and prefix and Path(folder).lstat().st_ctime >= moment:
            yield inside
