"""Install each layer of packages in a build container of its own, and write its changes.

The layer is the content of a container's upper folder beyond that of a container that did nothing. Installing
may start code of a package, which this process must not trust: a container's files are read only once all its
processes have ended, and through directory descriptors, so that no link leads out (`factory.tree`). Files of
the image below that a layer replaced are recorded separately: they are removed below all layers, so that no
layer hides what another installs.

overlayfs marks a file of the image below as removed with a character device 0/0 in its place, and a folder
that hides the one below with an attribute (kernel documentation, filesystems/overlayfs). It sets that
attribute on each new folder, even if nothing is below: removed files are found by comparing with the images
below.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from os import stat_result
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.build.layer_tar import LayerBlob, Ownership, folders_above, write_layer
from factory.build.package_layers import LayerInstall
from factory.clock import timed
from factory.documents import parse_json
from factory.engine.engine import Engine, Operand, call_engine, remove_container
from factory.engine.leftovers import ContainerOwner
from factory.errors import EngineError
from factory.prefetch.layout import MOUNT_POINT
from factory.process import Cancellation
from factory.tree import Tree

# A container whose run was killed, and that no later run removes, ends by itself.
_MAX_SECONDS = 6 * 3600
_SHOWN_CHARACTERS = 3000
_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque")

State = tuple[int, ...]
"""Mode, user, group and, of a folder, whether it hides the one below."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """The folders of a container's mount: what it changed, what it sees, and those below, topmost first."""

    upper: Tree
    merged: Tree
    lowers: tuple[Tree, ...]


@dataclass(frozen=True, kw_only=True)
class ContainerChanges:
    """Created or changed paths, and removed paths of the image below; relative, in no order."""

    made: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BuildContainer:
    """What the build containers of an image's layers share.

    ``base`` is the ID of the image that they are made of; ``user`` installs, None for the image's own.
    ``locks`` has the lock files of each layer, in a folder of its name; ``blobs`` is the folder for the
    layers, and ``owner`` that of the containers.
    """

    engine: Engine
    base: str
    user: str | None
    prefetched: Path
    locks: Tree
    blobs: Tree
    owner: ContainerOwner


@dataclass(frozen=True, kw_only=True)
class InstalledLayer:
    """A layer's blob, and the paths that it removed from the image below, with their folders."""

    blob: LayerBlob
    removed: Mapping[str, Mapping[str, Ownership]]


@timed("install")
def install_layer(
    setup: BuildContainer, layer: LayerInstall, engine_made: Mapping[str, State], *, epoch: int
) -> InstalledLayer:
    """Install a layer, and write it into the blobs of a layout.

    ``engine_made`` is what the engine puts into every container (`engine_states`); ``epoch`` is the
    modification time of every file.

    Raises:
        EngineError: its RUN failed, the engine starts no container, or its storage driver is not overlay.
        ProgramError, StorageError: as their names say.
    """
    what = f"The layer {layer.name}"
    with finished_container(setup, layer.run, what=what, copied=layer) as overlay:
        changes = changes_since(overlay, engine_made)
        # Not from the upper folder: with overlay's metacopy a file there may have no content of its own.
        blob = write_layer(overlay.merged, changes.made, setup.blobs, epoch=epoch)
        removed = {path: _ownerships(overlay.merged, folders_above(path)) for path in changes.removed}
        return InstalledLayer(blob=blob, removed=removed)


def engine_states(setup: BuildContainer) -> dict[str, State]:
    """Return the files that the engine itself puts into a container that does nothing.

    Raises:
        EngineError, ProgramError, StorageError: as for `install_layer`.
    """
    with finished_container(setup, "true", what="A container that does nothing") as overlay:
        return states(overlay.upper)


