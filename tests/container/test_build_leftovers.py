"""What builds leave on an engine, and whose it is: an interrupted one's goes, another repository's stays."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.built import factory
from support.podman import podman

from factory.build.parts import part_tag
from factory.engine.engine import find_engine
from factory.engine.images import list_images
from factory.engine.leftovers import repository_mark

pytestmark = pytest.mark.container

_SECONDS = 60.0
# By how long a build sleeps its processes are known, so no two builds of any test have the same.
_NUMBERS = itertools.count(100_000 + os.getpid() % 10_000 * 100)


class Repository:
    """A repository of one image, whose build waits where it runs a command for so many seconds."""

    def __init__(self, root: Path, base: str, *, waits: int) -> None:
        self.root, self.waits = root, waits
        self.name = f"uif-left-{os.getpid()}-{root.name}"
        folder = root / "images" / self.name
        folder.mkdir(parents=True)
        (root / "flavors").mkdir()
        (root / "factory.toml").write_text(f'[images.{self.name}]\nkind = "stack"\nparent = "{base}"\n')
        self.dockerfile = folder / "Dockerfile"
        self.dockerfile.write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nUSER 0\nRUN sleep {waits}\n")

    @contextmanager
    def building(self) -> Iterator["subprocess.Popen[bytes]"]:
        """A build that is under way in its RUN, in a process group of its own as in a terminal."""
        words = [sys.executable, "-m", "factory", "--root", str(self.root), "build", self.name]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(words, stdout=quiet, stderr=quiet, start_new_session=True) as process:
            try:
                _wait(lambda: bool(self.processes()) or process.poll() is not None)
                assert process.poll() is None, "the build ended before it was interrupted"
                yield process
            finally:
                process.kill()

    def processes(self) -> list[int]:
        """The processes of its RUN."""
        command = f"sleep\0{self.waits}\0".encode()
        return [
            int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _reads(path) == command
        ]

    def containers(self) -> list[str]:
        """The containers that its builds work in."""
        listed = _listed_containers()
        graph = Path(podman("info", "--format", "{{.Store.GraphRoot}}").strip()) / "overlay-containers"
        records = {item["Id"]: graph / item["Id"] / "userdata" / "buildah.json" for item in listed}
        mark = f"factory-{repository_mark(self.root)}.".encode()
        return [container for container, record in records.items() if mark in _reads(record)]

    def remove(self) -> None:
        """Take its names from the engine."""
        keys = {key for path in self.root.glob(".work/images/*/segments") for key in path.read_text().split()}
        names = [part_tag(repository_mark(self.root), key) for key in keys]
        names += [f"localhost/{self.name}:latest"]
        podman("image", "rm", "--force", *names, status=None)


def _listed_containers() -> list[dict[str, str]]:
    """All containers of the engine."""
    found: list[dict[str, str]] = json.loads(podman("ps", "--all", "--external", "--format", "json") or "[]")
    return found


def _reads(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _wait(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not reached():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.1)


@pytest.fixture
def ours(tmp_path: Path, base_image: str) -> Iterator[Repository]:
    repository = Repository(tmp_path / "ours", base_image, waits=next(_NUMBERS))
    yield repository
    repository.remove()


@pytest.fixture
def theirs(tmp_path: Path, base_image: str) -> Iterator[Repository]:
    repository = Repository(tmp_path / "theirs", base_image, waits=next(_NUMBERS))
    yield repository
    repository.remove()


def test_interrupted_build_leaves_no_container_and_no_process_and_another_repository_keeps_its_own(
    ours: Repository, theirs: Repository
) -> None:
    with theirs.building() as other, ours.building() as build:
        # As a terminal does it: to all of the group.
        os.killpg(build.pid, signal.SIGINT)
        assert build.wait(_SECONDS) != 0
        _wait(lambda: not ours.processes())
        assert ours.containers() == []
        assert other.poll() is None
        assert theirs.processes()
        assert len(theirs.containers()) == 1
        # As a supervisor does it: to the process alone.
        other.send_signal(signal.SIGINT)
        assert other.wait(_SECONDS) != 0
    assert theirs.containers() == []
    assert theirs.processes() == []
    assert not list(theirs.root.glob(".work/images/*/engine"))


def test_what_a_killed_build_left_goes_with_the_next_build_of_its_repository_alone(
    ours: Repository, theirs: Repository
) -> None:
    with ours.building() as build:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait(_SECONDS)
    assert len(ours.containers()) == 1
    assert ours.processes()
    theirs.dockerfile.write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN true\n")
    factory("--root", theirs.root, "build", theirs.name)
    assert len(ours.containers()) == 1
    assert ours.processes()
    ours.dockerfile.write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN true\n")
    factory("--root", ours.root, "build", ours.name)
    assert ours.containers() == []
    _wait(lambda: not ours.processes())


def test_what_a_killed_build_left_goes_with_pruning_also_when_its_notes_are_gone(ours: Repository) -> None:
    with ours.building() as build:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait(_SECONDS)
    (process,) = ours.processes()
    shutil.rmtree(ours.root / ".work")
    done = json.loads(factory("--root", ours.root, "--json", "build", "--prune-cache"))
    assert done["left_behind"] == [ours.name]
    assert ours.containers() == []
    os.kill(process, signal.SIGKILL)  # without the notes nothing says which it is


def test_pruning_the_cache_of_one_repository_leaves_what_another_one_keeps(
    ours: Repository, theirs: Repository
) -> None:
    for repository in (ours, theirs):
        # The same content, so that both keep one image.
        repository.dockerfile.write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nUSER 0\nRUN echo same >/same\n")
        factory("--root", repository.root, "build", repository.name)
    kept = {
        repository.name: [
            part_tag(repository_mark(repository.root), key)
            for path in repository.root.glob(".work/images/*/segments")
            for key in path.read_text().split()
        ]
        for repository in (ours, theirs)
    }
    assert kept[ours.name]
    assert kept[theirs.name]
    foreseen = json.loads(factory("--root", ours.root, "--json", "build", "--prune-cache", "--dry-run"))
    assert foreseen["removed"] == sorted(kept[ours.name])
    done = json.loads(factory("--root", ours.root, "--json", "build", "--prune-cache"))
    assert done["removed"] == sorted(kept[ours.name])
    for name in kept[ours.name]:
        podman("image", "exists", name, status=1)
    for name in kept[theirs.name]:
        podman("image", "exists", name)
    # An image itself stays under its own names.
    podman("image", "exists", f"localhost/{ours.name}:latest")


def test_image_that_a_killed_run_left_half_written_hinders_no_listing_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a storage of its own: no other run has to see that image, nor removes one while this one lists them.
    places = f'graphroot = "{tmp_path / "storage"}"\nrunroot = "{tmp_path / "run"}"\n'
    (tmp_path / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\n{places}')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    (tmp_path / "whole").write_text("FROM scratch\nLABEL state=whole\nCOPY whole /\n")
    (tmp_path / "half").write_text("FROM scratch\nLABEL state=half-written\n")
    whole, image = (
        podman("build", "--quiet", "--file", tmp_path / name, tmp_path).split()[-1]
        for name in ("whole", "half")
    )
    (tmp_path / "storage" / "vfs-images" / image / "manifest").unlink()
    assert "consider removing the image" in podman("image", "ls", status=125)
    listed = list_images(find_engine("podman"), "--quiet", "--no-trunc").split()
    assert f"sha256:{whole}" in listed
    assert f"sha256:{image}" not in listed
    podman("image", "ls")
