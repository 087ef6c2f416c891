"""``factory promote`` with real uv, from one release of a private index to the next."""

import datetime as dt
import tomllib
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.private_index import CPU, CUDA, ROCM, PrivateWorld
from support.upkeep import tree
from support.wheels import sha256

from factory.check.check import check_flavors
from factory.lock.lockfile import require_lock
from factory.render.drift import find_drift

pytestmark = pytest.mark.integration

GAP, ACCESS, SPEC, DRIFT, REDIRECT, MOVES = 18, 19, 11, 25, 28, 29
BASE = "quay.io/opendatahub/odh-workbench-jupyter-minimal-cpu-py312-ubi9:3.7-v1.50"
DOWNSTREAM = f"quay.io/rhoai/odh-workbench@sha256:{'a' * 64}"


def spec(folder: Path) -> dict[str, object]:
    table = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["factory"]
    assert isinstance(table, dict)
    return table


def nowhere(world: PrivateWorld) -> str:
    """The URL of a server that is not there any more."""
    with IndexServer(folder=world.elsewhere) as server:
        return server.url


def test_a_flavor_moves_in_one_step_and_takes_every_hash_anew(private_world: PrivateWorld) -> None:
    private_world.locked()
    folder, following = private_world.folder(CPU), private_world.following["cpu"]
    before, versions = tree(private_world.root), require_lock(folder).versions()
    project = (folder / "pyproject.toml").read_text()
    words = ("promote", CPU, "--index-url", following.url, "--base-image", BASE)
    run = private_world.run(*words, "--downstream-base-image", DOWNSTREAM)
    assert run.status == 0, run.err

    lock = require_lock(folder)
    assert lock.versions() == versions
    assert lock.index_urls == (following.url,)
    served = {sha256(path) for path in following.folder.iterdir()}
    assert {artifact.sha256 for pin in lock.pins for artifact in pin.artifacts} <= served
    assert private_world.indexes["cpu"].requests == []
    assert private_world.public.requests == []

    old = {"index-url": private_world.indexes["cpu"].url}
    old |= {key: str(tomllib.loads(project)["tool"]["factory"][key]) for key in ("base-image",)}
    changed = {
        path.rpartition("/")[2]
        for path, content in tree(private_world.root).items()
        if content != before[path]
    }
    assert changed == {"pyproject.toml", "requirements.txt", "Dockerfile", "Dockerfile.konflux"}
    lines = (folder / "pyproject.toml").read_text().splitlines()
    kept = [line for line in project.splitlines() if line in lines]
    assert len(kept) == len(project.splitlines()) - 3
    assert spec(folder)["base-image"] == BASE
    assert spec(folder)["downstream-base-image"] == DOWNSTREAM

    assert f"index-url: {old['index-url']} -> {following.url}" in run.out
    assert f"base-image: {old['base-image']} -> {BASE}" in run.out
    assert f"versions: {len(versions)} kept, {len(versions)} of them with new hashes; 0 changed" in run.out
    flavor = private_world.flavor(CPU)
    assert find_drift(flavor) == ()
    assert check_flavors([flavor], root=private_world.root, today=dt.date(2026, 11, 22)).findings == ()
    assert private_world.run("lock", CPU, "--check").status == 0
    again = private_world.run(*words, "--json")
    assert again.status == 0
    assert '"state": "nothing-to-do"' in again.out


def test_a_version_that_the_new_index_has_no_more_changes_only_where_that_is_allowed(
    private_world: PrivateWorld,
) -> None:
    private_world.locked(CPU)
    following = private_world.following["cpu"]
    for path in following.folder.glob("urllib3-2.6.2-*"):
        path.unlink()
    before = tree(private_world.root)
    run = private_world.run("promote", CPU, "--index-url", following.url)
    assert run.status == MOVES
    assert "1 locked version would not stay:\n  urllib3 2.6.2 -> 2.6.3\n" in run.err
    assert f"    since {following.url} has no urllib3 2.6.2 for linux/amd64" in run.err
    assert f"{CPU}: cannot be promoted (MovesError)" in run.out
    assert tree(private_world.root) == before
    run = private_world.run("promote", CPU, "--index-url", following.url, "--allow-moves")
    assert run.status == 0, run.err
    assert f"urllib3 does not stay: {following.url} has no urllib3 2.6.2" in run.out
    assert "1 changed\n  ~ urllib3 2.6.2 -> 2.6.3" in run.out


