"""Digests of what an image has at some paths: whether what is copied out of a stage has changed."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from factory.image.engine import Engine, Operand, call_engine, create_container, remove_container
from factory.image.mounting import mounted, without_links

LAYERS = "/layers"
_CAPABILITY = "security.capability"


def content_digests(engine: Engine, image: str, paths: Iterable[str]) -> dict[str, str]:
    """The SHA-256 over names, modes and contents below each path of an image.

    A path that is not there, or cannot be read here, has the image's ID instead.

    Raises:
        ProgramError: the engine failed.
    """
    wanted = tuple(paths)
    with mounted(engine, image) as tree:
        if tree is not None:
            places = {path: without_links(tree, path) for path in wanted}
            return {path: image if place is None else tree_digest(place) for path, place in places.items()}
    container = create_container(engine, image)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _copied(engine, container, image, wanted, Path(folder))
    finally:
        remove_container(engine, container)


def _copied(
    engine: Engine, container: str, image: str, paths: tuple[str, ...], folder: Path
) -> dict[str, str]:
    digests = {}
    copies: dict[str, Path | None] = {}
    for number, path in enumerate(paths):
        # All package layers are small files under one folder: one copy for all of them.
        top = LAYERS if path.startswith(f"{LAYERS}/") else path
        if top not in copies:
            copy = folder / str(number)
            done = call_engine(engine, "cp", operands=[Operand.inside(container, top), Operand.path(copy)])
            copies[top] = copy if done.status == 0 else None
        found = copies[top]
        place = None if found is None else found / path.removeprefix(top).strip("/")
        digests[path] = image if place is None or not os.path.lexists(place) else tree_digest(place)
    return digests


def tree_digest(place: Path) -> str:
    """The SHA-256 over a file, a link or a folder with all below it.

    Names, owners, modes and contents count, and the extended attributes that mean something in a container.
    """
    digest = hashlib.sha256()
    for path in (place, *sorted(place.rglob("*"))) if place.is_dir() else (place,):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).digest() + _attributes(path)
        name = os.fsencode(path.relative_to(place))
        owner = b"%d:%d" % (status.st_uid, status.st_gid)
        digest.update(b"%d:%s:%o:%s:%d:%s;" % (len(name), name, status.st_mode, owner, len(content), content))
    return digest.hexdigest()


def _attributes(path: Path) -> bytes:
    """File capabilities, and what users set; others tell of the file system and of a machine's policies."""
    names = [name for name in os.listxattr(path) if name == _CAPABILITY or name.startswith("user.")]
    return b"".join(b"%s=%s;" % (os.fsencode(name), os.getxattr(path, name)) for name in sorted(names))
