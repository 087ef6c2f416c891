"""Find which images registries and the engine have, and what the latest builds were made from."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from factory.engine.engine import ENGINE_VARIABLE, Engine, find_engine
from factory.engine.images import EngineImage, find_images, inputs_text
from factory.errors import EngineError, RegistryError
from factory.http.parallel import in_parallel
from factory.images.builds import ExistingBuild, build_names, existing_builds, recorded_layout
from factory.images.definitions import ImageDefinition, local_reference
from factory.images.identity import BuildInputs, parse_build_inputs, parse_variant
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
        """The path of the repository in its registry."""
        return self.registry.repository(self.image)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where images are looked for: registries, and an engine.

    registries: The declared registries by name; empty if offline.
    engine: The kind of engine; None for the installed one, if any.
    notes: The folder with the repository's notes on each image.
    known: What the engine answered so far. Starting it takes longer than everything else of a plan that has
        nothing to build.
    """

    registries: Mapping[str, Registry]
    engine: str | None
    notes: Path
    known: dict[str, EngineImage | None] = field(default_factory=dict)

    def find_engine(self) -> Engine | None:
        """Return the engine; None if none is installed and none was named.

        Raises:
            EngineError: the named one, also by ``FACTORY_ENGINE``, is unknown or not installed.
        """
        try:
            return find_engine(self.engine)
        except EngineError:
            if self.engine is not None or os.environ.get(ENGINE_VARIABLE):
                raise
            return None

    def in_engine(self, references: Iterable[str]) -> dict[str, EngineImage]:
        """Return those of the references that the engine has; without references it is not started.

        Raises:
            EngineError: the named engine is not installed, or the engine does not work.
        """
        wanted = tuple(references)
        unknown = tuple(reference for reference in wanted if reference not in self.known)
        engine = self.find_engine() if unknown else None
        if engine is not None:
            self.known.update(dict.fromkeys(unknown) | find_images(engine, unknown))
        found = {reference: self.known.get(reference) for reference in wanted}
        return {reference: image for reference, image in found.items() if image is not None}

    def builds(self, definitions: Iterable[ImageDefinition]) -> dict[str, tuple[ExistingBuild, ...]]:
        """Return the builds of each image that this machine has, the newest first.

        Raises:
            EngineError: as `in_engine`.
        """
        wanted = tuple(definitions)
        names = (name for definition in wanted for name in build_names(self.notes, definition))
        stored = self.in_engine(names)
        return {definition.name: existing_builds(self.notes, definition, stored) for definition in wanted}

    def registry_tag(self, definition: ImageDefinition, tag: str) -> RegistryTag | None:
        """Return a tag of an image in its registry; None without a registry that is asked."""
        registry = self.registries.get(definition.registry or "")
        return None if registry is None else RegistryTag(registry=registry, image=definition.name, tag=tag)


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Which images registries and the engine have, by name; None if not looked up.

    in_layout: The layout of this repository that has an image whose builder writes one; None without one.
    """

    in_registry: Mapping[str, bool | None]
    in_engine: Mapping[str, bool | None]
    in_layout: Mapping[str, str | None]

    def has(self, name: str) -> bool:
        """Return whether an image is available, so that it need not be built."""
        return bool(self.in_registry.get(name) or self.in_engine.get(name) or self.in_layout.get(name))


def find_availability(
    definitions: Mapping[str, ImageDefinition], inputs: Mapping[str, BuildInputs], stores: Stores
) -> Availability:
    """Look for the current identity of each image that has inputs.

    The engine is asked only for what no registry has, and for the parents of that.

    Raises:
        RegistryError: a registry did not answer or refused.
        EngineError: as `Stores.in_engine`.
    """
    tags = {name: stores.registry_tag(definitions[name], each.tag) for name, each in inputs.items()}
    present = _present(tag for tag in tags.values() if tag is not None)
    in_registry = {name: None if tag is None else tag in present for name, tag in tags.items()}
    missing = {name for name in inputs if not in_registry[name]}
    below = {parent.image for name in missing for parent in definitions[name].parents}
    wanted = {
        name: local_reference(name, each.tag)
        for name, each in inputs.items()
        if name in missing or name in below
    }
    # The moving tags come along: a build needs to know where they point.
    moving = [local_reference(name, definitions[name].moving_tag) for name in wanted]
    found = stores.in_engine((*wanted.values(), *moving))
    in_engine = {name: wanted[name] in found if name in wanted else None for name in inputs}
    in_layout = {
        name: recorded_layout(stores.notes, name, each.tag)
        for name, each in inputs.items()
        if definitions[name].builder == "layout"
    }
    return Availability(in_registry=in_registry, in_engine=in_engine, in_layout=in_layout)


def find_latest_builds(
    definitions: Iterable[ImageDefinition], stores: Stores
) -> dict[str, tuple[str, BuildInputs | None]]:
    """Return a reference of each image's latest build of its variant, and what that was made from.

    A registry comes before the engine, and the moving tag before others. Images without such a build are
    left out; the inputs are None if the image's labels do not contain them.

    Raises:
        RegistryError: a registry did not answer or refused.
        EngineError: as `Stores.in_engine`.
    """
    wanted = tuple(definitions)
    tags = {image.name: stores.registry_tag(image, image.moving_tag) for image in wanted}
    published = _labels(tag for tag in tags.values() if tag is not None)
    found: dict[str, tuple[str, BuildInputs | None]] = {}
    for image in wanted:
        tag = tags[image.name]
        if tag is not None and tag in published and _is_variant(published[tag], image):
            found[image.name] = (tag.registry.reference(image.name, tag.tag), _inputs(published[tag]))
    local = [image for image in wanted if image.name not in found]
    builds = stores.builds(local)
    for image in local:
        moving = local_reference(image.name, image.moving_tag)
        references = [
            build.reference
            for build in builds[image.name]
            if build.variant.same_as(image.variant) and not build.in_layout
        ]
        stored = stores.in_engine((moving, *references))
        if moving in stored and _is_variant(stored[moving].labels, image):
            found[image.name] = (moving, _inputs(stored[moving].labels))
        elif references:
            found[image.name] = (references[0], _inputs(stored[references[0]].labels))
    return found


def _is_variant(labels: Mapping[str, str], image: ImageDefinition) -> bool:
    """Return whether a build is of the image's variant; one without labels of the factory counts."""
    variant = parse_variant(labels)
    return variant is None or variant.same_as(image.variant)


