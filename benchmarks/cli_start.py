"""Measure the CPU time of `factory --version` and `--help` against importing click alone.

The package is built as a wheel and installed with compiled bytecode into a fresh environment, as a user
has it. The programs take turns.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
VERSION_BOUND = 1.3
"""How many times the CPU time of importing click `--version` may take."""
HELP_BOUND_SECONDS = 0.3
ROUNDS = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scripts = install(Path(folder))
        commands = {
            "import click": (str(scripts / "python"), "-c", "import click"),
            "factory --version": (str(scripts / "factory"), "--version"),
            "factory --help": (str(scripts / "factory"), "--help"),
        }
        rounds = [[cpu_seconds(command) for command in commands.values()] for _ in range(ROUNDS + 1)]
    # The least of each: what else the machine does only ever adds. The first round fills caches.
    click, version, help_ = (min(times) for times in zip(*rounds[1:], strict=True))
    print(f"least of {ROUNDS} runs that took turns, CPU time, from a wheel with compiled bytecode")
    print(f"python -c 'import click':  {click:.3f} s")
    print(f"factory --version:         {version:.3f} s, {version / click:.2f} times (bound {VERSION_BOUND})")
    print(
        f"factory --help:            {help_:.3f} s, {help_ / click:.2f} times (bound {HELP_BOUND_SECONDS} s)"
    )
    sys.exit(version / click > VERSION_BOUND or help_ > HELP_BOUND_SECONDS)


def install(folder: Path) -> Path:
    """Install the package from a wheel of its own; gives the folder of the environment's programs."""
    uv = find_uv_bin()
    environment = folder / "venv"
    python = environment / "bin" / "python"
    for command in (
        (uv, "build", "--quiet", "--wheel", "--out-dir", folder / "dist", ROOT),
        (uv, "venv", "--quiet", "--python", sys.executable, environment),
    ):
        subprocess.run(command, check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run(
        (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, wheel), check=True
    )
    return python.parent


def cpu_seconds(command: tuple[str, ...]) -> float:
    """Return the CPU time that a program takes, which has to end with 0."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
