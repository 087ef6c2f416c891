"""Every file that `factory konflux` writes for a repository, compared with the disk."""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from factory.errors import KonfluxError, LockFileError, SpecError
from factory.files import is_temporary, read_regular, storage_error
from factory.flavor.kinds import IMAGES_FOLDER
from factory.flavor.project import PROJECT_FILE, ImageFolder
from factory.flavor.repository import Flavor, Repository
from factory.konflux.bundles import OtherBundle, keep_bundles
from factory.konflux.flavors_check import copied_pipeline, flavors_check_files, shared_names
from factory.konflux.pipeline_run import (
    EVENTS,
    FLAVORS_CHECK,
    MARK,
    PIPELINE,
    RunFile,
    check_flavor_name,
    file_name,
    file_path,
    image_files,
)
from factory.konflux.settings import Settings
from factory.layers.contents import newest_upload
from factory.lock.lockset import read_lock_set
from factory.settings import FLAVORS_FOLDER

_RUN_STEM = re.compile(r"(?P<name>.+)-(?:pull-request|push)")
_IMAGE_FOLDERS = (FLAVORS_FOLDER, IMAGES_FOLDER)
_LISTED = re.compile(rb'^ +- "(?P<name>[^"\n]+)"$', re.MULTILINE)
Kind = Literal["missing", "changed", "foreign", "same"]


@dataclass(frozen=True, kw_only=True)
class ComparedFile:
    """A wanted file, and what its path holds: nothing, an older one of ours, a foreign one, or it.

    It has to have the bundles that the repository has on its own: ``kept``. If the text in its place was
    written with other bundles than are shipped now, those give way: ``replaced``.
    """

    file: RunFile
    kind: Kind
    kept: tuple[OtherBundle, ...] = ()
    replaced: tuple[OtherBundle, ...] = ()


def files_of(image: ImageFolder, settings: Settings) -> tuple[RunFile, ...]:
    """Return the files of one image; raises as `image_files` does."""
    epoch = _epoch(image) if settings.reproducible and image.has_packages else None
    return image_files(image, settings, epoch=epoch)


def _epoch(flavor: Flavor) -> int | None:
    """Return the newest upload in the lock; None if it has none or cannot be read.

    Not the commit's time, which `factory build` takes then: the file would follow from its own commit.
    """
    try:
        locks = read_lock_set(flavor.folder, flavor.project.spec)
    except LockFileError:
        return None
    return None if locks is None else newest_upload(locks)


def shared_files(repository: Repository, settings: Settings, built: Collection[str]) -> tuple[RunFile, ...]:
    """Return the files that belong to no single flavor: the Pipelines and the runs that check flavors.

    They check the flavors that Konflux builds (``built``), except for those of `left_out`.

    Raises:
        KonfluxError: the Tekton files are missing.
    """
    out = left_out(repository, settings)
    names = [flavor.name for flavor in in_repository(repository)]
    checked = [name for name in names if name in built and name not in out]
    return (copied_pipeline(PIPELINE, settings), *flavors_check_files(checked, settings))


def flavors_built(root: Path, names: Iterable[str], folders: Iterable[str]) -> frozenset[str]:
    """Return those flavors that `factory konflux` has written PipelineRuns of.

    A flavor without one is not built by Konflux, and needs none. It has one if a file is in the place of
    one, or if the run that checks flavors lists it: if somebody removed both files, that run still does.

    Args:
        root: the repository's.
        names: the flavors in question.
        folders: where PipelineRuns are or were, from the root.

    Raises:
        StorageError: the file system refused.
    """
    runs = [root / folder for folder in dict.fromkeys(folders)]
    checks = [folder / file_name(FLAVORS_CHECK, event) for folder in runs for event in EVENTS]
    listed = [_listed(run) for run in checks]
    return frozenset(
        name
        for name in names
        if any(name in each for each in listed)
        or any(os.path.lexists(folder / file_name(name, event)) for folder in runs for event in EVENTS)
    )


def _listed(run: Path) -> frozenset[str]:
    return _listed_names(_content(run) or b"") if _is_ours(run) else frozenset()


@lru_cache(maxsize=8)  # asked again for every flavor
def _listed_names(run: bytes) -> frozenset[str]:
    return frozenset(match["name"].decode(errors="replace") for match in _LISTED.finditer(run))


def left_out(repository: Repository, settings: Settings) -> dict[str, str]:
    """Return the flavors whose names cannot be in a PipelineRun, each with the reason."""
    refused: dict[str, str] = {}
    for flavor in in_repository(repository):
        try:
            check_flavor_name(flavor.name, settings)
        except KonfluxError as error:
            refused[flavor.name] = error.reason
    return refused


def in_repository(repository: Repository) -> Iterator[Flavor]:
    """Return the folders of a repository that are flavors."""
    return (flavor for flavor in repository.flavors() if (flavor.folder / PROJECT_FILE).is_file())


