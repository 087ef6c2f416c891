"""`factory push` of an image that the registry has, under a new tag, against its first push.

An image of the engine with layers of so many megabytes that compress a little, and a real registry on
loopback. Whole processes. Exits 1 where the second push takes more than a share of the first.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.registry import registry  # noqa: E402

MOST_SHARE = 1 / 5
FACTORY = str(Path(sys.executable).with_name("factory"))
NAME = "localhost/push-again:latest"


def main() -> int:
    """Push twice, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, registry(Path(folder, "registry")) as server:
        root = Path(folder, "repository")
        (root / "flavors").mkdir(parents=True)
        make_image(Path(folder, "context"), options.megabytes)
        try:
            to = ("--to", f"{server.host}/team", "--name", "again")
            first = timed(FACTORY, "--root", root, "push", NAME, *to, "--tags", "1.0.0")
            second = timed(FACTORY, "--root", root, "push", NAME, *to, "--tags", "1.0.1")
        finally:
            subprocess.run(["podman", "image", "rm", "--force", NAME], check=True, capture_output=True)
    print(f"an image of {options.megabytes} MB in two layers")
    print(f"first push:                    {first:.2f} s")
    print(f"second push, under a new tag:  {second:.2f} s")
    reached = second <= MOST_SHARE * first
    print(f"{'ok' if reached else 'MISSED'}: {second / first:.3f} of the first, at most {MOST_SHARE}")
    return 0 if reached else 1


def make_image(context: Path, megabytes: int) -> None:
    """Build an image from scratch whose layers are half noise, as wheels with compiled code are."""
    context.mkdir()
    noise = random.Random(0)
    for name in ("one", "two"):
        with (context / name).open("wb") as file:
            for _ in range(megabytes // 2):
                file.write(noise.randbytes(500_000) + bytes(500_000))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY one /one\nCOPY two /two\n")
    subprocess.run(["podman", "build", "--quiet", "--tag", NAME, context], check=True, capture_output=True)


def timed(*words: str | Path) -> float:
    """Return the seconds that a process takes."""
    start = time.monotonic()
    subprocess.run(words, check=True, capture_output=True, env=dict(os.environ, NO_PROXY="127.0.0.1"))
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main())
