"""What tests of the lock share."""

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
    "own_cache",
    "private_world",
    "workshop",
]
