"""`factory build IMAGE` with nothing to do, against a fully cached `podman build` of the same Dockerfile.

A flavor in a repository of its own whose packages are tiny wheels, in as many layers as the shipped CPU
flavor has, hermetic on the stand-in base image. Whole processes, in turns; the best of the rounds counts on
both sides: whatever else the machine does can only add to a time. Exits 1 where a bound is not reached.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.small_flavors import make_flavor, write_lock  # noqa: E402
from support.wheels import make_wheel  # noqa: E402

from factory.build.parts import part_tag  # noqa: E402
from factory.engine.leftovers import repository_mark  # noqa: E402
from factory.flavor.repository import Flavor  # noqa: E402
from factory.render.drift import sync_flavor  # noqa: E402

MOST_SECONDS = 1.0
MOST_SHARE = 1 / 5
PACKAGES = 8
FACTORY = str(Path(sys.executable).with_name("factory"))


def main() -> int:
    """Build with both once, time both in turns, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    base = output(str(REPOSITORY / "scripts" / "standin-base.sh")).split()[-1]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        flavor = locked_flavor(root)
        mine, podmans = commands(root, flavor, base)
        made = ""
        try:
            made = json.loads(output(*mine, "--force"))["identity_tag"]
            output(*podmans)
            taken = [(timed(*mine), timed(*podmans)) for _ in range(options.rounds)]
        finally:
            clean(root, flavor, made)
    idle, cached = (min(times) for times in zip(*taken, strict=True))
    print(f"best of {options.rounds} rounds that took turns, {PACKAGES} package layers")
    print(f"factory build, nothing to do:  {idle:.2f} s")
    print(f"podman build, fully cached:    {cached:.2f} s")
    return report(
        (f"{idle:.2f} s, at most {MOST_SECONDS}", idle <= MOST_SECONDS),
        (f"{idle / cached:.3f} of podman's time, at most {MOST_SHARE}", idle <= MOST_SHARE * cached),
    )


def locked_flavor(root: Path) -> Flavor:
    """A flavor of small packages, one layer for each."""
    wheels = root / "wheels"
    names = [f"package-{number}" for number in range(PACKAGES)]
    files = [make_wheel(wheels, name, "1.0") for name in names]
    flavor = make_flavor(root, index_url=None, dependencies=names)
    with (flavor.folder / "pyproject.toml").open("a") as file:
        file.write("\n[tool.factory.layers]\n")
        file.writelines(f'layer-{name} = ["{name}"]\n' for name in names[1:])
    flavor = Flavor(flavor.folder)
    write_lock(flavor, files, index_url=None)
    sync_flavor(flavor)
    return flavor


def commands(root: Path, flavor: Flavor, base: str) -> tuple[list[str], list[str]]:
    """The two commands that do the same."""
    prefetched = root / "prefetched"
    mine = [
        FACTORY, "--root", str(root), "--json", "build", flavor.name, "--hermetic", "--base-image", base,
        "--prefetched", str(prefetched), "--find-links", str(root / "wheels"),
    ]  # fmt: skip
    podmans = [
        "podman", "build", "--quiet", "--pull=never", "--network", "none",
        "--tag", "localhost/build-idle:podman", "--build-arg", f"BASE_IMAGE={base}",
        "--volume", f"{prefetched}:/cachi2:ro,z",
        "--file", str(flavor.folder / "Dockerfile.konflux"), str(flavor.folder),
    ]  # fmt: skip
    return mine, podmans


def output(*command: str) -> str:
    """What a command prints; it has to end with 0, and what it says is shown where it does not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise SystemExit(f"{command[0]} ended with status {done.returncode}")
    return done.stdout


def timed(*command: str) -> float:
    """Seconds of one run."""
    start = time.monotonic()
    output(*command)
    return time.monotonic() - start


def clean(root: Path, flavor: Flavor, made: str) -> None:
    """Remove the names that came of this."""
    record = root / ".work" / "images" / flavor.name / "segments"
    names = ["localhost/build-idle:podman", f"localhost/{flavor.name}:downstream", *([made] if made else [])]
    if record.exists():
        names += [part_tag(repository_mark(root), key) for key in record.read_text().split()]
    subprocess.run(["podman", "image", "rm", "--force", *names], capture_output=True, check=False)


def report(*bounds: tuple[str, bool]) -> int:
    """Print each bound and whether it was reached."""
    for text, reached in bounds:
        print(f"{'pass' if reached else 'FAIL'}: {text}")
    return 0 if all(reached for _, reached in bounds) else 1


if __name__ == "__main__":
    sys.exit(main())
