"""podman as the tests use it: short commands, and a service for testcontainers."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 30.0
# What podman 4.3 says if another run removes an image while it looks through all for a cached one.
_RACE = "checking if cached image exists from a previous build"
_TRIES = 3


def podman(*arguments: str | Path, status: int | None = 0, timeout: float = 300) -> str:
    """Run podman to its end and return what it printed, both outputs together.

    ``status`` is the exit status that the test expects, None for any.
    """
    for _ in range(_TRIES):
        done = subprocess.run(
            ["podman", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode == 0 or _RACE not in done.stdout:
            break
    said = f"podman {arguments}: {done.returncode}\n{done.stdout}"
    assert status is None or done.returncode == status, said
    return done.stdout


@contextmanager
def started(*arguments: str | Path) -> Iterator[str]:
    """A container in the background: ``arguments`` are those of ``podman run``; gives its id."""
    container = podman("run", "--detach", *arguments).split()[-1]
    try:
        yield container
    finally:
        podman("rm", "--force", "--time", "0", container)


def wait_for_line(container: str, line: str, *, seconds: float = 60) -> None:
    """Wait until a container has printed a line.

    Raises:
        AssertionError: it did not.
    """
    deadline = time.monotonic() + seconds
    while line not in podman("logs", container).splitlines():
        assert time.monotonic() < deadline, f"no {line!r}:\n{podman('logs', container)}"
        time.sleep(0.2)


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Podman's API on a socket in folder; gives its address for ``DOCKER_HOST``."""
    socket = folder / "podman.sock"
    address = f"unix://{socket}"
    with subprocess.Popen(
        ["podman", "system", "service", "--time=0", address], stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not socket.exists():
                assert process.poll() is None, "podman's service ended"
                assert time.monotonic() < deadline, "podman's service did not start"
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
