"""Kill commands at random moments, and see that what they change is as before or as after.

CI kills each command a few times; FACTORY_KILLS says how often, as `make nightly` does. The seed is printed;
KILLED_SEED runs the same moments again, as far as the machine allows.
"""

import hashlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from factory.files import is_temporary
from factory.transaction import JOURNAL_FOLDER

KILLS = int(os.environ.get("FACTORY_KILLS", "5"))
# After so many kills in a row the command is run to its end, and the next kill starts from the beginning.
_KILLS_IN_A_ROW = 3
_INTERRUPTED = 130
_SECONDS = 120
_UNCHANGED = "no file of the repository was changed"
_CHANGED = "finished before that"

Tree = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command, the folder in which it writes, and how to bring that back to where it started.

    two_states: it is as before or as after; if a kill left it otherwise, the next command makes it one.
    once: the command is refused where it has been carried out.
    also: what else is true after a kill, and again after the run that follows.
    state: what is to be as before or as after; every file of the folder if it is None.
    """

    words: tuple[str, ...]
    watched: Path
    reset: Callable[[], None]
    two_states: bool = True
    once: bool = False
    also: Callable[[], None] = lambda: None
    state: Callable[[], Mapping[str, str]] | None = None
    kills: int = KILLS

    def found(self) -> dict[str, str]:
        return dict(self.state() if self.state else tree(self.watched))


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Starts the command in an environment that holds none of this machine's settings."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def made(folder: Path) -> "Runner":
        """For a new repository in a folder, with a home and caches of its own."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "XDG_"))
        }
        (folder / "tmp").mkdir()
        (folder / "repository" / "flavors").mkdir(parents=True)
        places = {
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "UV_CACHE_DIR": str(folder / "uv-cache"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "UV_NO_CONFIG": "1",
        }
        return Runner(root=folder / "repository", environment=kept | places)

    @contextmanager
    def started(self, words: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
        """The command, running. What it leaves running is killed at the end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "factory", "--root", str(self.root), *words],
            env=self.environment or None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def run(self, *words: str) -> str:
        """Run to the end, which must be success, and return what is said on standard error."""
        with self.started(words) as process:
            _, errors = process.communicate(timeout=_SECONDS)
            assert process.returncode == 0, errors.decode()
        return errors.decode()

    def kill(self, case: Case, dice: random.Random, duration: float) -> str | None:
        """Run and end it at a random moment; what it said, None if the run was over before."""
        with self.started(case.words) as process:
            if dice.random() < 1 / 2:
                _wait_for_a_write(process, case.watched)
                delay = dice.uniform(0, dice.choice([0.0005, 0.004, 0.03]))
            else:
                delay = dice.uniform(dice.choice([0.0, 0.6]) * duration, duration)
            with suppress(subprocess.TimeoutExpired):
                process.wait(delay)
                return None
            # The process alone: what it started lives on for a while, as it would after a real kill.
            process.send_signal(dice.choice([signal.SIGKILL, signal.SIGINT]))
            _, errors = process.communicate(timeout=_SECONDS)
            said = errors.decode()
            assert process.returncode != _INTERRUPTED or "Traceback" not in said, said
            return said if process.returncode == _INTERRUPTED else ""


def _wait_for_a_write(process: subprocess.Popen[bytes], folder: Path) -> None:
    while process.poll() is None and not temporaries(folder):
        time.sleep(0.0005)


def temporaries(folder: Path) -> list[Path]:
    """What a run has begun to write below a folder."""
    found = []
    for parent, folders, files in os.walk(folder):
        found += [Path(parent) / name for name in (*folders, *files) if _is_passing(name)]
    return found


def tree(folder: Path) -> dict[str, str]:
    """Every file that is not being written: its path, and its mode and digest."""
    found = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_passing(name)]
        for name in files:
            path = Path(parent) / name
            if not _is_passing(name):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(path.relative_to(folder))] = f"{path.stat().st_mode:o} {digest}"
    return found


def _is_passing(name: str) -> bool:
    return is_temporary(Path(name)) or name == JOURNAL_FOLDER


def kept_copy(folder: Path) -> Callable[[], None]:
    """Copy a folder as it is now, and return what makes it so again."""
    copy = folder.with_name(f"{folder.name}-as-it-was")
    shutil.copytree(folder, copy)

    def reset() -> None:
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)

    return reset


def kill_again_and_again(runner: Runner, case: Case) -> None:
    """Kill so often at random moments; check after each, and that the command succeeds after a few."""
    seed = int(os.environ.get("KILLED_SEED") or secrets.randbits(32))
    print(f"KILLED_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    dice = random.Random(seed)
    case.reset()
    before = case.found()
    begun = time.monotonic()
    runner.run(*case.words)
    duration = time.monotonic() - begun
    after = case.found()
    assert after != before
    case.reset()
    kills, runs = 0, 0
    while kills < case.kills:
        runs += 1
        assert runs < 10 * case.kills + 20, "the runs end before they can be killed"
        begun = time.monotonic()
        said = runner.kill(case, dice, duration)
        if said is None:
            # The machine may be faster now than when the first run was measured.
            duration = time.monotonic() - begun
        kills += said is not None
        _check(runner, case, before, after, said or "")
        if case.found() != before and (case.found() == after or runs % _KILLS_IN_A_ROW == 0):
            _succeed(runner, case, after)
            case.reset()
    _succeed(runner, case, after)


def _check(runner: Runner, case: Case, before: Tree, after: Tree, said: str) -> None:
    found = case.found()
    for path, content in found.items():
        assert content in {before.get(path), after.get(path)}, f"{path} is half-written"
    if case.two_states:
        if said:
            assert (_UNCHANGED if found == before else _CHANGED) in said
            assert found in (before, after), "an interrupted run leaves no journal"
        if found not in (before, after):
            assert (case.watched / JOURNAL_FOLDER).is_dir()
            # Any command: this one only reads.
            assert "an interrupted run" in runner.run("list")
            assert case.found() in (before, after)
    case.also()


def _succeed(runner: Runner, case: Case, after: Tree) -> None:
    repeated = case.found() != after or not case.once
    if repeated:
        runner.run(*case.words)
    assert case.found() == after
    # Temporaries of a killed run are removed by the next one.
    assert not repeated or temporaries(case.watched) == []
    case.also()
