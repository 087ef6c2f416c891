"""``factory konflux``: write the files that differ, once all of them are valid."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.console import Report, plural
from factory.errors import KonfluxError
from factory.files import read_text, storage_error
from factory.flavor.project import ImageFolder
from factory.flavor.repository import Flavor, Repository
from factory.konflux.bundles import OtherBundle
from factory.konflux.files import (
    ComparedFile,
    check_in_repository,
    compare_files,
    declared_names,
    files_of,
    flavors_built,
    in_the_way,
    is_of_others,
    left_out,
    shared_files,
    strays,
    wanted_paths,
)
from factory.konflux.settings import DEFAULTS, ChangedKey, Proposal, Settings, settings_with
from factory.lock.lockfile import named_beside_index
from factory.lock.lockset import lock_file_names
from factory.settings import SETTINGS_FILE
from factory.transaction import Replacement, open_transaction, read_before

Change = Literal["added", "changed", "removed", "same"]
_CHANGES: Mapping[str, Change] = {"missing": "added", "changed": "changed", "same": "same"}
_DID: Mapping[Change, str] = {
    "added": "written",
    "changed": "written again",
    "removed": "removed: nothing makes it any more",
}
_SHOWN_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class RunFileChange:
    """A file, by its path from the repository's root, and what a run does with it."""

    path: str
    change: Change


@dataclass(frozen=True, kw_only=True)
class OtherBundles:
    """A file, and the bundles in it that are not the factory's."""

    path: str
    bundles: tuple[OtherBundle, ...]


@dataclass(frozen=True, kw_only=True)
class Unbuildable:
    """A flavor whose build will fail: a lock file is ``missing``, or packages are in no index."""

    flavor: str
    missing: str | None = None
    beside_index: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KonfluxReport(Report):
    """What a run did, or would do: changed keys of ``factory.toml``, and every file.

    ``kept`` has the bundles that differ from the factory's by tag or digest, and stay; ``replaced`` those
    that gave way to the factory's, since the file was written by a release that shipped others.
    ``left_out`` has the flavors that no run checks since their names are not acceptable, each with why.
    ``unbuildable`` are those of ``flavors`` whose runs are written and will fail; ``without_runs`` are the
    images that were not named and cannot have any, each with why.
    """

    flavors: tuple[str, ...]
    out: str
    settings: tuple[ChangedKey, ...]
    files: tuple[RunFileChange, ...]
    kept: tuple[OtherBundles, ...]
    replaced: tuple[OtherBundles, ...]
    left_out: Mapping[str, str]
    unbuildable: tuple[Unbuildable, ...]
    without_runs: Mapping[str, str]
    dry_run: bool

    def describe(self) -> Iterator[str]:
        yield "\n".join(_lines(self))


def write_runs(
    repository: Repository,
    flavors: Iterable[ImageFolder],
    *,
    options: Mapping[str, str | None],
    every: bool,
    dry_run: bool = False,
) -> KonfluxReport:
    """Write the files of images and the shared ones; with ``every``, remove those of former images.

    If ``out`` changes, the files in the former folder are removed.

    Everything is made and compared before the first byte is written. Files that differ are replaced whole,
    except for the bundles that the repository has by another tag or digest.

    Raises:
        KonfluxError: the settings, an option or a flavor are not acceptable, or a file is not the factory's.
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
        without_runs = _without_runs(chosen, settings) if every else {}
        chosen = tuple(image for image in chosen if image.name not in without_runs)
        wanted = [file for image in chosen for file in files_of(image, settings)]
        former = [change.old or DEFAULTS["out"] for change in proposal.changes if change.key == "out"]
        names = [*(flavor.name for flavor in repository.flavors()), *declared_names(repository)]
        built = flavors_built(root, names, (settings.out, *former))
        shared = shared_files(repository, settings, built | {flavor.name for flavor in chosen})
        compared = compare_files(root, (*wanted, *shared))
        _refuse_foreign(compared)
        # Pipelines as Code reads .tekton, whatever the settings say.
        folders = (settings.out, *former, DEFAULTS["out"]) if every else former
        removed = strays(root, folders, wanted_paths(repository, settings, shared))
        if not dry_run:
            transaction.commit(_replacements(root, proposal, compared, removed))
    return KonfluxReport(
        flavors=tuple(flavor.name for flavor in chosen),
        out=settings.out,
        settings=proposal.changes,
        files=(
            *(RunFileChange(path=item.file.path, change=_CHANGES[item.kind]) for item in compared),
            *(RunFileChange(path=path, change="removed") for path in removed),
        ),
        kept=tuple(OtherBundles(path=item.file.path, bundles=item.kept) for item in compared if item.kept),
        replaced=tuple(
            OtherBundles(path=item.file.path, bundles=item.replaced) for item in compared if item.replaced
        ),
        left_out=left_out(repository, settings),
        unbuildable=tuple(item for flavor in chosen if (item := _unbuildable(flavor)) is not None),
        without_runs=without_runs,
        dry_run=dry_run,
    )


def _without_runs(images: Iterable[ImageFolder], settings: Settings) -> dict[str, str]:
    """Return the images that cannot have PipelineRuns, without flavors, each with why and what to do."""
    refused: dict[str, str] = {}
    for image in images:
        try:
            if not image.is_flavor:
                files_of(image, settings)
        except KonfluxError as error:
            refused[image.name] = f"{error.reason}. {error.solution}"
    return refused


def _refuse_in_the_way(root: Path, settings: Settings) -> None:
    path = in_the_way(root, settings)
    if path is not None:
        raise KonfluxError(
            f"{path} is not a folder, and {settings.out} is that of the PipelineRuns",
            solution="Move or remove what is there, and run the command again. Nothing was written.",
        )


def _check_out(root: Path, settings: Settings) -> None:
    """Refuse a folder outside of the repository, or with only foreign files.

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


