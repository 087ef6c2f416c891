"""Keep what an image's build makes beside the image: the files of its stage ``wheel``, in a folder."""

import shutil
from pathlib import Path

from factory.engine.engine import Engine, Operand, call_engine, create_container, remove_container
from factory.engine.leftovers import Owner
from factory.errors import EngineError
from factory.files import storage_error, temporary_sibling
from factory.tree import Tree

STAGE = "wheel"
"""The stage of ``templates/pytorch-base`` that holds what took hours to compile, and nothing else."""


def keep_artifacts(engine: Engine, image: str, folder: Path, *, owner: Owner) -> Path:
    """Copy all files of a stage's image into a folder, which takes the place of an earlier one.

    Args:
        engine: where the image is.
        image: the ID of the stage's image.
        folder: where they go; the caller holds the lock of what it belongs to.
        owner: whose the container is that this takes.

    Raises:
        EngineError: the engine does not give them, or one is a link or a device.
        StorageError: the file system refused; what was in the folder is still there.
    """
    new, old = temporary_sibling(folder), temporary_sibling(folder)
    try:
        new.mkdir(parents=True)
        container = create_container(engine, image, "--label", owner.label)
        try:
            done = call_engine(engine, "cp", operands=[Operand.inside(container, "/."), Operand.path(new)])
        finally:
            remove_container(engine, container)
        if done.status != 0:
            raise EngineError(
                f"{engine.kind} does not give the files of the stage {STAGE}: {done.stderr.strip()}",
                solution="See whether the disk is full, and build again: what was built is kept.",
            )
        _require_files(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
    return folder


def _require_files(folder: Path) -> None:
    """Refuse what could lead elsewhere on this machine, or hang whoever reads it."""
    with Tree.opened(folder) as tree:
        for entry in tree.walk():
            if not (entry.is_file or entry.is_folder):
                raise EngineError(
                    f"/{entry.path} of the stage {STAGE} is no file",
                    solution="Have the stage make files and folders alone.",
                )
