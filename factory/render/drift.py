"""Find how an image folder differs from its rendering, and render it again."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from factory.console import Report, plural
from factory.errors import FactoryError, NotFoundError
from factory.files import is_temporary, read_regular, storage_error
from factory.flavor.project import PROJECT_FILE, Project
from factory.flavor.repository import NO_IMAGES, Flavor
from factory.render.render import RenderedFile, render_flavor
from factory.transaction import Replacement, open_transaction, read_before

# Not generated from templates, and expected in a flavor folder. The rules on locks are in factory.check.
LOCK_FILES = frozenset({"requirements.txt"})


SBOM_FILE = "sbom.cdx.json"
"""The SBOM of a flavor that has one (`factory sbom --write`)."""


Kind = Literal["missing", "changed", "mode", "stray", "absent"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One path that is not as rendered: missing, changed, of the wrong mode, or stray.

    A stray folder is one path, which ends with a slash. ``absent`` is a missing file of the flavor's own that
    its hooks name: no template makes it.
    """

    path: str
    kind: Kind


def find_drift(flavor: Flavor, project: Project | None = None) -> tuple[Difference, ...]:
    """Return every difference between a folder and its rendering, by path.

    Only a flavor has stray files: of another image, what is not rendered is its owner's. Without
    ``project``, the folder's own project is rendered.

    Raises:
        SpecError, TemplateError, MarkerError: the flavor cannot be rendered.
    """
    wanted = project or flavor.project
    rendered = {file.path: file for file in render_flavor(wanted, name=flavor.name)}
    found = [
        Difference(path=path, kind=kind)
        for path, file in rendered.items()
        if (kind := _compare(flavor.folder / path, file)) is not None
    ]
    own = wanted.spec.hooks.files
    found += [Difference(path=path, kind="absent") for path in own if not is_own_file(flavor.folder, path)]
    # As `factory.lock.lockset` names the lock of a further index; it is later in the chain of imports.
    further = {f"requirements-{index.name}.txt" for index in wanted.spec.indexes}
    expected = {PROJECT_FILE, SBOM_FILE, *LOCK_FILES, *further, *rendered, *own}
    if flavor.is_flavor:
        found += [Difference(path=path, kind="stray") for path in _strays(flavor.folder, expected)]
    return tuple(sorted(found, key=lambda difference: difference.path))


def _compare(path: Path, file: RenderedFile) -> Kind | None:
    if path.is_symlink() or not path.is_file():
        return "missing" if not path.exists() else "changed"
    try:
        if read_regular(path) != file.content:
            return "changed"
    except OSError as error:
        raise storage_error(path, error) from error
    return None if os.access(path, os.X_OK) == file.executable else "mode"


def _strays(folder: Path, expected: set[str]) -> Iterator[str]:
    """Yield the unexpected paths below a folder, relative and POSIX; a whole folder as one if possible."""
    parents = {parent.as_posix() for path in expected for parent in PurePosixPath(path).parents}
    for path in folder.iterdir():
        if is_temporary(path):
            continue
        if not path.is_dir() or path.is_symlink():
            if path.name not in expected:
                yield path.name
        elif path.name in parents:
            start = f"{path.name}/"
            below = {name.removeprefix(start) for name in expected if name.startswith(start)}
            yield from (f"{path.name}/{stray}" for stray in _strays(path, below))
        elif path.name not in expected:
            yield f"{path.name}/"


def is_own_file(folder: Path, path: str) -> bool:
    """Return whether a file is in the folder itself; a context may hold links without targets."""
    ways = (folder / path, *(folder / parent for parent in PurePosixPath(path).parents[:-1]))
    return (folder / path).is_file() and not any(way.is_symlink() for way in ways)


def read_own_files(folder: Path, paths: Iterable[str]) -> tuple[RenderedFile, ...]:
    """Read files of a flavor folder, by their paths in it.

    Raises:
        NotFoundError: one is missing, or is a link.
        StorageError: one cannot be read.
    """
    return tuple(_read(folder, path) for path in paths)


def _read(folder: Path, path: str) -> RenderedFile:
    if not is_own_file(folder, path):
        raise NotFoundError(
            f"{folder / path} is not there, or is a link, and hooks.files names it",
            solution="Put the file there, or take it out of hooks.files.",
        )
    try:
        content = read_regular(folder / path)
    except OSError as error:
        raise storage_error(folder / path, error) from error
    return RenderedFile(path=path, content=content, executable=os.access(folder / path, os.X_OK))


