"""Killed at random moments, the commands leave only whole files, and the next run succeeds.

The seed is printed; KILLED_SEED runs the same moments again, as far as the machine allows.
"""

import hashlib
import os
import random
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.files import is_temporary
from factory.flavor.project import read_project
from factory.flavor.repository import Flavor
from factory.lock.lockset import is_stale, lock_file_names, read_lock_set
from factory.render.sync import sync_flavor

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_KILLS = 50
# After so many kills in a row the command is run to its end, and the next kill starts anew.
_KILLS_IN_A_ROW = 5
_FLAVOR = "th011-cpu-torch2130-py311"
_MIB = 1 << 20

Tree = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command, the folder that it changes, and how to bring that back to where it started.

    must_stay: what was there before is there after a kill, in its old or its new form.
    all_or_nothing: the folder is as before or as after, and nothing between.
    also: what else has to be true of the folder after a kill.
    kills: how often it is killed, before it is run to its end for good.
    """

    words: tuple[str, ...]
    watched: Path
    reset: Callable[[], None]
    must_stay: bool = False
    all_or_nothing: bool = False
    also: Callable[[], None] = lambda: None
    kills: int = _KILLS


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Starts the command in an environment that holds none of this machine's settings."""

    root: Path
    environment: Mapping[str, str]

    @contextmanager
    def started(self, words: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
        """The command, running. What it leaves running is killed at the end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "factory", "--root", str(self.root), *words],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)

    def run(self, words: tuple[str, ...]) -> float:
        """Run to the end, which must be success, and return the seconds it took."""
        begun = time.monotonic()
        with self.started(words) as process:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors.decode()
        return time.monotonic() - begun

    def kill(self, case: Case, dice: random.Random, duration: float) -> bool:
        """Run and kill at a random moment; False where the run was over before."""
        with self.started(case.words) as process:
            if dice.random() < 1 / 3:
                _wait_for_a_write(process, case.watched)
                delay = dice.uniform(0, dice.choice([0.002, 0.03]))
            else:
                delay = dice.uniform(dice.choice([0.0, 0.6]) * duration, duration)
            with suppress(subprocess.TimeoutExpired):
                process.wait(delay)
                return False
            # The process alone: what it started lives on for a while, as it would after a real kill.
            process.kill()
            process.wait()
            return True


def _wait_for_a_write(process: subprocess.Popen[bytes], folder: Path) -> None:
    while process.poll() is None and not _temporaries(folder):
        time.sleep(0.0005)


def _temporaries(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder):
        found += [Path(parent) / name for name in (*folders, *files) if is_temporary(Path(name))]
    return found


def _tree(folder: Path) -> dict[str, str]:
    """Every file that is not being written: its path, and its mode and digest."""
    tree = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_temporary(Path(name))]
        for name in files:
            path = Path(parent) / name
            if not is_temporary(path):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                tree[str(path.relative_to(folder))] = f"{path.stat().st_mode:o} {digest}"
    return tree


def _check(case: Case, before: Tree, after: Tree) -> None:
    found = _tree(case.watched)
    if case.all_or_nothing:
        assert found in (before, after)
    for path, content in found.items():
        assert content in {before.get(path), after.get(path)}, f"{path} is half-written"
    if case.must_stay:
        assert set(before) <= set(found)
    environment = "cachi2.env"
    if environment in found:
        assert found == after, "cachi2.env is there, and the folder is not complete"
    case.also()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "XDG_"))}
    (tmp_path / "tmp").mkdir()
    (tmp_path / "repository" / "flavors").mkdir(parents=True)
    places = {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "UV_NO_CONFIG": "1",
    }
    return Runner(root=tmp_path / "repository", environment=kept | places)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    folder = tmp_path / "index"
    for number in range(8):
        make_wheel(folder, f"lib{number}", "1.0", payload=_MIB // 8)
    make_wheel(folder, "app", "1.0", requires=[f"lib{number}" for number in range(8)])
    with IndexServer(folder=folder) as server:
        yield server


def kill_again_and_again(runner: Runner, case: Case) -> None:
    """Kill so often at random moments; check after each, and that the command succeeds after a few."""
    seed = int(os.environ.get("KILLED_SEED") or secrets.randbits(32))
    print(f"KILLED_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    dice = random.Random(seed)
    case.reset()
    before = _tree(case.watched)
    runner.run(case.words)
    after = _tree(case.watched)
    assert after != before
    case.reset()
    duration = runner.run(case.words)  # the first run filled caches
    case.reset()
    kills, in_a_row, runs = 0, 0, 0
    while kills < case.kills:
        runs += 1
        assert runs < 4 * case.kills, "the runs end before they can be killed"
        killed = runner.kill(case, dice, duration)
        kills += killed
        in_a_row += killed
        _check(case, before, after)
        if not killed or in_a_row == _KILLS_IN_A_ROW or _tree(case.watched) == after:
            _succeed(runner, case, after)
            in_a_row = 0
            case.reset()
    _succeed(runner, case, after)


def _succeed(runner: Runner, case: Case, after: Tree) -> None:
    if case.all_or_nothing and _tree(case.watched) == after:
        return  # made already: to make it again is refused
    runner.run(case.words)
    assert _tree(case.watched) == after
    assert _temporaries(case.watched) == []


def test_new_flavor(runner: Runner) -> None:
    flavors = runner.root / "flavors"
    words = (
        *("new-flavor", "--accelerator", "cpu", "--torch", "2.13.0"),
        *("--python", "3.11", "--training-hub", "0.11.2"),
    )
    kill_again_and_again(
        runner,
        Case(
            words=words,
            watched=flavors,
            reset=lambda: shutil.rmtree(flavors / _FLAVOR, ignore_errors=True),
            all_or_nothing=True,
        ),
    )


def test_sync(runner: Runner) -> None:
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=None)
    generated = [flavor.folder / difference.path for difference in sync_flavor(flavor)]
    assert len(generated) >= 3

    def drift() -> None:
        for path in generated:
            path.write_text("an older rendering\n" * 1000)
            path.chmod(0o644)

    kill_again_and_again(runner, Case(words=("sync",), watched=flavor.folder, reset=drift, must_stay=True))


def test_lock(runner: Runner, index: IndexServer) -> None:
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=index.url, dependencies=["app"])
    words = ("lock", _FLAVOR, "--upgrade")
    runner.run(words)
    lock = flavor.folder / "requirements.txt"
    old = lock.read_bytes()
    make_wheel(index.folder, "lib7", "2.0")
    kill_again_and_again(
        runner,
        Case(words=words, watched=flavor.folder, reset=lambda: _put(lock, old), must_stay=True),
    )


def test_lock_of_several_files(runner: Runner, index: IndexServer, tmp_path: Path) -> None:
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=index.url, dependencies=["app", "kernel"])
    words = ("lock", _FLAVOR, "--upgrade")
    extra = tmp_path / "extra"
    make_wheel(extra, "kernel", "1.0")
    with IndexServer(folder=extra) as further, (flavor.folder / "pyproject.toml").open("a") as file:
        file.write(f'[[tool.factory.indexes]]\nname = "extra"\nurl = "{further.url}"\n')
        file.write('packages = ["kernel"]\n')
        file.flush()
        runner.run(words)
        names = lock_file_names(flavor.project.spec)
        old = {name: (flavor.folder / name).read_bytes() for name in names}
        make_wheel(index.folder, "lib7", "2.0")
        make_wheel(extra, "kernel", "2.0")
        runner.run(words)
        new = {name: (flavor.folder / name).read_bytes() for name in names}

        def reset() -> None:
            # What a kill between the two renames leaves is seen, before anything mends it.
            found = {name: (flavor.folder / name).read_bytes() for name in names}
            locks = read_lock_set(flavor.folder, flavor.project.spec)
            assert locks is not None
            assert locks.belongs_together is (found in (old, new))
            for name, content in old.items():
                (flavor.folder / name).write_bytes(content)

        for mixed in ({**old, names[0]: new[names[0]]}, {**new, names[0]: old[names[0]]}):
            for name, content in mixed.items():
                (flavor.folder / name).write_bytes(content)
            reset()
        kill_again_and_again(
            runner,
            Case(words=words, watched=flavor.folder, reset=reset, must_stay=True, kills=_KILLS // 4),
        )


def test_bump(runner: Runner, index: IndexServer) -> None:
    """Whatever a kill leaves of three flavors, none asks for what its lock was not made from unseen."""
    flavors = [
        make_flavor(runner.root, name=name, index_url=index.url, dependencies=["app"])
        for name in (_FLAVOR, "second", "third")
    ]
    runner.run(("lock", "--all"))
    make_wheel(index.folder, "lib7", "1.1")
    files = [flavor.folder / name for flavor in flavors for name in ("requirements.txt", "pyproject.toml")]
    old = {path: path.read_bytes() for path in files}

    def check() -> None:
        changed = {path: path.read_bytes() != content for path, content in old.items()}
        for flavor in flavors:
            lock, project = (changed[flavor.folder / name] for name in ("requirements.txt", "pyproject.toml"))
            assert lock >= project, "the floor stands, and the lock is not above it"
            locks = read_lock_set(flavor.folder, flavor.project.spec)
            assert locks is not None
            assert is_stale(locks, read_project(flavor.folder)) is (lock != project)

    def put(contents: Mapping[Path, bytes]) -> None:
        for path, content in contents.items():
            path.write_bytes(content)

    words = ("bump", "lib7>=1.1", "--all", "--reason", "CVE-2026-54058")
    runner.run(words)
    new = {path: path.read_bytes() for path in files}
    # What a kill between two renames leaves, which a random moment seldom hits.
    for count in range(1, len(files)):
        put(old | {path: new[path] for path in files[:count]})
        check()
        runner.run(words)
        assert {path: path.read_bytes() for path in files} == new
    case = Case(
        words=words,
        watched=runner.root / "flavors",
        reset=lambda: put(old),
        must_stay=True,
        also=check,
        kills=_KILLS // 4,
    )
    kill_again_and_again(runner, case)


def test_prefetch(runner: Runner, index: IndexServer, tmp_path: Path) -> None:
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=index.url)
    _lock_to(flavor, index)
    output = tmp_path / "prefetched"
    output.mkdir()
    # A while between the files, so that some are there and some are not when the run ends.
    for path in index.folder.iterdir():
        index.fault(f"/files/{path.name}", Fault(delay=0.05))

    def empty() -> None:
        shutil.rmtree(output)
        output.mkdir()

    words = ("prefetch", _FLAVOR, "--output", str(output), "--jobs", "2")
    kill_again_and_again(runner, Case(words=words, watched=output, reset=empty))


def test_prefetch_leaves_the_wheels_that_it_takes_from_a_folder_alone(
    runner: Runner, index: IndexServer, tmp_path: Path
) -> None:
    # Big, so that to hash it under its new name takes a while: long enough to be killed there.
    big = make_wheel(index.folder, "big", "1.0", payload=32 * _MIB)
    flavor = make_flavor(runner.root, name=_FLAVOR, index_url=index.url)
    _lock_to(flavor, index)
    wheels = shutil.copytree(index.folder, tmp_path / "wheels")
    before = _tree(wheels)
    index.ranges = False
    index.fault(f"/files/{big.name}", Fault(truncate=1000))
    output = tmp_path / "prefetched"
    words = ("prefetch", _FLAVOR, "--output", str(output))
    artifacts = output / "output" / "deps" / "pip"
    for _ in range(6):
        with runner.started((*words, "--find-links", str(wheels))) as process:
            _wait_for_a_write(process, artifacts)
            process.kill()
        with runner.started(words) as process:
            process.communicate(timeout=60)
        assert _tree(wheels) == before
        shutil.rmtree(output)
    runner.run((*words, "--find-links", str(wheels)))
    assert _tree(wheels) == before


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _lock_to(flavor: Flavor, index: IndexServer) -> None:
    write_lock(flavor, sorted(index.folder.iterdir()), index_url=index.url)