@contextmanager
def finished_container(
    setup: BuildContainer, script: str, *, what: str, copied: LayerInstall | None = None
) -> Iterator[Overlay]:
    """Run a script in a container until all its processes have ended; yield the container's folders.

    The script is the first process of its PID namespace: when it ends, the kernel ends all others
    (pid_namespaces(7)), so that none can change what is read.

    Args:
        setup: common to the containers of the image.
        script: a shell script.
        what: its purpose, for messages.
        copied: the layer whose lock files are copied into the container before.

    Raises:
        EngineError: the script failed, or podman, or its storage driver is not overlay.
        ProgramError, StorageError: as their names say.
    """
    container = f"factory-layer-{os.urandom(6).hex()}"
    try:
        _create(setup, container, script)
        if copied is not None:
            with _mounted(setup.engine, container) as merged:
                _copy(setup.locks, copied, merged)
        finished = call_engine(setup.engine, "start", "--attach", operands=[Operand.container(container)])
        state = _inspect(setup.engine, container)["State"]
        if state["Status"] != "exited" or state["Pid"] != 0:
            raise EngineError(
                f"{what} was not read: its container is {state['Status']}",
                solution="Run the same command again, and nothing beside it that starts its containers.",
            )
        if finished.status != 0 or state["ExitCode"] != 0:
            raise EngineError(
                f"{what} could not be made:\n{finished.stderr.strip()[-_SHOWN_CHARACTERS:]}",
                solution="Fix what it names; layers that were made are kept for the next run.",
            )
        with _mounted(setup.engine, container) as merged, ExitStack() as stack:
            yield _overlay(setup.engine, container, merged, stack)
    finally:
        remove_container(setup.engine, container)


def _create(setup: BuildContainer, container: str, script: str) -> None:
    user = ["--user", setup.user] if setup.user else []
    created = call_engine(
        setup.engine, "create", "--pull=never", "--name", container, "--label", setup.owner.label,
        # Regardless of containers.conf: the namespaces confine and end the processes.
        "--pid", "private", "--ipc", "private", "--network", "none", "--timeout", str(_MAX_SECONDS),
        *user, "--entrypoint", "/bin/sh", "--volume", f"{setup.prefetched}:{MOUNT_POINT}:ro,z",
        operands=[Operand.image(setup.base)],
        arguments=["-c", script, "sh"],
    )  # fmt: skip
    if created.status != 0:
        raise EngineError(
            f"podman could not create a container: {created.stderr.strip()}",
            solution=f"Check that `podman run --rm {setup.base[:12]} true` works.",
        )


@contextmanager
def _mounted(engine: Engine, container: str) -> Iterator[Tree]:
    """Yield the files of a container that is not running."""
    operands = [Operand.container(container)]
    place = call_engine(engine, "mount", operands=operands, accept_failure=False).stdout.strip()
    try:
        with Tree.opened(Path(place)) as tree:
            yield tree
    finally:
        with Cancellation().active():
            call_engine(engine, "unmount", operands=operands)


class _State(TypedDict):
    Status: str
    Pid: int
    ExitCode: int


class _Driver(TypedDict):
    Name: str
    Data: NotRequired[dict[str, str] | None]


class _Container(TypedDict):
    State: _State
    GraphDriver: _Driver


def _inspect(engine: Engine, container: str) -> _Container:
    operands = [Operand.container(container)]
    said = call_engine(engine, "container inspect", operands=operands, accept_failure=False).stdout
    source = f"what {engine.kind} says of a container"
    found = parse_json(said, list[_Container], source=source, error=EngineError)
    if not found:
        raise EngineError(f"{source} is an empty list", solution="Run the same command again.")
    return found[0]


