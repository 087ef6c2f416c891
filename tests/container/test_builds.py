"""Builds of small flavors: hermetic, midstream, and those that must fail."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import factory
from support.golden import GOLDEN
from support.podman import podman
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.build.parts import part_tag
from factory.engine.engine import find_engine
from factory.engine.images import EngineImage, find_image
from factory.engine.leftovers import repository_mark
from factory.flavor.repository import Flavor
from factory.render.drift import SBOM_FILE, sync_flavor

pytestmark = pytest.mark.container

LICENCE = "LICENSE.md"
IMPORT = ("python", "-c", "import small, small_dependency; print(small.__version__)")


class Small:
    """A locked flavor of two small packages, of which one replaces a package of the base image."""

    def __init__(self, root: Path, base: str) -> None:
        self.root = root
        self.base = base
        self.wheels = root / "wheels"
        files = [
            make_wheel(self.wheels, "small", "1.0"),
            make_wheel(self.wheels, "small-dependency", "2.0"),
            make_wheel(self.wheels, "packaging", "99.0", modules={"packaging/__init__.py": ""}),
        ]
        self.flavor = make_flavor(root, index_url=None, dependencies=["small", "packaging"])
        write_lock(self.flavor, files, index_url=None)
        sync_flavor(self.flavor)
        self.prefetched = root / "prefetched"
        self.made: set[str] = set()

    def lock_again(self, tables: str) -> None:
        """Add tables to the project, and pin the newest of each wheel."""
        with (self.flavor.folder / "pyproject.toml").open("a") as file:
            file.write(tables)
        self.flavor = Flavor(self.flavor.folder)
        newest = {path.name.partition("-")[0]: path for path in sorted(self.wheels.iterdir())}
        write_lock(self.flavor, newest.values(), index_url=None)
        sync_flavor(self.flavor)

    def prefetch(self) -> Path:
        links = ("--find-links", self.wheels)
        factory("--root", self.root, "prefetch", self.flavor.name, "--output", self.prefetched, *links)
        return self.prefetched

    def build(self, tag: str, *options: str | Path, status: int = 0) -> str:
        links = ("--find-links", self.wheels)
        said = factory(
            "--root", self.root, "--json", "build", self.flavor.name, "--base-image", self.base,
            "--tag", tag, *links, *options, status=status,
        )  # fmt: skip
        self.made.add(json.loads(said).get("identity_tag", tag))
        return said

    def remove(self) -> None:
        """Take away what the factory named: the next test is to find nothing built."""
        records = (self.root / ".work" / "images").glob("*/segments")
        mark = repository_mark(self.root)
        layers = {part_tag(mark, key) for found in records for key in found.read_text().split()}
        if names := self.made | layers:
            podman("image", "rm", "--force", *sorted(names), status=None)


@pytest.fixture
def small(tmp_path: Path, base_image: str) -> Iterator[Small]:
    made = Small(tmp_path, base_image)
    yield made
    made.remove()


@pytest.fixture
def tag() -> str:
    return f"localhost/universal-image-tests:{os.getpid()}"


@pytest.fixture(autouse=True)
def _remove(tag: str) -> Iterator[None]:
    yield
    podman("image", "rm", "--force", tag, status=None)


def image_of(tag: str) -> EngineImage:
    found = find_image(find_engine("podman"), tag)
    assert found is not None
    return found


def by_hand(small: Small, dockerfile: Path, tag: str, *, status: int | None = 0) -> str:
    """The documented command, without the factory."""
    return podman(
        "build", "--no-cache", "--pull=never", "--network", "none", "-f", dockerfile, "-t", tag,
        "--build-arg", f"BASE_IMAGE={small.base}", "-v", f"{small.prefetch()}:/cachi2:ro,z",
        small.flavor.folder, status=status,
    )  # fmt: skip


def test_a_package_of_the_base_image_is_replaced_and_not_doubled(small: Small, tag: str) -> None:
    small.build(tag, "--hermetic")
    look = "cd /opt/app-root/lib/python3.11/site-packages && ls -d packaging-*.dist-info && ls packaging"
    base = podman("run", "--rm", small.base, "bash", "-c", look).split()
    ours = podman("run", "--rm", tag, "bash", "-c", look).split()
    assert len(base) > 2
    assert ours == ["packaging-99.0.dist-info", "__init__.py"]
    # The folder has no bill of materials, and so the image has none.
    there = podman("run", "--rm", tag, "ls", "/usr/share/factory").split()
    assert "requirements.txt" in there
    assert SBOM_FILE not in there


def test_a_path_with_spaces_and_files_that_only_their_owner_can_read_are_no_obstacle(
    tmp_path: Path, base_image: str, tag: str
) -> None:
    root = tmp_path / "a folder with spaces"
    root.mkdir()
    small = Small(root, base_image)
    for path in small.flavor.folder.iterdir():
        path.chmod(0o700 if path.suffix == ".sh" else 0o600)
    report = json.loads(small.build(tag, "--hermetic"))
    small.remove()
    assert report["tag"] == tag
    assert report["id"] == image_of(tag).id
    assert 0 < report["added"] < 1_000_000
    for user in ("1001:0", "1234567:0"):
        assert podman("run", "--rm", "--user", user, tag, *IMPORT).strip() == "1.0"


@pytest.mark.parametrize(("before", "entries"), [("", []), ("/base/lib", ["/base/lib"])])
def test_search_paths_keep_what_the_base_image_has_and_get_no_empty_entry(
    base_image: str, tag: str, tmp_path: Path, before: str, entries: list[str]
) -> None:
    cuda = (GOLDEN / "cuda" / "expected" / "Dockerfile").read_text()
    environment = re.search(r"^ENV (?:.*\\\n)*.*\n", cuda, re.MULTILINE)
    assert environment is not None
    set_before = f"ENV LD_LIBRARY_PATH={before} CPATH={before}\n" if before else ""
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {base_image}\n{set_before}{environment[0]}")
    podman("build", "--pull=never", "-t", tag, "-f", dockerfile, tmp_path)
    shown = podman("run", "--rm", tag, "printenv", "LD_LIBRARY_PATH", "CPATH", "PATH").splitlines()
    assert shown[0].split(":") == ["/usr/local/cuda/lib64", *entries]
    assert shown[1].split(":") == ["/usr/local/cuda/include", *entries]
    assert shown[2].startswith("/usr/local/cuda/bin:/opt/app-root/")


def test_a_change_beside_the_packages_does_not_install_them_again(small: Small, tag: str) -> None:
    words = (
        "build", "--pull=never", "--network", "none", "-f", small.flavor.folder / "Dockerfile.konflux",
        "-t", tag, "--build-arg", f"BASE_IMAGE={small.base}", "-v", f"{small.prefetch()}:/cachi2:ro,z",
        small.flavor.folder,
    )  # fmt: skip
    podman(*words)
    first = image_of(tag)
    for name in (LICENCE, "entrypoint-universal.sh"):
        with (small.flavor.folder / name).open("a") as file:
            file.write("# changed\n")
    podman(*words)
    second = image_of(tag)
    assert second.id != first.id
    changed = [a != b for a, b in zip(first.layers, second.layers, strict=True)]
    # The last layer holds what the builder prepared; those below are the base image's and the packages'.
    first_changed = changed.index(True)
    assert first_changed >= len(image_of(small.base).layers) + 2


def test_a_fix_in_one_layer_builds_and_changes_that_layer_alone(small: Small, tag: str) -> None:
    layers = '\n[tool.factory.layers]\nfirst = ["small"]\nsecond = ["small-dependency"]\n'
    small.lock_again(layers)
    one = json.loads(small.build(tag, "--hermetic"))
    first = image_of(tag)
    make_wheel(small.wheels, "small-dependency", "3.0")
    small.lock_again("")
    other = json.loads(small.build(tag, "--hermetic"))
    second = image_of(tag)
    # What is below the layers is the same for every flavor on this base: another test may have built it.
    assert [part for part in one["parts"] if part != "its own instructions (1 of 5)"] == [
        "stage builder", "layer first (2 of 5)", "layer second (3 of 5)", "layer rest (4 of 5)",
        "its own instructions (5 of 5)",
    ]  # fmt: skip
    assert "layer first (2 of 5)" not in other["parts"]
    below = len(image_of(small.base).layers)
    pairs = zip(first.layers[below:], second.layers[below:], strict=True)
    # A layer for each part: that of the fix is another one, and the last, which has the lock itself.
    assert [left == right for left, right in pairs] == [True, True, False, True, False]
    assert podman("run", "--rm", tag, *IMPORT).strip() == "1.0"


def test_bytes_that_are_not_the_lock_s_are_refused_by_the_build_itself(small: Small, tag: str) -> None:
    wheel = small.prefetch() / "output" / "deps" / "pip" / "small-1.0-py3-none-any.whl"
    other = make_wheel(small.root / "other", "small", "1.0", salt="another")
    wheel.unlink()
    shutil.copy(other, wheel)
    said = podman(
        "build", "--no-cache", "--pull=never", "--network", "none", "-t", tag,
        "-f", small.flavor.folder / "Dockerfile.konflux", "--build-arg", f"BASE_IMAGE={small.base}",
        "-v", f"{small.prefetched}:/cachi2:ro,z", small.flavor.folder, status=None,
    )  # fmt: skip
    assert "hash mismatch" in said.lower()
    assert find_image(find_engine("podman"), tag) is None


def test_a_base_image_of_another_python_is_refused_with_a_word(small: Small, tag: str) -> None:
    project = small.flavor.folder / "pyproject.toml"
    project.write_text(project.read_text().replace('"3.11"', '"3.12"').replace("3.11.*", "3.12.*"))
    small.lock_again("")
    said = by_hand(small, small.flavor.folder / "Dockerfile.konflux", tag, status=None)
    assert "the base image has Python 3.11, and this flavor is for 3.12" in said


def test_the_midstream_build_is_plain_podman_build_in_the_folder(
    small: Small, tag: str, tmp_path: Path
) -> None:
    root = tmp_path / "real"
    flavor = make_flavor(root, index_url=None, dependencies=["colorama==0.4.6"])
    factory("--root", root, "lock", flavor.name)
    sync_flavor(flavor)
    options: list[str | Path] = []
    if bundle := os.environ.get("SSL_CERT_FILE"):
        # This machine's certificates, for the build alone: neither file stays in the image.
        settings = tmp_path / "uv.toml"
        settings.write_text("system-certs = true\n")
        settings.chmod(0o644)
        options = ["-v", f"{bundle}:/etc/ssl/certs/ca-certificates.crt:ro"]
        options += ["-v", f"{settings}:/etc/uv/uv.toml:ro"]
    podman("build", "-t", tag, "--build-arg", f"BASE_IMAGE={small.base}", *options, flavor.folder)
    look = "import colorama, ctypes; ctypes.CDLL('libGL.so.1'); print(colorama.__version__)"
    assert podman("run", "--rm", tag, "python", "-c", look).strip() == "0.4.6"


def test_the_bill_of_materials_of_the_folder_is_in_the_image(small: Small, tag: str) -> None:
    factory("--root", small.root, "sbom", small.flavor.name, "--write", "--find-links", small.wheels)
    small.build(tag, "--hermetic")
    written = (small.flavor.folder / SBOM_FILE).read_text()
    assert json.loads(written)["metadata"]["component"]["name"] == small.flavor.name
    assert podman("run", "--rm", tag, "cat", "/usr/share/factory/sbom.cdx.json") == written
    mode = podman("run", "--rm", tag, "stat", "--format", "%a", "/usr/share/factory/sbom.cdx.json").strip()
    assert mode == "644"
