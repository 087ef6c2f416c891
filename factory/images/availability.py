"""Where images are that need not be built again, and what those before them were built from."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from factory.engine.engine import ENGINE_VARIABLE, Engine, find_engine
from factory.engine.images import EngineImage, find_images, inputs_text
from factory.errors import EngineError, RegistryError
from factory.http.parallel import in_parallel
from factory.images.definitions import ImageDefinition
from factory.images.identity import BuildInputs, parse_build_inputs
from factory.registry.declared import Registry

if TYPE_CHECKING:
    from factory.registry.client import RegistryClient


_Answer = TypeVar("_Answer")
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class RegistryTag:
    """A tag of an image in a registry."""

    registry: Registry
    image: str
    tag: str

    @property
    def repository(self) -> str:
        """The repository, as its registry is asked for it."""
        return self.registry.repository(self.image)


def find_published(places: Iterable[RegistryTag]) -> frozenset[RegistryTag]:
    """Those of the places where there is something.

    Raises:
        RegistryError: a registry did not answer or refused; the message names it.
    """

    def present(client: "RegistryClient", here: list[RegistryTag]) -> list[RegistryTag]:
        digests = client.digests((place.repository, place.tag) for place in here)
        return [place for place in here if digests[place.repository, place.tag] is not None]

    return frozenset(place for found in _everywhere(places, present) for place in found)


def published_labels(places: Iterable[RegistryTag]) -> dict[RegistryTag, dict[str, str]]:
    """The labels of what is there, by place; a place where nothing is, is left out.

    Raises:
        RegistryError: as `find_published`.
    """

    def labels(
        client: "RegistryClient", here: list[RegistryTag]
    ) -> list[tuple[RegistryTag, dict[str, str] | None]]:
        found = in_parallel(lambda place: client.labels(place.repository, place.tag), here, jobs=_AT_ONCE)
        return list(zip(here, found, strict=True))

    return {place: said for found in _everywhere(places, labels) for place, said in found if said is not None}


def _everywhere(
    places: Iterable[RegistryTag], ask: Callable[["RegistryClient", list[RegistryTag]], _Answer]
) -> list[_Answer]:
    by_registry: dict[Registry, list[RegistryTag]] = {}
    for place in places:
        by_registry.setdefault(place.registry, []).append(place)
    return in_parallel(lambda item: _ask(*item, ask), by_registry.items(), jobs=_AT_ONCE)


def _ask(
    registry: Registry, here: list[RegistryTag], ask: Callable[["RegistryClient", list[RegistryTag]], _Answer]
) -> _Answer:
    # Here, so that a plan that asks no registry starts without what speaks HTTP.
    from factory.registry.client import open_registry  # noqa: PLC0415

    try:
        with open_registry(registry) as client:
            return ask(client, here)
    except RegistryError as error:
        raise RegistryError(
            f"the registry {registry.name} ({registry.url}): {error.reason}",
            solution=f"{error.solution} `--offline` plans without any registry.",
        ) from error


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where it is looked: the registries of a repository, none of them where it is offline, and an engine.

    ``engine`` is its kind, None for the one that is there; without any, nothing is in it. ``known`` is what
    the engine has said: starting it takes longer than all else of a run that has nothing to do.
    """

    registries: Mapping[str, Registry]
    engine: str | None
    known: dict[str, EngineImage | None] = field(default_factory=dict)

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

    def stored(self, references: Iterable[str]) -> dict[str, EngineImage]:
        """Those of the references that the engine has; it is not started where none is given.

        Raises:
            EngineError: the engine that is named is not there, or the engine does not work.
        """
        wanted = tuple(references)
        unknown = tuple(reference for reference in wanted if reference not in self.known)
        engine = self.find_engine() if unknown else None
        if engine is not None:
            self.known.update(dict.fromkeys(unknown) | find_images(engine, unknown))
        found = {reference: self.known.get(reference) for reference in wanted}
        return {reference: image for reference, image in found.items() if image is not None}

    def place(self, definition: ImageDefinition, tag: str) -> RegistryTag | None:
        """A tag of an image in its registry; None where it has none, or that is not asked."""
        registry = self.registries.get(definition.registry or "")
        return None if registry is None else RegistryTag(registry=registry, image=definition.name, tag=tag)


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Where images are: in their registries, and in the engine. None is where it was not looked."""

    published: Mapping[str, bool | None]
    stored: Mapping[str, bool | None]

    def is_available(self, name: str) -> bool:
        """Whether there is an image to use, so that none has to be built."""
        return bool(self.published.get(name) or self.stored.get(name))


def local_reference(name: str, tag: str) -> str:
    """An image of the repository as the engine names it."""
    return f"localhost/{name}:{tag}"


def find_availability(
    definitions: Mapping[str, ImageDefinition], inputs: Mapping[str, BuildInputs], stores: Stores
) -> Availability:
    """Look for each image that has a inputs.

    The engine is looked into for what no registry has, and for what that stands on.

    Raises:
        RegistryError: a registry did not answer or refused.
        EngineError: as `Stores.stored`.
    """
    places = {name: stores.place(definitions[name], inputs.tag) for name, inputs in inputs.items()}
    there = find_published(place for place in places.values() if place is not None)
    published = {name: None if place is None else place in there for name, place in places.items()}
    missing = {name for name in inputs if not published[name]}
    below = {parent.image for name in missing for parent in definitions[name].parents}
    wanted = {
        name: local_reference(name, inputs.tag)
        for name, inputs in inputs.items()
        if name in missing or name in below
    }
    # The moving tags come along: a build is going to look where they are.
    moving = [local_reference(name, definitions[name].moving_tag) for name in wanted]
    found = stores.stored((*wanted.values(), *moving))
    stored = {name: wanted[name] in found if name in wanted else None for name in inputs}
    return Availability(published=published, stored=stored)


def last_builts(
    definitions: Iterable[ImageDefinition], stores: Stores
) -> dict[str, tuple[str, BuildInputs | None]]:
    """What carries the moving tag of each image: a reference to it, and what it was built from.

    The registry's counts before the engine's. Left out is an image that is nowhere; the inputs is None
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
    found: dict[str, tuple[str, BuildInputs | None]] = {}
    for name, place in places.items():
        if place is not None and place in published:
            found[name] = (place.registry.reference(name, place.tag), _inputs(published[place]))
        elif local[name] in stored:
            found[name] = (local[name], _inputs(stored[local[name]].labels))
    return found


def _inputs(labels: Mapping[str, str]) -> BuildInputs | None:
    return parse_build_inputs(inputs_text(labels))
