"""``factory init``: start a repository of images, whole or not at all, and overwrite nothing.

Everything is made in a scratch folder first, by the functions of new-flavor, new-image and konflux. Then what
the repository lacks is moved into it by one transaction.
"""

import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from factory.console import Report, Table, plural
from factory.errors import StorageError
from factory.files import is_temporary, read_regular, scratch_folder, storage_error
from factory.flavor.repository import Repository
from factory.init.agents import agent_files
from factory.init.ci import workflow_files, write_konflux_files
from factory.init.example import make_example
from factory.init.templates import render_text
from factory.konflux.settings import DEFAULTS, read_konflux_settings
from factory.settings import FLAVORS_FOLDER, SETTINGS_FILE
from factory.transaction import Change, NewFolder, Replacement, open_transaction, read_before

_IMAGES_FOLDER = "images"
_FOLDERS = (FLAVORS_FOLDER, _IMAGES_FOLDER)
# Git keeps no empty folder, and a clone without flavors/ would be no repository.
_KEEP = ".gitkeep"
_IGNORED, _PRE_COMMIT = ".gitignore", ".pre-commit-config.yaml"
_TEMPLATES = {
    SETTINGS_FILE: "factory.toml.j2",
    _IGNORED: "gitignore.j2",
    "README.md": "README.md.j2",
}
_YOURS = "it is yours"
InitChange = Literal["added", "changed", "left alone", "same"]


@dataclass(frozen=True, kw_only=True)
class InitRequest:
    """What a new repository is to have beside its settings and folders.

    ``application`` and ``output_image`` are settings of Konflux.
    """

    ci: tuple[str, ...] = ()
    pre_commit: bool = False
    example: bool = False
    agents: tuple[str, ...] = ()
    application: str | None = None
    output_image: str | None = None


@dataclass(frozen=True, kw_only=True)
class InitFile:
    """A file by its path from the root, and what a run does with it; ``note`` says why, or what it lacks."""

    path: str
    change: InitChange
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class InitReport(Report):
    """What a run wrote, or would write, and what it left alone."""

    root: Path
    files: tuple[InitFile, ...]
    example: tuple[str, ...]
    notes: tuple[str, ...]
    dry_run: bool

    def describe(self) -> Iterator[str | Table]:
        """Yield what is new, what was left alone, and the next commands."""
        new = [file for file in self.files if file.change in {"added", "changed"}]
        if new:
            yield f"{_BEGINNINGS[self.started, self.dry_run]} {self.root}:"
            would = "would be " if self.dry_run else ""
            rows = tuple((path, f"{would}{_DID[change]}") for path, change in _in_short(new))
            yield Table(headings=("FILE", "WHAT"), rows=rows)
        else:
            did = "would be" if self.dry_run else "was"
            yield f"{self.root} has all of it already: nothing {did} written"
        for file in self.files:
            if file.change == "left alone":
                yield f"{file.path}: left alone{f', {file.note}' if file.note else ''}"
        if new and not self.dry_run:
            yield from _next(self)

    @property
    def started(self) -> bool:
        """Whether the folder was no repository before, or had no settings."""
        return any(file.path == SETTINGS_FILE and file.change == "added" for file in self.files)


_BEGINNINGS = {
    (True, False): "Started a repository in",
    (True, True): "Would start a repository in",
    (False, False): "Added to the repository in",
    (False, True): "Would add to the repository in",
}
_DID = {"added": "written", "changed": "changed"}


def _next(report: InitReport) -> Iterator[str]:
    if report.root != Path.cwd():
        yield f"Next: cd {shlex.quote(str(report.root))}"
    if report.example:
        yield "Next: factory lock --all && factory build && factory test --all"
    elif report.started:
        yield "Next: factory new-flavor, or `factory init --example` for four images to start from"
    yield "`factory docs new-repository` leads from here to pushed images."


