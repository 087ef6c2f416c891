"""Every file that `factory konflux` makes of a repository, and how those that are there differ from it."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from factory.errors import KonfluxError
from factory.files import is_temporary, storage_error
from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor, Repository
from factory.konflux.bundles import OtherBundle, keep_bundles
from factory.konflux.flavors_check import copied_pipeline, flavors_check_files
from factory.konflux.pipeline_run import EVENTS, MARK, PIPELINE, RunFile, file_path, flavor_files
from factory.konflux.settings import Settings

Kind = Literal["missing", "changed", "foreign", "same"]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A file as it has to be, and what is in its place: nothing, another text of ours, another's, or it.

    It has to be with the bundles of the text in its place, which are the repository's own: ``kept``. Where
    that text was written with other bundles than are shipped now, these take their place: ``replaced``.
    """

    file: RunFile
    kind: Kind
    kept: tuple[OtherBundle, ...] = ()
    replaced: tuple[OtherBundle, ...] = ()


def files_of(flavor: Flavor, settings: Settings) -> tuple[RunFile, ...]:
    """The files of one flavor.

    Raises:
        KonfluxError: it is not in the repository's ``flavors/``, or its name is not acceptable.
        SpecError, NotFoundError: its spec cannot be read.
    """
    return flavor_files(flavor.name, flavor.project.spec, settings)


def shared_files(repository: Repository, settings: Settings) -> tuple[RunFile, ...]:
    """The files that belong to no single flavor: the Pipelines and the runs that check every flavor.

    Raises:
        KonfluxError: a flavor has a name that is not acceptable, or the Tekton files are not there.
    """
    return (
        copied_pipeline(PIPELINE, settings),
        *flavors_check_files([flavor.name for flavor in in_repository(repository)], settings),
    )


def in_repository(repository: Repository) -> Iterator[Flavor]:
    """The folders of a repository that are flavors."""
    return (flavor for flavor in repository.flavors() if (flavor.folder / PROJECT_FILE).is_file())


def compare(root: Path, files: Iterable[RunFile]) -> tuple[Compared, ...]:
    """Files with what is in their places in the repository at root.

    Raises:
        StorageError: the file system refused.
    """
    return tuple(_compared(root / file.path, file) for file in files)


def wanted_paths(repository: Repository, settings: Settings, shared: Iterable[RunFile]) -> frozenset[str]:
    """The paths of everything that is to be there: what is shared, and the files of every flavor."""
    names = [flavor.name for flavor in in_repository(repository)]
    own = (file_path(name, event, settings) for name in names for event in EVENTS)
    return frozenset((*own, *(file.path for file in shared)))


def strays(root: Path, settings: Settings, wanted: Collection[str]) -> tuple[str, ...]:
    """The paths of files of ours that are not among those wanted, such as a flavor's that is gone.

    Raises:
        StorageError: the file system refused.
    """
    folder = root / settings.out
    if not folder.is_dir():
        return ()
    paths = (
        f"{settings.out}/{path.name}" for path in sorted(folder.glob("*.yaml")) if not is_temporary(path)
    )
    return tuple(path for path in paths if path not in wanted and _is_ours(root / path))


def is_of_others(folder: Path) -> bool:
    """Whether a folder has something in it, and no file of ours.

    Raises:
        StorageError: the file system refused.
    """
    try:
        found = [path for path in folder.iterdir() if not is_temporary(path)]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise storage_error(folder, error) from error
    return bool(found) and not any(_is_ours(path) for path in found)


def _compared(path: Path, file: RunFile) -> Compared:
    found = _content(path)
    if found is None:
        return Compared(file=file, kind="missing")
    if path.is_symlink() or not found.startswith(MARK.encode()):
        return Compared(file=file, kind="foreign")
    if found == file.content:
        return Compared(file=file, kind="same")
    content, others = keep_bundles(file.content, found)
    # The first line says with which bundles the text was written.
    if found.partition(b"\n")[0] != file.content.partition(b"\n")[0]:
        return Compared(file=file, kind="changed", replaced=others)
    kind: Kind = "same" if found == content else "changed"
    return Compared(file=replace(file, content=content), kind=kind, kept=others)


def _is_ours(path: Path) -> bool:
    found = None if path.is_symlink() else _content(path)
    return found is not None and found.startswith(MARK.encode())


def _content(path: Path) -> bytes | None:
    """The bytes of a file, those of a link's target as well; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b"" if path.is_symlink() else None
    except IsADirectoryError:
        return b""
    except OSError as error:
        raise storage_error(path, error) from error


def check_in_repository(flavor: Flavor, repository: Repository) -> None:
    """Refuse a flavor that is no folder of the repository's ``flavors/``.

    Raises:
        KonfluxError: it is somewhere else, and Konflux would not find it.
    """
    if flavor.folder.parent != repository.flavors_folder:
        raise KonfluxError(
            f"{flavor.folder} is not in {repository.flavors_folder}",
            solution="Konflux builds what is in the repository: move it there, or give another --root.",
        )
