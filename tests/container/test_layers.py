"""The layers of packages in an image: what is in which, and what a change of one package changes."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.podman import podman
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.flavor.repository import Flavor
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.container

# fqdn is in the stand-in base in another version; nothing of the lock fits `idle`.
TABLES = """\
bytecode = true

[tool.factory.layers]
large = ["first-*"]
replaced = ["second", "fqdn"]
idle = ["of-no-use-*"]
"""
LAYERS = ("large", "replaced", "idle", "rest")
LOOK = r"""
import glob, importlib.metadata, json, os, stat, struct, sysconfig
site = sysconfig.get_path("purelib")
names = ("first_big", "second", "fqdn", "third")
compiled = {}
for name in names:
    (path,) = glob.glob(f"{site}/{name}/__pycache__/__init__.*.pyc")
    with open(path, "rb") as file:
        flags = struct.unpack("<4xI", file.read(8))[0]
    compiled[name] = [flags, bool(os.stat(path).st_mode & stat.S_IWGRP)]
notes = glob.glob(f"{site}/*.dist-info/uv_cache.json")
recorded = [path for path in glob.glob(f"{site}/*.dist-info/RECORD") if "uv_cache" in open(path).read()]
print(json.dumps({
    "versions": {name: __import__(name).__version__ for name in names},
    "infos": [os.path.basename(path) for path in glob.glob(f"{site}/fqdn-*.dist-info")],
    "old": os.path.exists(f"{site}/fqdn/_compat.py"),
    "compiled": compiled,
    "notes": notes + recorded,
    "left": [*os.listdir("/tmp"), *os.listdir(os.path.expanduser("~"))],
    "missing": [str(file) for name in names for file in importlib.metadata.files(name.replace("_", "-"))
        if not file.locate().exists()],
    "layers": {name: open(path).read() for path in sorted(glob.glob("/usr/share/factory/layers/*/*.txt"))
        for name in [path.split("/")[-2]]},
}))
"""


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image: the digests of the layers that it adds, oldest first, and what is in it."""

    digests: tuple[str, ...]
    inside: dict[str, Any]


def _image(reference: str) -> dict[str, Any]:
    (found,) = json.loads(podman("image", "inspect", reference))
    described: dict[str, Any] = found
    return described


def _build(root: Path, base: str, *, second: str) -> Built:
    """Build from nothing, as Konflux does, a flavor whose package ``second`` has that version."""
    shutil.rmtree(root / "flavors", ignore_errors=True)
    pip = root / second / "deps" / "pip"
    wheels = [
        make_wheel(pip, "first-big", "1.0", payload=100_000),
        make_wheel(pip, "fqdn", "99.0"),
        make_wheel(pip, "second", second),
        make_wheel(pip, "third", "1.0"),
    ]
    (root / second / "cachi2.env").write_text("export PIP_FIND_LINKS=/cachi2/deps/pip PIP_NO_INDEX=true\n")
    flavor = make_flavor(root, index_url=None, dependencies=["first-big", "fqdn", "second", "third"])
    with (flavor.folder / "pyproject.toml").open("a") as file:
        file.write(TABLES)
    fresh = Flavor(flavor.folder)
    write_lock(fresh, wheels, index_url=None)
    sync_flavor(fresh)
    with (flavor.folder / "package-layers.sh").open("a") as script:
        script.write(f"# as it was for {second}\n")
    tag = f"localhost/universal-image-tests:layers-{os.getpid()}-{second}"
    podman(
        "build", "--no-cache", "--pull=never", "--network", "none", "--timestamp", "0", "--layers", "-t", tag,
        "-f", flavor.folder / "Dockerfile.konflux", "--build-arg", f"BASE_IMAGE={base}",
        "-v", f"{root / second}:/cachi2:ro,z", flavor.folder,
    )  # fmt: skip
    below = _image(base)["RootFS"]["Layers"]
    digests = _image(tag)["RootFS"]["Layers"]
    assert digests[: len(below)] == below
    return Built(
        digests=tuple(digests[len(below) :]),
        inside=json.loads(podman("run", "--rm", "--network", "none", tag, "python", "-c", LOOK)),
    )


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory, base_image: str) -> Iterator[tuple[Built, Built]]:
    """Two builds from nothing; the second has another version of one package and another script."""
    root = tmp_path_factory.mktemp("layers")
    yield _build(root, base_image, second="1.0"), _build(root, base_image, second="2.0")
    tags = [f"localhost/universal-image-tests:layers-{os.getpid()}-{version}" for version in ("1.0", "2.0")]
    podman("image", "rm", "--force", *tags, status=None)


def test_each_package_is_in_the_layer_that_names_it(builds: tuple[Built, Built]) -> None:
    files = builds[0].inside["layers"]
    pinned = {
        name: {line.partition("==")[0] for line in text.splitlines() if "==" in line}
        for name, text in files.items()
    }
    assert pinned == {
        "large": {"first-big"},
        "replaced": {"second", "fqdn"},
        "idle": set(),
        "rest": {"third"},
    }


def test_another_version_of_a_package_changes_its_layer_and_the_small_last_ones(
    builds: tuple[Built, Built],
) -> None:
    one, other = builds
    versions = dict.fromkeys(("first_big", "third"), "1.0") | {"fqdn": "99.0"}
    assert one.inside["versions"] == versions | {"second": "1.0"}
    assert other.inside["versions"] == versions | {"second": "2.0"}
    assert len(one.digests) == len(other.digests)
    same = [left == right for left, right in zip(one.digests, other.digests, strict=True)]
    # The script below the packages, which is in no layer of theirs; a COPY and a RUN for each of these.
    expected = [False, *(name != "replaced" for name in LAYERS for _ in range(2))]
    assert same[: len(expected)] == expected


def test_a_package_that_replaces_one_of_the_base_leaves_nothing_of_it(builds: tuple[Built, Built]) -> None:
    for built in builds:
        assert built.inside["infos"] == ["fqdn-99.0.dist-info"]
        assert not built.inside["old"]


def test_nothing_is_left_that_tells_when_it_was_installed(builds: tuple[Built, Built]) -> None:
    for built in builds:
        assert built.inside["notes"] == []
        assert built.inside["left"] == []
        assert built.inside["missing"] == []


def test_compiled_files_hang_on_no_time_and_are_writable_for_the_group(builds: tuple[Built, Built]) -> None:
    # PEP 552: 1 is "checked against the source's hash, or not at all", without 2 not at all.
    for built in builds:
        assert built.inside["compiled"] == {
            name: [1, True] for name in ("first_big", "second", "fqdn", "third")
        }
