"""Rules about the files of `factory konflux`: complete, current, and none left of removed flavors."""

from collections.abc import Iterator
from pathlib import Path

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.errors import KonfluxError
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
    """Yield FAC501, FAC502 and FAC504 for the files of one flavor, if the repository uses Konflux.

    Files can be missing only for a flavor that Konflux builds (`flavors_built`): a new one needs none before
    `factory konflux` has written them. Konflux builds no flavor outside of ``flavors/``.
    """
    folder = subject.flavor.folder
    if subject.konflux is None or not subject.flavor.is_flavor:
        return
    if subject.project is None or folder.parent.name != FLAVORS_FOLDER:
        return
    try:
        files = files_of(subject.flavor, subject.konflux)
    except KonfluxError as error:
        yield _refused(PROJECT_FILE, error)
        return
    root = folder.parents[1]
    blocked = in_the_way(root, subject.konflux)
    if blocked is not None:
        yield _blocked(f"{_TO_ROOT}/{blocked}", subject.konflux)
        return
    if not flavors_built(root, [subject.flavor.name], (subject.konflux.out, DEFAULTS["out"])):
        return
    for item in compare_files(root, files):
        yield from _differing(
            item, f"{_TO_ROOT}/{item.file.path}", f"`factory konflux {subject.flavor.name}`"
        )


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
        message = "written by `factory konflux` for a flavor that no longer exists"
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
