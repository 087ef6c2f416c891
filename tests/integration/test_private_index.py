"""The synthetic private index is what tests of upkeep take it for."""

import datetime as dt

import pytest
from support.private_index import BAIT, CPU, CUDA, FLAVORS, INTERNAL, NAMES, ROCM, PrivateWorld, asked_for
from support.wheels import sha256

from factory.check.check import check_flavors
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration


def test_each_flavor_is_locked_against_its_own_index_alone(private_world: PrivateWorld) -> None:
    assert private_world.run("lock", "--all").status == 0
    locks = {name: require_lock(private_world.folder(name)) for name in FLAVORS.values()}
    versions = {name: lock.versions()["torch"] for name, lock in locks.items()}
    assert versions == {CUDA: "2.11.0+cu130", ROCM: "2.11.0+rocm7.14", CPU: "2.11.0+cpu"}
    assert locks[CUDA].versions()["flash-attn"] == "2.8.3+cu130"
    assert INTERNAL in locks[CUDA].versions()
    assert INTERNAL in locks[ROCM].versions()
    assert INTERNAL not in locks[CPU].versions()
    assert private_world.public.requests == []
    flavors = [private_world.flavor(name) for name in FLAVORS.values()]
    assert check_flavors(flavors, root=private_world.root, today=dt.date(2026, 11, 22)).findings == ()


def test_the_bait_would_be_taken_by_a_flavor_of_the_public_index(private_world: PrivateWorld) -> None:
    """Otherwise no test of confusion could fail."""
    project = private_world.folder(CPU) / "pyproject.toml"
    lines = project.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("index-url")]
    text = "".join(kept).replace("dependencies = [\n", 'dependencies = [\n    "pillow>=12",\n', 1)
    project.write_text(text.replace('"torch==2.11.0"', '"torch"').replace("==0.9.2", "").replace(",<", ",!="))
    run = private_world.run("lock", CPU)
    assert run.status == 0, run.err
    assert set(require_lock(project.parent).versions().values()) == {BAIT}
    assert asked_for(private_world.public) <= NAMES


def test_the_next_release_has_the_same_files_with_other_bytes_and_gaps(private_world: PrivateWorld) -> None:
    now, following = private_world.indexes["cuda130"].folder, private_world.following["cuda130"].folder
    before, after = ({path.name: sha256(path) for path in folder.iterdir()} for folder in (now, following))
    assert all(before[name] != after[name] for name in before.keys() & after.keys())
    lost = {name.partition("-")[0] for name in before.keys() - after.keys()}
    assert lost == {"mamba_ssm", "bitsandbytes", "numba"}
    assert len(after.keys() - before.keys()) > 5
    for variant in ("rocm714", "cpu"):
        names = [
            {path.name for path in servers[variant].folder.iterdir()}
            for servers in (private_world.indexes, private_world.following)
        ]
        assert names[0] < names[1]


def test_a_repush_changes_the_bytes_of_what_is_named_only(private_world: PrivateWorld) -> None:
    folder = private_world.indexes["cpu"].folder
    before = {path.name: sha256(path) for path in folder.iterdir()}
    private_world.repush("cpu", "numpy", "tqdm")
    after = {path.name: sha256(path) for path in folder.iterdir()}
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert {name.partition("-")[0] for name in changed} == {"numpy", "tqdm"}
