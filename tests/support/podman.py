"""podman as the tests use it: short commands, and a service for testcontainers."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

_START_SECONDS = 30.0
# podman 4.3 reads all images or containers in a listing, and in a build to look for a cached one. If another
# run removes one of them meanwhile it fails, with a message that differs with the moment.
_READS_ALL = frozenset({"build", "images", "image ls", "image prune", "ps", "system df"})
_RACE = re.compile(
    r"(image|layer|container) not known|no such (image|container)|does not exist in database"
    r"|overlay.*no such file or directory|checking if cached image exists|consider removing the image"
)
_TRIES = 5
_PAUSE_SECONDS = 0.3


def run_podman(
    *arguments: str | Path,
    timeout: float = 300,
    given: str = "",
    cwd: Path | None = None,
    stderr: int = subprocess.STDOUT,
) -> "CompletedProcess[str]":
    """Run podman to its end, again if another run's removal of an image or container made it fail.

    ``given`` is what it reads; ``stderr`` is as `subprocess.run` takes it: by default both outputs are one.
    """
    words = [str(word) for word in arguments]
    tries = _TRIES if _READS_ALL & {words[0], " ".join(words[:2])} else 1
    for left in reversed(range(tries)):
        done = subprocess.run(
            ["podman", *words], input=given, stdout=subprocess.PIPE, stderr=stderr, text=True,
            cwd=cwd, timeout=timeout, check=False,
        )  # fmt: skip
        if done.returncode == 0 or not left or not _RACE.search(f"{done.stdout}{done.stderr}"):
            break
        time.sleep(_PAUSE_SECONDS)
    return done


def podman(
    *arguments: str | Path,
    status: int | None = 0,
    timeout: float = 300,
    given: str = "",
    cwd: Path | None = None,
    stderr: int = subprocess.STDOUT,
) -> str:
    """Run podman as `run_podman` does and return what it printed, by default both outputs together.

    ``status`` is the exit status that the test expects, None for any.
    """
    done = run_podman(*arguments, timeout=timeout, given=given, cwd=cwd, stderr=stderr)
    said = f"podman {arguments}: {done.returncode}\n{done.stdout}{done.stderr or ''}"
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
