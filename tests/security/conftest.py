"""What attacks run against: the index, the repositories and the engine of the other tests."""

from support.container_fixtures import (
    base_image,
    engine,
    podman_service,
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
    "engine",
    "own_cache",
    "podman_service",
    "private_world",
    "workshop",
]
