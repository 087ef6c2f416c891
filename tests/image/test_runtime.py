"""The CPU flavor's image as a training runtime: commands, torchrun, signals, users."""

import json
import time
from pathlib import Path

import pytest
from support.podman import podman, started, wait_for_line

pytestmark = pytest.mark.container

ARBITRARY = ("--user", "1234567:0")
READ_ONLY = (*ARBITRARY, "--read-only")
ALL_REDUCE = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
print(f"rank {dist.get_rank()} of {dist.get_world_size()}: {total.item():.0f}", flush=True)
dist.destroy_process_group()
"""
WAIT = """
import signal, sys, time

def stop(number, frame):
    print("stopped by", signal.Signals(number).name, flush=True)
    sys.exit(42)

signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(120)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(ALL_REDUCE)
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    return path


def mounted(script: Path) -> tuple[str, str]:
    return ("--volume", f"{script.parent}:/job:ro,z")


@pytest.mark.parametrize("user", [(), READ_ONLY], ids=["user 1001", "arbitrary user, read-only"])
@pytest.mark.parametrize(
    "command",
    [["torchrun", "--nproc_per_node=2", "/job/train.py"], ["--nproc_per_node=2", "/job/train.py"]],
)
def test_two_processes_reduce(image: str, script: Path, user: tuple[str, ...], command: list[str]) -> None:
    said = podman("run", "--rm", "--network", "none", *user, *mounted(script), image, *command)
    assert "rank 0 of 2: 3" in said
    assert "rank 1 of 2: 3" in said


def test_a_script_alone_is_run_by_torchrun_which_reads_the_pet_variables(image: str, script: Path) -> None:
    said = podman(
        "run", "--rm", "--env", "PET_NPROC_PER_NODE=2", "--env", "NOTEBOOK_ARGS=--ServerApp.port=1",
        *mounted(script), image, "/job/train.py",
    )  # fmt: skip
    assert "rank 1 of 2: 3" in said


def test_a_command_runs_exactly_as_given_with_notebook_args_set(image: str) -> None:
    show = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getpid()]))"
    words = ["two words", "$HOME", "*", "", "--x=`id`"]
    said = podman(
        "run", "--rm", "--env", "NOTEBOOK_ARGS=--ServerApp.port=8888", image, "python", "-c", show, *words
    )
    # The process of the container's command is number 1: there is no shell in between.
    assert json.loads(said) == [words, 1]


def test_sigterm_reaches_the_command(image: str) -> None:
    with started(image, "python", "-c", WAIT) as container:
        wait_for_line(container, "ready")
        start = time.monotonic()
        podman("stop", "--time", "20", container)
        assert time.monotonic() - start < 15
        assert "stopped by SIGTERM" in podman("logs", container).splitlines()
        assert podman("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "42"


def test_sigterm_reaches_torchrun_s_processes(image: str, script: Path) -> None:
    script.write_text(WAIT)
    with started(*mounted(script), image, "/job/train.py") as container:
        wait_for_line(container, "ready")
        start = time.monotonic()
        podman("stop", "--time", "30", container)
        assert time.monotonic() - start < 25
        assert "stopped by SIGTERM" in podman("logs", container).splitlines()


def test_an_arbitrary_user_of_group_0_can_write_where_it_must(image: str) -> None:
    change = """
        set -e
        test "$(id -u):$(id -g)" = 1234567:0
        cd /opt/app-root
        touch src/made bin/made lib/python3.11/site-packages/made share/made
        for folder in $(find . -type d ! -perm -g+w); do echo "cannot write $folder"; exit 1; done
        uv pip uninstall --quiet tensorboard
        python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("tensorboard") is not None)'
    """
    podman("run", "--rm", *ARBITRARY, image, "bash", "-c", change)


def test_what_training_needs_can_be_imported(image: str) -> None:
    code = "import torch, transformers, accelerate, datasets, peft, trl, training_hub, numba, numpy"
    podman("run", "--rm", "--network", "none", *READ_ONLY, image, "python", "-c", code)


def test_a_user_without_a_name_is_no_obstacle_to_torch(image: str) -> None:
    code = "import getpass, torch; torch.compile(lambda x: x); print(getpass.getuser())"
    assert podman("run", "--rm", *READ_ONLY, image, "python", "-c", code).splitlines()[-1] != ""


def test_the_trainers_code_trains_with_two_processes(image: str) -> None:
    code = Path(__file__).parents[2] / "templates" / "trainer" / "src"
    said = podman(
        "run", "--rm", "--volume", f"{code}:/trainer:ro", image,
        "torchrun", "--standalone", "--nproc-per-node=2", "/trainer/train.py", "--steps", "300",
    )  # fmt: skip
    (line,) = [line for line in said.splitlines() if line.startswith("2 processes, loss ")]
    assert float(line.rpartition(" ")[2]) < 0.01
