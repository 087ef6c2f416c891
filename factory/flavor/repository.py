"""The repository root, its ``flavors/`` folder, and the flavors in it."""

import shlex
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from factory.errors import NotFoundError
from factory.files import is_temporary
from factory.flavor.project import PROJECT_FILE, Project, read_project
from factory.settings import FLAVORS_FOLDER
from factory.transaction import finish_interrupted, repository_of

_FEW = 10


@dataclass(frozen=True)
class Flavor:
    """A flavor folder, whose project is read on first use."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def project(self) -> Project:
        """The content of its ``pyproject.toml``; raises as `read_project` does."""
        return read_project(self.folder)


@dataclass(frozen=True)
class Repository:
    """A folder that holds ``flavors/``; ``finished`` reports what was done about interrupted changes."""

    root: Path
    finished: tuple[str, ...] = field(default=(), compare=False)

    @property
    def flavors_folder(self) -> Path:
        """The folder of the flavors."""
        return self.root / FLAVORS_FOLDER

    def flavors(self) -> tuple[Flavor, ...]:
        """Return every folder under ``flavors/``, by name; the rules report one that is not a flavor."""
        return tuple(
            Flavor(folder)
            for folder in sorted(self.flavors_folder.iterdir())
            if folder.is_dir() and not folder.name.startswith(".") and not is_temporary(folder)
        )

    def flavor(self, name_or_path: str) -> Flavor:
        """Return a flavor by its folder name or by a path.

        Raises:
            NotFoundError: there is no such flavor.
        """
        for folder in (self.flavors_folder / name_or_path, Path(name_or_path)):
            if (folder / PROJECT_FILE).is_file():
                return Flavor(_absolute(folder))
        raise NotFoundError(
            f"there is no flavor {name_or_path!r} under {self.flavors_folder}",
            solution=f"Name one of those that are there ({self._known(name_or_path)}), "
            "or give the path of a flavor folder.",
        )

    def _known(self, wanted: str) -> str:
        """Name the flavors, or the likeliest of them if they are many."""
        names = [flavor.name for flavor in self.flavors()]
        if len(names) <= _FEW:
            return ", ".join(names) or "none yet"
        likely = get_close_matches(wanted, names, n=3)
        return ", ".join((*likely, f"`factory list` shows all {len(names)}"))

    def select(self, names: tuple[str, ...]) -> tuple[Flavor, ...]:
        """Return the named flavors, each once and in that order, or every flavor if none is named.

        Raises:
            NotFoundError: one of them does not exist.
        """
        if not names:
            return self.flavors()
        return tuple(dict.fromkeys(self.flavor(name) for name in names))


def _absolute(folder: Path) -> Path:
    """Return an absolute path whose last part is unchanged: a link keeps its own name."""
    if folder.name in {"", ".."}:
        return folder.resolve()
    return folder.parent.resolve() / folder.name


def find_repository(root: Path | None, *, start: Path, flavors: tuple[str, ...] = ()) -> Repository:
    """Return the repository at root or, without one, at the nearest folder upwards that holds ``flavors/``.

    Outside of a repository, return that of the flavors that are given as paths; a flavor that stands alone is
    in the folder around it. Interrupted changes are finished or reverted first (`factory.transaction`).

    Raises:
        NotFoundError: there is no repository.
        JournalError, BusyError, StorageError: as for `finish_interrupted`.
    """
    repository = _find(root, start=start, flavors=flavors)
    given = [path for path in map(Path, flavors) if (path / PROJECT_FILE).is_file()]
    flavors_here = repository.flavors() if repository.flavors_folder.is_dir() else ()
    linked = [flavor.folder for flavor in flavors_here if flavor.folder.is_symlink()]
    places = (repository.flavors_folder, *given, *linked)
    roots = dict.fromkeys((repository.root, *(repository_of(place.resolve()) for place in places)))
    return replace(repository, finished=tuple(said for place in roots for said in finish_interrupted(place)))


def _find(root: Path | None, *, start: Path, flavors: tuple[str, ...]) -> Repository:
    if root is not None:
        if not (root / FLAVORS_FOLDER).is_dir():
            raise NotFoundError(
                f"{root} holds no {FLAVORS_FOLDER}/",
                solution=f"Make it with `mkdir -p {shlex.quote(str(root / FLAVORS_FOLDER))}`, or give "
                "another --root.",
            )
        return Repository(root.resolve())
    named = [Path(flavor).resolve() for flavor in flavors if (Path(flavor) / PROJECT_FILE).is_file()]
    for place in (start, *named):
        for folder in (place, *place.parents):
            if (folder / FLAVORS_FOLDER).is_dir():
                return Repository(folder)
    if named:
        return Repository(named[0].parent)
    raise NotFoundError(
        f"neither {start} nor a folder above it holds {FLAVORS_FOLDER}/",
        solution=f"Go into the repository, give --root, or start one with `mkdir {FLAVORS_FOLDER}`.",
    )