def test_all_that_the_new_index_lacks_is_told_and_nothing_changes(private_world: PrivateWorld) -> None:
    private_world.locked(CUDA)
    before = tree(private_world.root)
    run = private_world.run("promote", CUDA, "--index-url", private_world.following["cuda130"].url, "--json")
    assert run.status == GAP
    assert tree(private_world.root) == before
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    gaps = {gap["package"]: gap["platforms"] for gap in flavors[0]["gaps"]}
    both = ["linux/amd64", "linux/arm64"]
    assert gaps == {"mamba-ssm": both, "bitsandbytes": both, "numba": ["linux/arm64"]}


def test_no_flavor_moves_where_one_cannot(private_world: PrivateWorld) -> None:
    """Two flavors of one accelerator share their index; one of them needs what the new one lacks."""
    private_world.locked(CPU)
    folder = private_world.folder(CPU)
    other = folder.with_name("other-cpu")
    text = (folder / "pyproject.toml").read_text().replace(CPU, "other-cpu")
    other.mkdir()
    (other / "pyproject.toml").write_text(
        text.replace("[tool.factory]", '[tool.factory]\nname = "other-cpu"')
    )
    assert private_world.run("sync", "other-cpu").status == 0
    private_world.locked("other-cpu")
    lines = (
        (other / "pyproject.toml")
        .read_text()
        .replace("dependencies = [", 'dependencies = [\n    "ninja<1",', 1)
    )
    (other / "pyproject.toml").write_text(lines)
    before = tree(private_world.root)
    url = private_world.following["cpu"].url
    run = private_world.run("promote", CPU, "other-cpu", "--index-url", url)
    assert run.status == GAP
    assert f"{CPU}: not promoted, since another flavor cannot be" in run.out
    assert "other-cpu: cannot be promoted (IndexGapError)" in run.out
    assert tree(private_world.root) == before
    (other / "pyproject.toml").write_text(lines.replace('    "ninja<1",\n', ""))
    run = private_world.run("promote", CPU, "other-cpu", "--index-url", url)
    assert run.status == 0, run.err
    assert spec(folder)["index-url"] == spec(other)["index-url"] == url


