"""The registries that a repository names: the table ``[registries]`` of its ``factory.toml``, as values."""

from dataclasses import dataclass
from typing import Literal

RegistryClass = Literal["persistent", "disposable"]
DriverName = Literal["oci", "ecr", "artifact-registry"]


@dataclass(frozen=True, kw_only=True)
class Registry:
    """One registry, or a part of one that images are pushed into.

    ``url`` is ``HOST[:PORT][/PATH]``; an image's name follows behind a slash. In a ``persistent`` one the
    factory never deletes anything: what is in it took hours to make. ``keep`` is how many of the newest
    images of each name `prune` leaves, ``keep_days`` the age in days up to which it leaves all of them.
    """

    name: str
    url: str
    kind: RegistryClass
    driver: DriverName = "oci"
    keep: int = 10
    keep_days: int = 30
    tls_verify: bool = True

    @property
    def host(self) -> str:
        """The host and port alone, as an auth file names it."""
        return self.url.partition("/")[0]

    def repository(self, image: str) -> str:
        """The repository of an image in the registry, without the host: ``PATH/IMAGE``."""
        path = self.url.partition("/")[2]
        return f"{path}/{image}" if path else image

    def reference(self, image: str, tag: str) -> str:
        """An image as an engine is told: ``HOST/PATH/IMAGE:TAG``."""
        return f"{self.url}/{image}:{tag}"
