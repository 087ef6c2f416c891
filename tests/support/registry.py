"""A real registry (CNCF Distribution) on loopback, in a folder of its own, gone when the block ends."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, PASSWORD = "pusher", "pushed-and-pulled"
# bcrypt, the only form that the registry reads; of the password above.
_HTPASSWD = "pusher:$2b$05$abcdefghijklmnopqrstuuOwf6fnDdfzZWDQ792C5Khqty18DvgVy\n"
_PROGRAMS = ("docker-registry", "registry")
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
_START_SECONDS = 20.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where it listens (``127.0.0.1:PORT``, plain HTTP), its folder, and the log of its requests."""

    host: str
    folder: Path
    log: Path

    def reference(self, repository: str, tag: str = "latest") -> str:
        """An image in it, as podman and the factory are told."""
        return f"{self.host}/{repository}:{tag}"


@contextmanager
def registry(folder: Path, *, login: bool = False, deletes: bool = True) -> Iterator[Registry]:
    """Serve while the block runs; with ``login`` to `USER` and `PASSWORD` alone. Skips without a program.

    Without ``deletes`` it refuses to delete, which is what it does by default.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("no docker-registry here: scripts/engine.sh installs it")
    folder.mkdir(parents=True, exist_ok=True)
    configuration, log = folder / "config.yml", folder / "registry.log"
    configuration.write_text(_configuration(folder, login=login, deletes=deletes))
    with (
        log.open("w") as output,
        subprocess.Popen(
            [program, "serve", configuration], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={}
        ) as process,
    ):
        try:
            yield Registry(host=_address(process, log), folder=folder, log=log)
        finally:
            process.terminate()


def _configuration(folder: Path, *, login: bool, deletes: bool) -> str:
    lines = [
        "version: 0.1",
        "log: {level: info, formatter: text}",
        "storage:",
        f"  filesystem: {{rootdirectory: '{folder / 'data'}'}}",
        f"  delete: {{enabled: {str(deletes).lower()}}}",
        # Port 0: the kernel chooses a free one, and the log says which.
        "http: {addr: '127.0.0.1:0'}",
    ]
    if login:
        users = folder / "htpasswd"
        users.write_text(_HTPASSWD)
        lines.append(f"auth: {{htpasswd: {{realm: tests, path: '{users}'}}}}")
    return "\n".join(lines) + "\n"


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := _LISTENING.search(log.read_text()):
            return found[1]
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"the registry did not start:\n{log.read_text()}")
