"""Three flavors locked together against plain ``uv pip compile`` of the same three one after the other.

The index is on loopback in a process of its own, with pages of real size (12 versions of 10 wheels each,
metadata of its own for every wheel). Each answer takes a while, as from an index that is not on this
machine. Both sides begin with the same cache: empty (cold), and then full (warm).

    python benchmarks/lock_together.py [--projects N] [--delay SECONDS] [--rounds N]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from uv import find_uv_bin

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.page_index import project_name, served

MOST_RATIO = 0.7
FLAVORS = 3
# What each flavor requires beside the first project: enough to differ, as flavors do.
_BESIDE = (2, 3, 5)


def main() -> int:
    """Measure, print, and return 0 where the bound is met in both cache states."""
    parser = argparse.ArgumentParser(description="Measure factory lock of several flavors.")
    parser.add_argument("--projects", type=int, default=150)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served(given.projects, delay=given.delay) as url:
        root = Path(name)
        names = [_write_flavor(root, number, url) for number in range(FLAVORS)]
        ratios = {state: _compare(root, names, url, state, given.rounds) for state in ("cold", "warm")}
    met = all(ratio <= MOST_RATIO for ratio in ratios.values())
    shown = ", ".join(f"{ratio:.2f} {state}" for state, ratio in ratios.items())
    print(f"ratio {shown}, bound {MOST_RATIO}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def _compare(root: Path, names: Sequence[str], url: str, state: str, rounds: int) -> float:
    plain = [_plain(root / "flavors" / name, url) for name in names]
    sides = {"together": [_factory(root, names)], "uv": plain}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, commands in sides.items():
            for name in names:
                for leftover in (root / "flavors" / name).glob("*.txt"):
                    leftover.unlink()
            if state == "cold":
                shutil.rmtree(root / f"cache-{side}", ignore_errors=True)
            started = time.monotonic()
            for command in commands:
                _run(command, root, side)
            seconds[side].append(time.monotonic() - started)
    best = {side: min(values) for side, values in seconds.items()}
    for side, values in seconds.items():
        print(f"{state} {side:9} best {best[side]:.2f} s of {' '.join(f'{value:.2f}' for value in values)}")
    return best["together"] / best["uv"]


def _write_flavor(root: Path, number: int, url: str) -> str:
    name = f"flavor{number}"
    folder = root / "flavors" / name
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f"""[project]
name = "{name}"
version = "0"
dependencies = ["{project_name(0)}>=2,<{12 - number}", "{project_name(_BESIDE[number])}"]
[tool.factory]
accelerator = "cpu"
torch = "2.11.0"
python = "3.12"
training-hub = "0.9.2"
name = "{name}"
index-url = "{url}"
base-image = "quay.io/example/base:1"
downstream-base-image = "quay.io/example/base:1"
""",
        encoding="utf-8",
    )
    return name


def _factory(root: Path, names: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "factory", "--root", str(root), "lock", *names]


def _plain(folder: Path, url: str) -> list[str]:
    return [
        *(
            find_uv_bin(),
            "pip",
            "compile",
            str(folder / "pyproject.toml"),
            "--generate-hashes",
            "--no-config",
        ),
        *("--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_34", "--index-url", url),
        *("--only-binary", ":all:", "--python", sys.executable, "--refresh"),
        *("--output-file", str(folder / "plain.txt")),
    ]


def _run(command: Sequence[str], cwd: Path, side: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    caches = {"UV_CACHE_DIR": str(cwd / f"cache-{side}"), "XDG_CACHE_HOME": str(cwd / f"cache-{side}")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment | caches | {"UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr.decode())


if __name__ == "__main__":
    sys.exit(main())