@dataclass(frozen=True, kw_only=True)
class SyncedFlavor:
    """A flavor that was rendered again: what had drifted, or why it could not be rendered."""

    flavor: str
    differences: tuple[Difference, ...] = ()
    error: FactoryError | None = None


@dataclass(frozen=True, kw_only=True)
class SyncReport(Report):
    """The flavors that were rendered again, or would be, and the files of coding agents that were written."""

    flavors: tuple[SyncedFlavor, ...]
    dry_run: bool
    agent_files: tuple[str, ...] = ()

    def data(self) -> dict[str, object]:
        return {"flavors": self.flavors, "agent_files": self.agent_files}

    def failures(self) -> list[FactoryError]:
        return [outcome.error for outcome in self.flavors if outcome.error is not None]

    def describe(self) -> list[str]:
        verbs = _WOULD if self.dry_run else _DID
        lines = [
            f"{outcome.flavor}/{difference.path}: {verbs[difference.kind]}"
            for outcome in self.flavors
            for difference in outcome.differences
        ]
        lines += [f"{path}: {verbs['changed']}" for path in self.agent_files]
        if self.flavors and not lines and not self.failures():
            return [f"{plural(len(self.flavors), 'flavor')}: nothing has drifted"]
        return lines or ([] if self.flavors else [NO_IMAGES])


_LEFT = {"stray": "is stray, left alone", "absent": "is not there, and the hooks name it: put it there"}
_DID = _LEFT | {"missing": "written", "changed": "written", "mode": "mode set"}
_WOULD = _LEFT | {"missing": "would be written", "changed": "would be written", "mode": "mode would be set"}


def sync_flavors(flavors: Iterable[Flavor], *, dry_run: bool = False) -> SyncReport:
    """Bring flavors up to date together; one that cannot be rendered does not stop the others.

    Raises:
        BusyError, JournalError, StorageError: as for `Transaction.commit`; nothing was written.
    """
    chosen = tuple(flavors)
    outcomes: dict[Flavor, SyncedFlavor] = {}
    changes: list[Replacement] = []
    with open_transaction() as transaction:
        for flavor in sorted(chosen, key=lambda flavor: flavor.folder.resolve()):
            try:
                if not dry_run:
                    transaction.take(flavor.folder)
                differences = find_drift(flavor)
                changes += rendering_changes(flavor, flavor.project, differences)
                outcomes[flavor] = SyncedFlavor(flavor=flavor.name, differences=differences)
            except FactoryError as error:
                outcomes[flavor] = SyncedFlavor(flavor=flavor.name, error=error)
        if not dry_run:
            transaction.commit(changes)
    return SyncReport(flavors=tuple(outcomes[flavor] for flavor in chosen), dry_run=dry_run)


def sync_flavor(flavor: Flavor, *, dry_run: bool = False) -> tuple[Difference, ...]:
    """Bring the generated files of a flavor up to date, and return what had drifted.

    Stray files are returned and left alone, since they may be a person's work, and so are missing files of
    the flavor's own, which no template makes.

    Raises:
        SpecError, TemplateError, MarkerError: the flavor cannot be rendered; nothing was written.
        BusyError, JournalError, StorageError: as for `sync_flavors`.
    """
    (outcome,) = sync_flavors((flavor,), dry_run=dry_run).flavors
    if outcome.error is not None:
        raise outcome.error
    return outcome.differences


def rendering_changes(
    flavor: Flavor, project: Project, differences: Iterable[Difference]
) -> tuple[Replacement, ...]:
    """Return the changes that make the generated files of a flavor those of a project.

    Raises:
        TemplateError, MarkerError: the flavor cannot be rendered.
        StorageError: a file cannot be read.
    """
    rendered = {file.path: file for file in render_flavor(project, name=flavor.name)}
    drifted = [rendered[item.path] for item in differences if item.path in rendered]
    return tuple(
        Replacement(
            path=flavor.folder / file.path,
            before=read_before(flavor.folder / file.path),
            content=file.content,
            executable=file.executable,
        )
        for file in drifted
    )