def test_a_dry_run_tells_all_and_writes_nothing(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    before = tree(private_world.root)
    url = private_world.following["cpu"].url
    run = private_world.run("promote", CPU, "--index-url", url, "--base-image", BASE, "--dry-run")
    assert run.status == 0
    assert f"{CPU}: would be promoted" in run.out
    assert "files: Dockerfile, requirements.txt, pyproject.toml" in run.out
    assert tree(private_world.root) == before


def test_images_alone_leave_the_lock_and_ask_no_index(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    lock = (private_world.folder(CPU) / "requirements.txt").read_bytes()
    run = private_world.run("promote", CPU, "--base-image", BASE)
    assert run.status == 0
    assert f"={BASE}" in (private_world.folder(CPU) / "Dockerfile").read_text()
    assert (private_world.folder(CPU) / "requirements.txt").read_bytes() == lock
    assert all(server.requests == [] for server in private_world.servers)
    assert "note:" not in run.out


def test_of_a_lock_that_stays_stale_is_told(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    project = private_world.folder(CPU) / "pyproject.toml"
    project.write_text(
        project.read_text().replace("dependencies = [", 'dependencies = [\n    "urllib3<9",', 1)
    )
    run = private_world.run("promote", CPU, "--base-image", BASE)
    assert run.status == 0
    assert (
        f"note: its lock was not made from its pyproject.toml, and stays so: `factory lock {CPU}`" in run.out
    )


def test_a_slash_at_the_end_makes_no_other_index(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    before = tree(private_world.root)
    url = private_world.indexes["cpu"].url
    assert url.endswith("/")
    run = private_world.run("promote", CPU, "--index-url", url.rstrip("/"))
    assert run.status == 0
    assert "nothing to do: it is there already" in run.out
    assert tree(private_world.root) == before


def test_a_lock_file_of_an_index_that_the_spec_has_no_more_goes(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    folder = private_world.folder(CPU)
    (folder / "requirements-own.txt").write_bytes((folder / "requirements.txt").read_bytes())
    run = private_world.run("promote", CPU, "--index-url", private_world.following["cpu"].url)
    assert run.status == 0, run.err
    assert not (folder / "requirements-own.txt").exists()


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(status=302, location="http://localhost:9/simple/"), REDIRECT),
        (Fault(status=403), ACCESS),
        (Fault(body=b"<html>no index", content_type="text/plain"), ACCESS),
    ],
    ids=["redirect", "forbidden", "no index"],
)
def test_a_new_index_that_is_none_changes_nothing(
    private_world: PrivateWorld, fault: Fault, status: int
) -> None:
    private_world.locked(CPU)
    before = tree(private_world.root)
    following = private_world.following["cpu"]
    for path in {path.name.partition("-")[0].replace("_", "-") for path in following.folder.iterdir()}:
        following.fault(f"/simple/{path}/", fault)
    run = private_world.run("promote", CPU, "--index-url", following.url)
    assert run.status == status, run.err
    assert tree(private_world.root) == before


def test_a_new_index_that_is_not_there_changes_nothing(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    before = tree(private_world.root)
    assert private_world.run("promote", CPU, "--index-url", nowhere(private_world)).status == ACCESS
    assert tree(private_world.root) == before


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ((CPU,), SPEC, "nothing was given"),
        (("--base-image", BASE), 2, "FLAVOR"),
        ((CPU, "--base-image", "quay.io/x/y"), SPEC, "neither a tag nor a digest"),
        ((CPU, "--base-image", ""), SPEC, "is not an image reference"),
        ((CPU, "--index-url", "https://u:p@packages.example.com/simple/"), SPEC, "carries credentials"),
        ((CPU, "--index", "own=https://packages.example.com/simple/"), SPEC, "no further index 'own'"),
        ((CPU, "--index", "https://packages.example.com/simple/"), SPEC, "NAME=URL"),
        ((CPU, CUDA, "--index-url", "https://packages.example.com/simple/"), SPEC, "different accelerators"),
        ((ROCM, CUDA, "--base-image", BASE), SPEC, "different accelerators"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    private_world: PrivateWorld, words: tuple[str, ...], status: int, told: str
) -> None:
    before = tree(private_world.root)
    run = private_world.run("promote", *words)
    assert run.status == status
    assert told in run.err
    assert ":p@" not in run.err
    assert tree(private_world.root) == before


def test_an_edited_generated_file_is_not_overwritten(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    dockerfile = private_world.folder(CPU) / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "# mine\n")
    before = tree(private_world.root)
    run = private_world.run("promote", CPU, "--base-image", BASE)
    assert run.status == DRIFT
    assert f"{CPU}/Dockerfile is not what its templates make" in run.err
    assert tree(private_world.root) == before


def test_a_further_index_moves_by_its_name(private_world: PrivateWorld) -> None:
    folder = private_world.folder(CPU)
    further = (
        f'\n[[tool.factory.indexes]]\nname = "own"\nurl = "{private_world.indexes["cpu"].url}"  # ours\n'
    )
    project = folder / "pyproject.toml"
    project.write_text(f'{project.read_text()}{further}packages = ["tqdm"]\n')
    private_world.locked(CPU)
    run = private_world.run("promote", CPU, "--index", f"own={private_world.following['cpu'].url}")
    assert run.status == 0, run.err
    assert f'url = "{private_world.following["cpu"].url}"  # ours\n' in project.read_text()
    assert spec(folder)["index-url"] == private_world.indexes["cpu"].url
    assert "1 of them with new hashes" in run.out
    assert private_world.following["cpu"].url in (folder / "requirements-own.txt").read_text()


def test_what_was_missing_and_is_there_now_is_told(private_world: PrivateWorld) -> None:
    project = private_world.folder(CPU) / "pyproject.toml"
    missing = '\n[[tool.factory.missing]]\nrequirement = "{}"\nreason = "not built"\n'
    project.write_text(project.read_text() + missing.format("ninja>=1.13") + missing.format("flash-attn"))
    private_world.locked(CPU)
    run = private_world.run("promote", CPU, "--index-url", private_world.following["cpu"].url)
    assert run.status == 0
    assert "note: ninja>=1.13 is recorded as missing, and" in run.out
    assert "flash-attn" not in run.out


def test_what_a_kill_between_two_files_leaves_is_completed_by_the_next_run(
    private_world: PrivateWorld,
) -> None:
    private_world.locked(CPU)
    folder = private_world.folder(CPU)
    words = (
        "promote",
        CPU,
        "--index-url",
        private_world.following["cpu"].url,
        "--base-image",
        BASE,
        "--json",
    )
    old = tree(folder)
    run = private_world.run(*words)
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    order = flavors[0]["files"]
    assert order[-1] == "pyproject.toml"
    new = tree(folder)
    for count in range(1, len(order)):
        for name, content in (old | {name: new[name] for name in order[:count]}).items():
            (folder / name).write_bytes(content)
        assert private_world.run(*words).status == 0
        assert tree(folder) == new
