"""Look at the files of an image where they are, without a container: as root, with podman."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.engine.engine import Engine, Operand, call_engine
from factory.process import Stop
from factory.tree import Tree


@contextmanager
def mounted(engine: Engine, image: str) -> Iterator[Tree | None]:
    """Give the root folder of an image, to read only; None if this user or this engine has no way to it.

    No process has it: what is in it does not change, and a link in it is never followed. Several may have one
    at the same time: podman counts them. That of a run that was killed stays, and hinders nothing: podman
    removes the image all the same.

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
        with Tree.opened(Path(done.stdout.strip())) as tree:
            yield tree
    finally:
        with Stop().governing():
            call_engine(engine, "image unmount", operands=[Operand.image(image)])
