"""What registries have of a repository's images, asked for all at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from factory.errors import RegistryError
from factory.index.parallel import in_parallel
from factory.registry.declared import Registry

if TYPE_CHECKING:
    from factory.registry.client import RegistryClient

_Answer = TypeVar("_Answer")
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tag of an image in a registry."""

    registry: Registry
    image: str
    tag: str

    @property
    def repository(self) -> str:
        """The repository, as its registry is asked for it."""
        return self.registry.repository(self.image)


def find_published(places: Iterable[Place]) -> frozenset[Place]:
    """Those of the places where there is something.

    Raises:
        RegistryError: a registry did not answer or refused; the message names it.
    """

    def present(client: "RegistryClient", here: list[Place]) -> list[Place]:
        digests = client.digests((place.repository, place.tag) for place in here)
        return [place for place in here if digests[place.repository, place.tag] is not None]

    return frozenset(place for found in _everywhere(places, present) for place in found)


def published_labels(places: Iterable[Place]) -> dict[Place, dict[str, str]]:
    """The labels of what is there, by place; a place where nothing is, is left out.

    Raises:
        RegistryError: as `find_published`.
    """

    def labels(client: "RegistryClient", here: list[Place]) -> list[tuple[Place, dict[str, str] | None]]:
        found = in_parallel(lambda place: client.labels(place.repository, place.tag), here, jobs=_AT_ONCE)
        return list(zip(here, found, strict=True))

    return {place: said for found in _everywhere(places, labels) for place, said in found if said is not None}


def _everywhere(
    places: Iterable[Place], ask: Callable[["RegistryClient", list[Place]], _Answer]
) -> list[_Answer]:
    by_registry: dict[Registry, list[Place]] = {}
    for place in places:
        by_registry.setdefault(place.registry, []).append(place)
    return in_parallel(lambda item: _ask(*item, ask), by_registry.items(), jobs=_AT_ONCE)


def _ask(
    registry: Registry, here: list[Place], ask: Callable[["RegistryClient", list[Place]], _Answer]
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
