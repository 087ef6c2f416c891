"""``factory prefetch`` as a user runs it: exit codes, outputs, and a folder that installs offline."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel

from factory.cli.main import main
from factory.errors import IndexAccessError, LockFileError, NotFoundError, PrefetchError

pytestmark = pytest.mark.integration

_FLAVOR = "th011-cpu-torch2130-py311"


@dataclass(frozen=True)
class Repository:
    """A repository with one flavor that is locked against the index."""

    root: Path
    index: IndexServer
    lock: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of ``factory prefetch``."""
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), "prefetch", *words])
        printed = self.capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Repository]:
    wheels = [make_wheel(tmp_path / "index", "lib", "1.0"), make_wheel(tmp_path / "index", "app", "1.0")]
    with IndexServer(folder=tmp_path / "index") as index:
        flavor = make_flavor(tmp_path / "repository", name=_FLAVOR, index_url=index.url)
        lock = write_lock(flavor, wheels, index_url=index.url)
        yield Repository(tmp_path / "repository", index, lock, capsys)


def test_it_says_what_it_did(repository: Repository, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    status, out, _ = repository.run(_FLAVOR, "--output", output)
    assert status == 0
    assert f"{_FLAVOR}: 2 artifacts" in out
    assert "2 fetched" in out
    status, out, _ = repository.run(_FLAVOR, "--output", output, "--json")
    assert status == 0
    result = json.loads(out)
    assert (result["artifacts"], result["fetched"], result["verified"]) == (2, 0, 2)
    assert result["folder"] == output


def test_a_dry_run_names_sources(repository: Repository, tmp_path: Path) -> None:
    local = str(repository.index.folder)
    status, out, _ = repository.run(_FLAVOR, "--output", str(tmp_path / "out"), "--dry-run")
    assert status == 0
    assert re.search(r"^lib-1\.0-py3-none-any\.whl +[\d.]+ k?B +127\.0\.0\.1:", out, re.MULTILINE)
    words = ("--output", str(tmp_path / "out"), "--dry-run", "--json", "--find-links", local)
    status, out, _ = repository.run(_FLAVOR, *words)
    assert {one["source"] for one in json.loads(out)} == {
        f"{local}/lib-1.0-py3-none-any.whl",
        f"{local}/app-1.0-py3-none-any.whl",
    }
    assert not (tmp_path / "out").exists()


def test_a_stale_lock_is_refused(repository: Repository, tmp_path: Path) -> None:
    text = repository.lock.read_text()
    repository.lock.write_text(re.sub(r"# inputs: sha256:\w+", f"# inputs: sha256:{'0' * 64}", text))
    status, _, err = repository.run(_FLAVOR, "--output", str(tmp_path / "out"))
    assert status == PrefetchError.exit_code
    assert "FAC321" in err
    assert f"factory lock {_FLAVOR}" in err


@pytest.mark.parametrize(
    ("path", "fault", "error"),
    [
        ("/files/lib-1.0-py3-none-any.whl", Fault(wrong_bytes=True), PrefetchError),
        ("/simple/lib/", Fault(status=404), PrefetchError),
        ("/simple/lib/", Fault(status=401), IndexAccessError),
    ],
)
def test_each_failure_has_its_exit_code_and_a_solution(
    repository: Repository,
    tmp_path: Path,
    path: str,
    fault: Fault,
    error: type[PrefetchError | IndexAccessError],
) -> None:
    repository.index.fault(path, fault)
    status, out, err = repository.run(_FLAVOR, "--output", str(tmp_path / "out"))
    assert status == error.exit_code
    assert out == ""
    assert "what to do:" in err
    status, out, _ = repository.run(_FLAVOR, "--output", str(tmp_path / "out"), "--json")
    assert json.loads(out)["error"]["kind"] == error.__name__


def test_no_lock_and_no_flavor_are_errors(repository: Repository, tmp_path: Path) -> None:
    status, _, err = repository.run("nothing", "--output", str(tmp_path / "out"))
    assert status == NotFoundError.exit_code
    repository.lock.unlink()
    status, _, err = repository.run(_FLAVOR, "--output", str(tmp_path / "out"))
    assert status == LockFileError.exit_code
    assert f"factory lock {_FLAVOR}" in err


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_the_folder_installs_with_no_index(repository: Repository, tmp_path: Path, tool: str) -> None:
    output = tmp_path / "out"
    assert repository.run(_FLAVOR, "--output", str(output))[0] == 0
    words = {
        "uv": "uv pip install --no-cache --no-config --no-deps --require-hashes",
        "pip": "pip install --no-cache-dir --no-deps --require-hashes --disable-pip-version-check",
    }[tool]
    environment = (output / "cachi2.env").read_text().replace("/cachi2/", f"{output}/")
    script = f'{environment}exec "$0" -m {words} --target "$1" -r "$2"'
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    repository.index.requests.clear()
    subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, tmp_path / "site", repository.lock],
        env=bare | {"PIP_CONFIG_FILE": os.devnull},
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "site" / "lib" / "__init__.py").is_file()
    assert (tmp_path / "site" / "app" / "__init__.py").is_file()
    assert repository.index.requests == []