def _refuse_foreign(compared: Iterable[ComparedFile]) -> None:
    foreign = [item.file.path for item in compared if item.kind == "foreign"]
    if foreign:
        raise KonfluxError(
            f"{', '.join(foreign)}: not written by `factory konflux`, and in the place of what it writes",
            solution="Move or remove what is there, and run the command again. Nothing was written.",
        )


def _replacements(
    root: Path, proposal: Proposal, compared: Iterable[ComparedFile], removed: Iterable[str]
) -> Iterator[Replacement]:
    contents: dict[str, bytes | None] = {
        item.file.path: item.file.content for item in compared if item.kind != "same"
    }
    if proposal.text is not None:
        contents[SETTINGS_FILE] = proposal.text.encode()
    for path, content in (contents | dict.fromkeys(removed)).items():
        yield Replacement(path=root / path, before=read_before(root / path), content=content)


def _unbuildable(flavor: Flavor) -> Unbuildable | None:
    """Find why a build would fail, without parsing locks: 100 would take seconds."""
    if not flavor.has_packages:
        return None
    beside: set[str] = set()
    for name in lock_file_names(flavor.project.spec):
        path = flavor.folder / name
        try:
            beside.update(named_beside_index(read_text(path, errors="replace")))
        except FileNotFoundError:
            return Unbuildable(flavor=flavor.name, missing=name)
        except OSError as error:
            raise storage_error(path, error) from error
    return Unbuildable(flavor=flavor.name, beside_index=tuple(sorted(beside))) if beside else None


def warnings_of(report: KonfluxReport, *, every: bool) -> Iterator[str]:
    """Yield warnings of a run for people, each in a line."""
    for item in report.unbuildable:
        if item.missing is not None:
            why = f"{item.flavor} is not locked: it has no {item.missing}"
            until = f"`factory lock {item.flavor}` has locked it"
        else:
            why = f"{item.flavor} has {', '.join(item.beside_index)} from a folder of wheels"
            until = f"its index has that, and `factory lock {item.flavor}` takes it from there"
        yield f"{why}; its build in Konflux will fail until {until}"
    if report.settings and not every:
        yield "the settings are those of every flavor: run `factory konflux --all` as well"


def _lines(report: KonfluxReport) -> Iterator[str]:
    """Yield one line for every setting and file that changes, and one that counts the files."""
    for setting in report.settings:
        verb = "would be" if report.dry_run else "is now"
        old = setting.old or DEFAULTS.get(setting.key)
        was = "" if old is None else f" (was {old!r})"
        yield f"{SETTINGS_FILE}: {setting.key} {verb} {setting.new!r}{was}"
    for file in report.files:
        if file.change != "same":
            yield f"{file.path}: {'would be ' if report.dry_run else ''}{_DID[file.change]}"
    for kept in report.kept:
        number = len(kept.bundles)
        bundles = plural(number, "bundle stays as it is", "bundles stay as they are")
        yield f"{kept.path}: {bundles}, by another tag or digest than the factory's"
    for file_replaced in report.replaced:
        yield from (f"{file_replaced.path}: {_replaced(item)}" for item in file_replaced.bundles)
    for name, reason in report.left_out.items():
        yield f"{name} is left out of the check of every flavor: {reason}"
    for name, reason in report.without_runs.items():
        yield f"{name} has no PipelineRuns: {reason}"
    counts = Counter(file.change for file in report.files)
    files, same = sum(counts.values()) - counts["removed"], counts["same"]
    unchanged = "" if not same else ", unchanged" if same == files else f", {same} of them unchanged"
    yield f"{plural(len(report.flavors), 'image')}, {plural(files, 'file')}{unchanged}"


def _replaced(item: OtherBundle) -> str:
    old, new = (_version(reference) for reference in (item.bundle, item.shipped))
    return f"the bundle of {item.task} is the factory's {new}, and was {old}"


def _version(reference: str) -> str:
    """Return the tag, and as much of the digest as distinguishes it."""
    name, _, digest = reference.partition("@sha256:")
    return f"{name.rpartition(':')[2]}@sha256:{digest[:_SHOWN_DIGITS]}"
