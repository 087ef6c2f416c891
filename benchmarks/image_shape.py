"""The shape of the image: packages copied out of a builder stage by hand, against one install layer.

Both are built from nothing on one base image with one set of wheels and no network, in turns. The
hand-written shape is that of decision 8 of the design: installed in a builder stage, site-packages and
bin copied, permissions mended in both stages. The best of the rounds counts on both sides: whatever else
the machine does can only add to a time. Exits 1 where a bound is not reached.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from factory.engine.engine import Engine, find_engine
from factory.engine.images import find_image
from factory.flavor.repository import Repository
from factory.lock.find_links import folders_in_environment
from factory.lock.lockfile import require_lock
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import prefetch_flavor
from factory.process import run

REPOSITORY = Path(__file__).resolve().parent.parent
WORK = REPOSITORY / ".work" / "benchmarks"
LEAST_RATIO = 4.5
MOST_ADDED = 1.05

# Dollar signs are the shell's and the Dockerfile's; PYTHON is replaced.
BY_HAND = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS builder
USER 0
WORKDIR /tmp/deps
COPY --chown=1001:0 requirements.txt ./
USER 1001
WORKDIR /opt/app-root/src
RUN . /cachi2/cachi2.env && uv pip install --no-cache --no-deps --no-index \\
    --find-links "$PIP_FIND_LINKS" -r /tmp/deps/requirements.txt
USER 0
RUN chmod -R g+w /opt/app-root/lib/pythonPYTHON/site-packages && fix-permissions /opt/app-root -P
RUN rm -rf /tmp/deps

FROM ${BASE_IMAGE}
USER 0
WORKDIR /opt/app-root/src
COPY --from=builder /opt/app-root/lib/pythonPYTHON/site-packages /opt/app-root/lib/pythonPYTHON/site-packages
COPY --from=builder /opt/app-root/bin /opt/app-root/bin
COPY LICENSE.md /licenses/license.md
COPY --chmod=0755 entrypoint-universal.sh /usr/local/bin/entrypoint-universal.sh
RUN fix-permissions /opt/app-root -P && chmod -R g+w /opt/app-root/lib/pythonPYTHON/site-packages
USER 1001
ENTRYPOINT ["/usr/local/bin/entrypoint-universal.sh"]
"""
SIZE_OF_FILES = """
import os, sys
from importlib.metadata import distribution
paths = {os.path.realpath(file.locate()) for name in sys.argv[1:] for file in distribution(name).files}
print(sum(os.path.getsize(path) for path in paths if os.path.isfile(path)))
"""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What both builds have in common."""

    engine: Engine
    base: str
    folder: Path
    prefetched: Path


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One way to write the Dockerfile, and the tag of what comes of it."""

    name: str
    dockerfile: Path
    tag: str


def main() -> int:
    """Make what both need, build both in turns, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavor", default="th011-cpu-torch2130-py311", help="a flavor that is locked")
    parser.add_argument("--base-image", help="default: the stand-in")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    flavor = Repository(REPOSITORY).flavor(options.flavor)
    fetching = Fetching(public_find_links=folders_in_environment(os.environ))
    prefetched = prefetch_flavor(flavor, WORK / "prefetched" / flavor.name, fetching=fetching)
    print(f"{flavor.name}: {prefetched.artifacts} wheels, {prefetched.size / 1e6:.0f} MB")
    setting = Setting(
        engine=find_engine("podman"),
        base=options.base_image or stand_in(),
        folder=flavor.folder,
        prefetched=prefetched.folder,
    )
    with tempfile.TemporaryDirectory() as folder:
        by_hand = Path(folder) / "Dockerfile"
        by_hand.write_text(BY_HAND.replace("PYTHON", flavor.project.spec.python))
        shapes = (
            Shape(name="by hand", dockerfile=by_hand, tag="localhost/image-shape:by-hand"),
            Shape(
                name="ours", dockerfile=flavor.folder / "Dockerfile.konflux", tag="localhost/image-shape:ours"
            ),
        )
        seconds = time_builds(setting, shapes, options.rounds)
    names = [pin.name for pin in require_lock(flavor.folder).pins]
    status = compare(setting, shapes, seconds, names)
    for shape in shapes:
        run([setting.engine.program, "image", "rm", "--force", shape.tag])
    return status


def time_builds(setting: Setting, shapes: tuple[Shape, ...], rounds: int) -> dict[str, float]:
    """The least seconds of each shape."""
    taken: dict[str, list[float]] = {shape.name: [] for shape in shapes}
    for number in range(rounds):
        for shape in shapes:
            taken[shape.name].append(timed_build(setting, shape))
            print(f"round {number + 1}, {shape.name}: {taken[shape.name][-1]:.1f} s", flush=True)
    return {name: min(seconds) for name, seconds in taken.items()}


def timed_build(setting: Setting, shape: Shape) -> float:
    """Seconds of one build from nothing."""
    start = time.monotonic()
    run(
        [
            setting.engine.program, "build", "--quiet", "--no-cache", "--pull=never", "--network", "none",
            "--build-arg", f"BASE_IMAGE={setting.base}", "--volume", f"{setting.prefetched}:/cachi2:ro,z",
            "--file", shape.dockerfile, "--tag", shape.tag, setting.folder,
        ]
    )  # fmt: skip
    return time.monotonic() - start


def compare(setting: Setting, shapes: tuple[Shape, ...], seconds: dict[str, float], names: list[str]) -> int:
    """Print both, the ratio and the bounds; return the exit status."""
    base = size_of(setting, setting.base)
    added = {shape.name: size_of(setting, shape.tag) - base for shape in shapes}
    ours = shapes[-1]
    sized = run(
        [setting.engine.program, "run", "--rm", ours.tag, "python", "-c", SIZE_OF_FILES, *names], timeout=300
    )
    installed = int(sized.stdout)
    print(f"installed files: {installed / 1e6:.0f} MB")
    for shape in shapes:
        print(f"{shape.name}: {seconds[shape.name]:.1f} s, adds {added[shape.name] / 1e6:.0f} MB")
    ratio = seconds["by hand"] / seconds["ours"]
    share = added["ours"] / installed
    print(f"ratio of added bytes: {added['by hand'] / added['ours']:.2f} times less")
    return report(
        (f"{ratio:.2f} times faster, at least {LEAST_RATIO}", ratio >= LEAST_RATIO),
        (f"adds {share:.3f} times the installed files, at most {MOST_ADDED}", share <= MOST_ADDED),
    )


def report(*bounds: tuple[str, bool]) -> int:
    """Print each bound and whether it was reached."""
    for text, reached in bounds:
        print(f"{'pass' if reached else 'FAIL'}: {text}")
    return 0 if all(reached for _, reached in bounds) else 1


def size_of(setting: Setting, reference: str) -> int:
    """The size of an image's layers in bytes."""
    image = find_image(setting.engine, reference)
    assert image is not None, f"{reference} is not there"
    return image.size


def stand_in() -> str:
    """The stand-in for the vendor's base image, made if it is not there."""
    made = subprocess.run(
        [REPOSITORY / "scripts" / "standin-base.sh"], stdout=subprocess.PIPE, text=True, check=True
    )
    return made.stdout.split()[-1]


if __name__ == "__main__":
    sys.exit(main())
