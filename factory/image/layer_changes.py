"""What a container changed, read from the upper folder of its overlay mount.

overlayfs says that a file of the image below is gone with a character device 0/0 in its place, and that a
folder hides the one below with an attribute (kernel documentation, filesystems/overlayfs). It sets that
attribute on each new folder, also where nothing is below: what is removed is told by looking.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque")
_OWNED = ("st_mode", "st_uid", "st_gid")

State = tuple[int, ...]
"""What a path of an upper folder is known again by."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """The folders of a container's mount: what it changed, what it sees, and what is below, topmost first."""

    upper: Path
    merged: Path
    lowers: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What was made or changed, and which paths of the image below are gone; all relative, no order.

    ``touched_below``: something of the image below is gone, or is another now.
    """

    made: tuple[str, ...]
    removed: tuple[str, ...]
    touched_below: bool


def states(overlay: Overlay, *, apart_from: str) -> dict[str, State]:
    """What is in an upper folder before a change: what the engine itself and earlier changes put there.

    ``apart_from`` is a folder of the container, absolute, that counts as not there yet.
    """
    left_out = apart_from.strip("/")
    return {
        path: _seen(overlay.upper / path, status)
        for path, status in _walk(overlay.upper)
        if path != left_out and not path.startswith(f"{left_out}/")
    }


def changes_since(overlay: Overlay, before: Mapping[str, State]) -> Changes:
    """What came of a container since ``before`` (`states`).

    A folder that is as it is below is none of it: something was in it for a while, or it holds what is made.
    """
    below = _Below(overlay.lowers)
    made: list[str] = []
    removed: list[str] = []
    touched = False
    for path, status in _walk(overlay.upper):
        if path in before and before[path] == _seen(overlay.upper / path, status):
            continue
        if is_whiteout(status):
            removed.append(path)
            continue
        hidden = below.status(path)
        if not stat.S_ISDIR(status.st_mode):
            made.append(path)
        else:
            if hidden is not None and _is_opaque(overlay.upper / path):
                removed.append(path)
            if hidden is not None and _state(hidden) == _state(status) and path not in removed[-1:]:
                continue
            made.append(path)
        touched = touched or hidden is not None
    return Changes(made=tuple(made), removed=tuple(removed), touched_below=touched or bool(removed))


def is_whiteout(status: os.stat_result) -> bool:
    """Whether overlayfs says with this that the file below is gone."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


@dataclass
class _Below:
    """The images below a container, one on top of the other."""

    lowers: tuple[Path, ...]
    known: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def status(self, path: str) -> os.stat_result | None:
        """What is at a path; None where nothing is."""
        first, self.known[path] = self._look(path)
        return first

    def _folders(self, path: str) -> tuple[Path, ...]:
        if not path:
            return self.lowers
        if path not in self.known:
            self.known[path] = self._look(path)[1]
        return self.known[path]

    def _look(self, path: str) -> tuple[os.stat_result | None, tuple[Path, ...]]:
        above, _, name = path.rpartition("/")
        first: os.stat_result | None = None
        folders: list[Path] = []
        for place in self._folders(above):
            try:
                status = (place / name).lstat()
            except FileNotFoundError:
                continue
            if is_whiteout(status):
                break
            first = first or status
            if not stat.S_ISDIR(status.st_mode):
                break
            folders.append(place / name)
            if _is_opaque(place / name):
                break
        return first, tuple(folders)


def _walk(upper: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All that is in a folder, folders before what they hold."""
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(upper / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                status = entry.stat(follow_symlinks=False)
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)


def _state(status: os.stat_result) -> State:
    owned = tuple(getattr(status, name) for name in _OWNED)
    # A folder's times change with what is in it; overlayfs makes its whiteouts links to one inode.
    if stat.S_ISDIR(status.st_mode) or is_whiteout(status):
        return owned
    return (*owned, status.st_ino, status.st_ctime_ns)


def _seen(place: Path, status: os.stat_result) -> State:
    """What tells whether a path was changed: of a folder also whether it came to hide the one below."""
    state = _state(status)
    return (*state, _is_opaque(place)) if stat.S_ISDIR(status.st_mode) else state


def _is_opaque(folder: Path) -> bool:
    for attribute in _OPAQUE_ATTRIBUTES:
        try:
            if os.getxattr(folder, attribute) == b"y":
                return True
        except OSError:
            continue  # no such attribute, or none on this file system
    return False
