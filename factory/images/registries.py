"""What registry maintenance needs to know of a repository: its images, their tags, their parents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from factory.clock import now
from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL, inputs_text
from factory.errors import SpecError
from factory.flavor.repository import Repository
from factory.images.catalogue import read_catalogue
from factory.images.definitions import DOWNSTREAM_TAG, MIDSTREAM_TAG, ImageDefinition
from factory.images.identity import parse_build_inputs
from factory.images.parents import image_origin, read_recorded_digests
from factory.pages import docs_command
from factory.registry.declared import Place, Registry, find_registry, place
from factory.registry.drivers import open_driver
from factory.registry.inventory import FactoryLabels, RecordedParent
from factory.registry.maintenance import Opener
from factory.registry.retention import Policy
from factory.settings import SETTINGS_FILE


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """The input of a registry command.

    registries: All registries of the repository, by name.
    names: Those that were asked for.
    policy: What the repository says of its images.
    images: The images that go into each registry, by its name.
    opener: Returns the driver of a registry.
    """

    registries: Mapping[str, Registry]
    names: tuple[str, ...]
    policy: Policy
    images: Mapping[str, tuple[str, ...]]
    opener: Opener

    @property
    def chosen(self) -> tuple[Registry, ...]:
        """The registries that were asked for."""
        return tuple(self.registries[name] for name in self.names)


def read_maintenance(repository: Repository, names: Iterable[str]) -> Maintenance:
    """Read the input of a registry command from a repository; without names, for all registries.

    Raises:
        NotFoundError: no registry has such a name.
        SpecError: ``factory.toml`` or an image is not acceptable, or no registry is declared.
        StorageError: the file system refused.
    """
    catalogue = read_catalogue(repository)
    images = catalogue.select()
    registries = catalogue.registries
    if not registries:
        raise SpecError(
            f"{SETTINGS_FILE} declares no registry",
            solution='Write [registries.NAME] with url = "HOST/PATH" and class = "persistent" or '
            f'"disposable"; {docs_command("registries")} shows a whole table.',
        )
    asked = tuple(dict.fromkeys(find_registry(registries, name).name for name in names))
    return Maintenance(
        registries=registries,
        names=asked or tuple(registries),
        policy=_policy(repository.root, images),
        images={name: _images_for(name, images) for name in registries},
        opener=partial(open_driver, read_labels=read_factory_labels),
    )


def read_factory_labels(labels: Mapping[str, str]) -> FactoryLabels | None:
    """Return the record in an image's labels; None if the factory did not build it."""
    name, identity = labels.get(IMAGE_LABEL), labels.get(IDENTITY_LABEL)
    if not name or not identity:
        return None
    inputs = parse_build_inputs(inputs_text(labels))
    if inputs is None:
        return FactoryLabels(image=name, identity=identity, parents=None)
    parents = (
        RecordedParent(image=parent.image, identity=parent.identity, digest=parent.digest)
        for parent in inputs.parents
    )
    return FactoryLabels(image=name, identity=identity, parents=tuple(parents))


def _policy(root: Path, images: Sequence[ImageDefinition]) -> Policy:
    parents = [parent for image in images for parent in image.parents if parent.is_reference]
    # What a mirror takes the place of is built on elsewhere.
    references = {name for parent in parents for name in (parent.image, parent.origin) if name}
    recorded = read_recorded_digests(root)
    named = {_named(reference) for reference in references | recorded.keys()}
    named |= {(_named(reference)[0], digest) for reference, digest in recorded.items()}
    return Policy(
        now=now(),
        images=frozenset(image.name for image in images),
        moving={image.name: frozenset({image.moving_tag, DOWNSTREAM_TAG, MIDSTREAM_TAG}) for image in images},
        named=frozenset(named),
    )


def _named(reference: str) -> tuple[Place, str]:
    origin = image_origin(reference)
    return place(f"{origin.host}/{origin.repository}"), origin.tag


def _images_for(registry: str, images: Sequence[ImageDefinition]) -> tuple[str, ...]:
    """Return a registry's images; all images if no image names it, such as a mirror."""
    own = tuple(image.name for image in images if image.registry == registry)
    return own or tuple(image.name for image in images)
