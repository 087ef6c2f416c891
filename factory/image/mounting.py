"""Look at the files of an image where they lie, without a container: as root, with podman."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.image.engine import Engine, Operand, call_engine
from factory.process import Stop


@contextmanager
def mounted(engine: Engine, image: str) -> Iterator[Path | None]:
    """The root folder of an image, to read only; None where this user or this engine has no way to it.

    Several may have one at the same time: podman counts them. That of a run that was killed stays, and
    hinders nothing: podman removes the image all the same.

    Raises:
        ProgramError: the engine is not there, or the run was interrupted.
    """
    if engine.kind != "podman" or os.geteuid() != 0:
        yield None
        return
    done = call_engine(engine, "image mount", operands=[Operand.image(image)])
    if done.status != 0:
        yield None
        return
    try:
        yield Path(done.stdout.strip())
    finally:
        with Stop().governing():
            call_engine(engine, "image unmount", operands=[Operand.image(image)])


def without_links(tree: Path, path: str) -> Path | None:
    """The place of an image's absolute path in its mounted tree.

    None where nothing is there, or a link stands on the way: it would lead to a place of this machine.
    """
    place = tree
    for part in path.strip("/").split("/"):
        if part == ".." or place.is_symlink():
            return None
        place /= part
    return place if os.path.lexists(place) and not place.is_symlink() else None
