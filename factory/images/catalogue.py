"""Which images a repository has: its flavors, and those that its ``factory.toml`` defines."""

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from factory.errors import FactoryError, NotFoundError, SpecError
from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor, Repository
from factory.images.definitions import (
    BASE_IMAGE,
    DOCKERFILE,
    DOWNSTREAM_DOCKERFILE,
    ImageDefinition,
    Parent,
)
from factory.images.tables import (
    EXAMPLE,
    IMAGES_TABLE,
    ImageTable,
    check_image_name,
    read_flavors_table,
    read_images_table,
)
from factory.registry.declared import Registry, parse_registries
from factory.settings import FLAVORS_FOLDER, SETTINGS_FILE, read_settings

IMAGES_FOLDER = "images"
"""Where the folders of images are that are no flavors."""
_FEW = 10


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The images of a repository; the spec of a flavor is read when its definition is asked for.

    ``registries`` are those of the repository and ``flavors`` its flavors, by name; ``tables`` what is
    said of images by name, and ``of_flavors`` of every flavor.
    """

    repository: Repository
    registries: Mapping[str, Registry]
    flavors: Mapping[str, Flavor]
    tables: Mapping[str, ImageTable]
    of_flavors: ImageTable

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all images, sorted."""
        return tuple(sorted({*self.flavors, *self.tables}))

    def definition(self, name_or_path: str) -> ImageDefinition:
        """An image by its name, or a flavor by the path of its folder.

        Raises:
            NotFoundError: there is no such image.
            SpecError: what is said of it is not acceptable.
        """
        if name_or_path in self.flavors:
            return self._flavor(self.flavors[name_or_path])
        if name_or_path in self.tables:
            return self._other(name_or_path, self.tables[name_or_path])
        if (Path(name_or_path) / PROJECT_FILE).is_file():
            return self._flavor(self.repository.flavor(name_or_path))
        likely = get_close_matches(name_or_path, self.names, n=3) or self.names[:_FEW]
        raise NotFoundError(
            f"there is no image {name_or_path!r} in {self.repository.root}",
            solution=f"Name one that is there ({', '.join(likely) or 'none yet'}; `factory plan` shows all), "
            f"give the path of a flavor folder, or define it as [{IMAGES_TABLE}.NAME] in {SETTINGS_FILE}; "
            f"{EXAMPLE}.",
        )

    def select(self, names: tuple[str, ...] = (), *, broken_too: bool = False) -> tuple[ImageDefinition, ...]:
        """The named images, each once and in the order given, or every image where none is named.

        Args:
            names: which.
            broken_too: of all images, give also a flavor that cannot be read, with its ``problem``.

        Raises:
            NotFoundError, SpecError: as `definition`.
        """
        read = self._readable_or_not if broken_too and not names else self.definition
        found = (read(name) for name in names or self.names)
        return tuple({definition.name: definition for definition in found}.values())

    def _readable_or_not(self, name: str) -> ImageDefinition:
        try:
            return self.definition(name)
        except FactoryError as error:
            if name not in self.flavors:
                raise
            flavor = self.flavors[name]
            return ImageDefinition(
                name=name,
                kind="flavor",
                folder=flavor.folder,
                dockerfile=DOCKERFILE,
                parents=(),
                flavor=flavor,
                problem=error.reason,
            )

    def _flavor(self, flavor: Flavor) -> ImageDefinition:
        check_image_name(flavor.name, of=f"the flavor in {flavor.folder}")
        own, common = self.tables.get(flavor.name, ImageTable()), self.of_flavors
        downstream = common.downstream if own.downstream is None else own.downstream
        parents = own.parents
        if BASE_IMAGE not in {parent.argument for parent in parents}:
            spec = flavor.project.spec
            base = spec.downstream_base_image if downstream else spec.base_image
            parents = (Parent(argument=BASE_IMAGE, image=base), *parents)
        return ImageDefinition(
            name=flavor.name,
            kind="flavor",
            folder=flavor.folder,
            dockerfile=DOWNSTREAM_DOCKERFILE if downstream else DOCKERFILE,
            parents=parents,
            inputs=own.inputs,
            build_args=own.build_args,
            registry=(common.registry if own.registry is None else own.registry) or None,
            tests=own.tests or common.tests or ImageDefinition.tests,
            moving_tag=own.moving_tag or common.moving_tag or ImageDefinition.moving_tag,
            flavor=flavor,
        )

    def _other(self, name: str, table: ImageTable) -> ImageDefinition:
        return ImageDefinition(
            name=name,
            kind=table.kind or "stack",
            folder=self.repository.root / IMAGES_FOLDER / name,
            dockerfile=DOCKERFILE,
            parents=table.parents,
            inputs=table.inputs,
            build_args=table.build_args,
            registry=table.registry or None,
            tests=table.tests or ImageDefinition.tests,
            moving_tag=table.moving_tag or ImageDefinition.moving_tag,
        )


def read_catalogue(repository: Repository) -> Catalogue:
    """The images of a repository: its flavors, and what ``[images]`` of its ``factory.toml`` defines.

    Raises:
        SpecError: ``factory.toml`` says what is not acceptable: an unknown kind, parent or registry, a folder
            that is not there, two images of one name, a circle of parents, a pattern that leaves the folder.
        StorageError: the file system refused.
    """
    document = read_settings(repository.root)
    registries = parse_registries(document)
    # A flavor that is given as a path may stand alone, in no repository.
    found = repository.flavors() if repository.flavors_folder.is_dir() else ()
    flavors = {flavor.name: flavor for flavor in found if (flavor.folder / PROJECT_FILE).exists()}
    tables = read_images_table(document, registries=registries, flavors=flavors)
    for name, table in tables.items():
        _require_folder(repository, name, table, flavors)
    _refuse_circle(tables)
    return Catalogue(
        repository=repository,
        registries=registries,
        flavors=flavors,
        tables=tables,
        of_flavors=read_flavors_table(document, registries=registries),
    )


def _require_folder(
    repository: Repository, name: str, table: ImageTable, flavors: Mapping[str, Flavor]
) -> None:
    place = FLAVORS_FOLDER if table.kind == "flavor" else IMAGES_FOLDER
    folder = repository.root / place / name
    if name in flavors or (table.kind != "flavor" and folder.is_dir()):
        return
    there = [path.name for path in folder.parent.glob("*") if path.is_dir()]
    likely = [other for other in there if other.lower() == name] or get_close_matches(name, there)
    make = "make the folder" if table.kind == "flavor" else "make the folder (`factory new-image` starts one)"
    raise SpecError(
        f"{SETTINGS_FILE}: [{IMAGES_TABLE}.{name}] is a {table.kind}, and its folder {folder} is not there",
        solution=f"An image has the name of its folder{f', such as {likely[0]}' if likely else ''}: {make}, "
        "or rename the table.",
    )


def _refuse_circle(tables: Mapping[str, ImageTable]) -> None:
    graph = {name: [parent.image for parent in table.parents] for name, table in tables.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = " stands on ".join(reversed(error.args[1]))
        raise SpecError(
            f"{SETTINGS_FILE}: a circle of parents: {circle}",
            solution="Give one of them another parent: an image is built after those that it stands on.",
        ) from error
