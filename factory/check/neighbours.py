"""The flavors of a repository by the index that they are locked against, for rules that compare them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from factory.errors import FactoryError
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec


@dataclass(frozen=True)
class Neighbours:
    """Names and accelerators of flavors, by the URL of their main index."""

    by_index: Mapping[str, tuple[tuple[str, str], ...]]

    def sharing(self, spec: Spec, *, name: str) -> tuple[tuple[str, str], ...]:
        """The flavors of another accelerator, but for the named one, whose index is this spec's as well."""
        users = self.by_index.get(_key(spec.index_url), ()) if spec.index_url else ()
        return tuple(user for user in users if user[0] != name and user[1] != spec.accelerator)


NO_NEIGHBOURS = Neighbours({})
"""Where nothing is compared."""


def read_neighbours(flavors: Iterable[Flavor]) -> Neighbours:
    """The flavors whose specs can be read; the others have findings of their own."""
    found: dict[str, list[tuple[str, str]]] = {}
    for flavor in flavors:
        try:
            spec = flavor.project.spec
        except FactoryError:
            continue
        if spec.index_url is not None:
            found.setdefault(_key(spec.index_url), []).append((flavor.name, spec.accelerator))
    return Neighbours({url: tuple(users) for url, users in found.items()})


def _key(url: str) -> str:
    return url.rstrip("/")
