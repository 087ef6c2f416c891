"""Make layers of packages: run the RUN of each in a container of its own, and write what that changed.

What a container's upper folder has more than that of one that did nothing is the layer. Installing may start
code of a package, which this process must not trust: a container's files are looked at only once no process
of it lives, and through directory descriptors, so that no link leads out (`factory.tree`). What of the image
below a layer replaced is recorded apart: it is removed below all of them, so that no layer hides what another
installs.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.build.layer_changes import Overlay, State, changes_since, states
from factory.build.layer_tar import LayerBlob, Ownership, folders_above, write_layer
from factory.build.package_layers import PackageLayer
from factory.documents import parse_json
from factory.engine.engine import Engine, Operand, call_engine, remove_container
from factory.engine.leftovers import Owner
from factory.errors import EngineError
from factory.prefetch.layout import MOUNT_POINT
from factory.process import Stop
from factory.tree import Tree

# A container whose run was killed, and that no later run comes to remove, ends by itself.
_MOST_SECONDS = 6 * 3600
_LAST_WORDS = 3000


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the layers of an image are made on and from.

    ``locks`` has the lock files of each layer, in a folder of its name; ``blobs`` is the folder for the
    layers, and ``owner`` what the containers are labelled with. ``user`` is who installs, None for the
    image's own.
    """

    engine: Engine
    ground: str
    user: str | None
    prefetched: Path
    locks: Tree
    blobs: Tree
    owner: Owner


@dataclass(frozen=True, kw_only=True)
class MadeLayer:
    """A layer's blob, and what it took away of the image below: paths with the folders above each."""

    blob: LayerBlob
    removed: Mapping[str, Mapping[str, Ownership]]


def make_layer(site: Site, layer: PackageLayer, engine_made: Mapping[str, State], *, epoch: int) -> MadeLayer:
    """Install a layer, and write it into the blobs of a layout.

    Args:
        site: what it is made on.
        layer: the layer.
        engine_made: what the engine puts into every container (`engine_states`).
        epoch: the modification time of every file.

    Raises:
        EngineError: its RUN failed, the engine starts no container, or its storage driver is not overlay.
        ProgramError, StorageError: as their names say.
    """
    what = f"The layer {layer.name}"
    with ended_container(site, layer.run, what=what, copied=layer) as overlay:
        changes = changes_since(overlay, engine_made)
        # Not from the upper folder: with overlay's metacopy a file there may have no content of its own.
        blob = write_layer(overlay.merged, changes.made, site.blobs, epoch=epoch)
        removed = {path: _owned(overlay.merged, folders_above(path)) for path in changes.removed}
        return MadeLayer(blob=blob, removed=removed)


def engine_states(site: Site) -> dict[str, State]:
    """Return what the engine itself puts into a container that does nothing.

    Raises:
        EngineError, ProgramError, StorageError: as for `make_layer`.
    """
    with ended_container(site, "true", what="A container that does nothing") as overlay:
        return states(overlay.upper)


@contextmanager
def ended_container(
    site: Site, script: str, *, what: str, copied: PackageLayer | None = None
) -> Iterator[Overlay]:
    """Run a script in a container of its own to the end of all its processes; give the container's folders.

    The script is the first process of its PID namespace: when it ends, the kernel ends all others
    (pid_namespaces(7)), so that none can change what is looked at.

    Args:
        site: what the container is made on.
        script: what it runs, for a shell.
        what: what that is for, for messages.
        copied: the layer whose lock files are copied into it before.

    Raises:
        EngineError: the script failed, or podman, or its storage driver is not overlay.
        ProgramError, StorageError: as their names say.
    """
    container = f"factory-layer-{os.urandom(6).hex()}"
    try:
        _create(site, container, script)
        if copied is not None:
            with _mounted(site.engine, container) as merged:
                _copy(site.locks, copied, merged)
        finished = call_engine(site.engine, "start", "--attach", operands=[Operand.container(container)])
        state = _inspect(site.engine, container)["State"]
        if state["Status"] != "exited" or state["Pid"] != 0:
            raise EngineError(
                f"{what} was not looked at: its container is {state['Status']}",
                solution="Run the same command again, and nothing beside it that starts its containers.",
            )
        if finished.status != 0 or state["ExitCode"] != 0:
            raise EngineError(
                f"{what} could not be made:\n{finished.stderr.strip()[-_LAST_WORDS:]}",
                solution="Fix what it names; layers that were made are kept for the next run.",
            )
        with _mounted(site.engine, container) as merged, ExitStack() as stack:
            yield _overlay(site.engine, container, merged, stack)
    finally:
        remove_container(site.engine, container)


def _create(site: Site, container: str, script: str) -> None:
    user = ["--user", site.user] if site.user else []
    created = call_engine(
        site.engine, "create", "--pull=never", "--name", container, "--label", site.owner.label,
        # Whatever containers.conf says: the namespaces are what ends and confines the processes.
        "--pid", "private", "--ipc", "private", "--network", "none", "--timeout", str(_MOST_SECONDS),
        *user, "--entrypoint", "/bin/sh", "--volume", f"{site.prefetched}:{MOUNT_POINT}:ro,z",
        operands=[Operand.image(site.ground)],
        arguments=["-c", script, "sh"],
    )  # fmt: skip
    if created.status != 0:
        raise EngineError(
            f"podman could not create a container: {created.stderr.strip()}",
            solution=f"See to it that `podman run --rm {site.ground[:12]} true` works.",
        )


@contextmanager
def _mounted(engine: Engine, container: str) -> Iterator[Tree]:
    """What a container that does not run sees."""
    operands = [Operand.container(container)]
    place = call_engine(engine, "mount", operands=operands, accept_failure=False).stdout.strip()
    try:
        with Tree.opened(Path(place)) as tree:
            yield tree
    finally:
        with Stop().governing():
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


def _copy(locks: Tree, layer: PackageLayer, merged: Tree) -> None:
    """Do what the COPY of a layer does."""
    target = layer.target.strip("/")
    merged.make_folder(target)
    for entry in locks.entries(layer.name):
        merged.write(f"{target}/{Path(entry.path).name}", locks.read(entry.path))


def _owned(tree: Tree, folders: Iterable[str]) -> dict[str, Ownership]:
    found = {folder: tree.status(folder) for folder in folders}
    return {
        path: (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        for path, status in found.items()
        if status is not None
    }
