"""What the engine has of the images of a repository."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from factory.images.definitions import ImageDefinition
from factory.images.standing import Stores, local_reference


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image in the engine: whether it is of the identity now, its size in bytes, when it was made."""

    reference: str
    current: bool
    size: int
    created: str


def find_built(
    definitions: Iterable[ImageDefinition], tags: Mapping[str, str | None], engine: str | None
) -> dict[str, Built]:
    """By name what the engine has: the image of the identity now, else the one with the moving tag.

    Raises:
        EngineError: the engine that is named is not there, or the engine does not work.
    """
    wanted = {
        definition.name: [
            local_reference(definition.name, tag)
            for tag in (tags.get(definition.name), definition.moving_tag)
            if tag is not None
        ]
        for definition in definitions
    }
    stored = Stores(registries={}, engine=engine).stored(one for many in wanted.values() for one in many)
    found: dict[str, Built] = {}
    for name, references in wanted.items():
        for reference in references:
            if name not in found and (image := stored.get(reference)) is not None:
                found[name] = Built(
                    reference=reference,
                    current=reference == local_reference(name, tags.get(name) or ""),
                    size=image.size,
                    created=image.created,
                )
    return found
