"""A hand-made folder from adopt to lock, check and strip, against an index on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.adopted import hand_made
from support.hand_made import NAMES, lay_out
from support.index_server import IndexServer
from support.wheels import make_wheel
from support.workshop import Run, Workshop

from factory.cli.main import main
from factory.errors import OtherBuildError
from factory.flavor.project import read_project
from factory.lock.lockfile import require_lock
from factory.lock.lockset import read_lock_set

pytestmark = pytest.mark.integration

CUDA, CPU = "th05-cuda130-torch291-py312", "th07-cpu-torch2100-py311"


def _run(workshop: Workshop, *arguments: str) -> Run:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(workshop.root), *arguments])
    captured = workshop.capsys.readouterr()
    status = ended.value.code
    assert isinstance(status, int)
    return Run(status=status, out=captured.out, err=captured.err)


def _adopt(workshop: Workshop, folder: Path, *arguments: str) -> Run:
    return _run(workshop, "adopt", str(folder), "--index-url", workshop.index.url, *arguments)


def _push(workshop: Workshop, *, python: str, packages: dict[str, tuple[str, ...]]) -> None:
    for name, versions in packages.items():
        for version in versions:
            requires = ("numpy", "torch", "urllib3") if name == "training-hub" else ()
            make_wheel(
                workshop.pushed,
                name,
                version,
                requires=requires,
                extras={"cuda": (), "lora": ()} if name == "training-hub" else None,
                tag=f"cp{python}-cp{python}-manylinux_2_28_x86_64" if name == "torch" else "py3-none-any",
            )


def test_a_cuda_folder_is_adopted_and_its_first_lock_keeps_its_versions(
    workshop: Workshop, tmp_path: Path
) -> None:
    _push(
        workshop,
        python="312",
        packages={
            "torch": ("2.9.1+cu130",),
            "training-hub": ("0.5.0", "0.6.0"),
            "numpy": ("2.4.1", "2.4.9"),
            "flash-attn": ("2.8.3", "2.8.9"),
            "urllib3": ("2.6.2", "2.6.9"),
            "einops": ("0.8.1",),
        },
    )
    folder = lay_out("cuda", tmp_path)
    made = _adopt(workshop, folder, "--write")
    assert made.status == 0, made.err
    assert "s3cret" not in made.out + made.err
    assert _run(workshop, "check", CUDA).status == 1
    locked = _run(workshop, "lock", CUDA)
    assert locked.status == 0, locked.err
    versions = require_lock(workshop.root / "flavors" / CUDA).versions()
    assert versions == {
        "torch": "2.9.1+cu130",
        "training-hub": "0.5.0",
        "numpy": "2.4.1",
        "flash-attn": "2.8.3",
        "urllib3": "2.6.2",
        "einops": "0.8.1",
    }
    checked = _run(workshop, "check", CUDA, "--json")
    assert (checked.status, checked.data["errors"]) == (0, 0), checked.out
    assert _run(workshop, "sync", "--dry-run", CUDA).out == "1 flavor: nothing has drifted\n"


def test_a_cpu_folder_with_a_pylock_is_adopted_locked_checked_and_stripped(
    workshop: Workshop, tmp_path: Path
) -> None:
    _push(
        workshop,
        python="311",
        packages={
            "torch": ("2.10.0+cpu",),
            "training-hub": ("0.7.0",),
            "numpy": ("2.4.1", "2.4.9"),
            "urllib3": ("2.6.9",),
        },
    )
    made = _adopt(workshop, lay_out("cpu", tmp_path), "--write")
    assert made.status == 0, made.err
    assert _run(workshop, "lock", CPU).status == 0
    assert require_lock(workshop.root / "flavors" / CPU).versions()["numpy"] == "2.4.1"
    assert _run(workshop, "check", CPU).status == 0
    stripped = _run(workshop, "strip", CPU, "--output", str(tmp_path / "context"))
    assert stripped.status == 0, stripped.err
    dockerfile = (tmp_path / "context" / "Dockerfile").read_text()
    assert 'ENV GREETING="it\'s \\"fine\\" at \\$0"' in dockerfile
    assert "dnf" not in dockerfile


def test_without_write_the_command_tells_all_and_writes_nothing(workshop: Workshop, tmp_path: Path) -> None:
    folder = lay_out("rocm", tmp_path)
    told = _adopt(workshop, folder)
    assert told.status == 0, told.err
    for words in ("Read into the spec:", "Kept in the hooks:", "The template does this:", "Cannot be kept:"):
        assert words in told.out
    assert "Nothing was written" in told.out
    assert list((workshop.root / "flavors").iterdir()) == []
    data = _adopt(workshop, folder, "--json").data
    assert data["written"] is False
    placements = data["placements"]
    assert isinstance(placements, list)
    assert {each["place"] for each in placements} == {"spec", "hook", "template", "not kept"}


def test_what_is_missing_is_one_error_with_its_own_exit_code(workshop: Workshop, tmp_path: Path) -> None:
    folder = tmp_path / NAMES["cpu"]
    folder.mkdir()
    failed = _adopt(workshop, folder, "--json")
    error = json.loads(failed.out)["error"]
    assert failed.status == 11
    assert all(f"--{key} " in error["solution"] for key in ("torch", "python", "training-hub", "base-image"))


def _cpu_folder(workshop: Workshop, parent: Path) -> Path:
    """A hand-made CPU folder whose torch is built for the CPU, and an index that has the one for CUDA."""
    gpu = [f"nvidia-part{number}" for number in range(18)]
    for name in gpu:
        make_wheel(workshop.pushed, name, "13.0")
    make_wheel(workshop.pushed, "torch", "2.13.0", requires=gpu)
    make_wheel(workshop.pushed, "training-hub", "0.11.2", requires=["torch"])
    files = {
        "Dockerfile": "FROM quay.io/example/workbench-cpu-py312:1\nRUN pip install -r requirements.txt\n",
        "requirements.txt": "torch==2.13.0+cpu\ntraining-hub==0.11.2\n",
    }
    return hand_made(parent, files)


def test_a_cpu_build_does_not_become_the_cuda_one_unasked(workshop: Workshop, tmp_path: Path) -> None:
    made = _adopt(workshop, _cpu_folder(workshop, tmp_path), "--write")
    assert made.status == 0, made.err
    flavor = workshop.root / "flavors" / "th011-cpu-torch2130-py312"
    before = (flavor / "requirements.txt").read_bytes()
    asked = _run(workshop, "lock", flavor.name)
    assert asked.status == OtherBuildError.exit_code
    assert "torch 2.13.0+cpu -> 2.13.0" in asked.err
    assert "18 packages for GPUs would come into a CPU flavor" in asked.err
    assert "--allow-other-build" in asked.err
    assert (flavor / "requirements.txt").read_bytes() == before
    assert _run(workshop, "lock", flavor.name, "--allow-other-build").status == 0
    assert require_lock(flavor).versions()["torch"] == "2.13.0"


@pytest.fixture
def torch_index(tmp_path: Path) -> Iterator[IndexServer]:
    """An index that has the CPU build of torch, and nothing else."""
    make_wheel(tmp_path / "torch-index", "torch", "2.13.0+cpu")
    with IndexServer(folder=tmp_path / "torch-index") as server:
        yield server


def test_a_cpu_build_on_an_index_of_its_own_stays_one(
    workshop: Workshop, tmp_path: Path, torch_index: IndexServer
) -> None:
    folder = _cpu_folder(workshop, tmp_path)
    (folder / "requirements.txt").write_text("training-hub==0.11.2\n")
    line = f"RUN pip install torch==2.13.0+cpu --index-url {torch_index.url}\n"
    (folder / "Dockerfile").write_text((folder / "Dockerfile").read_text() + line)
    assert _adopt(workshop, folder, "--write").status == 0
    flavor = workshop.root / "flavors" / "th011-cpu-torch2130-py312"
    locked = _run(workshop, "lock", flavor.name)
    assert locked.status == 0, locked.err
    locks = read_lock_set(flavor, read_project(flavor).spec)
    assert locks is not None
    assert locks.versions() == {"torch": "2.13.0+cpu", "training-hub": "0.11.2"}
    assert _run(workshop, "check", flavor.name).status == 0


def test_what_is_upgraded_in_the_base_is_in_the_lock(workshop: Workshop, tmp_path: Path) -> None:
    for version in ("25.0", "26.2"):
        make_wheel(workshop.pushed, "pip", version)
    folder = _cpu_folder(workshop, tmp_path)
    (folder / "requirements.txt").write_text("torch==2.13.0\ntraining-hub==0.11.2\npip==25.0\n")
    line = 'RUN python -m pip install --upgrade "pip>=26.1.2"\n'
    (folder / "Dockerfile").write_text((folder / "Dockerfile").read_text() + line)
    assert _adopt(workshop, folder, "--write").status == 0
    flavor = workshop.root / "flavors" / "th011-cpu-torch2130-py312"
    assert _run(workshop, "lock", flavor.name, "--allow-other-build").status == 0
    assert require_lock(flavor).versions()["pip"] == "26.2"