def _overlay(engine: Engine, container: str, merged: Tree, stack: ExitStack) -> Overlay:
    """Open the folders of a mounted container.

    Raises:
        EngineError: podman's storage driver is not overlay.
    """
    driver = _inspect(engine, container)["GraphDriver"]
    data = driver.get("Data") or {}
    if driver["Name"] != "overlay" or not {"UpperDir", "LowerDir"} <= set(data):
        raise EngineError(
            "podman's storage driver is not overlay, and has no folder of what a container changed",
            solution="Build it with the engine: without --layout.",
        )
    lowers = data["LowerDir"].split(":")
    return Overlay(
        upper=stack.enter_context(Tree.opened(Path(data["UpperDir"]))),
        merged=merged,
        lowers=tuple(stack.enter_context(Tree.opened(Path(lower))) for lower in lowers),
    )


def _copy(locks: Tree, layer: LayerInstall, merged: Tree) -> None:
    """Copy a layer's lock files as its COPY would, through no link."""
    target = layer.target.strip("/")
    merged.make_folder(target)
    for entry in locks.entries(layer.name):
        merged.write(f"{target}/{Path(entry.path).name}", locks.read(entry.path))


def _ownerships(tree: Tree, folders: Iterable[str]) -> dict[str, Ownership]:
    found = {folder: tree.status(folder) for folder in folders}
    return {
        path: (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        for path, status in found.items()
        if status is not None
    }


def states(upper: Tree) -> dict[str, State]:
    """Return the upper folder's content of a container that changed nothing: the engine's own files."""
    return {entry.path: _state(upper, entry.path, entry.status) for entry in upper.walk()}


def changes_since(overlay: Overlay, before: Mapping[str, State]) -> ContainerChanges:
    """Return a container's changes.

    Skips folders that are the same below: something was in them temporarily, or below them is a change.
    ``before`` is what the engine puts into every container (`states`); no image has it.
    """
    below = _Below(overlay.lowers)
    made: list[str] = []
    removed: list[str] = []
    for entry in overlay.upper.walk():
        path, status = entry.path, entry.status
        if path in before and before[path] == _state(overlay.upper, path, status):
            continue
        if is_whiteout(status):
            removed.append(path)
            continue
        hidden = below.status(path) if entry.is_folder else None
        if hidden is not None:
            if _is_opaque(overlay.upper, path):
                removed.append(path)
            elif _mode_and_owner(hidden) == _mode_and_owner(status):
                continue
        made.append(path)
    return ContainerChanges(made=tuple(made), removed=tuple(removed))


def is_whiteout(status: stat_result) -> bool:
    """Return whether this is overlayfs' mark of a removed file."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


@dataclass
class _Below:
    """The images below a container, topmost first."""

    lowers: tuple[Tree, ...]
    known: dict[str, tuple[Tree, ...]] = field(default_factory=dict)

    def status(self, path: str) -> stat_result | None:
        """Return the status of a path; None if nothing exists there."""
        first, self.known[path] = self._look(path)
        return first

    def _folders(self, path: str) -> tuple[Tree, ...]:
        """Return the images whose folder of this path is seen, topmost first."""
        if not path:
            return self.lowers
        if path not in self.known:
            self.known[path] = self._look(path)[1]
        return self.known[path]

    def _look(self, path: str) -> tuple[stat_result | None, tuple[Tree, ...]]:
        first: stat_result | None = None
        folders: list[Tree] = []
        for lower in self._folders(path.rpartition("/")[0]):
            status = lower.status(path)
            if status is None:
                continue
            if is_whiteout(status):
                break
            first = first or status
            if not stat.S_ISDIR(status.st_mode):
                break
            folders.append(lower)
            if _is_opaque(lower, path):
                break
        return first, tuple(folders)


def _state(tree: Tree, path: str, status: stat_result) -> State:
    owned = _mode_and_owner(status)
    return (*owned, _is_opaque(tree, path)) if stat.S_ISDIR(status.st_mode) else owned


def _mode_and_owner(status: stat_result) -> State:
    return (status.st_mode, status.st_uid, status.st_gid)


def _is_opaque(tree: Tree, folder: str) -> bool:
    return any(tree.attribute(folder, name) == b"y" for name in _OPAQUE_ATTRIBUTES)
