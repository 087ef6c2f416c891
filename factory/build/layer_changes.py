"""What a container changed, read from the upper folder of its overlay mount once no process of it lives.

overlayfs says that a file of the image below is gone with a character device 0/0 in its place, and that a
folder hides the one below with an attribute (kernel documentation, filesystems/overlayfs). It sets that
attribute on each new folder, also where nothing is below: what is removed is found by looking.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import stat_result

from factory.tree import Tree

_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque")

State = tuple[int, ...]
"""Mode, user, group and, of a folder, whether it hides the one below."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """The folders of a container's mount: what it changed, what it sees, and what is below, topmost first."""

    upper: Tree
    merged: Tree
    lowers: tuple[Tree, ...]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What was made or changed, and which paths of the image below are gone; all relative, no order."""

    made: tuple[str, ...]
    removed: tuple[str, ...]


def states(upper: Tree) -> dict[str, State]:
    """Return what is in the upper folder of a container that changed nothing: what the engine put there."""
    return {entry.path: _state(upper, entry.path, entry.status) for entry in upper.walk()}


def changes_since(overlay: Overlay, before: Mapping[str, State]) -> Changes:
    """Return what a container changed.

    A folder that is as it is below is left out: something was in it for a while, or it holds what is made.

    Args:
        overlay: the container's folders.
        before: what the engine puts into every container (`states`); no image has it.
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
            elif _owned(hidden) == _owned(status):
                continue
        made.append(path)
    return Changes(made=tuple(made), removed=tuple(removed))


def is_whiteout(status: stat_result) -> bool:
    """Return whether overlayfs says with this that the file below is gone."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


@dataclass
class _Below:
    """The images below a container, one on top of the other."""

    lowers: tuple[Tree, ...]
    known: dict[str, tuple[Tree, ...]] = field(default_factory=dict)

    def status(self, path: str) -> stat_result | None:
        """Return the status of what is at a path; None if nothing is."""
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
    owned = _owned(status)
    return (*owned, _is_opaque(tree, path)) if stat.S_ISDIR(status.st_mode) else owned


def _owned(status: stat_result) -> State:
    return (status.st_mode, status.st_uid, status.st_gid)


def _is_opaque(tree: Tree, folder: str) -> bool:
    return any(tree.attribute(folder, name) == b"y" for name in _OPAQUE_ATTRIBUTES)