def _inputs(labels: Mapping[str, str]) -> BuildInputs | None:
    return parse_build_inputs(inputs_text(labels))


def _present(tags: Iterable[RegistryTag]) -> frozenset[RegistryTag]:
    """Return those of the tags that exist.

    Raises:
        RegistryError: a registry did not answer or refused; the message names it.
    """

    def present(client: "RegistryClient", here: list[RegistryTag]) -> list[RegistryTag]:
        digests = client.digests((tag.repository, tag.tag) for tag in here)
        return [tag for tag in here if digests[tag.repository, tag.tag] is not None]

    return frozenset(tag for found in _ask_all(tags, present) for tag in found)


def _labels(tags: Iterable[RegistryTag]) -> dict[RegistryTag, dict[str, str]]:
    """Return the labels of those of the tags that exist.

    Raises:
        RegistryError: as `_present`.
    """

    def labels(
        client: "RegistryClient", here: list[RegistryTag]
    ) -> list[tuple[RegistryTag, dict[str, str] | None]]:
        found = in_parallel(lambda tag: client.labels(tag.repository, tag.tag), here, jobs=_AT_ONCE)
        return list(zip(here, found, strict=True))

    return {tag: one for found in _ask_all(tags, labels) for tag, one in found if one is not None}


def _ask_all(
    tags: Iterable[RegistryTag], ask: Callable[["RegistryClient", list[RegistryTag]], _Answer]
) -> list[_Answer]:
    """Ask each registry for its own tags, the registries side by side."""
    by_registry: dict[Registry, list[RegistryTag]] = {}
    for tag in tags:
        by_registry.setdefault(tag.registry, []).append(tag)
    return in_parallel(lambda item: _ask(*item, ask), by_registry.items(), jobs=_AT_ONCE)


def _ask(
    registry: Registry,
    here: list[RegistryTag],
    ask: Callable[["RegistryClient", list[RegistryTag]], _Answer],
) -> _Answer:
    # Late, so that a plan that asks no registry starts without an HTTP client.
    from factory.registry.client import open_registry  # noqa: PLC0415

    try:
        with open_registry(registry) as client:
            return ask(client, here)
    except RegistryError as error:
        raise RegistryError(
            f"the registry {registry.name} ({registry.url}): {error.reason}",
            solution=f"{error.solution} `--offline` plans without any registry.",
        ) from error
