"""The times of an image, so that the same inputs make the same image.

The variable is that of the Reproducible Builds project's specification of ``SOURCE_DATE_EPOCH``. All times
are in seconds since 1970.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from factory.errors import ImageError
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue
from factory.images.definitions import ImageDefinition
from factory.images.inputs import read_inputs
from factory.layers.contents import layer_epochs, newest_upload
from factory.lock.lockset import require_lock_set
from factory.process import run

VARIABLE = "SOURCE_DATE_EPOCH"
STAGE_EPOCH = 315_532_800
"""1980-01-01: for stages that files are only copied out of. zip archives know no earlier time."""
# Paths in one call of git: the length of a command line is limited.
_PATHS_PER_CALL = 500


def image_epoch(repository: Repository, name: str, environment: Mapping[str, str]) -> int:
    """Return the time that `factory build` gives an image.

    With it, another builder such as buildah in a Tekton Task builds one commit to one digest.

    Raises:
        NotFoundError, SpecError: there is no such image, or its definition is not acceptable.
        LockFileError: the flavor is not locked.
        ImageError: an input is missing, or SOURCE_DATE_EPOCH is no time.
    """
    definition = read_catalogue(repository).definition(name)
    epoch, _ = build_epochs(definition, read_inputs(definition), environment)
    return epoch


def build_epochs(
    definition: ImageDefinition, inputs: Iterable[str], environment: Mapping[str, str]
) -> tuple[int, dict[str, int | None]]:
    """Return the time of an image, and those of its package layers, so that a fix in one moves no other.

    A layer's is None if the lock records none. ``SOURCE_DATE_EPOCH`` is the time of all of them.

    Raises:
        LockFileError: the flavor is not locked.
        ImageError: the variable is no time.
    """
    newest: int | None = None
    layers: dict[str, int | None] = {}
    if definition.flavor is not None and _variable_epoch(environment) is None:
        spec = definition.flavor.project.spec
        locks = require_lock_set(definition.flavor.folder, spec)
        newest, layers = newest_upload(locks), layer_epochs(locks, spec.package_layers)
    epoch = choose_epoch(environment, newest_upload=newest, folder=definition.folder, inputs=inputs)
    return epoch, layers


def choose_epoch(
    environment: Mapping[str, str], *, newest_upload: int | None, folder: Path, inputs: Iterable[str]
) -> int:
    """Return the time of the variable, else the newest upload, else the commit, else 0.

    Args:
        environment: where the variable may be.
        newest_upload: of what the lock names; None if it records none.
        folder: the image's.
        inputs: its declared inputs, relative to the folder; the newest commit that changed one counts.

    Raises:
        ImageError: the variable is set and no whole number of seconds from 0 on.
    """
    if (said := _variable_epoch(environment)) is not None:
        return said
    if newest_upload is not None:
        return newest_upload
    return commit_epoch(folder, inputs) or 0


def _variable_epoch(environment: Mapping[str, str]) -> int | None:
    """Return the time in ``SOURCE_DATE_EPOCH``; None if it is not set or empty."""
    value = environment.get(VARIABLE, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise ImageError(
            f"{VARIABLE} is {value!r}, which is no time",
            solution="Set it to seconds since 1970, as `git log -1 --format=%ct` prints them, or unset it.",
        )
    return int(value)


def commit_epoch(folder: Path, paths: Iterable[str]) -> int | None:
    """Return when a commit last changed one of the files at ``paths``, relative to the folder.

    None if git does not know, or in a shallow clone, which has the time of its last commit for every file.
    """
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return None
    if _git(folder, "rev-parse", "--is-shallow-repository") != "false":
        return None
    wanted = sorted(paths)
    parts = [wanted[start : start + _PATHS_PER_CALL] for start in range(0, len(wanted), _PATHS_PER_CALL)]
    times = [_git(folder, "--literal-pathspecs", "log", "-1", "--format=%ct", "--", *part) for part in parts]
    return max((int(time) for time in times if time.isdigit()), default=None)


def _git(folder: Path, *words: str) -> str:
    """Return what git prints; nothing if it refuses."""
    finished = run(("git", "-C", folder, *words), accept_failure=True)
    return finished.stdout.strip() if finished.status == 0 else ""
