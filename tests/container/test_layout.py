"""factory build --layout: the image that is assembled is the one that podman builds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.built import factory
from support.podman import podman
from support.registry import registry
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.build.parts import part_tag
from factory.engine.leftovers import repository_mark
from factory.flavor.repository import Flavor
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.container

TABLES = """\
bytecode = true

[tool.factory.layers]
large = ["first-*"]
replaced = ["second", "fqdn"]
"""
NAMES = ("large", "replaced", "rest")
# All that is in the image, apart from what the engine puts there at each start, and the empty folder that
# podman's build leaves where it had mounted the prefetched one.
TREE = r"""
import hashlib, json, os, stat
skipped = {"/proc", "/sys", "/dev", "/run", "/cachi2", "/tree.py"}
skipped |= {f"/etc/{name}" for name in ("hosts", "hostname", "resolv.conf", "mtab")}
found = {}
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in skipped]
    for path in [os.path.join(folder, name) for name in (*folders, *files)]:
        if path in skipped:
            continue
        status = os.lstat(path)
        what = ""
        if stat.S_ISLNK(status.st_mode):
            what = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                what = hashlib.sha256(file.read()).hexdigest()
        found[path] = [status.st_mode, status.st_uid, status.st_gid, what]
print(json.dumps(found))
"""


class Site:
    """A flavor of four tiny wheels: one replaces a package of the base, and two share a folder `shared`."""

    def __init__(self, root: Path, base: str) -> None:
        self.root, self.base, self.layout = root, base, root / "lay out"
        self.name = f"uif-layout-{os.getpid()}"
        self.wheels = root / "wheels"
        self.lock("1.0")

    def lock(self, second: str) -> None:
        shutil.rmtree(self.root / "flavors", ignore_errors=True)
        shutil.rmtree(self.wheels, ignore_errors=True)
        files = [
            make_wheel(
                self.wheels, "first-big", "1.0", modules={"first_big.py": "x = 1\n", "shared/one.py": ""}
            ),
            make_wheel(self.wheels, "fqdn", "99.0"),
            make_wheel(self.wheels, "second", second),
            make_wheel(self.wheels, "third", "1.0", modules={"third.py": "x = 3\n", "shared/two.py": ""}),
        ]
        flavor = make_flavor(
            self.root, name=self.name, index_url=None, dependencies=["first-big", "fqdn", "second", "third"]
        )
        project = flavor.folder / "pyproject.toml"
        project.write_text(
            project.read_text().replace("[tool.factory]\n", f'[tool.factory]\nname = "{self.name}"\n')
            + TABLES
        )
        fresh = Flavor(flavor.folder)
        write_lock(fresh, files, index_url=None)
        sync_flavor(fresh)

    @property
    def words(self) -> list[str | Path]:
        return [
            "--root", self.root, "--json", "build", self.name, "--base-image", self.base,
            "--find-links", self.wheels, "--prefetched", self.root / "pre fetched",
        ]  # fmt: skip

    def assemble(self, *words: str | Path, layout: Path | None = None, status: int = 0) -> Any:  # noqa: ANN401
        said = factory(*self.words, "--layout", layout or self.layout, *words, status=status)
        return json.loads(said)


def _containers(site: Site) -> list[str]:
    label = f"label=io.universal-image-factory.build={repository_mark(site.root)}.{site.name}@layout"
    return podman("ps", "--all", "--quiet", "--filter", label).split()


def _manifests(layout: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((layout / "index.json").read_bytes())["manifests"]
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, small_base_image: str) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("layout"), small_base_image)
    yield site
    records = (site.root / ".work" / "images").glob("*/segments")
    keys = {key for record in records for key in record.read_text().split()}
    names = [part_tag(repository_mark(site.root), key) for key in sorted(keys)]
    podman("image", "rm", "--force", f"localhost/{site.name}:downstream", *names, status=None)


@pytest.fixture(scope="module")
def assembled(site: Site) -> Any:  # noqa: ANN401 - JSON
    return site.assemble()


def _config(reference: str) -> dict[str, Any]:
    (found,) = json.loads(podman("image", "inspect", reference))
    config: dict[str, Any] = found["Config"]
    return config


def _tree(reference: str, script: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        podman(
            "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "/opt/app-root/bin/python",
            "-v", f"{script}:/tree.py:ro,z", reference, "-B", "/tree.py",
        )
    )  # fmt: skip
    return found


def test_it_is_the_image_that_podman_builds(site: Site, assembled: Any, tmp_path: Path) -> None:  # noqa: ANN401
    assert assembled["made"] == list(NAMES)
    # podman itself would name it after its path, which has a space.
    ours = f"localhost/{site.name}:assembled"
    subprocess.run(
        ["skopeo", "copy", "--quiet", assembled["reference"], f"containers-storage:{ours}"], check=True
    )
    theirs = json.loads(factory(*site.words, "--hermetic"))["id"]
    script = tmp_path / "tree.py"
    script.write_text(TREE)
    try:
        ours_tree, theirs_tree = _tree(ours, script), _tree(theirs, script)
        assert {path for path in ours_tree if "/fqdn" in path and path.endswith("-info")} == {
            "/opt/app-root/lib/python3.11/site-packages/fqdn-99.0.dist-info"
        }
        assert "/opt/app-root/lib/python3.11/site-packages/shared/one.py" in ours_tree
        differing = {
            path: (ours_tree.get(path), theirs_tree.get(path))
            for path in ours_tree.keys() | theirs_tree.keys()
            if ours_tree.get(path) != theirs_tree.get(path)
        }
        assert differing == {}
        # The builder counts in the identity, and so in these labels.
        counted = {f"io.universal-image-factory.{name}" for name in ("identity", "inputs", "variant")}
        configs = [_config(ours), _config(theirs)]
        for config in configs:
            config["Labels"] = {key: value for key, value in config["Labels"].items() if key not in counted}
        assert configs[0] == configs[1]
    finally:
        podman("image", "rm", "--force", ours)


def test_a_second_run_makes_no_layer_and_a_run_from_nothing_gives_the_same(
    site: Site,
    assembled: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    again = site.assemble()
    assert (again["made"], again["taken"]) == ([], list(NAMES))
    fresh = site.assemble("--force", layout=tmp_path / "other")
    assert fresh["made"] == list(NAMES)
    assert {again["digest"], fresh["digest"]} == {assembled["digest"]}
    pulled = podman("pull", "--quiet", fresh["reference"]).split()[-1]
    imported = ("python", "-c", "import first_big, fqdn, second, third")
    podman("run", "--rm", "--network", "none", pulled, *imported)
    podman("image", "rm", "--force", pulled)


def test_layers_made_one_after_another_are_those_made_side_by_side(
    site: Site,
    assembled: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    alone = "import os; os.cpu_count = lambda: 1; from factory.cli.main import main; main()"
    words = [*map(str, site.words), "--force", "--layout", str(tmp_path / "one by one")]
    done = subprocess.run([sys.executable, "-c", alone, *words], stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout)["digest"] == assembled["digest"]


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(site: Site, tmp_path: Path) -> None:
    found = site.assemble("--dry-run", layout=tmp_path / "none")
    assert found["layers"] == list(NAMES)
    assert not (tmp_path / "none").exists()


def test_it_can_be_pushed(site: Site, assembled: Any, tmp_path: Path) -> None:  # noqa: ANN401
    with registry(tmp_path / "registry") as served:
        reference = f"oci:{assembled['layout']}"
        factory("--root", site.root, "push", reference, "--to", f"{served.host}/team")
        report = json.loads(
            factory("--root", site.root, "--json", "push", reference, "--to", f"{served.host}/team")
        )
    (outcome,) = report["outcomes"]
    assert {tag["state"] for tag in outcome["tags"]} == {"already there"}


def test_what_each_builder_made_is_found_said_and_pushed_beside_the_other(
    site: Site,
    assembled: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    def push(image: str) -> Any:  # noqa: ANN401
        words = ("--root", site.root, "--json", "push", image, "--to", f"{served.host}/team")
        report = json.loads(factory(*words))
        (outcome,) = report["outcomes"]
        return report["image"], report["variant"], {tag["tag"]: tag["digest"] for tag in outcome["tags"]}

    built = json.loads(factory(*site.words, "--hermetic"))
    downstream, mine = f"localhost/{site.name}:downstream", f"localhost/{site.name}-mine:1"
    with registry(tmp_path / "registry") as served:
        image, variant, by_engine = push(site.name)
        assert (image, variant) == (downstream, f"downstream on {site.base}, built by the engine")
        assert set(by_engine) == {built["identity"][:16], "downstream"}

        _, variant, in_layout = push(f"oci:{assembled['layout']}")
        assert variant == f"downstream on {site.base}, built with --layout"
        assert set(in_layout) == {assembled["identity"][:16], "downstream"}
        assert set(in_layout.values()) != set(by_engine.values())
        assert push(site.name)[2] == by_engine

        podman("tag", built["id"], mine)
        podman("untag", downstream, downstream, built["identity_tag"])
        assert push(site.name) == (mine, f"downstream on {site.base}, built by the engine", by_engine)

        podman("untag", mine)
        # The last layout that was written; the tests of this file write several.
        last = site.assemble()["reference"]
        assert push(site.name)[0] == last


def test_killed_in_the_middle_the_next_run_goes_on(site: Site, assembled: Any) -> None:  # noqa: ANN401
    layout = site.layout.parent / "killed"
    words = [sys.executable, "-m", "factory", *map(str, site.words), "--layout", str(layout)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        kept = layout / "factory-layers.json"
        deadline = time.monotonic() + 120
        while not kept.exists():
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline, "no layer was made"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert _manifests(layout) == []
    done = site.assemble(layout=layout)
    assert done["taken"]
    assert _containers(site) == []
    assert not [path for path in layout.rglob("*") if path.name.endswith(".factory-tmp")]
    assert done["digest"] == assembled["digest"]


def test_two_at_once_give_one_image(site: Site, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "factory", *map(str, site.words), "--layout", str(tmp_path / "both")]
    runs = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    said = [(run.communicate(timeout=300)[0], run.returncode) for run in runs]
    # The one that waits goes on when the other has ended, or is told that it is at work.
    assert {status for _, status in said} <= {0, 23}
    digests = {json.loads(text)["digest"] for text, status in said if status == 0}
    assert len(digests) == 1


def test_what_cannot_be_assembled_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert "something else" in site.assemble(layout=tmp_path, status=34)["error"]["reason"]
    assert "colon" in site.assemble(layout=tmp_path / "a:b", status=21)["error"]["reason"]


def test_one_package_changed_only_its_layer_is_made(site: Site, assembled: Any) -> None:  # noqa: ANN401
    site.lock("2.0")
    changed = site.assemble()
    assert (changed["made"], changed["taken"]) == (["replaced"], ["large", "rest"])
    assert changed["digest"] != assembled["digest"]
    (entry,) = _manifests(site.layout)
    assert entry["digest"] == changed["digest"]
