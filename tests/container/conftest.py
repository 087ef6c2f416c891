"""What tests of containers share; each of them needs an engine."""

import pytest
from support.container_fixtures import (
    base_image,
    engine,
    podman_service,
    small_base_image,
    torch_wheels,
)

__all__ = [
    "base_image",
    "engine",
    "podman_service",
    "small_base_image",
    "torch_wheels",
]


@pytest.fixture(scope="session", autouse=True)
def _engine(engine: None) -> None:
    """Have the engine's settings in place before the first test."""
