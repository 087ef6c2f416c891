"""Digests of what an image has at some paths: whether what is copied out of a stage has changed."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from factory.engine.engine import (
    Engine,
    Operand,
    call_engine,
    create_container,
    mount_image,
    remove_container,
)
from factory.engine.leftovers import Owner
from factory.errors import StorageError
from factory.files import scratch_folder
from factory.tree import Entry, Tree

LAYERS = "/layers"
_CAPABILITY = "security.capability"


def content_digests(engine: Engine, image: str, paths: Iterable[str], *, owner: Owner) -> dict[str, str]:
    """Return the SHA-256 over names, modes and contents below each path of an image.

    A path that is not there, or cannot be read here, has the image's ID instead. ``owner`` is whose the
    container is that this may take.

    Raises:
        ProgramError: the engine failed.
    """
    wanted = tuple(paths)
    with mount_image(engine, image) as tree:
        if tree is not None:
            return {path: tree_digest(tree, path) or image for path in wanted}
    container = create_container(engine, image, "--label", owner.label)
    try:
        with scratch_folder() as folder:
            return _copied(engine, container, image, wanted, folder)
    finally:
        remove_container(engine, container)


def _copied(
    engine: Engine, container: str, image: str, paths: tuple[str, ...], folder: Path
) -> dict[str, str]:
    digests = {}
    copies: dict[str, str | None] = {}
    with Tree.opened(folder) as tree:
        for path in paths:
            # All package layers are small files under one folder: one copy for all of them.
            top = LAYERS if path.startswith(f"{LAYERS}/") else path
            if top not in copies:
                copy = str(len(copies))
                operands = [Operand.inside(container, top), Operand.path(folder / copy)]
                done = call_engine(engine, "cp", operands=operands)
                copies[top] = copy if done.status == 0 else None
            found = copies[top]
            place = None if found is None else f"{found}/{path.removeprefix(top)}"
            digests[path] = image if place is None else tree_digest(tree, place) or image
    return digests


def tree_digest(tree: Tree, path: str) -> str | None:
    """Return the SHA-256 over a file, a link or a folder with all below it.

    Names, owners, modes and contents count, and the extended attributes that mean something in a container.
    None if nothing is there, the path is a link or leads through one: that is for a machine to follow, and
    this is another.
    """
    place = path.strip("/")
    try:
        top = _entry(tree, place)
        entries = (
            () if top is None else (top, *(sorted(tree.walk(place), key=_order) if top.is_folder else ()))
        )
        if top is None or top.is_link:
            return None
        digest = hashlib.sha256()
        for entry in entries:
            digest.update(_described(tree, entry, place))
    except StorageError:
        return None
    return digest.hexdigest()


def _entry(tree: Tree, place: str) -> Entry | None:
    if not place:
        with tree.folder() as folder:
            return Entry(path="", status=os.fstat(folder))
    status = tree.status(place)
    return None if status is None else Entry(path=place, status=status)


def _order(entry: Entry) -> list[str]:
    return entry.path.split("/")


def _described(tree: Tree, entry: Entry, place: str) -> bytes:
    status, content = entry.status, b""
    if entry.is_link:
        content = os.fsencode(tree.link_target(entry.path))
    elif entry.is_file:
        with tree.open(entry.path) as file:
            content = hashlib.sha256(file.read()).digest() + _attributes(file.fileno())
    name = os.fsencode(entry.path.removeprefix(place).strip("/") or ".")
    owner = b"%d:%d" % (status.st_uid, status.st_gid)
    return b"%d:%s:%o:%s:%d:%s;" % (len(name), name, status.st_mode, owner, len(content), content)


def _attributes(file: int) -> bytes:
    """File capabilities, and what users set; others tell of the file system and of a machine's policies."""
    names = [name for name in os.listxattr(file) if name == _CAPABILITY or name.startswith("user.")]
    return b"".join(b"%s=%s;" % (os.fsencode(name), os.getxattr(file, name)) for name in sorted(names))
