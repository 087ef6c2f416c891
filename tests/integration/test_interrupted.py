"""``factory lock`` and ``bump`` interrupted as CI does it: a signal to the process alone, while uv runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.small_flavors import make_flavor
from support.wheels import make_wheel

pytestmark = pytest.mark.integration

_OLD = b"what was there before"
# Seconds that the index takes for an answer: longer than a busy machine takes to end everything else.
_SLOW = 9


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    make_wheel(tmp_path / "index", "aa", "1.0", requires=["bb"])
    make_wheel(tmp_path / "index", "bb", "1.0")
    with IndexServer(folder=tmp_path / "index") as server:
        yield server


def _environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "XDG_"))}
    places = {"HOME": "home", "TMPDIR": "tmp", "UV_CACHE_DIR": "uv-cache", "XDG_CACHE_HOME": "cache"}
    for name in places.values():
        (tmp_path / name).mkdir()
    return kept | {name: str(tmp_path / folder) for name, folder in places.items()}


def _wait_for_request(index: IndexServer, path: str) -> None:
    until = time.monotonic() + 60
    while not index.requested(path):
        assert time.monotonic() < until
        time.sleep(0.02)


def _left_running(folder: Path) -> list[str]:
    """The command lines of processes that work in a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # it has ended meanwhile, or belongs to somebody else
    return found


@pytest.mark.timeout(150)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_uv_starts_nothing_more_and_writes_nothing(
    tmp_path: Path, index: IndexServer, number: signal.Signals
) -> None:
    flavors = [
        make_flavor(tmp_path, name=f"flavor{count}", index_url=index.url, dependencies=["aa"])
        for count in range(2)
    ]
    for flavor in flavors:
        (flavor.folder / "requirements.txt").write_bytes(_OLD)
    words = ("-m", "factory", "--root", str(tmp_path), "lock", "--all", "--jobs", "1")
    with subprocess.Popen(
        [sys.executable, *words], env=_environment(tmp_path), stderr=subprocess.PIPE, text=True
    ) as process:
        index.fault("/simple/aa/", Fault(delay=0.5))
        index.fault("/simple/bb/", Fault(delay=_SLOW))
        _wait_for_request(index, "/simple/aa/")
        signalled = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted; no file of the repository was changed" in errors
    assert "Traceback" not in errors
    assert time.monotonic() - signalled < _SLOW - 2, "it waited for the index"
    assert [(flavor.folder / "requirements.txt").read_bytes() for flavor in flavors] == [_OLD, _OLD]
    assert _left_running(tmp_path / "tmp") == []
    assert list((tmp_path / "tmp").glob("*/*")) == []
    assert len(index.requested("/simple/aa/")) == 1


@pytest.mark.timeout(150)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_bump_of_several_flavors_and_none_has_changed(
    tmp_path: Path, index: IndexServer, number: signal.Signals
) -> None:
    for count in range(3):
        make_flavor(tmp_path, name=f"flavor{count}", index_url=index.url, dependencies=["aa"])
    command, environment = [sys.executable, "-m", "factory", "--root", str(tmp_path)], _environment(tmp_path)
    subprocess.run([*command, "lock", "--all"], env=environment, check=True, capture_output=True)
    before = {path: path.read_bytes() for path in (tmp_path / "flavors").rglob("*") if path.is_file()}
    index.fault("/simple/bb/", Fault(delay=_SLOW))
    index.requests.clear()
    words = ("bump", "aa>=1.0", "--all", "--jobs", "2")
    with subprocess.Popen([*command, *words], env=environment, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_request(index, "/simple/bb/")
        signalled = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted; no file of the repository was changed" in errors
    assert "Traceback" not in errors
    assert time.monotonic() - signalled < _SLOW - 2, "it waited for the index"
    assert before == {path: path.read_bytes() for path in (tmp_path / "flavors").rglob("*") if path.is_file()}
    assert _left_running(tmp_path / "tmp") == []
    assert list((tmp_path / "tmp").glob("*/*")) == []


@pytest.mark.timeout(150)
def test_signal_says_which_flavors_of_several_were_locked_before_it(
    tmp_path: Path, index: IndexServer
) -> None:
    make_wheel(tmp_path / "index", "cc", "1.0")
    make_flavor(tmp_path, name="first", index_url=index.url, dependencies=["cc"])
    make_flavor(tmp_path, name="second", index_url=index.url, dependencies=["bb"])
    index.fault("/simple/bb/", Fault(delay=_SLOW))
    words = ("-m", "factory", "--root", str(tmp_path), "lock", "first", "second", "--jobs", "1")
    with subprocess.Popen(
        [sys.executable, *words], env=_environment(tmp_path), stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_for_request(index, "/simple/bb/")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "finished before that, and nothing else of the repository was changed: flavors/first" in errors
    assert (tmp_path / "flavors" / "first" / "requirements.txt").is_file()
    assert not (tmp_path / "flavors" / "second" / "requirements.txt").exists()
