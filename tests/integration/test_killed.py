"""Killed or interrupted at random moments, commands leave the repository as before or as after."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.index_server import Fault, IndexServer
from support.killing import KILLS, Case, Runner, kept_copy, kill_again_and_again, temporaries, tree
from support.layouts import small_image
from support.registry import registry
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL
from factory.flavor.repository import Flavor
from factory.lock.lockset import read_lock_set
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.integration

_FLAVOR = "th011-cpu-torch2130-py311"
_THREE = (_FLAVOR, "second", "third")
_MIB = 1 << 20


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner.made(tmp_path)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    folder = tmp_path / "index"
    for number in range(8):
        make_wheel(folder, f"lib{number}", "1.0", payload=_MIB // 8)
    make_wheel(folder, "app", "1.0", requires=[f"lib{number}" for number in range(8)])
    with IndexServer(folder=folder) as server:
        yield server


def _three_locked(runner: Runner, index: IndexServer) -> None:
    """Three rendered flavors with a lock, and two of them with a bill of materials."""
    for name in _THREE:
        sync_flavor(make_flavor(runner.root, name=name, index_url=index.url, dependencies=["app"]))
    runner.run("lock", "--all")
    runner.run("sbom", *_THREE[:2], "--write")


def _case(runner: Runner, *words: str, once: bool = False, kills: int = KILLS) -> Case:
    return Case(words=words, watched=runner.root, reset=kept_copy(runner.root), once=once, kills=kills)


def test_new_flavor(runner: Runner) -> None:
    spec = ("--accelerator", "cpu", "--torch", "2.13.0", "--python", "3.11", "--training-hub", "0.11.2")
    kill_again_and_again(runner, _case(runner, "new-flavor", *spec, once=True))


def test_sync(runner: Runner) -> None:
    for name in _THREE:
        flavor = make_flavor(runner.root, name=name, index_url=None)
        for difference in sync_flavor(flavor):
            path = flavor.folder / difference.path
            path.write_text("an older rendering\n" * 1000)
            path.chmod(0o644)
    kill_again_and_again(runner, _case(runner, "sync"))


def test_lock_with_a_bill_of_materials(runner: Runner, index: IndexServer) -> None:
    make_flavor(runner.root, name=_FLAVOR, index_url=index.url, dependencies=["app"])
    runner.run("lock", _FLAVOR)
    runner.run("sbom", _FLAVOR, "--write")
    make_wheel(index.folder, "lib7", "2.0")
    kill_again_and_again(runner, _case(runner, "lock", _FLAVOR, "--upgrade"))


def test_lock_of_several_files(runner: Runner, index: IndexServer, tmp_path: Path) -> None:
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=index.url, dependencies=["app", "kernel"])
    extra = tmp_path / "extra"
    make_wheel(extra, "kernel", "1.0")
    with IndexServer(folder=extra) as further:
        with (flavor.folder / "pyproject.toml").open("a") as file:
            file.write(f'[[tool.factory.indexes]]\nname = "extra"\nurl = "{further.url}"\n')
            file.write('packages = ["kernel"]\n')
        runner.run("lock", _FLAVOR)
        make_wheel(index.folder, "lib7", "2.0")
        make_wheel(extra, "kernel", "2.0")
        kill_again_and_again(runner, _case(runner, "lock", _FLAVOR, "--upgrade"))
        locks = read_lock_set(flavor.folder, flavor.project.spec)
        assert locks is not None
        assert locks.belongs_together


def test_bump_of_three_flavors(runner: Runner, index: IndexServer) -> None:
    _three_locked(runner, index)
    make_wheel(index.folder, "lib7", "1.1")
    words = ("bump", "lib7>=1.1", "--all", "--reason", "CVE-2026-54058")
    kill_again_and_again(runner, _case(runner, *words))


def test_promote_of_three_flavors(runner: Runner, index: IndexServer) -> None:
    _three_locked(runner, index)
    moved = index.url.replace("127.0.0.1", "localhost")
    words = ("promote", *_THREE, "--index-url", moved, "--base-image", "quay.io/x/base:2")
    kill_again_and_again(runner, _case(runner, *words))


def test_rehash_of_three_flavors(runner: Runner, index: IndexServer) -> None:
    _three_locked(runner, index)
    make_wheel(index.folder, "lib7", "1.0", salt="again")
    kill_again_and_again(runner, _case(runner, "rehash", "--all"))


def test_sbom_of_three_flavors(runner: Runner, index: IndexServer) -> None:
    _three_locked(runner, index)
    for name in _THREE:
        (runner.root / "flavors" / name / "sbom.cdx.json").write_text("{}")
    kill_again_and_again(runner, _case(runner, "sbom", "--all", "--write"))


def test_konflux_with_files_of_a_flavor_that_is_gone(runner: Runner) -> None:
    for name in (*_THREE, "gone"):
        make_flavor(runner.root, name=name, index_url=None)
    runner.run("konflux", "--all", "--application", "images", "--output-image", "quay.io/example/")
    shutil.rmtree(runner.root / "flavors" / "gone")
    kill_again_and_again(runner, _case(runner, "konflux", "--all", "--application", "another"))


def test_new_image(runner: Runner) -> None:
    (runner.root / "factory.toml").write_text("# Ours.\n")
    words = (
        "new-image",
        "one",
        "--kind",
        "trainer",
        "--parent",
        "quay.io/x/base:1",
        "--package",
        "trl",
        "--python",
        "3.12",
    )
    kill_again_and_again(runner, _case(runner, *words, once=True))


def test_rename_of_a_parent(runner: Runner) -> None:
    make_flavor(runner.root, name=_FLAVOR, index_url=None)
    folder = runner.root / "images" / "stack"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(f"# On {_FLAVOR}\nARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n")
    (runner.root / "factory.toml").write_text(f'[images.stack]\nkind = "stack"\nparent = "{_FLAVOR}"\n')
    runner.run("sync", _FLAVOR)
    runner.run("konflux", _FLAVOR, "--application", "images", "--output-image", "quay.io/example/")
    kill_again_and_again(runner, _case(runner, "rename", _FLAVOR, "another", once=True))


def test_push_sets_its_tags_last_and_a_second_push_completes_it(runner: Runner, tmp_path: Path) -> None:
    labels = {IDENTITY_LABEL: "0123456789abcdef" * 4, IMAGE_LABEL: "trainer"}
    image = small_image(tmp_path / "made", labels=labels, size=_MIB, layers=3)
    with registry(tmp_path / "registry") as server:
        (runner.root / "factory.toml").write_text(
            f'[registries.near]\nurl = "{server.host}/team"\nclass = "persistent"\n'
        )
        base = f"http://{server.host}/v2/team/trainer"
        before = tree(runner.root)
        empty = kept_copy(server.folder)

        def tags() -> dict[str, str]:
            listed = httpx.get(f"{base}/tags/list").json().get("tags") or []
            accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
            return {
                tag: httpx.head(f"{base}/manifests/{tag}", headers=accept).headers["Docker-Content-Digest"]
                for tag in listed
            }

        def whole() -> None:
            assert set(tags().values()) <= {image.digest}
            assert {path for path in tree(runner.root) if not path.startswith(".work/")} == set(before)

        case = Case(
            words=("push", image.reference, "--to", "near"),
            watched=server.folder,
            reset=empty,
            two_states=False,
            state=tags,
            also=whole,
        )
        kill_again_and_again(runner, case)
        assert set(tags()) == {"0123456789abcdef", "latest"}


def test_prefetch(runner: Runner, index: IndexServer, tmp_path: Path) -> None:
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=index.url)
    _lock_to(flavor, index)
    output = tmp_path / "prefetched"
    # A while between the files, so that some are there and some are not when the run ends.
    for path in index.folder.iterdir():
        index.fault(f"/files/{path.name}", Fault(delay=0.05))
    output.mkdir()
    complete: dict[str, str] = {}

    def is_honest() -> None:
        found = tree(output)
        if "cachi2.env" in found:
            complete.update(complete or found)
            assert found == complete, "cachi2.env is there, and the folder is not complete"

    words = ("prefetch", _FLAVOR, "--output", str(output), "--jobs", "2")
    reset = kept_copy(output)
    runner.run(*words)
    is_honest()
    kill_again_and_again(
        runner, Case(words=words, watched=output, reset=reset, two_states=False, also=is_honest)
    )


def test_prefetch_leaves_the_wheels_that_it_takes_from_a_folder_alone(
    runner: Runner, index: IndexServer, tmp_path: Path
) -> None:
    # Big, so that to hash it under its new name takes a while: long enough to be killed there.
    big = make_wheel(index.folder, "big", "1.0", payload=32 * _MIB)
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=index.url)
    _lock_to(flavor, index)
    wheels = shutil.copytree(index.folder, tmp_path / "wheels")
    before = tree(wheels)
    index.ranges = False
    index.fault(f"/files/{big.name}", Fault(truncate=1000))
    output = tmp_path / "prefetched"
    words = ("prefetch", _FLAVOR, "--output", str(output))
    artifacts = output / "output" / "deps" / "pip"
    for _ in range(KILLS):
        with runner.started((*words, "--find-links", str(wheels))) as process:
            while process.poll() is None and not temporaries(artifacts):
                pass
            process.kill()
        with runner.started(words) as process:
            process.communicate(timeout=60)
        assert tree(wheels) == before
        shutil.rmtree(output)
    runner.run(*words, "--find-links", str(wheels))
    assert tree(wheels) == before


def _lock_to(flavor: Flavor, index: IndexServer) -> None:
    write_lock(flavor, sorted(index.folder.iterdir()), index_url=index.url)
