"""A flavor with a further index: each package is asked for on its own index and on no other.

Each of the two indexes has every package of the other at a higher version, so that a command that
looks in the wrong place finds something there.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.advisories import advisory, write_advisories
from support.hostile import make_hostile
from support.index_server import IndexServer
from support.private_index import BAIT, CUDA, NAMES, PrivateWorld, asked_for
from support.wheels import make_wheel

from factory.cli.main import COMMANDS
from factory.lock.lockset import require_lock_set

pytestmark = pytest.mark.integration

KERNELS = frozenset({"flash-attn", "mamba-ssm", "causal-conv1d", "aipcc-kernels"})
# Commands that need no index, and one that needs an engine; test_confusion.py tries them.
_WITHOUT_AN_INDEX = {
    *("new-flavor", "list", "show", "sync", "strip", "diff", "drift-report", "adopt", "build"),
    *("konflux", "test-output", "gate", "new-image", "layers", "plan", "test", "push", "registry", "status"),
    *("init", "rename", "docs", "help", "completion"),
}


@dataclass(frozen=True, kw_only=True)
class Split:
    """The CUDA flavor with its kernels on a further index, not locked, and the two indexes."""

    world: PrivateWorld
    main: IndexServer
    kernels: IndexServer
    release: IndexServer


@pytest.fixture(scope="module")
def further_servers() -> Iterator[tuple[IndexServer, IndexServer]]:
    """The further index and its next release, on the same ports in each test: one lock serves all."""
    with IndexServer(folder=Path("kernels")) as kernels, IndexServer(folder=Path("kernels-next")) as release:
        yield kernels, release


@pytest.fixture
def split(
    private_world: PrivateWorld, tmp_path: Path, further_servers: tuple[IndexServer, IndexServer]
) -> Split:
    world = private_world
    main = world.indexes["cuda130"]
    folders = (tmp_path / "kernels", tmp_path / "kernels-next")
    for folder in folders:
        folder.mkdir()
    for wheel in list(main.folder.iterdir()):
        name = wheel.name.partition("-")[0].replace("_", "-")
        if name in KERNELS:
            shutil.copy(wheel, folders[1])
            shutil.move(wheel, folders[0])
    for name in NAMES:
        make_wheel(main.folder if name in KERNELS else folders[0], name, BAIT)
        if name not in KERNELS:
            make_wheel(folders[1], name, BAIT)
    for server, folder in zip(further_servers, folders, strict=True):
        server.serve(folder)
    kernels, release = further_servers
    project = world.folder(CUDA) / "pyproject.toml"
    entry = f'name = "kernels"\nurl = "{kernels.url}"\npackages = {json.dumps(sorted(KERNELS))}\n'
    project.write_text(f"{project.read_text()}\n[[tool.factory.indexes]]\n{entry}")
    assert world.run("sync", CUDA).status == 0
    return Split(world=world, main=main, kernels=kernels, release=release)


def _nothing(split: Split) -> None:
    """Prepare nothing."""


def _push_again(split: Split) -> None:
    split.world.repush("cuda130", "numpy")
    for wheel in list(split.kernels.folder.glob("aipcc_kernels-1*.whl")):
        _, version, tag = wheel.name.removesuffix(".whl").split("-", 2)
        make_wheel(split.kernels.folder, "aipcc-kernels", version, tag=tag, salt="again")


def _lose(split: Split) -> None:
    for wheel in [*split.kernels.folder.glob("flash_attn-2*"), *split.main.folder.glob("tqdm-4*")]:
        wheel.unlink()


def _advisories(split: Split) -> None:
    record = advisory("PYSEC-1", "flash-attn", {"introduced": "0"}, {"fixed": "2.8.4"})
    write_advisories(split.world.elsewhere / "advisories", record)


@pytest.mark.parametrize(
    ("line", "status", "says", "prepare"),
    [
        (f"lock {CUDA}", 0, "no pin has changed", _nothing),
        (f"lock {CUDA} --upgrade", 0, "no pin has changed", _nothing),
        (f"lock {CUDA} --check", 0, CUDA, _nothing),
        (f"lock {CUDA} --check", 1, "aipcc-kernels", _push_again),
        (f"lock {CUDA} --verify", 0, CUDA, _nothing),
        (f"lock {CUDA} --verify", 1, "aipcc_kernels", _push_again),
        (f"lock {CUDA} --verify", 1, "flash", _lose),
        (f"lock {CUDA}", 18, "flash-attn", _lose),
        (f"rehash {CUDA}", 0, "aipcc_kernels", _push_again),
        (f"index-gaps {CUDA}", 0, CUDA, _nothing),
        (f"index-gaps {CUDA}", 1, "tqdm", _lose),
        (f"index-gaps {CUDA} --index-url {{next}}", 1, "bitsandbytes", _nothing),
        (f"align {CUDA}", 0, CUDA, _nothing),
        (f"align {CUDA}", 1, "flash-attn", _lose),
        (f"bump flash-attn>=2.8.4 --flavor {CUDA}", 18, "2.8.3", _nothing),
        (f"bump flash-attn>=2.8.3 aipcc-kernels>=1.2 --flavor {CUDA} --cap none", 0, "flash-attn", _nothing),
        (f"promote {CUDA} --index kernels={{release}}", 0, CUDA, _nothing),
        (f"promote {CUDA} --index-url {{next}}", 18, "bitsandbytes", _nothing),
        (f"audit {CUDA} --advisories {{elsewhere}}/advisories", 1, "flash-attn>=2.8.4", _advisories),
        (f"sbom {CUDA}", 0, "pkg:pypi/flash-attn@2.8", _nothing),
        (f"sbom {CUDA} --format spdx", 0, "pkg:pypi/flash-attn@2.8", _nothing),
        (f"sbom {CUDA} --write", 0, "sbom.cdx.json written", _nothing),
        (f"sbom {CUDA}", 30, "flash_attn-2.8.3", _lose),
        (f"check {CUDA}", 0, "0 errors", _nothing),
        (f"prefetch {CUDA} --output {{elsewhere}}/prefetched", 0, "artifacts", _nothing),
        (f"prefetch {CUDA} --output {{elsewhere}}/prefetched", 20, "flash", _lose),
    ],
)
def test_each_package_is_asked_for_on_its_own_index_alone(
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    status: int,
    says: str,
    prepare: Callable[[Split], None],
) -> None:
    world = split.world
    make_hostile(world, tmp_path, monkeypatch)
    world.locked(CUDA)
    prepare(split)
    split.kernels.requests.clear()
    urls = {"next": world.following["cuda130"].url, "release": split.release.url}
    run = world.run(*(word.format(elsewhere=world.elsewhere, **urls) for word in line.split()))
    said = run.out + run.err
    assert run.status == status, said
    assert says in said
    assert BAIT not in said
    for further in (split.kernels, split.release):
        assert asked_for(further) <= KERNELS
    for main in (split.main, world.following["cuda130"]):
        assert not asked_for(main) & KERNELS
    assert world.public.requests == []
    lock = require_lock_set(world.folder(CUDA), world.flavor(CUDA).project.spec)
    assert BAIT not in lock.versions().values()
    assert set(lock.files["requirements-kernels.txt"].versions()) == KERNELS
    assert not KERNELS & set(lock.files["requirements.txt"].versions())


def test_every_command_that_asks_an_index_is_tried() -> None:
    marks = test_each_package_is_asked_for_on_its_own_index_alone.pytestmark  # type: ignore[attr-defined]
    (cases,) = (mark.args[1] for mark in marks if mark.name == "parametrize")
    assert {line.split()[0] for line, *_ in cases} == set(COMMANDS) - _WITHOUT_AN_INDEX
