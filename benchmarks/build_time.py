"""How long an image takes: `factory build` against what it cannot do without, on one set of wheels.

The baseline is `uv pip install` of the same wheels in a fresh container on the same base, with the same
options, and one pass that writes what this changed as a tar and hashes it: GNU tar and sha256sum, or our own
writer where that is faster. Against it stands `factory build --layout` from nothing, and with --engine once
the build by the engine. Each round does both, one right after the other, in the other order than the round
before: a machine that others use is fast for minutes and slow for others. The median of the rounds' ratios
counts. Exits 1 where the bound is not reached.
"""

import argparse
import os
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from factory.build.layer_container import (
    BuildContainer,
    ContainerChanges,
    Overlay,
    changes_since,
    engine_states,
    finished_container,
)
from factory.build.layer_tar import folders_above, write_layer
from factory.build.package_layers import LayerInstall
from factory.engine.engine import Engine, find_engine
from factory.engine.leftovers import ContainerOwner, repository_mark
from factory.flavor.repository import Repository
from factory.lock.find_links import folders_in_environment
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import prefetch_flavor
from factory.process import run
from factory.tree import Tree

REPOSITORY = Path(__file__).resolve().parent.parent
WORK = REPOSITORY / ".work" / "benchmarks"
MOST_RATIO = 1.5
INSTALL = (
    'umask 002 && . /cachi2/cachi2.env && set -- --offline --no-index --find-links "$PIP_FIND_LINKS" && '
    "uv pip install --python /opt/app-root/bin/python --no-cache --no-deps --require-hashes "
    '--only-binary :all: "$@" -r /flavor/requirements.txt'
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What both sides have in common."""

    engine: Engine
    base: str
    flavor: Path
    prefetched: Path
    scratch: Path


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Seconds of the install, and of the two ways to write and hash what it changed."""

    install: float
    gnu: float
    own: float

    @property
    def seconds(self) -> float:
        """With the faster of the two."""
        return self.install + min(self.gnu, self.own)


def main() -> int:
    """Take turns, print each time with the load of the machine, and both ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavor", default="th011-cpu-torch2130-py311", help="a flavor that is locked")
    parser.add_argument("--base-image", help="default: the stand-in")
    parser.add_argument("--prefetched", type=Path, help="default: prefetched first")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--engine", action="store_true", help="the slow build by the engine too")
    options = parser.parse_args()
    flavor = Repository(REPOSITORY).flavor(options.flavor)
    fetching = Fetching(public_find_links=folders_in_environment(os.environ))
    folder = options.prefetched or WORK / "prefetched" / flavor.name
    prefetched = prefetch_flavor(flavor, folder.absolute(), fetching=fetching)
    print(f"{flavor.name}: {prefetched.artifacts} wheels, {prefetched.size / 1e6:.0f} MB")
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        setting = Setting(
            engine=find_engine("podman"),
            base=options.base_image or stand_in(),
            flavor=flavor.folder,
            prefetched=prefetched.folder,
            scratch=Path(scratch),
        )
        rounds = [one_round(setting, number) for number in range(options.rounds)]
        engine = engine_build(setting) if options.engine else None
    least = min(said for said, _ in rounds)
    if engine is not None:
        shown("factory build by podman", engine)
        print(f"the build by podman takes {engine / least:.2f} times the fastest baseline")
    fastest = min(seconds for _, seconds in rounds)
    print(f"fastest against fastest: {fastest:.1f} s / {least:.1f} s = {fastest / least:.2f}")
    ratio = statistics.median(seconds / said for said, seconds in rounds)
    reached = ratio <= MOST_RATIO
    verdict = "pass" if reached else "FAIL"
    print(f"{verdict}: --layout takes {ratio:.2f} times the baseline, at most {MOST_RATIO}")
    return 0 if reached else 1


def one_round(setting: Setting, number: int) -> tuple[float, float]:
    """Seconds of the baseline, and of the layout."""
    seconds = layout_build(setting) if number % 2 else 0.0
    said = baseline(setting)
    seconds = seconds or layout_build(setting)
    shown(
        f"round {number + 1}",
        seconds,
        f"baseline {said.seconds:.1f}: install {said.install:.1f}, tar and sha256sum {said.gnu:.1f}, "
        f"our writer {said.own:.1f}; ratio {seconds / said.seconds:.2f}",
    )
    return said.seconds, seconds


def shown(what: str, seconds: float, more: str = "") -> None:
    """Print a time, and what else the machine does."""
    load = os.getloadavg()[0]
    print(f"{what}: {seconds:.1f} s{f' ({more})' if more else ''}; load {load:.1f}", flush=True)


def baseline(setting: Setting) -> Baseline:
    """Install into a fresh container, and write and hash what that changed, in both ways."""
    locks, blobs = setting.scratch / "locks", setting.scratch / "own"
    for folder in (locks / "all", blobs):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(setting.flavor / "requirements.txt", locks / "all")
    every = LayerInstall(name="all", source="/layers/all/", target="/flavor/", user="1001", run=INSTALL)
    with Tree.opened(locks) as locks_tree, Tree.opened(blobs) as blobs_tree:
        site = BuildContainer(
            engine=setting.engine,
            base=setting.base,
            user="1001",
            prefetched=setting.prefetched,
            locks=locks_tree,
            blobs=blobs_tree,
            owner=ContainerOwner(repository=repository_mark(REPOSITORY), notes=setting.scratch),
        )
        before = engine_states(site)
        start = time.monotonic()
        with finished_container(site, INSTALL, what="The baseline", copied=every) as overlay:
            install = time.monotonic() - start
            changes = changes_since(overlay, before)
            gnu, own = gnu_pass(setting, overlay, changes), own_pass(site, overlay, changes)
    shutil.rmtree(blobs)
    return Baseline(install=install, gnu=gnu, own=own)


def gnu_pass(setting: Setting, overlay: Overlay, changes: ContainerChanges) -> float:
    """Seconds of GNU tar, which also writes the archive, and sha256sum over the same stream."""
    names, archive = setting.scratch / "names", setting.scratch / "archive.tar"
    wanted = sorted({above for path in changes.made for above in (path, *folders_above(path))})
    names.write_text("".join(f"{name}\n" for name in wanted))
    words = [
        "tar",
        "-C",
        str(overlay.upper.root),
        "--no-recursion",
        "--format=pax",
        "-cf",
        "-",
        "-T",
        str(names),
    ]
    start = time.monotonic()
    run(["sh", "-c", f"{shlex.join(words)} | tee {shlex.quote(str(archive))} | sha256sum"])
    seconds = time.monotonic() - start
    archive.unlink()
    return seconds


def own_pass(site: BuildContainer, overlay: Overlay, changes: ContainerChanges) -> float:
    """Seconds of our own writer."""
    start = time.monotonic()
    write_layer(overlay.merged, changes.made, site.blobs, epoch=0)
    return time.monotonic() - start


def layout_build(setting: Setting) -> float:
    """Seconds of `factory build --layout` from nothing, all of the command."""
    layout = setting.scratch / "layout"
    seconds = factory_build(setting, "--layout", str(layout))
    shutil.rmtree(layout)
    return seconds


def engine_build(setting: Setting) -> float:
    """Seconds of `factory build` by podman from nothing; its image is removed."""
    tag = "localhost/benchmark-build-time:1"
    seconds = factory_build(setting, "--hermetic", "--tag", tag)
    run([setting.engine.program, "image", "rm", "--force", tag])
    return seconds


def factory_build(setting: Setting, *words: str) -> float:
    """Seconds of `factory build --force`."""
    start = time.monotonic()
    run(
        [
            sys.executable, "-m", "factory", "build", "--root", REPOSITORY, setting.flavor.name, "--force",
            "--base-image", setting.base, "--prefetched", setting.prefetched, *words,
        ]
    )  # fmt: skip
    return time.monotonic() - start


def stand_in() -> str:
    """The stand-in for the vendor's base image, made if it is not there."""
    return run([REPOSITORY / "scripts" / "standin-base.sh"]).stdout.split()[-1]


if __name__ == "__main__":
    sys.exit(main())
