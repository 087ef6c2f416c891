"""The build context: a temporary folder with the declared inputs of an image, and nothing else."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from factory.errors import ImageError
from factory.files import open_regular, storage_error, temporary_sibling
from factory.images.inputs import InputFile

_CHUNK_BYTES = 1 << 20


@contextmanager
def build_context(folder: Path, inputs: Mapping[str, InputFile], work: Path) -> Iterator[Path]:
    """A folder in ``work`` with the inputs of an image, gone when the block ends.

    A file that is not declared cannot get into the image this way. Modes are 755 and 644 whatever they are in
    ``folder``: whether a file can be executed is all that its identity knows.

    Raises:
        ImageError: a file has changed since the identity was read.
        StorageError: the file system refused.
    """
    context = temporary_sibling(work / "context")
    try:
        context.mkdir()
        for path, wanted in inputs.items():
            _copy(folder, path, wanted, context)
        for made in (
            context,
            *(path for path in context.rglob("*") if path.is_dir() and not path.is_symlink()),
        ):
            # What mkdir makes has the umask of whoever builds, and COPY takes it into the image.
            made.chmod(0o755)
        yield context
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(context, ignore_errors=True)


def _copy(folder: Path, path: str, wanted: InputFile, context: Path) -> None:
    source, copy = folder / path, context / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        copy.symlink_to(source.readlink())
        target = source.resolve()
        if target.is_file() and not (context / target.relative_to(folder.resolve())).exists():
            # What a link shows is an input as well.
            _put(target, context / target.relative_to(folder.resolve()), executable=wanted.executable)
        return
    if _put(source, copy, executable=wanted.executable) != wanted.sha256:
        raise ImageError(
            f"{source} was changed while its image was being planned",
            solution="Run the same command again.",
        )


def _put(source: Path, copy: Path, *, executable: bool) -> str:
    """Copy a file in chunks; return the SHA-256 of what was copied."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open_regular(source) as file, copy.open("wb") as written:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            written.write(chunk)
    os.chmod(copy, 0o755 if executable else 0o644)  # noqa: PTH101 - one call for both
    return digest.hexdigest()
