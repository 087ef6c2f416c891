"""Registries in memory: what lies at a host is one thing, whatever registries have names for its places."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from factory.errors import RegistryError
from factory.registry.declared import Registry
from factory.registry.drivers.driver import RegistryCheck, Repositories
from factory.registry.inventory import RegistryImage

# Hosts by what they are: each row is one, written in several ways.
HOSTS = (
    ("r.example", "r.example:443", "r.example:0443", "alias.example"),
    ("localhost:5000", "127.0.0.1:5000", "127.0.0.1:05000"),
    (
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.eu-central-1.amazonaws.com",
        "123456789012.dkr-ecr.eu-central-1.on.aws",
    ),
    ("q.example:5000",),
)


def host_number(host: str) -> int:
    """Which host it is, however it is written: by the table above, and by no code of the factory."""
    return next(number for number, names in enumerate(HOSTS) if host in names)


@dataclass(kw_only=True)
class World:
    """Everything that lies anywhere: manifests by host, repository and digest; and what fails there."""

    stored: dict[tuple[int, str], dict[str, RegistryImage]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    deleted: list[tuple[str, str]] = field(default_factory=list)

    def put(self, host: str, image: RegistryImage) -> None:
        """Put a manifest there."""
        there = self.stored.setdefault((host_number(host), image.repository), {})
        for other in there.values():
            # A tag names one manifest.
            left = tuple(tag for tag in other.tags if tag not in image.tags)
            there[other.digest] = replace(other, tags=left)
        there[image.digest] = image

    def open(self, registry: Registry) -> "MemoryDriver":
        """The driver of a registry."""
        return MemoryDriver(world=self, registry=registry)


@dataclass(frozen=True, kw_only=True)
class MemoryDriver:
    """A driver as `factory.registry.drivers.driver.Driver` has it."""

    world: World
    registry: Registry

    def check(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        del images
        return ()

    def create(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        del images
        return ()

    def repositories(self, images: Collection[str]) -> Repositories:
        del images
        if self.registry.name in self.world.refused:
            raise RegistryError(f"{self.registry.name} does not answer", solution="Wait.")
        inside, host = self.registry.repository(""), host_number(self.registry.host)
        names = (name for number, name in self.world.stored if number == host and name.startswith(inside))
        return Repositories(names=tuple(sorted(names)))

    def images(self, repository: str) -> tuple[RegistryImage, ...]:
        name = repository.removeprefix(self.registry.repository(""))
        return tuple(replace(image, image=name) for image in self._of(repository).values())

    def tags(self, repository: str) -> Mapping[str, str]:
        return {tag: image.digest for image in self._of(repository).values() for tag in image.tags}

    def has(self, repository: str, digest: str) -> bool:
        return digest in self._of(repository)

    def delete(self, repository: str, digest: str) -> bool:
        if digest in self.world.refused:
            raise RegistryError(f"{digest} is not deleted", solution="Wait.")
        self.world.deleted.append((repository, digest))
        return self._of(repository).pop(digest, None) is not None

    def delete_repository(self, repository: str) -> bool:
        del repository
        return False

    def by_hand(self, repository: str, digest: str) -> str:
        return f"delete {self.registry.host}/{repository}@{digest}"

    def close(self) -> None:
        pass

    def _of(self, repository: str) -> dict[str, RegistryImage]:
        return self.world.stored.get((host_number(self.registry.host), repository), {})
