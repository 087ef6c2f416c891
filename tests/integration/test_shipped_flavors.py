"""Each command on copies of the flavors that this repository ships.

Commands that ask an index do so for the CUDA flavor, which is locked against the public one, as this
machine's clients are set up for it. Newer releases there move nothing: versions that are locked are
kept. The CPU flavor needs a folder with a CPU build of torch, which the container tests have.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.advisories import advisory, write_advisories
from support.workshop import Run

from factory.cli.main import COMMANDS, main
from factory.errors import EngineError
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration

FLAVORS = Path(__file__).parents[2] / "flavors"
CPU = "th011-cpu-torch2130-py311"
CUDA = "th09-cuda130-torch2110-py312"
ROCM = "th09-rocm714-torch2110-py312"
_START = {"introduced": "0"}


@dataclass(frozen=True)
class Shipped:
    """A repository with a copy of every shipped flavor, and an empty folder outside of it."""

    root: Path
    elsewhere: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, line: str) -> Run:
        """Run ``factory`` on it; {elsewhere} in the line is the folder outside."""
        words = [word.format(elsewhere=self.elsewhere) for word in line.split()]
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), *words])
        captured = self.capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return Run(status=status, out=captured.out, err=captured.err)

    def contents(self) -> Mapping[str, str]:
        """The digest of every file of the repository, by its path."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.root.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shipped:
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("FACTORY_ADVISORIES", raising=False)
    shutil.copytree(FLAVORS, tmp_path / "repository" / "flavors")
    shutil.copytree(FLAVORS.parent / ".tekton", tmp_path / "repository" / ".tekton")
    shutil.copy(FLAVORS.parent / "factory.toml", tmp_path / "repository")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # A version that is locked has a vulnerability of the first, and none of the second.
    version = require_lock(FLAVORS / CUDA).versions()["urllib3"]
    write_advisories(
        elsewhere / "advisories",
        advisory("PYSEC-1", "urllib3", _START, {"last_affected": version}),
        advisory("PYSEC-2", "urllib3", _START, {"fixed": version}),
    )
    by_hand = elsewhere / "by-hand"
    shutil.copytree(FLAVORS / CUDA, by_hand)
    project = by_hand / "pyproject.toml"
    text, _, _ = project.read_text(encoding="utf-8").partition("[tool.factory]")
    project.write_text(text, encoding="utf-8")
    return Shipped(root=tmp_path / "repository", elsewhere=elsewhere, capsys=capsys)


OFFLINE = [
    ("list", 0, ROCM),
    (f"show {CPU}", 0, "2.13.0"),
    (f"show {CUDA}", 0, "2.11.0"),
    (f"show {ROCM}", 0, "7.14"),
    ("sync --dry-run", 0, ""),
    ("sync", 0, ""),
    ("check --all", 0, "0 errors"),
    ("check --all --format sarif", 0, "2.1.0"),
    (f"strip {CUDA}", 0, "FROM"),
    (f"strip {CPU} --output {{elsewhere}}/context", 0, "requirements.txt"),
    (f"diff {CPU} {CUDA}", 0, "torch"),
    (f"diff {CUDA} {ROCM} --markdown", 0, "training-hub"),
    ("audit --advisories {elsewhere}/advisories", 1, "PYSEC-1"),
    (f"audit {ROCM} --advisories {{elsewhere}}/advisories", 16, f"factory lock {ROCM}"),
    ("drift-report", 1, "numpy"),
    (f"check {CUDA} --format test-output", 0, f'"note": "{CUDA}: '),
    (f"konflux --prefetch-input {CUDA}", 0, '"py_version":312'),
    (f"new-image stack --kind stack --parent {CUDA} --dry-run", 0, "Would make"),
    (f"rename {CPU} other --dry-run", 0, "flavors/other"),
    ("init {elsewhere}/new --dry-run", 0, "factory.toml"),
    ("docs images", 0, "stack"),
    ("help lock", 0, "Usage: factory lock"),
    ("completion bash", 0, "_factory_completion"),
    (f"layers {CPU}", 0, "accelerator"),
    (f"layers {CUDA} --write", 0, "unchanged"),
    (f"plan {CUDA} --offline", 0, CUDA),
    ("status --offline", 0, f"{ROCM}: not locked"),
    (f"plan {ROCM} --offline", 16, f"factory lock {ROCM}"),
    ("push oci:{elsewhere}/no-layout --to 127.0.0.1:1/team", 13, "no-layout does not exist"),
    ("registry teardown", 11, "declares no registry"),
    ("konflux --all", 0, "14 files, unchanged"),
    (f"konflux {CPU} --target-branch next --dry-run", 0, f"{CPU}-push.yaml: would be written again"),
    (f"test {CPU} --list", 0, "arbitrary-user"),
    (f"test-output --case {CUDA}=0", 0, '"SUCCESS"'),
    (f"gate {CUDA}=", 1, CUDA),
    ("adopt {elsewhere}/by-hand --accelerator cuda --accelerator-version 13.0 --name adopted", 0, "adopted"),
    (
        (
            f"new-flavor --from {CUDA} --accelerator cuda --accelerator-version 13.0 --torch 2.12.0 "
            "--python 3.12 --training-hub 0.10.0 --dry-run"
        ),
        0,
        "th010-cuda130-torch2120-py312",
    ),
]
ONLINE = [
    (f"lock {CUDA} --check", 0, "no pin has changed"),
    (f"lock {CUDA}", 0, "no pin has changed"),
    (f"lock {CUDA} --verify", 0, "as it was locked"),
    (f"lock {CUDA} --verify --format test-output", 0, '"SUCCESS"'),
    (f"rehash {CUDA}", 0, CUDA),
    (f"index-gaps {CUDA}", 0, "flash-attn"),
    (f"align {CUDA}", 0, "training-hub[cuda,lora] 0.9.2"),
    (f"sbom {CUDA}", 0, "pkg:pypi/torch@2.11.0"),
    (f"prefetch {CUDA} --output {{elsewhere}}/prefetched --dry-run", 0, "torch-2.11.0"),
    (f"bump urllib3>=2 --flavor {CUDA} --cap none --dry-run", 0, "urllib3"),
    (f"promote {CUDA} --base-image quay.io/example/base:2 --dry-run", 0, "quay.io/example/base:2"),
]
# Whether there is an engine is the machine's business.
BUILD = f"build {CUDA} --dry-run"


def test_every_command_is_tried() -> None:
    lines = [BUILD, *(line for line, *_ in (*OFFLINE, *ONLINE))]
    assert {line.split()[0] for line in lines} == set(COMMANDS)


@pytest.mark.parametrize(("line", "status", "says"), OFFLINE)
def test_a_command_without_an_index(shipped: Shipped, line: str, status: int, says: str) -> None:
    _run(shipped, line, status, says)


@pytest.mark.parametrize(("line", "status", "says"), ONLINE)
def test_a_command_on_the_public_index(shipped: Shipped, line: str, status: int, says: str) -> None:
    _run(shipped, line, status, says)


def _run(shipped: Shipped, line: str, status: int, says: str) -> None:
    """None of them has anything to change in what is shipped: the files are as they were."""
    before = shipped.contents()
    run = shipped.run(line)
    assert run.status == status, run.out + run.err
    assert says in run.out + run.err
    assert shipped.contents() == before


def test_a_build_is_planned_where_there_is_an_engine(shipped: Shipped) -> None:
    run = shipped.run(BUILD)
    assert (run.status, run.out) == (EngineError.exit_code, "") or (run.status == 0 and CUDA in run.out)
