"""``factory lock`` against plain ``uv pip compile --generate-hashes``, on one flavor and one cache.

Runs the two in turns, after one run of each that fills the cache, and compares the medians. Then
locks three flavors one after the other and side by side, against an index on loopback whose pages
take 50 ms each: what a public index gives to three at once is its own affair.

    python benchmarks/lock.py [FLAVOR FOLDER] [--repeats N]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from uv import find_uv_bin

from factory.dockerfile.references import PLATFORMS
from factory.flavor.project import read_project

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.index_server import Fault, IndexServer
from support.wheels import make_wheel

BOUND = 1.3
FLAVORS = 3
_CHAIN = 20
_DEFAULT = Path(__file__).parents[1] / "flavors" / "th011-cpu-torch2130-py311"


def main() -> int:
    """Measure, print, and return 0 where the bound is met."""
    arguments = argparse.ArgumentParser(description="Measure factory lock against uv pip compile.")
    arguments.add_argument("flavor", type=Path, nargs="?", default=_DEFAULT)
    arguments.add_argument("--repeats", type=int, default=7)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("one/flavors/copy", "plain"):
            (root / folder).mkdir(parents=True)
            shutil.copy(given.flavor / "pyproject.toml", root / folder)
        ratio = _one_flavor(root, given.repeats)
        _several(root / "several", max(given.repeats // 2, 1))
    print(f"ratio {ratio:.2f}, bound {BOUND}: {'met' if ratio <= BOUND else 'MISSED'}")
    return 0 if ratio <= BOUND else 1


def _one_flavor(root: Path, repeats: int) -> float:
    ours = [sys.executable, "-m", "factory", "--root", str(root / "one"), "lock", "copy"]
    plain = _plain_command(root / "plain")
    times: dict[str, list[float]] = {"factory": [], "uv": []}
    for repeat in range(repeats + 1):
        for kind, command in (("factory", ours), ("uv", plain)):
            seconds = _seconds(command, root / "plain")
            if repeat:  # the first run of each fills the cache
                times[kind].append(seconds)
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    for kind, values in times.items():
        shown = " ".join(f"{value:.2f}" for value in values)
        print(f"{kind:8} median {medians[kind]:.2f} s of {shown}")
    return medians["factory"] / medians["uv"]


def _several(root: Path, repeats: int) -> None:
    command = [sys.executable, "-m", "factory", "--root", str(root), "lock", "--all", "--jobs"]
    times: dict[int, list[float]] = {1: [], FLAVORS: []}
    with IndexServer(folder=root / "pushed") as index:
        for number in range(_CHAIN):
            following = [f"link{number + 1}"] if number + 1 < _CHAIN else []
            make_wheel(index.folder, f"link{number}", "1.0", requires=following)
            index.fault(f"/simple/link{number}/", Fault(delay=0.05))
        for number in range(FLAVORS):
            _write_project(root / "flavors" / f"flavor{number}", index.url)
        for _ in range(repeats):
            for jobs, values in times.items():
                values.append(_seconds([*command, str(jobs)], root))
    one, several = (statistics.median(values) for values in times.values())
    print(
        f"{FLAVORS} flavors: {one:.2f} s one after the other, {several:.2f} s side by side, "
        f"{one / several:.2f} times as fast"
    )


def _write_project(folder: Path, index_url: str) -> None:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f"""[project]
dependencies = ["link0"]
[tool.factory]
accelerator = "cpu"
torch = "2.11.0"
python = "3.12"
training-hub = "0.9.2"
index-url = "{index_url}"
base-image = "quay.io/example/base:1"
downstream-base-image = "quay.io/example/base:1"
""",
        encoding="utf-8",
    )


def _plain_command(folder: Path) -> list[str]:
    spec = read_project(folder).spec
    platform = f"{PLATFORMS[spec.platforms[0]]}-manylinux_{spec.glibc.replace('.', '_')}"
    return [
        *(find_uv_bin(), "pip", "compile", "pyproject.toml", "--generate-hashes"),
        *("--python-version", spec.python, "--python-platform", platform),
        *("--only-binary", ":all:", "--python", sys.executable, "--output-file", "requirements.txt"),
        *(["--index-url", spec.index_url, "--refresh"] if spec.index_url else []),
    ]


def _seconds(command: Sequence[str], cwd: Path) -> float:
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"}, capture_output=True, check=False
    )
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(done.stderr.decode())
    return seconds


if __name__ == "__main__":
    sys.exit(main())
