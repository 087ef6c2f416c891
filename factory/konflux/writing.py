"""Write the PipelineRuns of a repository: what differs, and only that, once all of it is known to be good."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.errors import KonfluxError
from factory.flavor.repository import Flavor, Repository
from factory.konflux.buildable import Unbuildable, unbuildable
from factory.konflux.bundles import OtherBundle
from factory.konflux.options import Changed, Proposal, settings_with
from factory.konflux.settings import DEFAULTS, Settings
from factory.konflux.wanted import (
    Compared,
    check_in_repository,
    compare,
    files_of,
    flavors_built,
    in_the_way,
    is_of_others,
    left_out,
    shared_files,
    strays,
    wanted_paths,
)
from factory.settings import SETTINGS_FILE
from factory.transaction import Replacement, open_transaction, read_before

Change = Literal["added", "changed", "removed", "same"]
_CHANGES: Mapping[str, Change] = {"missing": "added", "changed": "changed", "same": "same"}


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A file of the repository, by its path from the root, and what a run does with it."""

    path: str
    change: Change


@dataclass(frozen=True, kw_only=True)
class OtherBundles:
    """A file, and the bundles in it that are not the factory's."""

    path: str
    bundles: tuple[OtherBundle, ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a run did, or would do: the keys of ``factory.toml`` that it set, and every file that it makes.

    ``kept`` has the bundles that differ from the factory's by tag or digest, and stay; ``replaced`` those
    that gave way to the factory's, since the file was written by a release that shipped others.
    ``left_out`` has the flavors whose names are not acceptable, each with why: no run checks them.
    ``unbuildable`` are those of ``flavors`` whose runs are written and will fail.
    """

    flavors: tuple[str, ...]
    out: str
    settings: tuple[Changed, ...]
    files: tuple[FileChange, ...]
    kept: tuple[OtherBundles, ...]
    replaced: tuple[OtherBundles, ...]
    left_out: Mapping[str, str]
    unbuildable: tuple[Unbuildable, ...]
    dry_run: bool


def write_runs(
    repository: Repository,
    flavors: Iterable[Flavor],
    *,
    options: Mapping[str, str | None],
    every: bool,
    dry_run: bool = False,
) -> Written:
    """Write the files of flavors and those that all share; with ``every``, remove those of flavors gone.

    Those in the folder of before are removed wherever ``out`` is another now.

    Everything is made and compared before the first byte is written. Files that differ are replaced whole,
    with the bundles that the repository has by another tag or digest.

    Raises:
        KonfluxError: the settings, an option or a flavor are not acceptable, or a file is somebody else's.
        SpecError, NotFoundError: a flavor's spec cannot be read.
        StorageError, BusyError: the file system refused, or another run is at work.
    """
    chosen = tuple(flavors)
    for flavor in chosen:
        check_in_repository(flavor, repository)
    root = repository.root
    with open_transaction([] if dry_run else [root]) as transaction:
        proposal = settings_with(root, options)
        settings = proposal.settings
        _refuse_in_the_way(root, settings)
        _check_out(root, settings)
        wanted = [file for flavor in chosen for file in files_of(flavor, settings)]
        former = [change.old or DEFAULTS["out"] for change in proposal.changes if change.key == "out"]
        names = [flavor.name for flavor in repository.flavors()]
        built = flavors_built(root, names, (settings.out, *former))
        shared = shared_files(repository, settings, built | {flavor.name for flavor in chosen})
        compared = compare(root, (*wanted, *shared))
        _refuse_foreign(compared)
        # Pipelines as Code reads .tekton, whatever the settings say.
        folders = (settings.out, *former, DEFAULTS["out"]) if every else former
        gone = strays(root, folders, wanted_paths(repository, settings, shared))
        if not dry_run:
            transaction.commit(_changes(root, proposal, compared, gone))
    return Written(
        flavors=tuple(flavor.name for flavor in chosen),
        out=settings.out,
        settings=proposal.changes,
        files=(
            *(FileChange(path=item.file.path, change=_CHANGES[item.kind]) for item in compared),
            *(FileChange(path=path, change="removed") for path in gone),
        ),
        kept=tuple(OtherBundles(path=item.file.path, bundles=item.kept) for item in compared if item.kept),
        replaced=tuple(
            OtherBundles(path=item.file.path, bundles=item.replaced) for item in compared if item.replaced
        ),
        left_out=left_out(repository, settings),
        unbuildable=unbuildable(chosen),
        dry_run=dry_run,
    )


def _refuse_foreign(compared: Iterable[Compared]) -> None:
    foreign = [item.file.path for item in compared if item.kind == "foreign"]
    if foreign:
        raise KonfluxError(
            f"{', '.join(foreign)}: not written by `factory konflux`, and in the place of what it writes",
            solution="Move or remove what is there, and run the command again. Nothing was written.",
        )


def _refuse_in_the_way(root: Path, settings: Settings) -> None:
    path = in_the_way(root, settings)
    if path is not None:
        raise KonfluxError(
            f"{path} is no folder, and {settings.out} is that of the PipelineRuns",
            solution="Move or remove what is there, and run the command again. Nothing was written.",
        )


def _changes(
    root: Path, proposal: Proposal, compared: Iterable[Compared], gone: Iterable[str]
) -> Iterator[Replacement]:
    contents: dict[str, bytes | None] = {
        item.file.path: item.file.content for item in compared if item.kind != "same"
    }
    if proposal.text is not None:
        contents[SETTINGS_FILE] = proposal.text.encode()
    for path, content in (contents | dict.fromkeys(gone)).items():
        yield Replacement(path=root / path, before=read_before(root / path), content=content)


def _check_out(root: Path, settings: Settings) -> None:
    """Refuse a folder in which the files would be outside of the repository, or among somebody else's.

    `.tekton` is for all PipelineRuns of a repository; any other folder has ours, or is new or empty.
    """
    out = root / settings.out
    if not out.resolve().is_relative_to(root.resolve()):
        raise KonfluxError(
            f"{settings.out} leads out of the repository",
            solution="Remove the link, or give another folder with --out.",
        )
    if settings.out != DEFAULTS["out"] and is_of_others(out):
        raise KonfluxError(
            f"{settings.out} holds what `factory konflux` did not write, and nothing of its own",
            solution="Give a new or empty folder with --out; Pipelines as Code reads .tekton alone.",
        )
