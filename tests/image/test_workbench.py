"""The CPU flavor's image as a workbench: JupyterLab where no command is given."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.podman import podman, started
from testcontainers.core.container import DockerContainer

pytestmark = [
    pytest.mark.container,
    pytest.mark.usefixtures("podman_service"),
    # docker-py leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

_SECONDS = 90.0
OPEN = "--ServerApp.token= --ServerApp.password="


@contextmanager
def workbench(image: str, arguments: str, **options: object) -> Iterator[str]:
    """JupyterLab in a container; gives its address."""
    container = DockerContainer(image).with_exposed_ports(8888).with_env("NOTEBOOK_ARGS", arguments)
    container.with_kwargs(**options)
    with container:
        yield f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8888)}"


def status_of(url: str, *, token: str = "") -> int:
    """The status of a GET, as soon as there is an answer."""
    asked = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert time.monotonic() < deadline, f"{url} did not answer"
            time.sleep(0.3)


@pytest.mark.parametrize(
    "options",
    [{}, {"user": "1234567:0", "read_only": True}],
    ids=["user 1001", "arbitrary user, read-only"],
)
def test_jupyterlab_answers(image: str, options: dict[str, object]) -> None:
    with workbench(image, OPEN, **options) as address:
        assert status_of(f"{address}/api") == 200
        assert status_of(f"{address}/lab") == 200
        assert status_of(f"{address}/api/contents") == 200


def test_notebook_args_are_words_and_nothing_is_evaluated(image: str) -> None:
    # As one word it is the token that has to be given; evaluated, it would be another one.
    token = "$(id)`id`;id"
    with workbench(image, f"--ServerApp.token={token}\n\t--ServerApp.base_url=/some/where") as address:
        url = f"{address}/some/where/api/contents"
        assert status_of(url, token=token) == 200
        assert status_of(url, token="another") == 403


def test_sigterm_ends_jupyterlab_in_time(image: str) -> None:
    with started("--env", f"NOTEBOOK_ARGS={OPEN}", "--publish", "127.0.0.1::8888", image) as container:
        address = podman("port", container, "8888/tcp").splitlines()[0]
        assert status_of(f"http://{address}/api") == 200
        start = time.monotonic()
        podman("stop", "--time", "20", container)
        assert time.monotonic() - start < 15
        assert podman("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
