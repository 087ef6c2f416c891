"""Everything that the registries of a repository hold, read through their drivers."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from factory.errors import RegistryError
from factory.index.parallel import in_parallel
from factory.registry.declared import Registry
from factory.registry.drivers.driver import Driver
from factory.registry.holdings import Holding

Opener = Callable[[Registry], Driver]
_AT_ONCE = 4


@contextmanager
def opened(
    registries: Iterable[Registry], opener: Opener
) -> Iterator[tuple[dict[str, Driver], dict[str, RegistryError]]]:
    """The drivers of registries while the block runs, by name; and why one could not be opened."""
    drivers: dict[str, Driver] = {}
    failed: dict[str, RegistryError] = {}
    with ExitStack() as stack:
        for registry in registries:
            try:
                drivers[registry.name] = driver = opener(registry)
                stack.callback(driver.close)
            except RegistryError as error:
                failed[registry.name] = error
        yield drivers, failed


def read_holdings(
    registries: Iterable[Registry],
    images: Collection[str],
    drivers: Mapping[str, Driver],
    failed: Mapping[str, RegistryError],
) -> tuple[Holding, ...]:
    """What each registry holds; one that cannot be read says why.

    Args:
        registries: which, in this order.
        images: the names of the repository's images, for registries that do not list what they have.
        drivers: by the registry's name.
        failed: why there is no driver, by the registry's name.
    """

    def read(registry: Registry) -> Holding:
        if registry.name in failed:
            return Holding(registry=registry, error=failed[registry.name])
        return _read(registry, images, drivers[registry.name])

    return tuple(in_parallel(read, registries, jobs=_AT_ONCE))


def _read(registry: Registry, images: Collection[str], driver: Driver) -> Holding:
    try:
        repositories = driver.repositories(images)
        found = in_parallel(driver.images, repositories.names, jobs=_AT_ONCE)
    except RegistryError as error:
        return Holding(registry=registry, error=error)
    return Holding(
        registry=registry,
        repositories=repositories.names,
        images=tuple(image for held in found for image in held),
        partial=repositories.partial,
    )
