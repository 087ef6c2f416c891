"""Which images a repository has: its flavors, and the tables ``[flavors]`` and ``[images]``."""

from collections.abc import Mapping
from dataclasses import dataclass

from factory.flavor.repository import Repository
from factory.image.definitions import ImageDefinition


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The images of a repository; a flavor is read when its definition is asked for."""

    repository: Repository
    tables: Mapping[str, ImageDefinition]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all images, sorted."""
        raise NotImplementedError

    def definition(self, name: str) -> ImageDefinition:
        """An image by its name, or a flavor by the path of its folder.

        Raises:
            NotFoundError: there is no such image.
            SpecError: what is said of it is not acceptable.
        """
        raise NotImplementedError


def read_catalogue(repository: Repository) -> Catalogue:
    """The images of a repository: its flavors, and what ``[images]`` of its ``factory.toml`` defines.

    Raises:
        SpecError: ``factory.toml`` says what is not acceptable: an unknown kind or registry, a folder that
            is not there, two images of one name, a circle of parents, a pattern that leaves the folder.
        StorageError: the file system refused.
    """
    raise NotImplementedError
