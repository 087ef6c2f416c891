"""Whether an artifact is the package that its name says: a digest proves only which bytes were locked."""

from pathlib import Path

from factory.errors import IndexContentError
from factory.files import storage_error
from factory.hermetic.problem import Problem
from factory.index.metadata import check_identity, wheel_metadata


def wrong_identity(path: Path, *, file_name: str) -> Problem | None:
    """What is wrong with the wheel at a path, of whatever name there, that is to be ``file_name``.

    An sdist is not opened: what it builds shows only when it is built.

    Raises:
        StorageError: the file system refused.
    """
    if not file_name.endswith(".whl"):
        return None
    try:
        with path.open("rb") as file:
            check_identity(wheel_metadata(file, of=file_name), of=file_name)
    except IndexContentError as error:
        return Problem(kind="package", text=error.reason)
    except OSError as error:
        raise storage_error(path, error) from error
    return None
