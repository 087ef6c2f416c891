"""Rules about the files of `factory konflux`: complete, current, and none left of removed flavors."""

from collections.abc import Iterator
from pathlib import Path

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import KonfluxError
from factory.flavor.kinds import IMAGES_FOLDER
from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Repository
from factory.konflux.files import (
    ComparedFile,
    compare_files,
    files_of,
    flavors_built,
    in_the_way,
    shared_files,
    strays,
    wanted_paths,
)
from factory.konflux.settings import DEFAULTS, Settings, read_konflux_settings
from factory.settings import FLAVORS_FOLDER, SETTINGS_FILE

_TO_ROOT = "../.."
_ALL = "Run `factory konflux --all`"


def read_konflux(root: Path) -> tuple[Settings | None, tuple[Problem, ...]]:
    """Return a repository's settings, None if it does not use Konflux; and FAC504 if invalid.

    Raises:
        StorageError: the file system refused.
    """
    try:
        return read_konflux_settings(root), ()
    except KonfluxError as error:
        return None, (_refused(SETTINGS_FILE, error),)


def check_pipeline_runs(subject: Subject) -> Iterator[Problem]:
    """Yield FAC501, FAC502 and FAC504 for the files of one image, if the repository uses Konflux.

    Files can be missing only for an image that Konflux builds (`flavors_built`): a new one needs none before
    `factory konflux` has written them. Konflux builds no image outside of ``flavors/`` and ``images/``.
    """
    folder = subject.flavor.folder
    if subject.konflux is None:
        return
    if subject.project is None or folder.parent.name not in {FLAVORS_FOLDER, IMAGES_FOLDER}:
        return
    root = folder.parents[1]
    try:
        files = files_of(subject.flavor, subject.konflux)
    except KonfluxError as error:
        if subject.flavor.is_flavor or _has_runs(root, subject.flavor.name, subject.konflux):
            yield _refused(PROJECT_FILE, error)
        return
    blocked = in_the_way(root, subject.konflux)
    if blocked is not None:
        yield _blocked(f"{_TO_ROOT}/{blocked}", subject.konflux)
        return
    if not _has_runs(root, subject.flavor.name, subject.konflux):
        return
    for item in compare_files(root, files):
        yield from _differing(
            item, f"{_TO_ROOT}/{item.file.path}", f"`factory konflux {subject.flavor.name}`"
        )


def _has_runs(root: Path, name: str, settings: Settings) -> bool:
    return bool(flavors_built(root, [name], (settings.out, DEFAULTS["out"])))


def check_shared_runs(repository: Repository, settings: Settings) -> tuple[Problem, ...]:
    """Return FAC501 to FAC504 for the files that belong to no single flavor.

    Raises:
        StorageError: the file system refused.
    """
    blocked = in_the_way(repository.root, settings)
    if blocked is not None:
        return (_blocked(blocked, settings),)
    names = [flavor.name for flavor in repository.flavors()]
    built = flavors_built(repository.root, names, (settings.out, DEFAULTS["out"]))
    try:
        files = shared_files(repository, settings, built)
    except KonfluxError as error:
        return (_refused(SETTINGS_FILE, error),)
    found = [
        problem
        for item in compare_files(repository.root, files)
        for problem in _differing(item, item.file.path, "`factory konflux --all`")
    ]
    wanted = wanted_paths(repository, settings, files)
    # Pipelines as Code reads .tekton, whatever the settings say.
    for path in strays(repository.root, (settings.out, DEFAULTS["out"]), wanted):
        message = "written by `factory konflux` for an image that no longer exists"
        if not path.startswith(f"{settings.out}/"):
            message = f"written by `factory konflux`, which writes to {settings.out} now"
        found.append(
            Problem(code="FAC503", path=path, message=message, solution=f"{_ALL}: it removes the file.")
        )
    return tuple(found)


def _differing(item: ComparedFile, path: str, command: str) -> Iterator[Problem]:
    if item.kind == "missing":
        message = "a file of `factory konflux` is missing"
        yield Problem(code="FAC501", path=path, message=message, solution=f"Run {command}.")
    elif item.kind == "changed":
        message = f"differs from what the spec and {SETTINGS_FILE} give"
        if item.replaced:
            message = "written by a release of the factory that shipped other bundles"
        solution = f"Run {command}. If the change was meant, make it in {SETTINGS_FILE}, for every flavor."
        yield Problem(code="FAC502", path=path, message=message, solution=solution)
    elif item.kind == "foreign":
        message = "is in the place of what `factory konflux` writes, and was not written by it"
        yield Problem(
            code="FAC502", path=path, message=message, solution=f"Move or remove it. Then run {command}."
        )


def _blocked(path: str, settings: Settings) -> Problem:
    message = f"is not a folder, and {settings.out} is that of the PipelineRuns"
    return Problem(
        code="FAC502",
        path=path,
        message=message,
        solution="Move or remove it. Then run `factory konflux --all`.",
    )


def _refused(path: str, error: KonfluxError) -> Problem:
    return Problem(code="FAC504", path=path, message=error.reason, solution=error.solution)
