"""Prefetch against ``pip download``: the same lock, the same index on loopback, the same run.

Cold is with empty folders and no cache. The repeat reads every byte again and fetches nothing; its
time is given for 450 MB. The best of the rounds counts on both sides: whatever else the machine does
can only add to a time. Exits 1 where a bound is not reached.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from factory.flavor.project import read_project
from factory.flavor.repository import Repository
from factory.lock.lockfile import format_lock, require_lock
from factory.lock.lockset import inputs_digest
from factory.prefetch.layout import Layout
from factory.process import run

REPOSITORY = Path(__file__).resolve().parent.parent
LEAST_RATIO = 2.5
MOST_VERIFY_SECONDS = 1.5
REFERENCE_BYTES = 450e6


def main() -> int:
    """Mirror the wheels, serve them, and time both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavor", default="th011-cpu-torch2130-py311", help="a flavor that is locked")
    parser.add_argument("--mirror", type=Path, help="where its wheels are, or are kept for the next time")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prefetch-benchmark-") as name:
        work = Path(name)
        mirror = options.mirror or work / "mirror"
        run(factory(REPOSITORY, options.flavor, mirror))
        wheels = Layout(mirror).artifacts
        size = sum(path.stat().st_size for path in wheels.iterdir())
        with served(wheels) as url:
            flavor = flavor_on(url, REPOSITORY / "flavors" / options.flavor, work / "repository")
            warm_up(url, wheels)
            print(f"{len(list(wheels.iterdir()))} wheels, {size / 1e6:.0f} MB, {os.cpu_count()} processors")
            return compare(flavor, work, options.rounds, size)


def compare(flavor: Path, work: Path, rounds: int, size: int) -> int:
    """Time both in turns, print the ratio and the bounds, and return the exit status."""
    root = flavor.parent.parent
    pip_seconds, our_seconds = [], []
    for number in range(rounds):
        pip_seconds.append(timed(pip_download(flavor, work / f"pip-{number}")))
        our_seconds.append(timed(factory(root, flavor.name, work / f"ours-{number}"), work / f"c-{number}"))
        print(f"cold, round {number + 1}: pip {pip_seconds[-1]:.2f} s, prefetch {our_seconds[-1]:.2f} s")
        shutil.rmtree(work / f"pip-{number}")
        if number + 1 < rounds:
            shutil.rmtree(work / f"ours-{number}")
    verify_seconds = [
        timed(factory(root, flavor.name, work / f"ours-{rounds - 1}"), work / f"c-{rounds - 1}")
        for _ in range(2 * rounds + 1)
    ]
    print(f"repeats: {', '.join(f'{seconds:.2f}' for seconds in verify_seconds)} s")
    ratio = min(pip_seconds) / min(our_seconds)
    verify = min(verify_seconds) * REFERENCE_BYTES / size
    return report(
        (f"prefetch is {ratio:.2f} times faster than pip, at least {LEAST_RATIO}", ratio >= LEAST_RATIO),
        (
            f"verifying takes {verify:.2f} s for 450 MB, at most {MOST_VERIFY_SECONDS} s",
            verify <= MOST_VERIFY_SECONDS,
        ),
    )


def report(*bounds: tuple[str, bool]) -> int:
    """Print each bound and whether it was reached."""
    for text, reached in bounds:
        print(f"{'pass' if reached else 'FAIL'}: {text}")
    return 0 if all(reached for _, reached in bounds) else 1


def timed(command: Sequence[str | Path], cache: Path | None = None) -> float:
    """Seconds that a program takes from start to end, with none of this machine's pip and uv settings.

    The factory notes in ``cache`` which wheels it has checked: cold is without.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    own = {} if cache is None else {"XDG_CACHE_HOME": str(cache)}
    started = time.perf_counter()
    run(command, environment=environment | {"PIP_CONFIG_FILE": os.devnull} | own)
    return time.perf_counter() - started


def factory(root: Path, flavor: str, output: Path) -> list[str | Path]:
    """The command that is measured."""
    return [sys.executable, "-m", "factory", "--root", root, "prefetch", flavor, "--output", output]


def pip_download(flavor: Path, output: Path) -> list[str | Path]:
    """What it is measured against, with the Python that the flavor is for."""
    python = Repository(flavor.parent.parent).flavor(flavor.name).project.spec.python
    running = ".".join(map(str, sys.version_info[:2]))
    interpreter = sys.executable if running == python else f"python{python}"
    words = ["download", "--no-deps", "--require-hashes", "--no-cache-dir", "--disable-pip-version-check"]
    return [interpreter, "-m", "pip", *words, "-r", flavor / "requirements.txt", "-d", output]


def flavor_on(url: str, source: Path, root: Path) -> Path:
    """A copy of a flavor that is locked against the index at the URL."""
    flavor = root / "flavors" / source.name
    shutil.copytree(source, flavor)
    project, lock = flavor / "pyproject.toml", flavor / "requirements.txt"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace("[tool.factory]\n", f'[tool.factory]\nindex-url = "{url}"\n'), "utf-8")
    locked = read_project(flavor)
    text = format_lock(
        require_lock(flavor).pins,
        index_url=url,
        inputs=inputs_digest(locked),
        command=f"factory lock {flavor.name}",
        platforms=locked.spec.platforms,
    )
    lock.write_text(text, encoding="utf-8")
    return flavor


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """An index of the folder's wheels, served by a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "support.index_server", folder.resolve()],
        cwd=REPOSITORY / "tests",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


def warm_up(url: str, wheels: Path) -> None:
    """Ask for every page once, so that the server has hashed every file before anything is timed."""
    for path in wheels.iterdir():
        name = path.name.partition("-")[0]
        with urllib.request.urlopen(f"{url}{name.replace('_', '-').lower()}/") as page:
            page.read()


if __name__ == "__main__":
    sys.exit(main())
