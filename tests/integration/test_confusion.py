"""Dependency confusion: a private package's name at a higher version elsewhere is never picked.

Each command runs on flavors of private indexes, on a machine whose public index has every private name
at a higher version, and on which everything is set that could make a client look there. Nothing of that
version may be in what it prints or writes, and the servers' logs show who was asked for what.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.advisories import advisory, write_advisories
from support.hostile import HOSTILE, make_hostile
from support.index_server import Fault
from support.private_index import BAIT, CPU, CUDA, FLAVORS, ROCM, PrivateWorld, asked_for
from support.wheels import make_wheel, sha256
from uv import find_uv_bin

from factory.cli.main import COMMANDS
from factory.errors import EngineError

pytestmark = pytest.mark.integration


def _nothing(world: PrivateWorld) -> None:
    """Prepare nothing."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A run of a command on flavors that are locked, after ``prepare``.

    In ``words``, {now} and {next} give the URL of an index by variant, and {elsewhere} a folder outside
    of the repository. ``status`` is what it may end with, ``says`` what the output has when it has done
    its work. ``public`` are the names that the public index may be asked for, and ``asked`` how the
    output tells what was read there, where that was asked for.
    """

    words: tuple[str, ...]
    says: str
    status: frozenset[int] = frozenset({0})
    prepare: Callable[[PrivateWorld], None] = _nothing
    public: frozenset[str] = field(default_factory=frozenset)
    asked: str = ""

    @property
    def command(self) -> str:
        """Its name on the command line."""
        return self.words[0]

    def __str__(self) -> str:
        words = (word for word in self.words if "{" not in word)
        return " ".join((*words, self.prepare.__name__.strip("_")))


def _attempt(line: str, *, says: str, status: int | None = None, **more: object) -> Attempt:
    statuses = {} if status is None else {"status": frozenset({status})}
    return Attempt(words=tuple(line.split()), says=says, **statuses, **more)  # type: ignore[arg-type]


def _advisories(world: PrivateWorld) -> None:
    """One about a private package whose fix is a version that only the private index could have."""
    events = ({"introduced": "0"}, {"fixed": "12.3.0"})
    write_advisories(world.elsewhere / "advisories", advisory("PYSEC-1", "pillow", *events))


def _push_again(world: PrivateWorld) -> None:
    world.repush("cuda130", "numpy", "flash-attn", "aipcc-kernels")


def _loosen(world: PrivateWorld) -> None:
    """Take the versions out of a flavor: whatever is on its index is acceptable."""
    project = world.folder(CUDA) / "pyproject.toml"
    text = project.read_text().replace('"flash-attn>=2.8.2,<3"', '"flash-attn"')
    project.write_text(text.replace('"mamba-ssm>=2.2.6,<3"', '"mamba-ssm", "pillow", "aipcc-kernels"'))


def _lose(world: PrivateWorld) -> None:
    """Take packages off the private index, so that only the public one has them."""
    for wheel in world.indexes["cuda130"].folder.glob("*.whl"):
        if wheel.name.partition("-")[0].replace("_", "-") in _LOST:
            wheel.unlink()


def _refuse(world: PrivateWorld) -> None:
    """The private index wants credentials for a package that the public one gives away."""
    world.indexes["cuda130"].fault("/simple/flash-attn/", Fault(status=403))


def _break(world: PrivateWorld) -> None:
    """The private index is down for a package."""
    world.indexes["cuda130"].fault("/simple/flash-attn/", Fault(status=503))


def _release(world: PrivateWorld) -> None:
    """Newer versions on the private index, below the bait."""
    for name, version, tag in (("pillow", "12.3.0", "cp312-cp312-manylinux_2_28_"), ("tqdm", "4.68.0", "")):
        for machine in ("x86_64", "aarch64") if tag else ("py3-none-any",):
            make_wheel(world.indexes["cuda130"].folder, name, version, tag=f"{tag}{machine}")


def _make_by_hand(world: PrivateWorld) -> None:
    """A folder as people keep them, with names that the public index has too."""
    folder = world.elsewhere / "by-hand"
    folder.mkdir()
    lock = world.folder(CPU) / "requirements.txt"
    shutil.copy(lock, folder)
    (folder / "Dockerfile").write_text(
        "FROM quay.io/example/base:1\nUSER 1001\nCOPY requirements.txt /tmp/\n"
        "RUN pip install --no-cache-dir -r /tmp/requirements.txt\n"
    )
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "by-hand"\nversion = "0"\nrequires-python = "==3.12.*"\n'
        'dependencies = ["torch==2.11.0", "training-hub==0.9.2", "pillow"]\n'
    )


_LOST = frozenset({"flash-attn", "aipcc-kernels", "tqdm"})


def _make_child(world: PrivateWorld) -> None:
    """A stack on the CUDA flavor that asks for what the flavor has, and only the public index still has."""
    _lose(world)
    folder = world.folder(CUDA).parents[1] / "images" / "child"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "child"\nversion = "0"\ndependencies = ["flash-attn", "tqdm"]\n'
    )
    with (folder.parents[1] / "factory.toml").open("a") as settings:
        settings.write(f'[images.child]\nkind = "stack"\nparent = "{CUDA}"\n')


ATTEMPTS = (
    _attempt(
        "new-flavor --accelerator cpu --torch 2.10.0 --python 3.12 --training-hub 0.9 --index-url {now[cpu]}",
        says="Next: factory lock",
    ),
    _attempt(f"new-flavor --accelerator cuda --accelerator-version 13.0 --torch 2.11.0 --python 3.12 "
             f"--training-hub 0.9.1 --from {CUDA} --name other", says="Next: factory lock"),
    _attempt(f"new-image stack --kind stack --parent {CUDA}", says="images/stack"),
    _attempt("init {elsewhere}/new", says="factory.toml"),
    _attempt(f"rename {CPU} other", says="flavors/other"),
    _attempt("docs rules", says="FAC331"),
    _attempt("help lock", says="Usage: factory lock"),
    _attempt("completion bash", says="_factory_completion"),
    _attempt("lock child", says="flash-attn", status=18, prepare=_make_child),
    _attempt("index-gaps child", says="flash-attn", status=1, prepare=_make_child),
    _attempt("list", says=CUDA),
    _attempt(f"show {CUDA}", says="flash-attn"),
    _attempt("sync", says=""),
    _attempt("lock --all", says="no pin has changed"),
    _attempt("lock --all --upgrade", says="no pin has changed"),
    _attempt(f"lock {CUDA} --upgrade", says=CUDA, prepare=_loosen),
    _attempt(f"lock {CUDA} --upgrade-package flash-attn --upgrade-package pillow", says="no pin has changed"),
    _attempt(f"lock {CUDA}", says="flash-attn", prepare=_push_again),
    _attempt(f"lock {CUDA}", says="flash-attn", status=18, prepare=_lose),
    _attempt(f"lock {CUDA} --upgrade --dry-run", says=CUDA, prepare=_loosen),
    _attempt("lock --all --check", says=CUDA),
    _attempt(f"lock {CUDA} --check", says="flash-attn", status=1, prepare=_push_again),
    _attempt("lock --all --verify", says=CUDA),
    _attempt(f"lock {CUDA} --verify", says="flash_attn", status=1, prepare=_push_again),
    _attempt(f"lock {CUDA} --verify", says="flash-attn", status=1, prepare=_lose),
    _attempt(f"lock {CUDA} --upgrade", says="12.3.0", prepare=_release),
    _attempt(f"rehash {CUDA}", says="flash_attn", prepare=_push_again),
    _attempt(f"rehash {CUDA} --dry-run", says="flash_attn", prepare=_push_again),
    _attempt(f"rehash {CUDA}", says="flash-attn", status=18, prepare=_lose),
    _attempt("index-gaps --all", says=CUDA),
    _attempt(f"index-gaps {CUDA} --index-url {{next[cuda130]}}", says="mamba-ssm", status=1),
    _attempt(f"index-gaps {CUDA} --index-url {{next[cuda130]}} --markdown", says="mamba-ssm", status=1),
    _attempt(
        f"index-gaps {CUDA} --index-url {{next[cuda130]}} --allow-public-metadata",
        says="mamba-ssm",
        status=1,
        public=frozenset({"mamba-ssm"}),
    ),
    _attempt(f"index-gaps {CUDA}", says="tqdm", status=1, prepare=_lose),
    _attempt(
        f"index-gaps {CUDA} --allow-public-metadata",
        says="tqdm",
        status=1,
        prepare=_lose,
        public=_LOST,
        asked=f"what {BAIT} on the public index requires",
    ),
    _attempt(
        f"index-gaps {CUDA} --allow-public-metadata --markdown",
        says="tqdm",
        status=1,
        prepare=_lose,
        public=_LOST,
    ),
    _attempt(f"bump pillow>=12.3.0 --flavor {CUDA}", says="12.2.0", status=18),
    _attempt(f"bump flash-attn>=98 --flavor {CUDA}", says="2.8.3", status=18),
    _attempt(f"bump flash-attn>=98 --flavor {CUDA} --allow-moves --cap none", says="2.8.3", status=18),
    _attempt(f"bump flash-attn>=2.8.3 --flavor {CUDA} --cap none", says="flash-attn"),
    _attempt(f"bump pillow>=12.3.0 --flavor {CUDA} --cap none", says="12.3.0", prepare=_release),
    _attempt(f"bump tqdm>=4.68 --flavor {CUDA} --allow-moves", says="4.68.0", prepare=_release),
    _attempt(f"bump tqdm>=4 --flavor {CUDA}", says="tqdm", prepare=_lose, status=18),
    _attempt("bump urllib3>=2.6.2 --all --cap none --reason CVE-2026-1", says="urllib3"),
    _attempt("align --all", says=CUDA),
    _attempt(f"align {CUDA} --training-hub 0.9.1", says="0.9.1"),
    _attempt(f"align {CUDA} --training-hub 0.10.0", says="0.9.2", status=1),
    _attempt(f"align {CUDA}", says="flash-attn", prepare=_lose, status=1),
    _attempt(
        f"promote {ROCM} --base-image quay.io/x/b:2 --index-url {{next[rocm714]}} --dry-run", says=ROCM
    ),
    _attempt(f"promote {CPU} --index-url {{next[cpu]}} --base-image quay.io/x/b:2", says=CPU),
    _attempt(f"promote {CUDA} --index-url {{next[cuda130]}}", says="mamba-ssm", status=18),
    *(
        _attempt(line, says="flash-attn", status=19, prepare=_refuse)
        for line in (
            f"lock {CUDA}",
            f"lock {CUDA} --upgrade",
            f"lock {CUDA} --verify",
            f"rehash {CUDA}",
            f"index-gaps {CUDA} --allow-public-metadata",
            f"align {CUDA}",
            f"bump flash-attn>=2.8.3 --flavor {CUDA}",
            f"prefetch {CUDA} --output {{elsewhere}}/prefetched",
        )
    ),
    # Few, since each waits for the index to come back.
    _attempt(f"lock {CUDA} --upgrade", says="flash-attn", status=19, prepare=_break),
    _attempt(f"index-gaps {CUDA} --allow-public-metadata", says="flash-attn", status=19, prepare=_break),
    _attempt(f"align {CUDA}", says="flash-attn", status=19, prepare=_break),
    _attempt(f"diff {CUDA} {ROCM}", says="triton"),
    _attempt(
        "adopt {elsewhere}/by-hand --accelerator cpu --base-image quay.io/x/b:1 "
        "--downstream-base-image quay.io/x/p:1 --name adopted --write",
        says="adopted",
        prepare=_make_by_hand,
    ),
    _attempt(f"diff {CUDA} {ROCM} --markdown", says="flash-attn"),
    _attempt("drift-report", says=""),
    _attempt(
        "audit --advisories {elsewhere}/advisories", says="pillow>=12.3.0", status=1, prepare=_advisories
    ),
    _attempt(f"sbom {CUDA}", says="pkg:pypi/flash-attn@2.8"),
    _attempt(f"sbom {CUDA} --format spdx", says="pkg:pypi/flash-attn@2.8"),
    _attempt("sbom --all --write", says="sbom.cdx.json written"),
    _attempt(f"sbom {CUDA}", says="flash_attn-2.8.3", status=30, prepare=_lose),
    _attempt(f"strip {CUDA} --output {{elsewhere}}/context", says="requirements.txt"),
    _attempt("check --all", says="0 errors"),
    _attempt("check --all --format test-output", says="0 errors"),
    _attempt(f"lock {CUDA} --verify --format test-output", says='"SUCCESS"'),
    _attempt(f"lock {CUDA} --verify --format test-output", says="re-pushed", status=1, prepare=_push_again),
    _attempt("konflux --all --application images --output-image quay.io/example/", says="written"),
    _attempt(f"test {CUDA} --list", says="arbitrary-user"),
    _attempt(f"test-output --case {CUDA}=1", says=f"{CUDA} ended with 1"),
    _attempt(f"gate {CUDA}=", says="1 of 1 did not pass", status=1),
    _attempt(f"prefetch {CUDA} --output {{elsewhere}}/prefetched", says="artifacts"),
    _attempt(f"prefetch {CUDA} --output {{elsewhere}}/prefetched --dry-run", says="flash_attn-2.8.3"),
    _attempt(f"prefetch {CUDA} --output {{elsewhere}}/prefetched", says="flash", status=20, prepare=_lose),
    _attempt(f"layers {CUDA} --write", says="torch"),
    _attempt(f"plan {CUDA} --offline", says=CUDA),
    _attempt(f"status {CUDA} --offline", says=CUDA),
    _attempt("push oci:{elsewhere}/no-layout --to 127.0.0.1:1/team", says="does not exist", status=13),
    _attempt("registry status", says="declares no registry", status=11),
    Attempt(
        words=("build", CUDA, "--hermetic", "--dry-run"),
        says="",
        status=frozenset({0, EngineError.exit_code}),  # a machine without an engine has nothing to plan
    ),
)  # fmt: skip


def test_every_command_is_tried() -> None:
    assert {attempt.command for attempt in ATTEMPTS} == set(COMMANDS)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_no_command_picks_fetches_or_suggests_what_a_public_index_has(
    private_world: PrivateWorld,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attempt: Attempt,
) -> None:
    world = private_world
    named = {flavor for flavor in FLAVORS.values() if flavor in attempt.words}
    world.locked(*sorted(named))
    attempt.prepare(world)
    make_hostile(world, tmp_path, monkeypatch)
    run = world.run(*_filled(attempt.words, world))
    said = run.out + run.err
    assert run.status in attempt.status, said
    assert attempt.says in said
    assert BAIT not in (said.replace(attempt.asked, "") if attempt.asked else said)
    assert asked_for(world.public) <= attempt.public
    _assert_no_bait(world)
    for variant, flavor in FLAVORS.items():
        if named and flavor not in named:
            assert world.indexes[variant].requests == []


# What changes nothing by itself where the index is named: it does beside another one of these.
_NOT_ALONE = {"UV_INDEX_URL", "UV_INDEX_STRATEGY"}


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - _NOT_ALONE))
def test_a_bare_client_on_a_hostile_machine_takes_the_bait(
    private_world: PrivateWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Otherwise the machine would not be hostile, and the tests here could not fail."""
    make_hostile(private_world, tmp_path, monkeypatch, name)
    url = private_world.indexes["cpu"].url
    if name.lower().startswith("pip"):
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--index-url",
            url,
            "tqdm",
        ]
        place = private_world.elsewhere
    else:
        (tmp_path / "requirements.in").write_text("tqdm")
        words = [find_uv_bin(), "pip", "compile", tmp_path / "requirements.in", "--index-url", url]
        place = {
            "uv.toml of the repository": private_world.folder(CPU),
            "uv.toml of the temporary folder": Path(tempfile.mkdtemp()),
        }.get(name, private_world.elsewhere)
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=True)
    assert BAIT in done.stdout


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_nothing_that_a_machine_has_set_moves_an_upgrade(
    private_world: PrivateWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each setting by itself, since one may hide another."""
    make_hostile(private_world, tmp_path, monkeypatch, name)
    run = private_world.run("lock", CPU, "--upgrade")
    assert run.status == 0, run.err
    assert private_world.public.requests == []
    _assert_no_bait(private_world)


def test_a_flavor_of_the_public_index_has_that_index_and_no_other(
    private_world: PrivateWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's public index is a good one here, and the one with the bait is all the others."""
    project = private_world.folder(CPU) / "pyproject.toml"
    lines = project.read_text().splitlines(keepends=True)
    project.write_text("".join(line for line in lines if not line.startswith("index-url")))
    # Folders of wheels serve such flavors: to name one is a choice.
    make_hostile(
        private_world, tmp_path, monkeypatch, *(HOSTILE.keys() - {"UV_FIND_LINKS", "PIP_FIND_LINKS"})
    )
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, private_world.indexes["cpu"].url)
    run = private_world.run("lock", CPU, "--upgrade")
    assert run.status == 0, run.err
    assert private_world.public.requests == []
    _assert_no_bait(private_world)


def _filled(words: tuple[str, ...], world: PrivateWorld) -> list[str]:
    urls = [{name: index.url for name, index in group.items()} for group in (world.indexes, world.following)]
    return [word.format(now=urls[0], next=urls[1], elsewhere=world.elsewhere) for word in words]


def _assert_no_bait(world: PrivateWorld) -> None:
    """Neither the version nor the bytes of the bait are in a file of the repository, or made beside it."""
    digests = {sha256(path) for path in world.public.folder.iterdir()}
    for folder in (world.root, world.elsewhere):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            assert BAIT.encode() not in path.name.encode() + content, path
            assert sha256(path) not in digests, path
            assert not [digest for digest in digests if digest.encode() in content], path
