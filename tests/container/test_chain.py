"""A chain of images built downstream without a network: every command agrees on what exists."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.built import factory
from support.podman import podman
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.build.parts import part_tag
from factory.engine.leftovers import repository_mark
from factory.flavor.repository import Flavor, Repository
from factory.lock.given import given_packages
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.container

PREFIX = f"uif-chain-{os.getpid()}"
STACK, LAUNCHER = f"{PREFIX}-stack", f"{PREFIX}-launcher"
# Without a network, and without a folder mounted, it fails.
INSTALL = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY requirements.txt /tmp/locks/
RUN . /cachi2/cachi2.env && ! getent hosts example.com && \\
    uv pip install --python /opt/app-root/bin/python --no-cache --no-deps --offline --no-index \\
        --find-links "$PIP_FIND_LINKS" --require-hashes --requirement /tmp/locks/requirements.txt
"""


class Chain:
    """A flavor of one wheel, a stack of another on it, and a launcher without packages."""

    def __init__(self, root: Path, base: str) -> None:
        self.root, self.base = root, base
        self.wheels = root / "wheels"
        self.flavor = PREFIX
        (root / "factory.toml").write_text(
            f'[images.{STACK}]\nkind = "stack"\nparent = "{PREFIX}"\n'
            f'[images.{LAUNCHER}]\nkind = "launcher"\nparent = "quay.io/somebody/agent:1"\n'
        )
        (root / "factory.local.toml").write_text(
            f'[mirrors]\n"registry.example.com/" = {{ image = "{base}", stand-in = true }}\n'
            f'"quay.io/somebody/" = "{base}"\n'
        )
        launcher = root / "images" / LAUNCHER
        launcher.mkdir(parents=True)
        (launcher / "Dockerfile").write_text(
            "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN ! getent hosts example.com\n"
        )
        (root / "images" / STACK).mkdir()
        self._flavor()
        self.stack("1.0")

    def _flavor(self) -> None:
        flavor = make_flavor(self.root, name=self.flavor, index_url=None, dependencies=["first"])
        project = flavor.folder / "pyproject.toml"
        project.write_text(
            project.read_text().replace("[tool.factory]\n", f'[tool.factory]\nname = "{self.flavor}"\n')
        )
        flavor = Flavor(flavor.folder)
        write_lock(flavor, [make_wheel(self.wheels, "first", "1.0")], index_url=None)
        sync_flavor(flavor)

    def stack(self, version: str) -> None:
        """Write the stack, which installs one wheel of a version."""
        folder = self.root / "images" / STACK
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_text(INSTALL)
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{STACK}"\nversion = "1"\ndependencies = ["second=={version}"]\n'
        )
        image = Repository(self.root).image(STACK)
        wheel = make_wheel(self.wheels, "second", version)
        write_lock(image, [wheel], index_url=None, parent=given_packages(image.project).recorded)
        sync_flavor(image)

    def run(self, *words: str | Path, status: int | None = 0) -> Any:  # noqa: ANN401 - JSON
        return json.loads(factory("--root", self.root, "--json", *words, status=status))

    def build(self, *words: str) -> dict[str, str]:
        built = self.run("build", *words, "--find-links", self.wheels)
        images = built.get("images", [built])
        return {image["image"]: image.get("action", "in a layout") for image in images}

    def status(self) -> dict[str, Any]:
        return {image["name"]: image for image in self.run("status")["images"]}

    def to_build(self, *words: str) -> list[str]:
        found: list[str] = self.run("plan", *words)["to_build"]
        return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, base_image: str) -> Iterator[Chain]:
    chain = Chain(tmp_path_factory.mktemp("chain"), base_image)
    yield chain
    records = (chain.root / ".work" / "images").glob("*/segments")
    keys = {key for record in records for key in record.read_text().split()}
    names = [part_tag(repository_mark(chain.root), key) for key in sorted(keys)]
    for name in (PREFIX, STACK, LAUNCHER):
        names += [f"localhost/{name}:{tag}" for tag in ("latest", "downstream")]
        record = chain.root / ".work" / "images" / f"{name}@builds" / "builds.json"
        if record.is_file():
            names += [f"localhost/{name}:{identity[:16]}" for identity in json.loads(record.read_text())]
    podman("image", "rm", "--force", *names, status=None)


def test_hermetic_chain_is_found_again_by_every_command(chain: Chain) -> None:
    everything = {PREFIX: "built", STACK: "built", LAUNCHER: "built"}
    assert chain.build("--hermetic") == everything
    # Nobody said whether flavors are built downstream: a plan is about what `factory build` would make,
    # and says what there is; all else takes the only variant there is.
    plan = chain.run("plan", STACK)
    assert plan["to_build"] == [PREFIX, STACK]
    assert [build["variant"]["downstream"] for build in plan["images"][-1]["also_built"]] == [True]
    assert chain.to_build("--downstream") == chain.to_build(LAUNCHER) == []
    status = chain.status()
    current = {name: image["built"]["current"] for name, image in status.items()}
    assert current == dict.fromkeys(everything, True)
    variants = {name: image["variant"] for name, image in status.items()}
    assert variants == {PREFIX: "downstream", STACK: "downstream", LAUNCHER: ""}
    # A child inherits the label of what stands in for its base image.
    (stack,) = json.loads(podman("image", "inspect", f"localhost/{STACK}:downstream"))
    assert stack["Config"]["Labels"]["io.universal-image-factory.stand-in"] == chain.base

    settings = chain.root / "factory.toml"
    settings.write_text(f"[flavors]\ndownstream = true\n{settings.read_text()}")
    assert chain.to_build() == []
    # A fix of the stack rebuilds the stack alone.
    chain.stack("1.1")
    (step,) = [one for one in chain.run("plan")["images"] if one["image"] == STACK]
    assert "requirements.txt changed" in step["reasons"]
    assert {name for name, image in chain.status().items() if not image["built"]["current"]} == {STACK}
    assert chain.build("--hermetic") == {PREFIX: "nothing", STACK: "built", LAUNCHER: "nothing"}
    assert chain.to_build() == []


def test_builder_of_the_settings_makes_a_layout_which_a_child_is_built_on(chain: Chain) -> None:
    local = chain.root / "factory.local.toml"
    local.write_text(f'builder = "layout"\n{local.read_text()}')
    settings = chain.root / "factory.toml"
    if "downstream" not in settings.read_text():
        settings.write_text(f"[flavors]\ndownstream = true\n{settings.read_text()}")
    assert chain.to_build(PREFIX) == [PREFIX]
    chain.build(PREFIX)
    assert (chain.root / ".work" / "layouts" / PREFIX / "index.json").is_file()
    assert chain.to_build(PREFIX) == []
    flavor = chain.status()[PREFIX]
    assert (flavor["variant"], flavor["built"]["current"]) == ("downstream, in a layout", True)
    # What is built on it needs it in the engine.
    chain.build(STACK, "--hermetic")
    assert chain.to_build(STACK) == []
    assert chain.status()[STACK]["built"]["current"]
