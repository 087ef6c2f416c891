"""Where images are that need not be built again, and what those before them were built from."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from factory.engine.engine import ENGINE_VARIABLE, Engine, find_engine
from factory.engine.labels import inputs_text
from factory.engine.stored import StoredImage, find_all_names
from factory.errors import EngineError
from factory.images.definitions import ImageDefinition
from factory.images.identity import Manifest, parse_manifest
from factory.images.published import Place, find_published, published_labels
from factory.registry.declared import Registry


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where it is looked: the registries of a repository, none of them where it is offline, and an engine.

    ``engine`` is its kind, None for the one that is there; without any, nothing is in it. ``known`` is what
    the engine has said: starting it takes longer than all else of a run that has nothing to do.
    """

    registries: Mapping[str, Registry]
    engine: str | None
    known: dict[str, StoredImage | None] = field(default_factory=dict)

    def find_engine(self) -> Engine | None:
        """The engine; None where none is installed and nobody named one.

        Raises:
            EngineError: the one that is named, also by ``FACTORY_ENGINE``, is unknown or not there.
        """
        try:
            return find_engine(self.engine)
        except EngineError:
            if self.engine is not None or os.environ.get(ENGINE_VARIABLE):
                raise
            return None

    def stored(self, references: Iterable[str]) -> dict[str, StoredImage]:
        """Those of the references that the engine has; it is not started where none is given.

        Raises:
            EngineError: the engine that is named is not there, or the engine does not work.
        """
        wanted = tuple(references)
        unknown = tuple(reference for reference in wanted if reference not in self.known)
        engine = self.find_engine() if unknown else None
        if engine is not None:
            self.known.update(dict.fromkeys(unknown) | find_all_names(engine, unknown))
        found = {reference: self.known.get(reference) for reference in wanted}
        return {reference: image for reference, image in found.items() if image is not None}

    def place(self, definition: ImageDefinition, tag: str) -> Place | None:
        """A tag of an image in its registry; None where it has none, or that is not asked."""
        registry = self.registries.get(definition.registry or "")
        return None if registry is None else Place(registry=registry, image=definition.name, tag=tag)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where images are: in their registries, and in the engine. None is where it was not looked."""

    published: Mapping[str, bool | None]
    stored: Mapping[str, bool | None]

    def is_somewhere(self, name: str) -> bool:
        """Whether there is an image to use, so that none has to be built."""
        return bool(self.published.get(name) or self.stored.get(name))


def local_reference(name: str, tag: str) -> str:
    """An image of the repository as the engine names it."""
    return f"localhost/{name}:{tag}"


def find_standing(
    definitions: Mapping[str, ImageDefinition], manifests: Mapping[str, Manifest], stores: Stores
) -> Standing:
    """Look for each image that has a manifest.

    The engine is looked into for what no registry has, and for what that stands on.

    Raises:
        RegistryError: a registry did not answer or refused.
        EngineError: as `Stores.stored`.
    """
    places = {name: stores.place(definitions[name], manifest.tag) for name, manifest in manifests.items()}
    there = find_published(place for place in places.values() if place is not None)
    published = {name: None if place is None else place in there for name, place in places.items()}
    missing = {name for name in manifests if not published[name]}
    below = {parent.image for name in missing for parent in definitions[name].parents}
    wanted = {
        name: local_reference(name, manifest.tag)
        for name, manifest in manifests.items()
        if name in missing or name in below
    }
    # The moving tags come along: a build is going to look where they are.
    moving = [local_reference(name, definitions[name].moving_tag) for name in wanted]
    found = stores.stored((*wanted.values(), *moving))
    stored = {name: wanted[name] in found if name in wanted else None for name in manifests}
    return Standing(published=published, stored=stored)


def last_builts(
    definitions: Iterable[ImageDefinition], stores: Stores
) -> dict[str, tuple[str, Manifest | None]]:
    """What carries the moving tag of each image: a reference to it, and what it was built from.

    The registry's counts before the engine's. Left out is an image that is nowhere; the manifest is None
    where its labels do not tell.

    Raises:
        RegistryError: a registry did not answer or refused.
        EngineError: as `Stores.stored`.
    """
    wanted = tuple(definitions)
    places = {image.name: stores.place(image, image.moving_tag) for image in wanted}
    published = published_labels(place for place in places.values() if place is not None)
    local = {image.name: local_reference(image.name, image.moving_tag) for image in wanted}
    stored = stores.stored(
        local[image.name]
        for image in wanted
        if (place := places[image.name]) is None or place not in published
    )
    found: dict[str, tuple[str, Manifest | None]] = {}
    for name, place in places.items():
        if place is not None and place in published:
            found[name] = (place.registry.reference(name, place.tag), _manifest(published[place]))
        elif local[name] in stored:
            found[name] = (local[name], _manifest(stored[local[name]].labels))
    return found


def _manifest(labels: Mapping[str, str]) -> Manifest | None:
    return parse_manifest(inputs_text(labels))
