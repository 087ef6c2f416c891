"""What a cluster adds to a Task: nodes that run containers, images, a network, Tasks by name."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from support.podman import run_podman
from tekton.runner.errors import NotStartedError, RefusedError, StoppedError

_LOOPBACK = re.compile(r"^(localhost|127\.0\.0\.1):\d+/")
_PODMAN_SECONDS = 300.0
# How often a container is asked whether it was stopped.
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder or file of this machine, and where containers see it."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A container that ended; ``status`` is None where it ran past its time."""

    status: int | None
    output: str


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What an image says of itself: its USER, ENTRYPOINT and CMD."""

    user: str
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster of one node, on podman.

    tasks: the Tasks that are applied, by name.
    images: another image in place of one that is named, whatever its digest: one that cannot be pulled here.
    env, mounts: added to each step; what the machine's network needs.
    user: whom containers run as that name nobody, of group 0, as on OpenShift; None is the image's user.
    fs_group: the group that volumes belong to, and all containers.
    network: podman's network.
    parallel: how many TaskRuns run beside one another.
    folder: where emptyDir volumes and results lie while a TaskRun runs.
    configurations: of each image that was asked for.
    pulled, stopped, guard: what is to be removed at the end, whether it has come, and who may look.
    """

    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    user: int | None = None
    fs_group: int = 2000
    network: str = "host"
    parallel: int = 2
    folder: Path | None = None
    configurations: dict[str, Configuration] = field(default_factory=dict)
    pulled: set[str] = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def image(self, name: str) -> str:
        """The image of this name, pulled where it lies in a registry on loopback.

        Raises:
            NotStartedError: it is not to be had (a Pod's ImagePullBackOff).
        """
        image = self.images.get(name.partition("@")[0], name)
        with self.guard:
            if image not in self.configurations:
                self._pull(image)
                done = _podman("image", "inspect", "--format", "{{json .Config}}", image)
                assert done.returncode == 0, done.stdout
                told = json.loads(done.stdout)
                self.configurations[image] = Configuration(
                    user=told.get("User") or "",
                    entrypoint=told.get("Entrypoint") or (),
                    command=told.get("Cmd") or (),
                )
        return image

    def _pull(self, image: str) -> None:
        if _podman("image", "exists", image).returncode == 0:
            return
        if not _LOOPBACK.match(image):
            raise NotStartedError(f"ImagePullBackOff: {image} is not here and in no registry on loopback")
        done = _podman("pull", "--quiet", "--tls-verify=false", image)
        if done.returncode != 0:
            raise NotStartedError(f"ImagePullBackOff: {image}: {done.stdout}")
        self.pulled.add(image)

    def run(self, arguments: Sequence[str], *, timeout: float | None) -> Ended:
        """Run a container to its end, and remove it; ``arguments`` are those of `podman run`."""
        self._check()
        name = f"tekton-step-{uuid4().hex[:12]}"
        with subprocess.Popen(
            ["podman", "run", "--rm", f"--name={name}", f"--network={self.network}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                output = self._output(process, timeout)
            except BaseException as error:
                # It ran past its time, or this call or the whole run was interrupted.
                process.terminate()
                _podman("rm", "--force", "--ignore", "--time=0", name)
                output = process.communicate()[0]
                if isinstance(error, subprocess.TimeoutExpired):
                    return Ended(status=None, output=output)
                raise
        return Ended(status=process.returncode, output=output)

    def _output(self, process: "subprocess.Popen[str]", timeout: float | None) -> str:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return process.communicate(timeout=_LOOK_SECONDS)[0]
            except subprocess.TimeoutExpired:
                self._check()
                if deadline is not None and time.monotonic() > deadline:
                    raise

    def _check(self) -> None:
        if self.stopped.is_set():
            raise StoppedError

    def stop(self) -> None:
        """End the TaskRuns of this cluster, and let no container start any more."""
        self.stopped.set()

    def until_stopped(self) -> "Cluster":
        """The same cluster, for one run: `stop` of it ends nothing else."""
        return replace(self, stopped=threading.Event())

    def remove_pulled(self) -> None:
        """Remove the images that `image` pulled."""
        with self.guard:
            for image in sorted(self.pulled):
                _podman("rmi", "--force", image)
                self.configurations.pop(image, None)
            self.pulled.clear()

    @contextlib.contextmanager
    def room(self) -> Iterator[Path]:
        """A folder for a TaskRun, gone when the block ends, whoever owns what is in it."""
        folder = Path(tempfile.mkdtemp(prefix="tekton-", dir=self.folder))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                subprocess.run(["podman", "unshare", "rm", "-rf", folder], check=False)

    def volume(self, folder: Path, *, mode: int = 0o2775) -> Path:
        """Make a folder a volume that all containers can write, as fsGroup does it: what is in it as well."""
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            subprocess.run(["chgrp", "--recursive", str(self.fs_group), folder], check=True)
            subprocess.run(["chmod", "--recursive", "g+rwX", folder], check=True)
        folder.chmod(mode)
        return folder


def mount_option(source: Path, target: str, *, read_only: bool) -> str:
    """An option of `podman run`: --volume would end a path at a colon."""
    for path in (str(source), target):
        if re.search(r'[,"\n]', path):
            raise RefusedError(f"podman cannot mount {path!r}")
    return f"--mount=type=bind,source={source},target={target}" + (",readonly=true" if read_only else "")


def _podman(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_podman(*arguments, timeout=_PODMAN_SECONDS)
