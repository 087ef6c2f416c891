"""The files of a flavor that no template makes and its hooks copy."""

import os
from collections.abc import Iterable
from pathlib import Path

from factory.errors import NotFoundError
from factory.files import read_regular, storage_error
from factory.render.drift import is_own_file
from factory.render.render import RenderedFile


def read_own_files(folder: Path, paths: Iterable[str]) -> tuple[RenderedFile, ...]:
    """Files of a flavor folder as they are, by their paths in it.

    Raises:
        NotFoundError: one is not there, or is a link.
        StorageError: one cannot be read.
    """
    return tuple(_read(folder, path) for path in paths)


def _read(folder: Path, path: str) -> RenderedFile:
    if not is_own_file(folder, path):
        raise NotFoundError(
            f"{folder / path} is not there, or is a link, and hooks.files names it",
            solution="Put the file there, or take it out of hooks.files.",
        )
    try:
        content = read_regular(folder / path)
    except OSError as error:
        raise storage_error(folder / path, error) from error
    return RenderedFile(path=path, content=content, executable=os.access(folder / path, os.X_OK))
