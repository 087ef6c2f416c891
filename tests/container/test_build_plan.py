"""factory build on four tiers of tiny images: what is built, what is named when, and what is gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.built import factory
from support.killing import Case, Runner, kill_again_and_again, tree
from support.podman import podman
from support.registry import registry

from factory.build.parts import part_tag
from factory.engine.leftovers import repository_mark
from factory.errors import EngineError

pytestmark = pytest.mark.container

DOCKERFILE = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nUSER 0\nCOPY file.txt /file.txt\n"
PREFIX = f"uif-{os.getpid()}"


@dataclass(frozen=True)
class World:
    """A repository of four images: base, stack on it, trainer on that, and a launcher of its own."""

    root: Path
    base: str
    made: set[str] = field(default_factory=set)

    def name(self, image: str) -> str:
        return f"{PREFIX}-{image}"

    def folder(self, image: str) -> Path:
        return self.root / "images" / self.name(image)

    def image(self, name: str, kind: str, parent: str, *, more: str = "", registry: str = "") -> None:
        folder = self.folder(name)
        folder.mkdir(parents=True)
        (folder / "file.txt").write_text(name)
        (folder / "undeclared.txt").write_text("not for the image")
        (folder / "Dockerfile").write_text(DOCKERFILE + more)
        with (self.root / "factory.toml").open("a") as file:
            table = f'[images.{self.name(name)}]\nkind = "{kind}"\nparent = "{parent}"\n'
            file.write(table + (f'registry = "{registry}"\n' if registry else ""))

    def build(self, *words: str, status: int = 0) -> Any:  # noqa: ANN401 - JSON
        result = json.loads(factory("--root", self.root, "--json", "build", *words, status=status))
        self.made.update(
            image["identity_tag"] for image in result.get("images", [result]) if "image" in image
        )
        return result

    def remove(self) -> None:
        """Take all names away that came of this; listing all images of an engine takes seconds."""
        moving = {name.rpartition(":")[0] + ":latest" for name in self.made}
        records = (self.root / ".work" / "images").glob("*/segments")
        layers = {self.layer(key) for record in records for key in record.read_text().split()}
        if names := self.made | moving | layers:
            podman("image", "rm", "--force", *sorted(names), status=None)

    def layer(self, key: str) -> str:
        """The name of what is kept under a key."""
        return part_tag(repository_mark(self.root), key)

    def actions(self, *words: str) -> dict[str, str]:
        found = self.build(*words)["images"]
        return {image["image"].removeprefix(f"{PREFIX}-"): image["action"] for image in found}

    def tagged(self, image: str, tag: str = "latest") -> str:
        said = podman(
            "image", "inspect", "--format", "{{.Id}}", f"localhost/{self.name(image)}:{tag}", status=None
        )
        return "" if "Error" in said else said.strip()


@pytest.fixture
def world(tmp_path: Path, base_image: str) -> Iterator[World]:
    (tmp_path / "flavors").mkdir()
    world = World(tmp_path, base_image)
    world.image("base", "pytorch-base", base_image)
    yield world
    world.remove()


def test_only_what_changed_and_its_children_are_built(world: World) -> None:
    world.image("stack", "stack", world.name("base"))
    world.image("trainer", "trainer", world.name("stack"))
    world.image("launcher", "launcher", world.base)
    everything = ("base", "stack", "trainer", "launcher")
    assert world.actions("--jobs", "2") == dict.fromkeys(everything, "built")
    before = {image: world.tagged(image) for image in everything}
    assert world.actions() == dict.fromkeys(everything, "nothing")
    (world.folder("stack") / "undeclared.txt").write_text("changed")
    assert world.actions() == dict.fromkeys(everything, "nothing")

    (world.folder("stack") / "file.txt").write_text("changed")
    assert world.actions() == {
        "base": "nothing", "stack": "built", "trainer": "built", "launcher": "nothing"
    }  # fmt: skip
    after = {image: world.tagged(image) for image in everything}
    assert {image for image in everything if before[image] != after[image]} == {"stack", "trainer"}
    inside = podman("run", "--rm", f"localhost/{world.name('trainer')}", "cat", "/file.txt")
    assert inside == "trainer"


def test_a_file_that_is_not_declared_cannot_get_in(world: World) -> None:
    dockerfile = world.folder("base") / "Dockerfile"
    dockerfile.write_text(DOCKERFILE.replace("COPY file.txt /file.txt", "COPY file.t* undeclared.tx[z] /in/"))
    world.build(world.name("base"))
    assert podman("run", "--rm", f"localhost/{world.name('base')}", "ls", "/in").split() == ["file.txt"]


def test_the_image_says_what_it_is_and_has_both_names(world: World) -> None:
    built = world.build(world.name("base"))
    assert built["id"] == world.tagged("base") == world.tagged("base", built["identity"][:16])
    (found,) = json.loads(podman("image", "inspect", built["id"]))
    labels = found["Config"]["Labels"]
    assert labels["io.universal-image-factory.identity"] == built["identity"]
    assert labels["io.universal-image-factory.image"] == world.name("base")
    assert set(json.loads(labels["io.universal-image-factory.inputs"])["inputs"]) == {
        "Dockerfile",
        "file.txt",
    }


def test_a_moving_name_that_an_interrupted_run_left_behind_follows(world: World) -> None:
    built = world.build(world.name("base"))
    latest = f"localhost/{world.name('base')}:latest"
    podman("untag", latest, latest)
    again = world.build(world.name("base"))
    assert (again["action"], again["id"]) == ("nothing", built["id"])
    assert world.tagged("base") == built["id"]
    # That of a parent as well, which nobody names.
    world.image("stack", "stack", world.name("base"))
    podman("untag", latest, latest)
    assert world.actions(world.name("stack")) == {"base": "nothing", "stack": "built"}
    assert world.tagged("base") == built["id"]


def test_a_build_that_fails_moves_no_name(world: World) -> None:
    first = world.build(world.name("base"))
    with (world.folder("base") / "Dockerfile").open("a") as file:
        file.write("RUN echo the reason; exit 3\n")
    world.image("launcher", "launcher", world.base, more="RUN echo another reason; exit 4\n")
    words = (world.name("base"), world.name("launcher"), "--jobs", "2")
    failed = world.build(*words, status=EngineError.exit_code)["error"]["reason"]
    assert "\nthe reason" in failed
    # Both had begun before one of them had failed.
    assert "another reason" in failed
    assert world.tagged("base") == first["id"]


def test_an_interrupted_build_goes_on_behind_the_last_part(world: World) -> None:
    more = "COPY --from=slow /done /done\n"
    folder = world.folder("base")
    stage = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS slow\nUSER 0\nRUN date +%N > /done\n"
    wait = "RUN until [ ! -e /wait/file.txt ]; do sleep 0.1; done\n"
    final = DOCKERFILE.split("\n", 1)[1].replace("/file.txt\n", "/wait/file.txt\n")
    (folder / "Dockerfile").write_text(stage + final + more + wait)
    words = [sys.executable, "-m", "factory", "--root", str(world.root), "build", world.name("base")]
    log = world.root / ".work" / "images" / world.name("base") / "build.log"
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (log.is_file() and "until" in log.read_text()):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert world.tagged("base") == ""
    (folder / "Dockerfile").write_text(stage + final + more)
    built = world.build(world.name("base"))
    assert built["parts"] == ["its own instructions (1 of 1)"]


def test_killed_build_has_named_nothing_or_all_and_the_next_one_completes_it(world: World) -> None:
    with (world.folder("base") / "Dockerfile").open("a") as file:
        file.write("RUN echo one > /one\nRUN echo two > /two\n")
    runner, work = Runner(root=world.root), world.root / ".work"

    def reset() -> None:
        world.remove()
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()

    def state() -> dict[str, str]:
        own = {path: found for path, found in tree(world.root).items() if not path.startswith(".work/")}
        return {**own, "latest": world.tagged("base")}

    planned = json.loads(factory("--root", world.root, "--json", "plan", world.name("base")))
    world.made.update(image["local"] for image in planned["images"])
    words = ("build", world.name("base"))
    kill_again_and_again(runner, Case(words=words, watched=work, reset=reset, two_states=False, state=state))


def test_what_the_stage_wheel_holds_is_kept_beside_the_image(world: World) -> None:
    folder = world.folder("base")
    built = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS build\nUSER 0\nCOPY file.txt /made/a.whl\n"
    wheel = "FROM scratch AS wheel\nCOPY --from=build /made/ /\nFROM ${BASE_IMAGE}\n"
    (folder / "Dockerfile").write_text(f"{built}{wheel}COPY --from=wheel /a.whl /\n")
    done = world.build(world.name("base"))
    artifacts = Path(done["artifacts"])
    assert [path.name for path in artifacts.iterdir()] == ["a.whl"]
    assert (artifacts / "a.whl").read_text() == "base"
    (folder / "file.txt").write_text("another")
    assert Path(world.build(world.name("base"))["artifacts"]) == artifacts
    assert (artifacts / "a.whl").read_text() == "another"
    assert world.build(world.name("base"))["artifacts"] is None


def test_two_runs_at_once_build_it_once(world: World) -> None:
    with (world.folder("base") / "Dockerfile").open("a") as file:
        file.write("RUN sleep 1\n")
    words = [
        sys.executable,
        "-m",
        "factory",
        "--root",
        str(world.root),
        "--json",
        "build",
        world.name("base"),
    ]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    results = [json.loads(run.communicate()[0]) for run in runs]
    assert sorted(result["action"] for result in results) == ["built", "nothing"]
    assert len({result["id"] for result in results}) == 1


def test_the_same_inputs_make_the_same_image(world: World) -> None:
    built = world.build(world.name("base"), "--verify-reproducible")
    assert (built["action"], built["difference"]) == ("built", None)
    time.sleep(1)
    again = world.build(world.name("base"), "--force")
    assert (again["action"], again["id"]) == ("built", built["id"])
    assert again["reasons"] == ["asked for by --force"]
    planned = world.build(world.name("base"), "--verify-reproducible", "--dry-run")
    assert "asked for by --verify-reproducible" in json.dumps(planned)


def test_a_build_that_hangs_on_the_time_is_found_with_the_file(world: World) -> None:
    world.image("stack", "stack", world.name("base"))
    world.image("trainer", "trainer", world.name("stack"))
    with (world.folder("base") / "Dockerfile").open("a") as file:
        file.write("RUN echo same > /same && date +%s.%N > /x\n")
    # What stands on it has nothing to stand on: its difference is the answer.
    names = [world.name(image) for image in ("trainer", "stack", "base")]
    (found,) = world.build(*names, "--verify-reproducible", status=1)["images"]
    assert (found["image"], found["action"]) == (world.name("base"), "differs")
    assert "/x differs in its content" in found["difference"]
    assert "its own instructions" in found["difference"]
    assert world.tagged("base") == ""


def test_what_the_registry_has_is_not_built(world: World, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as served:
        with (world.root / "factory.toml").open("a") as file:
            file.write(f'[registries.here]\nurl = "{served.host}/team"\nclass = "disposable"\n')
            file.write('driver = "oci"\ntls-verify = false\n')
        world.image("published", "stack", world.base, registry="here")
        world.image("child", "trainer", world.name("published"))
        built = world.build(world.name("published"))
        remote = f"{served.host}/team/{world.name('published')}:{built['identity'][:16]}"
        podman("push", "--quiet", "--tls-verify=false", built["identity_tag"], remote)
        podman("image", "rm", "--force", built["id"])

        again = world.build(world.name("published"))
        assert (again["action"], again["remote"], again["id"]) == ("nothing", remote, None)
        told = factory("--root", world.root, "build", world.name("published"))
        assert f"podman pull {remote}" in told

        child = world.build(world.name("child"))
        assert (child["action"], child["base_image"]) == ("built", remote)
        podman("image", "rm", "--force", remote, status=None)


def test_superseded_parts_are_removed_and_nothing_else(world: World) -> None:
    record = world.root / ".work" / "images" / world.name("base") / "segments"
    world.build(world.name("base"))
    first = record.read_text().split()
    (world.folder("base") / "file.txt").write_text("other")
    world.build(world.name("base"))
    second = record.read_text().split()
    assert not set(first) & set(second)
    for key in second:
        podman("image", "exists", world.layer(key))
    for key in first:
        podman("image", "exists", world.layer(key), status=1)
    # The image of the first build still has the name of its identity.
    assert len(world.made) == 2
    for name in world.made:
        podman("image", "exists", name)
