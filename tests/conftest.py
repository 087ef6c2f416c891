"""How the tests run here, whatever machine and shell they are started from."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.cpu_times import CpuTimes

# Searches for a time that is given; `make fuzz` gives one.
collect_ignore = [] if "FACTORY_FUZZ_SECONDS" in os.environ else ["fuzz"]

# No test fails for being slow, since the machine may be busy.
settings.register_profile(
    "factory", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("factory")


def pytest_configure(config: pytest.Config) -> None:
    """Measure the processor time of each test where ``FACTORY_TEST_CPU`` names a file for it."""
    if file := os.environ.get("FACTORY_TEST_CPU"):
        config.pluginmanager.register(CpuTimes(Path(file)))


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell's background job ignores SIGINT, and so would every program that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
