"""The base image and the CPU flavor's image, each made once and found again in the next run."""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import BuiltFlavor, factory
from support.podman import service
from support.small_base import small_base

ROOT = Path(__file__).parents[2]
SHIPPED = "th011-cpu-torch2130-py311"
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
    """Options for a folder with a CPU build of torch; none, with a warning, where none is to be had."""
    script = ROOT / "scripts" / "cpu_torch.py"
    found = subprocess.run(
        [sys.executable, script, "2.13.0", "3.11"], capture_output=True, text=True, check=False
    )
    if found.returncode == 0:
        return ["--find-links", found.stdout.split("\n")[0]]
    warnings.warn(
        "no CPU build of torch 2.13.0 for Python 3.11 in UV_FIND_LINKS or PIP_FIND_LINKS, nor on PyTorch's "
        "index: the public index's is taken, which is built for CUDA and takes gigabytes",
        stacklevel=1,
    )
    return []


@pytest.fixture(scope="session")
def cpu_flavor(base_image: str, torch_wheels: list[str | Path]) -> BuiltFlavor:
    """The shipped CPU flavor, prefetched and built on the stand-in with no network, once a session.

    Where its lock names a build of torch that is not to be had here, a copy is locked anew.
    """
    root = WORK / "root"
    folder = root / "flavors" / SHIPPED
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ROOT / "flavors" / SHIPPED, folder)
    prefetched = WORK / "prefetched"
    if not torch_wheels:
        factory("--root", root, "lock", SHIPPED)
    tag = "localhost/universal-image-tests:cpu"
    report = factory(
        "--root", root, "--json", "build", SHIPPED, "--hermetic", "--prefetched", prefetched,
        "--base-image", base_image, "--tag", tag, *torch_wheels,
    )  # fmt: skip
    return BuiltFlavor(tag=tag, folder=folder, base=base_image, report=report)


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
