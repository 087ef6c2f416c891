"""The Tekton files that the factory ships, as `factory konflux` copies them into a repository."""

from functools import cache
from pathlib import Path

import factory
from factory.errors import KonfluxError


def pipeline_file(name: str) -> bytes:
    """The file of a Pipeline, by its name.

    Raises:
        KonfluxError: it is not installed.
    """
    return _read("pipelines", name)


def task_file(name: str) -> bytes:
    """The file of a Task, by its name.

    Raises:
        KonfluxError: it is not installed.
    """
    return _read("tasks", name)


@cache
def _read(kind: str, name: str) -> bytes:
    try:
        return (_folder() / kind / name / f"{name}.yaml").read_bytes()
    except OSError as error:
        raise KonfluxError(
            f"tekton/{kind}/{name}/{name}.yaml is not beside the factory: {error.strerror or error}",
            solution="Install the factory again: the wheel carries its Tekton files.",
        ) from error


@cache
def _folder() -> Path:
    """The folder of Tekton files: inside the package in a wheel, beside it in the repository."""
    package = Path(factory.__file__).parent
    inside = package / "tekton"
    return inside if inside.is_dir() else package.parent / "tekton"
