"""What the registries have of the images of a repository, each registry asked once, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.errors import FactoryError
from factory.images.definitions import ImageDefinition
from factory.index.parallel import in_parallel
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image in a registry. ``current``: the tag of the identity now is there, else only the moving tag is.

    ``size`` is what a pull brings: the compressed layers, in bytes; 0 where it was not asked, and so is
    ``created`` empty.
    """

    registry: str
    reference: str
    current: bool
    size: int = 0
    created: str = ""


@dataclass(frozen=True, kw_only=True)
class AskedRegistry:
    """A registry that was asked; ``problem`` says why it gave no answer."""

    name: str
    url: str
    kind: str
    problem: str = ""


def ask_registries(
    registries: Mapping[str, Registry],
    definitions: Sequence[ImageDefinition],
    tags: Mapping[str, str | None],
) -> tuple[tuple[AskedRegistry, ...], dict[str, tuple[Pushed, ...]]]:
    """Which registries have which images; a registry that does not answer is told and does no harm."""
    answers = in_parallel(
        lambda registry: _ask(registry, definitions, tags), registries.values(), jobs=_AT_ONCE
    )
    found: dict[str, list[Pushed]] = {}
    for _, pushed in answers:
        for name, one in pushed.items():
            found.setdefault(name, []).append(one)
    return tuple(asked for asked, _ in answers), {name: tuple(many) for name, many in found.items()}


def _ask(
    registry: Registry, definitions: Sequence[ImageDefinition], tags: Mapping[str, str | None]
) -> tuple[AskedRegistry, dict[str, Pushed]]:
    asked = {"name": registry.name, "url": registry.url, "kind": registry.kind}
    try:
        with open_registry(registry) as client:
            return AskedRegistry(**asked), _pushed(client, definitions, tags)
    except FactoryError as error:
        return AskedRegistry(**asked, problem=error.reason), {}


def _pushed(
    client: RegistryClient, definitions: Sequence[ImageDefinition], tags: Mapping[str, str | None]
) -> dict[str, Pushed]:
    wanted = {
        (client.registry.repository(definition.name), tag): (definition.name, tag, rank)
        for definition in definitions
        for rank, tag in enumerate((tags.get(definition.name), definition.moving_tag))
        if tag is not None
    }
    digests = client.digests(wanted)
    there = sorted((wanted[place][2], place) for place in wanted if digests[place] is not None)
    best = {wanted[place][0]: place for _, place in reversed(there)}

    def describe(item: tuple[str, tuple[str, str]]) -> tuple[str, Pushed]:
        name, (repository, tag) = item
        manifest = client.image_manifest(repository, tag)
        config = client.config(repository, tag) or {}
        return name, Pushed(
            registry=client.registry.name,
            reference=client.registry.reference(name, tag),
            current=tag == tags.get(name),
            size=0 if manifest is None else sum(manifest.blobs.values()),
            created=str(config.get("created") or ""),
        )

    return dict(in_parallel(describe, best.items(), jobs=_AT_ONCE))
