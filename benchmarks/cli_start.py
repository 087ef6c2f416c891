"""Measure `factory --version` against the bound of 0.25 seconds and against importing click alone.

The package is built as a wheel and installed with compiled bytecode into a fresh environment, as a user
has it. The two take turns.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
BOUND_SECONDS = 0.25
ROUNDS = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scripts = install(Path(folder))
        factory = (str(scripts / "factory"), "--version")
        click = (str(scripts / "python"), "-c", "import click")
        for command in (factory, click):
            timed(command)
        taken = [(timed(factory), timed(click)) for _ in range(ROUNDS)]
    # The fastest of each: what else the machine does only ever adds to the time.
    started, imported = (min(times) for times in zip(*taken, strict=True))
    print(f"fastest of {ROUNDS} runs that took turns, from a wheel with compiled bytecode")
    print(f"factory --version:         {started:.3f} s")
    print(f"python -c 'import click':  {imported:.3f} s")
    print(f"ratio to the bound:        {BOUND_SECONDS / started:.1f} times faster than {BOUND_SECONDS} s")
    print(f"ratio to click:            {started / imported:.2f} times its time")
    sys.exit(started > BOUND_SECONDS)


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


def timed(command: tuple[str, ...]) -> float:
    """Seconds that a program takes; it has to end with 0."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
