"""The tour of the README, from its first line to its last: the example repository, built and pushed."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.clone import ROOT, clone
from support.transcript import Shell, run_page

README = ROOT / "README.md"
BEGIN, END = "## A tour", "\n## "
FOLDER = "my-images"
FLAVOR = "th011-cpu-torch2130-py311"
BUILD_SECONDS = 1200
# What is printed while something is done, a line for each step of it.
_STEPS = re.compile(
    r"(?:^(?:[a-z0-9-]+: (?:(?:passed|skipped) .*|building;|stage |layer |its own |built in ).*"
    r"|pushing .*|push .*|prefetch .*|.* is also built: .*)\n)+",
    re.MULTILINE,
)
# What depends on the day and the machine: sizes, times, counts and versions of what the index has.
_VARYING = (
    (re.compile(r"\bbuilt [a-z0-9 ]+ ago\b"), "<age>"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:B|kB|MB|GB|s|seconds|minutes)\b"), "<size>"),
    (re.compile(r"\b\d+(?=/\d+|(?: \w+)? (?:packages?|artifacts?|added|fetched|verified|layers?)\b)"), "<n>"),
    (re.compile(r"\b\d+\.\d+(?:\.\d+)*(?:[a-z]+\d+)?(?:\+\w+)?\b"), "<version>"),
    (re.compile(r"\b(?:sha256:)?[0-9a-f]{12,64}\b"), "<digest>"),
    (re.compile(r"\b\d+(?:\.\d+)?(?= *$)|\b\d+\.\d+\b", re.MULTILINE), "<n>"),
    (re.compile(r" {2,}"), "  "),
    (re.compile(r"[━─]{2,}"), "─"),
)


@dataclass(frozen=True, kw_only=True)
class Tour:
    """``written`` is the tour in the README, ``now`` the same with what its commands printed."""

    root: Path
    registry: str
    written: str
    now: str
    shell: Shell

    def outcomes(self, image: str) -> list[dict[str, Any]]:
        """Return the outcomes of an image's tests."""
        (report,) = (self.root / ".work" / "reports" / image).glob("*/report.json")
        found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["outcomes"]
        return found


def take_tour(folder: Path, base: str, wheels: Path) -> Tour:
    """Take the tour in a clean clone in ``folder``."""
    where = clone(folder / "clone")
    (where / ".venv").symlink_to(Path(sys.executable).parents[1])
    root = folder / FOLDER
    port = _free_port()
    shell = Shell(
        folder=where,
        environment={},
        shown={
            str(wheels): "~/wheels",
            f"localhost:{port}": "localhost:5000",
            f"127.0.0.1:{port}": "127.0.0.1:5000",
            base: "localhost/universal-image-standin:py311",
            str(root): f"~/{FOLDER}",
        },
        timeout=BUILD_SECONDS,
        elided=_STEPS,
    )
    written = tour_of(README.read_text(encoding="utf-8"))
    events = {
        "nothing-is-built": lambda: _forget_builds(root, moving=("latest", "downstream")),
        "fix-is-not-built": lambda: _forget_builds(root, names=("ml-stack", "trainer")),
    }
    now = run_page(written, shell, events)
    if os.environ.get("FACTORY_REFRESH_DOCS"):
        README.write_text(README.read_text(encoding="utf-8").replace(written, now), encoding="utf-8")
    return Tour(root=root, registry=f"127.0.0.1:{port}", written=written, now=now, shell=shell)


def tour_of(page: str) -> str:
    """Return the section of the README that is the tour."""
    begin = page.index(BEGIN)
    return page[begin : page.index(END, begin)]


def alike(tour: str) -> str:
    """Return a tour without what differs between two days and two machines."""
    for pattern, word in _VARYING:
        tour = pattern.sub(word, tour)
    return tour


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _forget_builds(root: Path, *, names: Collection[str] = (), moving: tuple[str, ...] = ()) -> None:
    """Take the names of earlier runs from the engine, which would find these very images built."""
    words: list[str | Path] = [sys.executable, "-m", "factory", "--root", root, "--json", "plan", *names]
    planned = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for image in json.loads(planned)["images"]:
        if not names or image["image"] in names:
            for tag in (image["local"], *(f"localhost/{image['image']}:{tag}" for tag in moving)):
                subprocess.run(["podman", "untag", tag, tag], capture_output=True, check=False)
