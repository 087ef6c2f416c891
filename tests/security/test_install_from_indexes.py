"""A layer of packages, split and installed by package-layers.sh: which index, and whose code.

The environment is a fresh one of this machine's Python in the place of the image's; the indexes are on
loopback.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.small_flavors import make_flavor
from support.wheels import make_wheel, sha256

from factory.dockerfile.instructions import read_instructions
from factory.flavor.repository import Flavor
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.integration

TABLES = """bytecode = true
[[tool.factory.indexes]]
name = "own"
url = "https://own.example.com/simple"
packages = ["private"]
"""
PROGRAMS = ("cat", "env", "find", "mktemp", "readlink", "rm", "sed", "sh", "sort", "touch")


class Layer:
    """A flavor of two indexes: the wheels of both, the folders of an image, and the RUN of its only layer."""

    def __init__(self, root: Path) -> None:
        self.root, self.environment, self.marker = root, root / "app-root", root / "ran"
        self.main, self.own = root / "main", root / "own"
        flavor = make_flavor(root, index_url="https://main.example.com/simple", dependencies=["private"])
        with (flavor.folder / "pyproject.toml").open("a") as file:
            file.write(TABLES)
        self.flavor = Flavor(flavor.folder)
        sync_flavor(self.flavor)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.environment], check=True)
        self.site = self.environment / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
        # What starts code of a package: a line of a .pth file, and programs that others are named like.
        program = f'#!/bin/sh\necho $0 >>{self.marker}\nexec /usr/bin/${{0##*/}} "$@"\n'
        start = {"evil.pth": f"import os; open({str(self.marker)!r}, 'a').write('pth')\n"}
        evil = start | {f"public-1.0.data/scripts/{name}": program for name in PROGRAMS}
        self.public = make_wheel(self.main, "public", "1.0", modules={"public.py": "mine = True\n", **evil})
        self.private = make_wheel(self.own, "private", "1.0", modules={"private.py": "mine = True\n"})
        for folder, name, version in (
            (self.own, "public", "1.0"), (self.main, "private", "1.0"), (self.main, "private", "9.0")
        ):  # fmt: skip
            make_wheel(folder, name, version, modules={"squatted.py": "", **start})

    def install(self, main_url: str, own_url: str) -> None:
        """Split the locks and install from them, as the Dockerfile's RUN lines do."""
        for name, url, wheel in (
            ("requirements.txt", main_url, self.public),
            ("requirements-own.txt", own_url, self.private),
        ):
            project = wheel.name.partition("-")[0]
            text = f"--index-url {url}\n{project}==1.0 \\\n    --hash=sha256:{sha256(wheel)}\n"
            (self.flavor.folder / name).write_text(text)
        script = self.flavor.folder / "package-layers.sh"
        script.write_text(self._here(script.read_text()))
        lines = (self.flavor.folder / "Dockerfile.konflux").read_text().splitlines()
        runs = [found.text for found in read_instructions(lines) if found.name == "RUN"]
        for text in (text for text in runs if "package-layers.sh" in text):
            self._run(self._here(text))

    def _here(self, text: str) -> str:
        """A text of the image with the places of this test."""
        places = {
            "3.11": f"3.{sys.version_info[1]}",
            "/opt/app-root": self.environment,
            "/usr/share/factory/package-layers.sh": self.flavor.folder / "package-layers.sh",
            "/usr/share/factory/layers": self.root / "layers",
            "/cachi2/": f"{self.root / 'cachi2'}/",
            " /layers": f" {self.root / 'layers'}",
            "/tmp/layer-begins": self.root / "layer-begins",
        }
        for image, here in places.items():
            text = text.replace(image, str(here))
        return text

    def _run(self, text: str) -> None:
        tools = self.root / "tools"
        tools.mkdir(exist_ok=True)
        if not (tools / "uv").exists():
            (tools / "uv").symlink_to(Path(sys.executable).with_name("uv"))
        path = f"{self.environment}/bin:{tools}:/usr/bin:/bin"
        subprocess.run(
            ["sh", "-c", text], cwd=self.flavor.folder, env={"PATH": path, "UV_NO_CONFIG": "1"}, check=True
        )

    @property
    def installed(self) -> set[str]:
        return {path.name for path in self.site.iterdir() if path.suffix in {".py", ".pth"}}


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return Layer(tmp_path)


def test_each_package_is_of_its_own_index_although_both_have_its_name_and_version(layer: Layer) -> None:
    with IndexServer(folder=layer.main) as main, IndexServer(folder=layer.own) as own:
        layer.install(main.url, own.url)
    assert layer.installed == {"public.py", "private.py", "evil.pth"}
    # Neither learns the names that are locked against the other.
    assert not [request for request in main.requests if "private" in request.path]
    assert not [request for request in own.requests if "public" in request.path]


def test_no_code_of_a_package_is_run_when_it_is_installed_from_indexes(layer: Layer) -> None:
    with IndexServer(folder=layer.main) as main, IndexServer(folder=layer.own) as own:
        layer.install(main.url, own.url)
    assert layer.installed == {"public.py", "private.py", "evil.pth"}
    assert (layer.site / "__pycache__").is_dir(), "nothing was compiled"
    assert not layer.marker.exists(), layer.marker.read_text()


def test_install_that_fails_fails_the_layer(layer: Layer) -> None:
    with IndexServer(folder=layer.main) as main, pytest.raises(subprocess.CalledProcessError):
        layer.install(main.url, main.url)


def test_no_code_of_a_package_is_run_when_it_is_installed_from_a_prefetched_folder(layer: Layer) -> None:
    folder = layer.root / "cachi2" / "deps"
    folder.mkdir(parents=True)
    for wheel in (layer.public, layer.private):
        os.link(wheel, folder / wheel.name)
    (layer.root / "cachi2" / "cachi2.env").write_text(f"export PIP_FIND_LINKS={folder}\n")
    layer.install("https://main.example.com/simple", "https://own.example.com/simple")
    assert layer.installed == {"public.py", "private.py", "evil.pth"}
    assert not layer.marker.exists(), layer.marker.read_text()
