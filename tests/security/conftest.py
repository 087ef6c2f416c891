"""What attacks run against: the index, the repositories and the engine of the other tests."""

from support.container_fixtures import (
    base_image,
    cpu_flavor,
    engine,
    image,
    podman_service,
    torch_wheels,
)
from support.integration_fixtures import (
    _index_servers,
    _locked_once,
    _private_index,
    own_cache,
    private_world,
    workshop,
)

__all__ = [
    "_index_servers",
    "_locked_once",
    "_private_index",
    "base_image",
    "cpu_flavor",
    "engine",
    "image",
    "own_cache",
    "podman_service",
    "private_world",
    "torch_wheels",
    "workshop",
]
