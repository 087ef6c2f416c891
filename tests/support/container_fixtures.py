"""The base image and the CPU flavor's image, each made once and found again in the next run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import BuiltFlavor, factory
from support.podman import service
from support.small_base import small_base
from support.tour import FLAVOR, Tour, take_tour

ROOT = Path(__file__).parents[2]
# Not in the temporary folder: the next run verifies what this one fetched.
WORK = ROOT / ".work" / "tests"
# testcontainers reads these when it is imported. Its reaper is a container that cannot be pulled
# everywhere, and podman 4.3 does not tell what it would ask for the address of a container.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")


@pytest.fixture(scope="session")
def engine() -> None:
    """Settings under which podman works on this machine, as `make test` finds them."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed; scripts/engine.sh installs it")
    script = f'. "{ROOT}/scripts/engine-settings.sh"; echo "${{CONTAINERS_CONF:-}}"'
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    if found:
        os.environ["CONTAINERS_CONF"] = found


@pytest.fixture(scope="session")
def base_image(engine: None) -> str:
    """The stand-in for the vendor's workbench base image."""
    uv = str(Path(sys.executable).with_name("uv"))
    done = subprocess.run(
        [ROOT / "scripts" / "standin-base.sh"],
        env=os.environ | {"UV": uv},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]


@pytest.fixture(scope="session")
def small_base_image(base_image: str) -> str:
    """Less than the stand-in, for tests that need neither JupyterLab nor the base image's size."""
    return small_base(base_image)


@pytest.fixture(scope="session")
def torch_wheels() -> list[str | Path]:
    """Options for a folder with a CPU build of torch, from this machine or PyTorch's index."""
    script = ROOT / "scripts" / "cpu_torch.py"
    found = subprocess.run(
        [sys.executable, script, "2.13.0", "3.11"], capture_output=True, text=True, check=False
    )
    if found.returncode == 0:
        return ["--find-links", found.stdout.split("\n")[0]]
    raise AssertionError(f"no CPU build of torch 2.13.0 for Python 3.11: {found.stderr}")


@pytest.fixture(scope="session")
def tour(base_image: str, torch_wheels: list[str | Path]) -> Tour:
    """The README's tour, which builds the CPU flavor and what is on it, once a session."""
    folder = WORK / "tour"
    shutil.rmtree(folder, ignore_errors=True)
    return take_tour(folder, base_image, Path(torch_wheels[-1]))


@pytest.fixture(scope="session")
def cpu_flavor(base_image: str, tour: Tour) -> BuiltFlavor:
    """The CPU flavor of the tour, built on the stand-in with no network."""
    planned = json.loads(factory("--root", tour.root, "--json", "plan", FLAVOR))["images"]
    (tag,) = (image["local"] for image in planned)
    return BuiltFlavor(tag=tag, folder=tour.root / "flavors" / FLAVOR, base=base_image)


@pytest.fixture(scope="session")
def image(cpu_flavor: BuiltFlavor) -> str:
    """The tag of the CPU flavor's image."""
    return cpu_flavor.tag


@pytest.fixture(scope="session")
def podman_service(tmp_path_factory: pytest.TempPathFactory, engine: None) -> Iterator[str]:
    """Podman's API, where testcontainers looks for it."""
    # A socket's path holds at most 107 characters.
    with service(tmp_path_factory.mktemp("s")) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", address)
        yield address