def _in_short(files: Iterable[InitFile]) -> Iterator[tuple[str, str]]:
    """Yield paths with changes, those of one image's folder or of the Tekton files as one."""
    counts: dict[tuple[str, str], int] = {}
    for file in files:
        parts = PurePosixPath(file.path).parts
        depth = 2 if parts[0] in _FOLDERS else 1 if parts[0] == "tekton" else len(parts)
        shown = "/".join(parts[:depth]) + ("/" if depth < len(parts) else "")
        counts[shown, file.change] = counts.get((shown, file.change), 0) + 1
    for (shown, change), count in counts.items():
        yield (f"{shown} ({plural(count, 'file')})" if shown.endswith("/") else shown), change


def init_repository(folder: Path, request: InitRequest, *, dry_run: bool = False) -> InitReport:
    """Start a repository in a folder, or add to one what it lacks; write all of it or nothing.

    Raises:
        SpecError, KonfluxError, TemplateError: something asked for is not acceptable; nothing was written.
        StorageError, BusyError, JournalError: the file system refused, or another run holds the folder.
    """
    root = folder.resolve()
    if root.exists() and not root.is_dir():
        raise StorageError(f"{root} is not a folder", solution="Name a folder, or a new one.")
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(_made_folders(root))
            transaction = held.enter_context(open_transaction([root]))
        made = _Made.of(root, request)
        if not dry_run:
            transaction.commit(_changes(root, made))
    return InitReport(root=root, files=made.files, example=made.images, notes=made.notes, dry_run=dry_run)


class _made_folders:  # noqa: N801 - used as a function
    """Make the root and its ``flavors/``, which makes it a repository; remove them if the run fails."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: list[Path] = []

    def __enter__(self) -> None:
        wanted = self._root / FLAVORS_FOLDER
        missing = [path for path in (wanted, *wanted.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir()
                self._made.append(path)
        except OSError as error:
            self._remove()
            raise storage_error(self._root, error) from error

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._remove()

    def _remove(self) -> None:
        for path in reversed(self._made):
            # Fails, as it should, if something is in it.
            with suppress(OSError):
                path.rmdir()


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What was made for a repository: each file's content and mode, what becomes of it, and the example."""

    contents: dict[str, tuple[bytes, bool]]
    files: tuple[InitFile, ...]
    images: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, root: Path, request: InitRequest) -> "_Made":
        """Make everything in a scratch folder, and compare it with the repository."""
        with scratch_folder() as scratch:
            staged = scratch / "repository"
            if request.example or "konflux" in request.ci:
                _copy_images(root, staged)
            own = _own_files(root, request)
            before = _put_settings(root, staged, own.pop(SETTINGS_FILE))
            example = make_example(Repository(staged)) if request.example else None
            if "konflux" in request.ci:
                write_konflux_files(
                    Repository(staged),
                    name=root.name,
                    application=request.application,
                    output_image=request.output_image,
                )
            made = {path: item for path, item in _contents(staged) if before.get(path) != item}
        agents = [file for agent in request.agents for file in agent_files(root, agent)]
        contents = {path: (content, False) for path, content in own.items()} | made
        contents |= dict.fromkeys(_kept(root, contents), (b"", False))
        contents |= {file.path: (file.content, False) for file in agents}
        # What is generated replaces what was generated.
        renewed = {*made, *(file.path for file in agents if file.state == "changed")}
        files = [_compared(root, path, content, path in renewed) for path, (content, _) in contents.items()]
        if SETTINGS_FILE not in made:
            files.append(InitFile(path=SETTINGS_FILE, change="left alone", note=_YOURS))
        files += [_existing(root, name) for name in (() if example is None else example.existing)]
        return cls(
            contents=contents,
            files=tuple(sorted(files, key=lambda file: file.path)),
            images=() if example is None else (*example.made, *example.existing),
            notes=() if example is None else example.notes,
        )


def _own_files(root: Path, request: InitRequest) -> dict[str, bytes]:
    values = {"name": root.name, "example": request.example, "ci": request.ci}
    wanted = {path: render_text(template, values) for path, template in _TEMPLATES.items()}
    wanted |= workflow_files(request.ci, values)
    if request.pre_commit:
        wanted[_PRE_COMMIT] = render_text("pre-commit-config.yaml.j2", values)
    return wanted


