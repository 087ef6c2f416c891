"""What a security fix of one package sends: the bytes of the layers that change, of all that a flavor adds.

A flavor is built from nothing on a base image, with no network. Then each package in turn is locked in
another version, and nothing else is; the image is built from nothing again, and its layers are compared by
their digests. Exits 1 where the bound is not reached.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from factory.engine.engine import Engine, find_engine
from factory.engine.images import find_image
from factory.flavor.repository import Flavor, Repository
from factory.image_tests.inventory import match_layers
from factory.image_tests.subject import history_of
from factory.lock.find_links import folders_in_environment
from factory.lock.lockset import require_lock_set
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import prefetch_flavor
from factory.process import run

REPOSITORY = Path(__file__).resolve().parent.parent
WORK = REPOSITORY / ".work" / "benchmarks"
MOST_CHANGED = 0.10


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What every build has in common; ``below`` is the number of the base image's layers."""

    engine: Engine
    base: str
    below: int


@dataclass(frozen=True, kw_only=True)
class Added:
    """What an image adds to its base: for each layer its digest, its size in bytes, and what made it."""

    layers: tuple[tuple[str, int, str], ...]

    @property
    def size(self) -> int:
        """The size of all of them in bytes."""
        return sum(size for _, size, _ in self.layers)


def main() -> int:
    """Build the flavor as it is, then with each package changed, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavor", default="th011-cpu-torch2130-py311", help="a flavor that is locked")
    parser.add_argument("--base-image", help="default: the stand-in")
    parser.add_argument("--prefetched", type=Path, help="a folder of the flavor; default: fetched")
    parser.add_argument("packages", nargs="*", default=["urllib3"], help="default: urllib3")
    options = parser.parse_args()
    flavor = Repository(REPOSITORY).flavor(options.flavor)
    WORK.mkdir(parents=True, exist_ok=True)
    prefetched = options.prefetched or prefetch(flavor, WORK / "prefetched" / flavor.name)
    engine = find_engine("podman")
    base = options.base_image or stand_in()
    setting = Setting(engine=engine, base=base, below=len(layers_of(engine, base)))
    before = build(setting, flavor, prefetched)
    print(f"{flavor.name}: adds {before.size / 1e6:.1f} MB in {len(before.layers)} layers", flush=True)
    bounds = []
    for package in options.packages:
        with tempfile.TemporaryDirectory(dir=WORK) as work:
            changed = lock_another(flavor, package, Path(work))
            fetched = prefetch(changed, Path(work) / "prefetched", prefetched / "output" / "deps" / "pip")
            bounds.append(compare(package, before, build(setting, changed, fetched)))
    return report(*bounds)


def lock_another(flavor: Flavor, package: str, work: Path) -> Flavor:
    """A copy of a flavor whose lock has another version of one package, and differs in nothing else."""
    copy = Flavor(work / "flavors" / flavor.name)
    shutil.copytree(flavor.folder, copy.folder)
    before = pinned(flavor)
    project = copy.folder / "pyproject.toml"
    document: Any = tomlkit.parse(project.read_text())
    uv = document["tool"].setdefault("uv", tomlkit.table())
    uv.setdefault("constraint-dependencies", tomlkit.array()).append(f"{package}!={before[package]}")
    project.write_text(tomlkit.dumps(document))
    run([sys.executable, "-m", "factory", "--root", work, "lock", flavor.name], timeout=600)
    after = pinned(copy)
    moved = sorted(name for name in before | after if before.get(name) != after.get(name))
    if moved != [package]:
        sys.exit(f"another version of {package} moves others too: {', '.join(moved)}")
    print(f"{package}: {before[package]} -> {after[package]}", flush=True)
    return copy


def pinned(flavor: Flavor) -> dict[str, str | None]:
    """The version of each package that a flavor's lock pins."""
    pins = require_lock_set(flavor.folder, flavor.project.spec).pins
    return {pin.name: pin.version for pin in pins}


def prefetch(flavor: Flavor, folder: Path, *known: Path) -> Path:
    """Fetch what a flavor locks into a folder, from these folders where they have it."""
    found = folders_in_environment(os.environ)
    fetching = Fetching(find_links=known, public_find_links=found)
    return prefetch_flavor(flavor, folder, fetching=fetching).folder


def build(setting: Setting, flavor: Flavor, prefetched: Path) -> Added:
    """What an image of a flavor adds to its base, built from nothing; the image is removed again."""
    tag = f"localhost/security-fix:{os.getpid()}"
    run(
        [
            setting.engine.program, "build", "--quiet", "--no-cache", "--pull=never", "--network", "none",
            "--layers", "--timestamp", "0", "--build-arg", f"BASE_IMAGE={setting.base}",
            "--volume", f"{prefetched}:/cachi2:ro,z", "--file", flavor.folder / "Dockerfile.konflux",
            "--tag", tag, flavor.folder,
        ],
        timeout=1800,
    )  # fmt: skip
    found = match_layers(layers_of(setting.engine, tag), history_of(setting.engine, tag))
    run([setting.engine.program, "image", "rm", "--force", tag], timeout=300)
    return Added(
        layers=tuple((layer.digest, layer.size, layer.created_by) for layer in found[setting.below :])
    )


def layers_of(engine: Engine, reference: str) -> tuple[str, ...]:
    """The digests of an image's layers, from the bottom up."""
    image = find_image(engine, reference)
    assert image is not None, f"{reference} is not there"
    return image.layers


def compare(package: str, before: Added, after: Added) -> tuple[str, bool]:
    """Print the layers that are others, and return the share of all that they make, with its bound."""
    known = {digest for digest, _, _ in before.layers}
    changed = [(size, text) for digest, size, text in after.layers if digest not in known]
    for size, text in changed:
        print(f"    {size / 1e6:8.2f} MB  {' '.join(text.split())[:90]}")
    share = sum(size for size, _ in changed) / after.size
    print(f"    {len(changed)} of {len(after.layers)} layers changed", flush=True)
    of_all = f"{100 * share:.1f} % of {after.size / 1e6:.1f} MB changed"
    return f"{package}: {of_all}, at most {100 * MOST_CHANGED:.0f} %", 0 < share <= MOST_CHANGED


def report(*bounds: tuple[str, bool]) -> int:
    """Print each bound and whether it was reached."""
    for text, reached in bounds:
        print(f"{'pass' if reached else 'FAIL'}: {text}")
    return 0 if all(reached for _, reached in bounds) else 1


def stand_in() -> str:
    """The stand-in for the vendor's base image, made if it is not there."""
    made = subprocess.run(
        [REPOSITORY / "scripts" / "standin-base.sh"], stdout=subprocess.PIPE, text=True, check=True
    )
    return made.stdout.split()[-1]


if __name__ == "__main__":
    sys.exit(main())
