"""A cluster of one node on this machine: the image of the steps, a registry, a git server, volumes."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from support.machine_settings import machine_settings, with_find_links
from support.pipeline_site import Site, pipeline_site
from support.podman import podman
from support.registry import Registry
from support.registry import registry as serving
from support.small_base import small_base
from tekton.bench import Bench
from tekton.runner import Cluster, Mount

ROOT = Path(__file__).parents[2]
TRUSTED_ARTIFACTS = "quay.io/konflux-ci/build-trusted-artifacts"
# As OpenShift gives it: no image knows this user, whose group is 0.
ARBITRARY_USER = 1000660000
_START_SECONDS = 20.0


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
def factory_image(engine: None) -> str:
    """The image that the steps run in (tekton/image/Containerfile), on the stand-in base."""
    return _printed(ROOT / "scripts" / "steps-image.sh")


@pytest.fixture(scope="session")
def trusted_artifacts_image(factory_image: str) -> str:
    """A stand-in for the image of `use-trusted-artifact` and `create-trusted-artifact`."""
    tag = f"localhost/universal-image-trusted-artifacts:{factory_image.rpartition(':')[2]}"
    folder = Path(__file__).with_name("trusted_artifacts")
    words = ("--quiet", "--network=none", "--pull=never", "--layers", f"--tag={tag}")
    podman("build", *words, f"--build-arg=FACTORY_IMAGE={factory_image}", folder)
    return tag


@pytest.fixture(scope="session")
def workbench_base(engine: None) -> str:
    """The stand-in for the vendor's workbench base image, in podman's storage."""
    return _printed(ROOT / "scripts" / "standin-base.sh")


def _printed(script: Path) -> str:
    uv = str(Path(sys.executable).with_name("uv"))
    environment = os.environ | {"UV": uv, "PYTHON": sys.executable}
    done = subprocess.run([script], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[-1]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on loopback, for the whole session."""
    with serving(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="session")
def git_server() -> Iterator[Callable[[Path], str]]:
    """Serves a git repository on loopback: from its folder to the URL to clone it from."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(_git_daemon(folder))


@contextmanager
def _git_daemon(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    with subprocess.Popen(
        ["git", "daemon", *options, f"--base-path={folder.parent}", folder.parent],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(port, process)
            yield f"git://127.0.0.1:{port}/{folder.name}"
        finally:
            process.terminate()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("git daemon did not start")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A PersistentVolumeClaim of sorts, with a space in its path."""
    folder = tmp_path / "a volume"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def cpu_torch() -> Path | None:
    """A folder with a CPU build of torch; None where none is to be had."""
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "cpu_torch.py", "2.13.0", "3.11"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Path(found.stdout.split("\n")[0]) if found.returncode == 0 else None


@pytest.fixture(scope="session")
def cluster(factory_image: str, trusted_artifacts_image: str, cpu_torch: Path | None) -> Iterator[Cluster]:
    """Our Tasks applied, and the settings with which this machine reaches package indexes."""
    variables, paths = machine_settings()
    folders = [*paths, *([cpu_torch] if cpu_torch and cpu_torch not in paths else [])]
    found = Cluster(
        tasks=applied_tasks(),
        images={TRUSTED_ARTIFACTS: trusted_artifacts_image},
        env=with_find_links(variables, cpu_torch),
        mounts=[Mount(source=path, target=str(path)) for path in folders],
        user=ARBITRARY_USER,
    )
    yield found
    found.remove_pulled()


@pytest.fixture
def node(factory_image: str) -> Cluster:
    """A cluster that adds nothing and runs containers as the image's user."""
    return Cluster(tasks={}, network="none")


@pytest.fixture(scope="session")
def small_workbench_base(workbench_base: str) -> str:
    """Less than the stand-in, for builds that pull it: what there is around a build is the same."""
    return small_base(workbench_base)


@pytest.fixture(scope="session")
def base_in_registry(small_workbench_base: str, registry: Registry) -> str:
    """The small workbench base where a build can pull it."""
    reference = registry.reference("base", "standin")
    podman("push", "--quiet", "--tls-verify=false", small_workbench_base, reference)
    return reference


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A repository of small flavors, and their index."""
    with pipeline_site(tmp_path / "a site") as made:
        yield made


@pytest.fixture
def bench(
    site: Site,
    volume: Path,
    cluster: Cluster,
    factory_image: str,
    registry: Registry,
    base_in_registry: str,
    git_server: Callable[[Path], str],
) -> Bench:
    """Our Pipelines, to be run on the repository of ``site``."""
    return Bench(
        cluster=cluster,
        factory_image=factory_image,
        registry=registry,
        base_image=base_in_registry,
        git_url=git_server(site.root),
        shared=volume / "shared",
    )


def applied_tasks() -> dict[str, dict[str, object]]:
    """Every Task of tekton/tasks, by name."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted((ROOT / "tekton" / "tasks").glob("*/*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document and document.get("kind") == "Task":
                found[document["metadata"]["name"]] = document
    return found
