"""What an image inherits its tests from: itself and its parents in the repository, and their kinds."""

from dataclasses import dataclass
from pathlib import Path

from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor, Repository
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.definitions import ImageDefinition, Kind

# A flavor is the whole of it: it brings its own PyTorch, and runs a user's training.
_KINDS_OF_A_FLAVOR: tuple[Kind, ...] = ("flavor", "pytorch-base", "stack", "trainer")
TESTS_FOLDER = "tests"
SHARED_TESTS_FOLDER = Path("tests", "images")


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """An image's line: ``definitions`` and ``kinds`` of itself first, then of its parents, upwards.

    ``folders`` hold drop-in tests, the nearest first and what the repository has for every image last.
    """

    definitions: tuple[ImageDefinition, ...]
    kinds: tuple[Kind, ...]
    folders: tuple[Path, ...]

    @property
    def flavor(self) -> Flavor | None:
        """The flavor that the image is; None where it is none, or nobody knows which."""
        return self.definitions[0].flavor if self.definitions else None

    @property
    def accelerator(self) -> str | None:
        """cpu, cuda or rocm; None where that is not known. Raises as `read_project` does."""
        return None if self.flavor is None else self.flavor.project.spec.accelerator


def lineage_of(repository: Repository, name: str) -> Lineage | None:
    """The line of an image of the repository, by its name or a flavor's path; None where it has no such.

    Raises:
        SpecError: ``factory.toml`` or a flavor says what is not acceptable.
    """
    catalogue = read_catalogue(repository)
    if name not in catalogue.names and not (Path(name) / PROJECT_FILE).is_file():
        return None
    line = line_of(catalogue, name)
    kinds = tuple(kind for one in line for kind in _kinds(one))
    return Lineage(
        definitions=line,
        kinds=tuple(dict.fromkeys(kinds)),
        folders=(*(one.folder / TESTS_FOLDER for one in line), repository.root / SHARED_TESTS_FOLDER),
    )


def foreign_lineage(repository: Repository | None = None) -> Lineage:
    """That of an image that nobody has defined: it is tested as a universal training image."""
    folders = () if repository is None else (repository.root / SHARED_TESTS_FOLDER,)
    return Lineage(definitions=(), kinds=_KINDS_OF_A_FLAVOR, folders=folders)


def line_of(catalogue: Catalogue, name: str) -> tuple[ImageDefinition, ...]:
    """An image and, upwards, the parents of its final stage that the repository defines."""
    line = [catalogue.definition(name)]
    while (parent := line[-1].parents[0].image) in catalogue.names:
        line.append(catalogue.definition(parent))
    return tuple(line)


def _kinds(definition: ImageDefinition) -> tuple[Kind, ...]:
    return _KINDS_OF_A_FLAVOR if definition.kind == "flavor" else (definition.kind,)