def declared_names(repository: Repository) -> tuple[str, ...]:
    """Return the names of the images that are no flavors; none if ``factory.toml`` cannot be read."""
    try:
        return tuple(image.name for image in repository.images() if not image.is_flavor)
    except SpecError:
        return ()


def compare_files(root: Path, files: Iterable[RunFile]) -> tuple[ComparedFile, ...]:
    """Compare files with what is in their places in the repository at root.

    Raises:
        StorageError: the file system refused.
    """
    return tuple(_compared(root / file.path, file) for file in files)


def wanted_paths(repository: Repository, settings: Settings, shared: Iterable[RunFile]) -> frozenset[str]:
    """Return the paths of all wanted files: the shared ones, and those of every image."""
    names = [*(flavor.name for flavor in in_repository(repository)), *declared_names(repository)]
    own = (file_path(name, event, settings) for name in names for event in EVENTS)
    return frozenset((*own, *(file.path for file in shared)))


def strays(root: Path, folders: Iterable[str], wanted: Collection[str]) -> tuple[str, ...]:
    """Return the paths of unwanted files of ours in folders, such as those of a removed flavor.

    A person's copy of one of ours is theirs, whatever its name. Skips a folder that leads
    out of the repository.

    Raises:
        KonfluxError: the Tekton files are missing.
        StorageError: the file system refused.
    """
    # By the folders that they lead to: one of two may be a link to the other, or to itself.
    real = {folder: Path(os.path.realpath(root / folder)) for folder in {*folders, *map(_folder_of, wanted)}}
    kept = {real[_folder_of(path)] / path.rpartition("/")[2] for path in wanted}
    found: dict[Path, str] = {}
    for folder in folders:
        if not real[folder].is_relative_to(root.resolve()) or not real[folder].is_dir():
            continue
        for path in sorted(real[folder].glob("*.yaml")):
            if path not in kept and not is_temporary(path) and _was_written_here(path):
                found.setdefault(path, f"{folder}/{path.name}")
    return tuple(found.values())


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def in_the_way(root: Path, settings: Settings) -> str | None:
    """Return a file's path in place of the runs' folder or its parents; else None."""
    folder = Path(settings.out)
    for path in (*reversed(folder.parents), folder):
        if os.path.lexists(root / path) and not (root / path).is_dir():
            return str(path)
    return None


def is_of_others(folder: Path) -> bool:
    """Return whether a folder has something in it, and no file of ours.

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


def _compared(path: Path, file: RunFile) -> ComparedFile:
    found = _content(path)
    if found is None:
        return ComparedFile(file=file, kind="missing")
    if path.is_symlink() or not found.startswith(MARK.encode()):
        return ComparedFile(file=file, kind="foreign")
    if found == file.content:
        return ComparedFile(file=file, kind="same")
    content, others = keep_bundles(file.content, found)
    # The first line names the bundles with which the text was written.
    if found.partition(b"\n")[0] != file.content.partition(b"\n")[0]:
        return ComparedFile(file=file, kind="changed", replaced=others)
    kind: Kind = "same" if found == content else "changed"
    return ComparedFile(file=replace(file, content=content), kind=kind, kept=others)


def _is_ours(path: Path) -> bool:
    found = None if path.is_symlink() else _content(path)
    return found is not None and found.startswith(MARK.encode())


def _was_written_here(path: Path) -> bool:
    """Return whether a file is ours, and under its own name."""
    if not _is_ours(path):
        return False
    content = _content(path) or b""
    stem = path.name.removesuffix(".yaml")
    run = _RUN_STEM.fullmatch(stem)
    if run is None:
        name = re.compile(rf'^  name: "?{re.escape(stem)}"?$'.encode(), re.MULTILINE)
        return stem in shared_names() and name.search(content) is not None
    own = tuple(f"{MARK} from {folder}/{run['name']}/{PROJECT_FILE}" for folder in _IMAGE_FOLDERS)
    headers = (f"{MARK} from the flavors' folders ",) if run["name"] == FLAVORS_CHECK else own
    return content.startswith(tuple(header.encode() for header in headers))


def _content(path: Path) -> bytes | None:
    """Return the bytes of a file or of a link's target; None without one."""
    if not path.is_file():
        return b"" if path.exists() or path.is_symlink() else None
    try:
        return read_regular(path)
    except OSError as error:
        raise storage_error(path, error) from error


def check_in_repository(flavor: ImageFolder, repository: Repository) -> None:
    """Refuse an image that is not in the repository's ``flavors/`` or ``images/``.

    Raises:
        KonfluxError: it is somewhere else, and Konflux would not find it.
    """
    place = repository.root / (FLAVORS_FOLDER if flavor.is_flavor else IMAGES_FOLDER)
    if flavor.folder.parent != place:
        raise KonfluxError(
            f"{flavor.folder} is not in {place}",
            solution="Konflux builds what is in the repository: move it there, or give another --root.",
        )
