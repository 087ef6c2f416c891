"""Make layers of packages: run the RUN of each in a container, and write what that changed as a blob.

Layers are installed on benches: containers on the same image, so that several are made at a time. What a
container's upper folder has more than before is the layer; it is cleared away before the next one, and a
bench where something of the image below was replaced serves no other, so that no layer depends on what was
made on its bench before. What of the image below a layer replaced is told apart: it is removed below all of
them, so that no layer hides what another installs.
"""

import errno
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.documents import parse_json
from factory.errors import EngineError
from factory.files import storage_error
from factory.hermetic.layout import MOUNT_POINT
from factory.image.engine import Engine, Operand, call_engine, remove_container
from factory.image.layer_changes import Overlay, changes_since, states
from factory.image.layer_tar import LayerBlob, Ownership, folders_above, write_layer
from factory.image.package_layers import PackageLayer

_LOCKS = "/factory-layers"
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


@dataclass(kw_only=True)
class Bench:
    """A container in which layers are installed, one after another, until one is ``used_up``."""

    site: Site
    container: str
    overlay: Overlay
    used_up: bool = False

    def make(self, layer: PackageLayer, *, epoch: int) -> MadeLayer:
        """Install a layer, write it into the blobs of a layout, and clear the bench for the next one.

        Raises:
            EngineError: its RUN failed. The bench serves no further layer.
            ProgramError, StorageError: as their names say.
        """
        before = states(self.overlay, apart_from=layer.target)
        _exec(self.site.engine, self.container, layer.user, layer.run, f"The layer {layer.name}")
        changes = changes_since(self.overlay, before)
        # Not from the upper folder: with overlay's metacopy a file there may have no content of its own.
        tree = self.overlay.merged
        blob = write_layer(tree, changes.made, self.site.blobs, epoch=epoch)
        removed = {path: _owned(tree, folders_above(path)) for path in changes.removed}
        self.used_up = changes.touched_below
        if not self.used_up:
            _clear(tree, changes.made)
        return MadeLayer(blob=blob, removed=removed)


@contextmanager
def bench(site: Site, layers: Sequence[PackageLayer]) -> Iterator[Bench]:
    """A bench for any of these layers: what their COPYs bring is there already.

    Raises:
        EngineError: the engine starts no container, or its storage driver is not overlay.
        ProgramError: as its name says.
    """
    with _container(site) as container:
        copies = " && ".join(_copy(layer) for layer in layers)
        _exec(site.engine, container, "0", copies, "What the layers copy")
        yield Bench(site=site, container=container, overlay=mounted_overlay(site.engine, container))


def remove_left_behind(engine: Engine, mark: str) -> None:
    """Remove the containers of a run that was killed; none of another run may have the same mark.

    Raises:
        ProgramError: the engine does not work.
    """
    found = call_engine(engine, "ps", "--all", "--quiet", "--filter", f"label={mark}", accept_failure=False)
    for container in found.stdout.split():
        remove_container(engine, container)


@contextmanager
def _container(site: Site) -> Iterator[str]:
    """A container that waits, with no network."""
    container = f"factory-layer-{os.urandom(6).hex()}"
    try:
        started = call_engine(
            # With --rm podman mounts the container volatile (overlayfs): nothing is flushed when it ends.
            site.engine, "run", "--rm", "--detach", "--pull=never", "--name", container, "--network", "none",
            "--user", "0", "--entrypoint", "/bin/sh", "--label", site.mark,
            "--volume", f"{site.prefetched}:{MOUNT_POINT}:ro,z",
            "--volume", f"{site.locks}:{_LOCKS}:ro,z",
            operands=[Operand.image(site.ground)],
            arguments=["-c", f"exec sleep {_MOST_SECONDS}"],
        )  # fmt: skip
        if started.status != 0:
            raise EngineError(
                f"podman could not start a container: {started.stderr.strip()}",
                solution=f"See to it that `podman run --rm {site.ground[:12]} true` works.",
            )
        yield container
    finally:
        remove_container(site.engine, container)


class _Driver(TypedDict):
    Name: str
    Data: NotRequired[dict[str, str] | None]


def mounted_overlay(engine: Engine, container: str) -> Overlay:
    """The folders of a running container's mount.

    Raises:
        EngineError: podman's storage driver is not overlay.
        ProgramError: the container is not there.
    """
    form = ("--format", "{{json .GraphDriver}}")
    told = call_engine(
        engine, "inspect", *form, operands=[Operand.container(container)], accept_failure=False
    )
    driver = parse_json(told.stdout, _Driver, source="what podman says of its storage", error=EngineError)
    data = driver.get("Data") or {}
    if driver["Name"] != "overlay" or not {"UpperDir", "MergedDir", "LowerDir"} <= set(data):
        raise EngineError(
            "podman's storage driver is not overlay, and has no folder of what a container changed",
            solution="Build it with the engine: without --layout.",
        )
    return Overlay(
        upper=Path(data["UpperDir"]),
        merged=Path(data["MergedDir"]),
        lowers=tuple(Path(lower) for lower in data["LowerDir"].split(":")),
    )


def _clear(tree: Path, made: Iterable[str]) -> None:
    """Remove what was made, folders after what they hold; all are real ones, so that no link leads out."""
    for path in sorted(made, reverse=True):
        place = tree / path
        try:
            if stat.S_ISDIR(place.lstat().st_mode):
                place.rmdir()
            else:
                place.unlink()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise storage_error(place, error) from error


def _owned(tree: Path, folders: tuple[str, ...]) -> dict[str, Ownership]:
    found = {folder: (tree / folder).lstat() for folder in folders}
    return {
        path: (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) for path, status in found.items()
    }


def _copy(layer: PackageLayer) -> str:
    """What the COPY of a layer does, for a shell."""
    source, target = shlex.quote(f"{_LOCKS}/{layer.name}"), shlex.quote(layer.target.rstrip("/"))
    return (
        f"mkdir -p {target} && cp -r {source}/. {target} && chown -R 0:0 {target} && "
        f"chmod 0755 {target} && chmod 0644 {target}/*"
    )


def _exec(engine: Engine, container: str, user: str | None, script: str, what: str) -> None:
    as_user = ["--user", user] if user else []
    shell = ("/bin/sh", "-c", script, "sh")
    finished = call_engine(engine, "exec", *as_user, operands=[Operand.container(container)], arguments=shell)
    if finished.status != 0:
        raise EngineError(
            f"{what} could not be made:\n{finished.stderr.strip()[-_LAST_WORDS:]}",
            solution="Mend what it names; layers that were made are kept for the next run.",
        )