def _copy_images(root: Path, staged: Path) -> None:
    """Copy the images and PipelineRuns that are there: the example and Konflux's files are made with them."""
    konflux = read_konflux_settings(root)
    try:
        for name in (*_FOLDERS, DEFAULTS["out"] if konflux is None else konflux.out):
            if (root / name).is_dir():
                shutil.copytree(root / name, staged / name, symlinks=True, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise StorageError(
            f"{root} cannot be read: {error}", solution="Look at what the message names, then run it again."
        ) from error


def _put_settings(root: Path, staged: Path, default: bytes) -> dict[str, tuple[bytes, bool]]:
    """Put ``factory.toml`` into the scratch folder; return what the repository has of all that is there."""
    before = read_before(root / SETTINGS_FILE)
    (staged / FLAVORS_FOLDER).mkdir(parents=True, exist_ok=True)
    copied = dict(_contents(staged))
    (staged / SETTINGS_FILE).write_bytes(default if before is None else before)
    return copied if before is None else copied | {SETTINGS_FILE: (before, False)}


def _contents(staged: Path) -> Iterator[tuple[str, tuple[bytes, bool]]]:
    for path in sorted(staged.rglob("*")):
        if path.is_file() and not path.is_symlink() and not is_temporary(path):
            name = path.relative_to(staged).as_posix()
            if not name.startswith(".factory-journal/"):
                yield name, (read_regular(path), os.access(path, os.X_OK))


def _kept(root: Path, contents: Iterable[str]) -> Iterator[str]:
    """Yield the file that keeps each folder of images which has nothing in it."""
    for folder in _FOLDERS:
        empty = not (root / folder).is_dir() or not any((root / folder).iterdir())
        if empty and not any(path.startswith(f"{folder}/") for path in contents):
            yield f"{folder}/{_KEEP}"


def _existing(root: Path, image: str) -> InitFile:
    """Return an image of the example that is there already."""
    folder = next((name for name in _FOLDERS if (root / name / image).exists()), _IMAGES_FOLDER)
    return InitFile(path=f"{folder}/{image}/", change="left alone", note="it is there already")


def _compared(root: Path, path: str, content: bytes, renewed: bool) -> InitFile:  # noqa: FBT001
    found = read_before(root / path) if (root / path).is_file() else None
    if found is None and not os.path.lexists(root / path):
        return InitFile(path=path, change="added")
    if found == content:
        return InitFile(path=path, change="same")
    if renewed and found is not None:
        return InitFile(path=path, change="changed")
    return InitFile(path=path, change="left alone", note=_lacking(path, found, content))


def _lacking(path: str, found: bytes | None, content: bytes) -> str:
    """Say what a file that was there lacks, if it matters."""
    if path != _IGNORED or found is None:
        return _YOURS
    have = {line.strip(b" \t\r/") for line in found.splitlines()}
    lines = [line for line in content.splitlines() if line and not line.startswith(b"#")]
    lacking = [line.decode() for line in lines if line.strip(b"/") not in have]
    return f"{_YOURS}; it lacks {', '.join(lacking)}" if lacking else _YOURS


def _changes(root: Path, made: _Made) -> Iterator[Change]:
    """Yield the changes: a new folder of an image as a whole, each other file alone."""
    folders: dict[str, dict[str, tuple[bytes, bool]]] = {}
    for file in made.files:
        if file.change not in {"added", "changed"}:
            continue
        content, executable = made.contents[file.path]
        parts = PurePosixPath(file.path).parts
        image = "/".join(parts[:2])
        if parts[0] in _FOLDERS and len(parts) > len(_FOLDERS) and not (root / image).exists():
            folders.setdefault(image, {})["/".join(parts[2:])] = (content, executable)
        else:
            before = read_before(root / file.path)
            yield Replacement(path=root / file.path, before=before, content=content, executable=executable)
    for image, files in folders.items():
        yield NewFolder(path=root / image, files=files)
