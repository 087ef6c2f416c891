"""The image under test: what the engine has of it, and what the repository knows of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.dockerfile.references import PATH_COMPONENT, find_reference
from factory.engine.engine import Engine
from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL, EngineImage, find_image
from factory.errors import ImageTestError, NotFoundError
from factory.flavor.repository import Flavor, Repository, find_repository
from factory.flavor.spec import Spec
from factory.image_tests.history import Step, history_of
from factory.image_tests.lineage import Lineage, foreign_lineage, lineage_of
from factory.images.definitions import ImageDefinition, Kind
from factory.registry.tags import identity_tag

TITLE_LABEL = "org.opencontainers.image.title"
BASE_LABEL = "org.opencontainers.image.base.name"
_ID_LENGTH = 12
_IDENTITY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What an image is started with (OCI image-spec, config)."""

    environment: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str
    folder: str
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An image that is to be tested.

    ``reference`` is what the engine knows it by, ``name`` what people call it; ``layers`` are the digests
    of the uncompressed layers. ``lineage`` has what it inherits its tests from.
    """

    reference: str
    name: str
    image_id: str
    layers: tuple[str, ...]
    size: int
    configuration: Configuration
    history: tuple[Step, ...]
    lineage: Lineage

    @property
    def identity(self) -> str | None:
        """The identity that it was built with (64 hex digits), None where its labels do not tell."""
        # Anybody may label an image with anything, and the identity names a folder.
        found = self.configuration.labels.get(IDENTITY_LABEL) or ""
        return found if _IDENTITY.fullmatch(found) else None

    @property
    def definition(self) -> ImageDefinition | None:
        """The image's definition in the repository."""
        return self.lineage.definitions[0] if self.lineage.definitions else None

    @property
    def flavor(self) -> Flavor | None:
        """The flavor that it is; None where it is none, or nobody knows which."""
        return self.lineage.flavor

    @property
    def kind(self) -> Kind:
        """What it is tested as."""
        return self.lineage.kinds[0]

    @property
    def spec(self) -> Spec | None:
        """The spec of the flavor; raises as `read_project` does."""
        return None if self.flavor is None else self.flavor.project.spec

    @property
    def accelerator(self) -> str | None:
        """cpu, cuda or rocm; None where that is not known."""
        return self.lineage.accelerator

    @property
    def report_folder(self) -> Path:
        """Where its reports belong, below a folder for reports: its name and its identity's tag."""
        tag = self.image_id[:_ID_LENGTH] if self.identity is None else identity_tag(self.identity)
        return Path(self.name, tag)


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """The parent of the image under test: its ID, what it is started with, and how it was made."""

    image_id: str
    environment: Mapping[str, str]
    entrypoint: tuple[str, ...]
    history: tuple[Step, ...]


def repository_here(root: Path | None, start: Path, image: str) -> Repository | None:
    """The repository that an image is tested for; None where there is none, which a reference does not need.

    Raises:
        NotFoundError: ``root`` is none.
    """
    try:
        return find_repository(root, start=start, flavors=(image,))
    except NotFoundError:
        if root is not None:
            raise
        return None


def find_lineage(repository: Repository | None, name: str | None) -> Lineage | None:
    """What an image of the repository inherits its tests from; None where it has none of this name.

    Raises:
        SpecError: ``factory.toml`` says what is not acceptable.
    """
    return None if repository is None or name is None else lineage_of(repository, name)


def find_subject(engine: Engine, image: str, *, repository: Repository | None, flavor: str | None) -> Subject:
    """The image that is meant: the name of one of the repository's, or any reference.

    Raises:
        ImageTestError: the engine does not have it, or it is another image of the repository than ``flavor``.
        NotFoundError: there is no flavor of the name that was given.
        SpecError: ``factory.toml`` says what is not acceptable.
    """
    lineage = None if repository is None else lineage_of(repository, image)
    references = (image,) if lineage is None else lineage.definitions[0].built_names
    reference, found = _first(engine, references, image)
    configuration = _configuration(found)
    if repository is not None and flavor is not None:
        known = repository.flavor(flavor)
        if lineage is not None and lineage.definitions[0].name != known.name:
            raise ImageTestError(
                f"{image} is an image of the repository, and not the flavor {known.name}",
                solution="Leave --flavor out, or name the image by its reference, such as "
                f"localhost/{lineage.definitions[0].name}:TAG.",
            )
        lineage = lineage or lineage_of(repository, known.name)
    elif repository is not None and lineage is None:
        labels = configuration.labels
        named = (labels.get(IMAGE_LABEL), labels.get(TITLE_LABEL))
        lineage = next((made for name in named if name and (made := _labelled(repository, name))), None)
    lineage = lineage or foreign_lineage(repository)
    return Subject(
        reference=reference,
        name=_name(lineage, reference),
        image_id=found.id,
        layers=found.layers,
        size=found.size,
        configuration=configuration,
        history=history_of(engine, reference),
        lineage=lineage,
    )


def base_at_hand(engine: Engine, subject: Subject) -> BaseImage | None:
    """The image that this one stands on, where the engine has it: its layers are the lowest of this one's."""
    candidates = [subject.configuration.labels.get(BASE_LABEL, "")]
    for definition in subject.lineage.definitions[1:2]:
        candidates += definition.built_names
    if subject.definition is not None:
        candidates.append(subject.definition.parents[0].image)
    for reference in dict.fromkeys(candidates):
        # A label is anybody's: what it names is looked up only if it can be an image.
        found = find_image(engine, reference) if find_reference(reference) else None
        if found and found.layers and found.layers == subject.layers[: len(found.layers)]:
            configuration = _configuration(found)
            return BaseImage(
                image_id=found.id,
                environment=configuration.environment,
                entrypoint=configuration.entrypoint,
                history=history_of(engine, reference),
            )
    return None


def _first(engine: Engine, references: tuple[str, ...], asked: str) -> tuple[str, EngineImage]:
    for reference in references:
        if (found := find_image(engine, reference)) is not None:
            return reference, found
    tried = "" if references == (asked,) else f" (looked for {', '.join(references)})"
    raise ImageTestError(
        f"{engine.kind} does not have the image {asked}{tried}",
        solution=f"Build it with `factory build {asked}`, or get it with `{engine.kind} pull`: nothing is "
        "pulled for a test.",
    )


def _configuration(image: EngineImage) -> Configuration:
    config = image.config
    return Configuration(
        environment=dict(entry.partition("=")[::2] for entry in config.get("Env") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        user=config.get("User") or "",
        folder=config.get("WorkingDir") or "/",
        labels=image.labels,
    )


def _labelled(repository: Repository, name: str) -> Lineage | None:
    # A label is no path: what it says must not be looked up as one.
    return lineage_of(repository, name) if re.fullmatch(PATH_COMPONENT, name) else None


def _name(lineage: Lineage, reference: str) -> str:
    """The name of the definition, else the last part of the reference without tag and digest."""
    if lineage.definitions:
        return lineage.definitions[0].name
    found = find_reference(reference)
    return "image" if found is None else found.name
