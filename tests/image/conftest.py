"""What tests of containers share; each of them needs an engine."""

import pytest
from support.container_fixtures import (
    base_image,
    cpu_flavor,
    engine,
    image,
    podman_service,
    torch_wheels,
    tour,
)

__all__ = [
    "base_image",
    "cpu_flavor",
    "engine",
    "image",
    "podman_service",
    "torch_wheels",
    "tour",
]


@pytest.fixture(scope="session", autouse=True)
def _engine(engine: None) -> None:
    """Have the engine's settings in place before the first test."""
