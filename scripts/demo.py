"""The main job with real packages, from a new flavor to an image that runs in both modes.

Works in `.work/demo` of the repository and leaves the image behind. Ends with a table of the steps.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cpu_torch import ROOT, cpu_torch
from rich.console import Console
from rich.table import Table

from factory.console import human_size
from factory.flavor.repository import find_repository
from factory.images.mirrors import read_local
from factory.settings import read_settings

WORK = ROOT / ".work" / "demo"
TORCH, PYTHON, TRAINING_HUB = "2.13.0", "3.11", "0.11.2"
TAG = "localhost/universal-image-demo:latest"
PULL_SECONDS = 900
JUPYTER_SECONDS = 90
FACTORY = str(Path(sys.executable).with_name("factory"))


class StepFailedError(Exception):
    """A step of the demonstration did not do what it should."""


@dataclass
class Demo:
    """The steps so far: name, seconds, and what came of it."""

    console: Console = field(default_factory=Console)
    steps: list[tuple[str, float, str]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a step; the block says what came of it by calling what it is given."""
        self.console.rule(f"[bold]{name}", align="left")
        outcome = ["done"]
        start = time.monotonic()
        try:
            yield lambda text: outcome.__setitem__(0, text)
        except BaseException:
            self.steps.append((name, time.monotonic() - start, "FAILED"))
            raise
        self.steps.append((name, time.monotonic() - start, outcome[0]))

    def table(self) -> None:
        """Print the steps and their times."""
        table = Table(title="The main job")
        table.add_column("step")
        table.add_column("seconds", justify="right")
        table.add_column("result")
        for name, seconds, outcome in self.steps:
            table.add_row(name, f"{seconds:.1f}", outcome)
        self.console.print(table)


def run(*words: str, quiet: bool = False, timeout: float | None = None) -> str:
    """Run a command, shown as one would type it; what it printed to standard output."""
    shown = shlex.join([Path(words[0]).name, *words[1:]])
    print(f"$ {shown}", flush=True)
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT if quiet else None, text=True,
            timeout=timeout, check=False, stdin=subprocess.DEVNULL, cwd=WORK,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise StepFailedError(f"{words[0]} took more than {timeout:.0f} seconds") from error
    if not quiet or done.returncode != 0:
        print(done.stdout, end="", flush=True)
    if done.returncode != 0:
        raise StepFailedError(f"{shown} ended with status {done.returncode}")
    return done.stdout


def base_image(engine: str, wanted: str) -> str:
    """The repository's mirror of the vendor's base image; else itself or a stand-in."""
    mirror = read_local(ROOT, read_settings(ROOT)).mirror_of(wanted)
    if mirror is not None and (image := mirror.replaces(wanted)) is not None:
        return image
    try:
        run(engine, "pull", "--quiet", wanted, quiet=True, timeout=PULL_SECONDS)
    except StepFailedError:
        print("The vendor's base image cannot be pulled here: making the stand-in.", flush=True)
        return run(str(ROOT / "scripts" / "standin-base.sh")).strip().splitlines()[-1]
    return wanted


def jupyter_answers(engine: str, tag: str) -> str:
    """Start the image with no command and wait for JupyterLab's 200."""
    container = run(
        engine, "run", "--detach", "--publish", "127.0.0.1::8888",
        "--env", "NOTEBOOK_ARGS=--ServerApp.token= --ServerApp.password=", tag,
    ).strip().splitlines()[-1]  # fmt: skip
    try:
        address = run(engine, "port", container, "8888/tcp").strip().splitlines()[0]
        url = f"http://{address}/lab"
        deadline = time.monotonic() + JUPYTER_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    return f"GET /lab: {response.status}"
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.5)
        print(run(engine, "logs", container, quiet=True), flush=True)
        raise StepFailedError(f"JupyterLab did not answer within {JUPYTER_SECONDS} seconds")
    finally:
        run(engine, "rm", "--force", container, quiet=True)


def main_job(demo: Demo, engine: str) -> None:
    """Every step, from nothing to an image that runs in both modes."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "flavors").mkdir(parents=True)
    with demo.step("find a CPU build of torch") as say:
        wheels = cpu_torch(TORCH, PYTHON)
        say("on this machine" if wheels else "none: the index's build is for CUDA and takes gigabytes")
    links = ["--find-links", str(wheels)] if wheels else []
    machine = "arm64" if platform.machine() in {"aarch64", "arm64"} else "amd64"
    with demo.step("new-flavor"):
        run(FACTORY, "new-flavor", "--accelerator", "cpu", "--torch", TORCH, "--python", PYTHON,
            "--training-hub", TRAINING_HUB, "--platform", f"linux/{machine}")  # fmt: skip
    flavor = find_repository(WORK, start=WORK).flavors()[0]
    with demo.step("lock"):
        run(FACTORY, "lock", flavor.name, *links)
    with demo.step("check"):
        run(FACTORY, "check", "--all")
    with demo.step("strip"):
        run(FACTORY, "strip", flavor.name, "--output", "downstream")
    with demo.step("prefetch") as say:
        run(FACTORY, "prefetch", flavor.name, "--output", "prefetched", *links)
        files = list((WORK / "prefetched" / "output" / "deps" / "pip").iterdir())
        say(f"{len(files)} files, {human_size(sum(file.stat().st_size for file in files))}")
    with demo.step("base image") as say:
        base = base_image(engine, flavor.project.spec.base_image)
        say("the stand-in" if "standin" in base else "the vendor's")
    with demo.step("hermetic build") as say:
        run(FACTORY, "build", flavor.name, "--downstream", "--hermetic", "--prefetched", "prefetched",
            "--base-image", base, "--tag", TAG)  # fmt: skip
        size = int(run(engine, "image", "inspect", "--format", "{{.Size}}", TAG, quiet=True))
        say(f"image of {human_size(size)}")
    with demo.step("torchrun, two processes") as say:
        printed = run(
            engine, "run", "--rm", "--network", "none", "--volume", f"{ROOT / 'scripts'}:/demo:ro,z", TAG,
            "torchrun", "--nproc_per_node=2", "/demo/all_reduce.py",
        )  # fmt: skip
        say(printed.strip().splitlines()[-1])
    with demo.step("JupyterLab") as say:
        say(jupyter_answers(engine, TAG))


def main() -> int:
    """Run the steps; 0 where every one did what it should."""
    demo = Demo()
    engine = os.environ.get("FACTORY_ENGINE") or "podman"
    try:
        main_job(demo, engine)
    except StepFailedError as error:
        demo.table()
        print(f"error: {error}", file=sys.stderr)
        return 1
    demo.table()
    return 0


if __name__ == "__main__":
    sys.exit(main())
