"""Measure `factory check --all` on 100 rendered and locked flavors against the bound of 1.5 seconds.

The repository uses Konflux, so that two PipelineRuns of each flavor are looked at as well.
The reference reads the same locks in a process of its own, with `packaging` and nothing else: what any
tool that looks at every pin and every wheel's name has to do at least. The two take turns.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from factory.flavor.repository import Flavor, Repository
from factory.konflux.writing import write_runs
from factory.render.drift import sync_flavor

ROOT = Path(__file__).parents[1]
BOUND_SECONDS = 1.5
KONFLUX: dict[str, str | None] = {"application": "images", "output-image": "quay.io/example/"}
REFERENCE = """
import sys
from pathlib import Path
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
for lock in Path(sys.argv[1]).glob("flavors/*/requirements.txt"):
    for line in lock.read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith("#"):
            Requirement(line.rstrip(" \\\\"))
        elif line.strip().startswith("# ") and line.endswith(".whl"):
            parse_wheel_filename(line.strip("# "))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--flavors", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", type=Path, default=ROOT / "flavors" / "th09-cuda130-torch2110-py312")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pins = make_flavors(root, options.source, options.flavors)
        write_runs(Repository(root), Repository(root).flavors(), options=KONFLUX, every=True)
        check = (sys.executable, "-m", "factory", "check", "--all", "--root", folder)
        reference = (sys.executable, "-c", REFERENCE, folder)
        taken = [(timed(check), timed(reference)) for _ in range(options.rounds)]
    # The fastest of each: what else the machine does only ever adds to the time.
    checked, referred = (min(times) for times in zip(*taken, strict=True))
    print(f"{options.flavors} flavors, {pins} pins each; fastest of {options.rounds} runs that took turns")
    print(f"factory check --all:     {checked:.2f} s, {checked / options.flavors * 1000:.1f} ms a flavor")
    print(f"reading the locks alone: {referred:.2f} s")
    print(f"ratio to the bound:      {BOUND_SECONDS / checked:.1f} times faster than {BOUND_SECONDS:.1f} s")
    print(f"ratio to the reading:    {checked / referred:.1f} times its time")
    sys.exit(checked > BOUND_SECONDS)


def make_flavors(root: Path, source: Path, count: int) -> int:
    """Make so many rendered and locked flavors from one; gives the number of pins of each."""
    project = (source / "pyproject.toml").read_text(encoding="utf-8")
    for number in range(count):
        name = f"bench-{number:03}"
        folder = root / "flavors" / name
        folder.mkdir(parents=True)
        named = project.replace(source.name, name)
        named = named.replace("[tool.factory]\n", f'[tool.factory]\nname = "{name}"\n')
        (folder / "pyproject.toml").write_text(named, encoding="utf-8")
        shutil.copy(source / "requirements.txt", folder)
        sync_flavor(Flavor(folder))
    lock = (source / "requirements.txt").read_text(encoding="utf-8")
    return sum("==" in line for line in lock.splitlines() if not line.startswith("#"))


def timed(command: tuple[str, ...]) -> float:
    """Seconds that a program takes; it has to end with 0."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
