"""The factory's command, and what a test gets of an image that it built."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class BuiltFlavor:
    """An image that the factory built without a network, and the folder it was built from."""

    tag: str
    folder: Path
    base: str


def factory(*arguments: str | Path, status: int | None = 0) -> str:
    """Run the command as a user does, and return its standard output; ``status`` None is any."""
    done = subprocess.run(
        [sys.executable, "-m", "factory", *map(str, arguments)],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert status is None or done.returncode == status, f"{arguments}: {done.returncode}\n{said}"
    return done.stdout
