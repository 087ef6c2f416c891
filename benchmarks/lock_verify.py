"""``factory lock --verify`` of 200 pins against reading the same 200 pages one after the other.

The index is on loopback, with pages of 120 files. The whole command is timed, from the start of Python
to its end; the reading alone is what a script of three lines would do with the same client.

    python benchmarks/lock_verify.py [--pins N] [--rounds N]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from factory.flavor.project import read_project
from factory.index.client import IndexClient
from factory.lock.lockfile import LOCK_FILE, Artifact, Pin, format_lock
from factory.lock.lockset import inputs_digest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.page_index import VERSIONS, project_name, served, wheels

MOST_SECONDS = 3.0
_FLAVOR = "th09-cpu-torch2110-py312"


def main() -> int:
    """Measure, print, and return 0 where the bound is met."""
    parser = argparse.ArgumentParser(description="Measure factory lock --verify.")
    parser.add_argument("--pins", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served(given.pins) as url:
        root = Path(name)
        _locked_flavor(root / "flavors" / _FLAVOR, url, given.pins)
        verify, reading = [], []
        for _ in range(given.rounds):
            verify.append(_verify(root))
            reading.append(_read(url, given.pins))
    for kind, values in (("verify", verify), ("reading", reading)):
        print(f"{kind:8} best {min(values):.2f} s of {' '.join(f'{value:.2f}' for value in values)}")
    best = min(verify)
    print(f"{given.pins} pins: verify takes {best / min(reading):.2f} times as long as reading one by one")
    print(f"{best:.2f} s, bound {MOST_SECONDS} s: {'met' if best <= MOST_SECONDS else 'MISSED'}")
    return 0 if best <= MOST_SECONDS else 1


def _locked_flavor(folder: Path, url: str, pins: int) -> None:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f"""[project]
dependencies = ["{project_name(0)}"]
[tool.factory]
accelerator = "cpu"
torch = "2.11.0"
python = "3.12"
training-hub = "0.9.2"
index-url = "{url}"
base-image = "quay.io/example/base:1"
downstream-base-image = "quay.io/example/base:1"
""",
        encoding="utf-8",
    )
    text = format_lock(
        [_pin(number) for number in range(pins)],
        index_url=url,
        inputs=inputs_digest(read_project(folder)),
        command=f"factory lock {_FLAVOR}",
        platforms=("linux/amd64",),
    )
    (folder / LOCK_FILE).write_text(text, encoding="utf-8")


def _pin(number: int) -> Pin:
    file_name, sha256 = next(
        item for item in wheels(number, VERSIONS).items() if "cp312-cp312-manylinux" in item[0]
    )
    name, version = project_name(number), f"{VERSIONS}.0"
    return Pin(
        line=0,
        text=f"{name}=={version}",
        name=name,
        version=version,
        marker=None,
        artifacts=(Artifact(sha256=sha256, file_name=file_name),),
    )


def _verify(root: Path) -> float:
    started = time.monotonic()
    command = [sys.executable, "-m", "factory", "--root", str(root), "lock", _FLAVOR, "--verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return seconds


def _read(url: str, pins: int) -> float:
    started = time.monotonic()
    with IndexClient(url) as client:
        for number in range(pins):
            client.project(project_name(number))
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
