"""The repository root and its images: the flavors in ``flavors/``, and what ``factory.toml`` declares."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from factory.console import did_you_mean
from factory.errors import NotFoundError
from factory.files import is_temporary
from factory.flavor.kinds import IMAGES_FOLDER, IMAGES_TABLE, DeclaredImage, read_declared_images
from factory.flavor.project import PROJECT_FILE, ImageFolder
from factory.pages import docs_command
from factory.settings import FLAVORS_FOLDER, SETTINGS_FILE, read_settings
from factory.transaction import finish_interrupted, repository_of

Flavor = ImageFolder
"""An image folder that is a flavor."""

NO_IMAGES = "no images yet: make one with `factory new-flavor`"
"""What a command says of a repository that it has nothing to do in."""


@dataclass(frozen=True)
class Repository:
    """A folder that holds ``flavors/``; ``finished`` reports what was done about interrupted changes."""

    root: Path
    finished: tuple[str, ...] = field(default=(), compare=False)

    @property
    def flavors_folder(self) -> Path:
        """The folder of the flavors."""
        return self.root / FLAVORS_FOLDER

    def flavors(self) -> tuple[ImageFolder, ...]:
        """Return every folder under ``flavors/``, by name; the rules report one that is not a flavor."""
        return tuple(
            ImageFolder(folder)
            for folder in sorted(self.flavors_folder.iterdir())
            if folder.is_dir() and not folder.name.startswith(".") and not is_temporary(folder)
        )

    def images(self) -> tuple[ImageFolder, ...]:
        """Return every image: the flavors, then those of ``[images]``, each after its parents.

        Raises:
            SpecError: ``factory.toml`` cannot be read, or a kind or a parent in it is not acceptable.
        """
        flavors = self.flavors() if self.flavors_folder.is_dir() else ()
        found = {flavor.name: flavor for flavor in flavors}
        declared = self._declared(found)
        for name in sorted(declared):
            self._add(name, declared, found)
        return tuple(found.values())

    def _declared(self, flavors: Mapping[str, ImageFolder]) -> dict[str, DeclaredImage]:
        names = {name for name, flavor in flavors.items() if (flavor.folder / PROJECT_FILE).exists()}
        return read_declared_images(read_settings(self.root), root=self.root, flavors=names)

    def _add(self, name: str, declared: Mapping[str, DeclaredImage], found: dict[str, ImageFolder]) -> None:
        """Add a declared image to those found, its parents first."""
        if name in found:
            return
        image = declared[name]
        for parent in image.parents:
            if parent.image in declared:
                self._add(parent.image, declared, found)
        found[name] = ImageFolder(
            self.root / IMAGES_FOLDER / name,
            kind=image.kind,
            parents=image.parents,
            parent=found.get(image.parents[0].image) if image.parents else None,
        )

    def flavor(self, name_or_path: str) -> ImageFolder:
        """Return a flavor by its folder name or by a path.

        Raises:
            NotFoundError: there is no such flavor.
        """
        found = self._flavor(name_or_path)
        if found is None:
            names = [flavor.name for flavor in self.flavors()]
            raise NotFoundError(
                f"there is no flavor {name_or_path!r} under {self.flavors_folder}",
                solution=f"{did_you_mean(name_or_path, names, listing='factory list')} "
                "Or give the path of a flavor folder.",
            )
        return found

    def _flavor(self, name_or_path: str) -> ImageFolder | None:
        for folder in (self.flavors_folder / name_or_path, Path(name_or_path)):
            if (folder / PROJECT_FILE).is_file() and not self._is_below_images(folder):
                return ImageFolder(_absolute(folder))
        return None

    def _is_below_images(self, folder: Path) -> bool:
        return _absolute(folder).parent == self.root / IMAGES_FOLDER

    def select_flavors(self, names: Iterable[str] = ()) -> tuple[ImageFolder, ...]:
        """Return the named flavors, each once and in that order, or every flavor if none is named.

        Raises:
            NotFoundError: one of them does not exist.
        """
        named = tuple(names)
        return tuple(dict.fromkeys(map(self.flavor, named))) if named else self.flavors()

    def image(self, name_or_path: str) -> ImageFolder:
        """Return an image of any kind, by its name or by the path of its folder.

        Raises:
            NotFoundError: there is no such image.
            SpecError: ``factory.toml`` cannot be read; it is not read for a flavor.
        """
        flavor = self._flavor(name_or_path)
        if flavor is not None:
            return flavor
        images = self.images()
        folder = _absolute(Path(name_or_path))
        for image in images:
            if name_or_path == image.name or (not image.is_flavor and image.folder == folder):
                return image
        if self._is_below_images(folder) and folder.is_dir():
            raise NotFoundError(
                f"{folder} is no image: {SETTINGS_FILE} has no table [{IMAGES_TABLE}.{folder.name}]",
                solution="Add the table, with the image's kind and its parent; "
                f"{docs_command('images')} shows a whole one.",
            )
        names = [image.name for image in images]
        raise NotFoundError(
            f"there is no image {name_or_path!r} in {self.root}",
            solution=f"{did_you_mean(name_or_path, names, listing='factory list')} "
            f"Or give the path of an image folder; a new one is declared in {SETTINGS_FILE} as "
            f"[{IMAGES_TABLE}.NAME].",
        )

    def select(self, names: Iterable[str] = ()) -> tuple[ImageFolder, ...]:
        """Return the named images that install packages, each once and in that order; all if none is named.

        Raises:
            NotFoundError: one of them does not exist, or installs no packages.
            SpecError: as for `images`.
        """
        named = tuple(names)
        if not named:
            return tuple(image for image in self.images() if image.has_packages)
        return tuple(require_packages(image) for image in self.select_any(named))

    def dependants(self, images: Iterable[ImageFolder]) -> tuple[ImageFolder, ...]:
        """Return the other images that install packages on one of these, each after its parents.

        Raises:
            SpecError: as for `images`.
        """
        below = {image.folder for image in images}
        every = self.images() if (self.root / SETTINGS_FILE).exists() else ()
        return tuple(
            image
            for image in every
            if image.has_packages
            and image.folder not in below
            and any(above.folder in below for above in image.above)
        )

    def select_any(self, names: Iterable[str] = ()) -> tuple[ImageFolder, ...]:
        """Return the named images, each once and in that order, or every image if none is named.

        Raises:
            NotFoundError, SpecError: as for `image`.
        """
        named = tuple(names)
        found = map(self.image, named) if named else self.images()
        return tuple({image.folder: image for image in found}.values())


def require_packages(image: ImageFolder) -> ImageFolder:
    """Return an image that installs packages.

    Raises:
        NotFoundError: it has no ``pyproject.toml``.
    """
    if not image.has_packages:
        raise NotFoundError(
            f"{image.name} installs no packages: the {image.kind} has no {PROJECT_FILE}",
            solution=f"Name an image that has one, or write {image.folder / PROJECT_FILE} with [project] and "
            f"its dependencies; {docs_command('images')} shows one.",
        )
    return image


def with_parents(images: Iterable[ImageFolder]) -> tuple[ImageFolder, ...]:
    """Return images and those of their parents that install packages, parents first, each once."""
    found = {item.folder: item for image in images for item in (*reversed(image.above), image)}
    return tuple(found.values())


def in_parent_order(images: Iterable[ImageFolder]) -> tuple[ImageFolder, ...]:
    """Return images with each after those of its parents that are among them, else in the given order."""
    given = {image.folder: image for image in images}
    ordered: dict[Path, ImageFolder] = {}
    for image in given.values():
        chain = [image]
        while (above := chain[-1].parent) is not None:
            chain.append(above)
        ordered |= {item.folder: given[item.folder] for item in reversed(chain) if item.folder in given}
    return tuple(ordered.values())


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
                solution=f"Start a repository there with `factory init {shlex.quote(str(root))}`, or give "
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
        solution="Go into the repository, give --root, or start one here with `factory init`.",
    )
