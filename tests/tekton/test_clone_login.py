"""The login of a private git repository, from the workspace basic-auth of factory-clone."""

import base64
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from tekton.scripts import Ran, run_step
from tekton.sources import ROOT

TASK = ROOT / "tekton" / "tasks" / "factory-clone" / "factory-clone.yaml"
LOGIN = "x-access-token:s3cret"


class _Private(SimpleHTTPRequestHandler):
    """Files for whoever shows the login."""

    def do_GET(self) -> None:
        wanted = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
        if self.headers.get("Authorization") == wanted:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A server with one repository, private.git; its host and port."""
    work = tmp_path / "work"
    commands: list[list[str | Path]] = [
        ["git", "init", "--quiet", "--initial-branch=main", work],
        ["git", "-C", work, "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet",
         "--allow-empty", "--message", "First"],
        ["git", "clone", "--quiet", "--bare", work, tmp_path / "served" / "private.git"],
        ["git", "-C", tmp_path / "served" / "private.git", "update-server-info"],
    ]  # fmt: skip
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    handler = partial(_Private, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def login(tmp_path: Path, host: str) -> Path:
    """What the Secret holds that Pipelines as Code makes."""
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / ".gitconfig").write_text(f'[credential "http://{host}"]\n\thelper = store\n')
    (folder / ".git-credentials").write_text(f"http://{LOGIN}@{host}\n")
    return folder


Clone = Callable[..., Ran]


@pytest.fixture
def clone(tmp_path: Path, host: str) -> Clone:
    def run(**workspaces: Path) -> Ran:
        bound = {
            "source": tmp_path / "source",
            **{name.replace("_", "-"): w for name, w in workspaces.items()},
        }
        # A server of files knows no shallow clone.
        params = {"url": f"http://{host}/private.git", "depth": "0"}
        return run_step(yaml.safe_load(TASK.read_text())["spec"], "clone", tmp_path / "run", params, bound)

    return run


def test_a_private_repository_is_cloned_with_the_login_of_the_workspace(
    clone: Clone, login: Path, tmp_path: Path
) -> None:
    ran = clone(basic_auth=login)
    assert ran.status == 0, ran.stderr
    assert len(ran.results["COMMIT"]) == len("0" * 40)
    assert "s3cret" not in ran.stdout + ran.stderr
    home = tmp_path / "run" / "home"
    assert (home / ".git-credentials").stat().st_mode & 0o777 == 0o600
    assert [
        path for path in (tmp_path / "source").rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()
    ] == []


def test_without_the_login_it_is_not_cloned(clone: Clone) -> None:
    ran = clone()
    assert ran.status == 1
    assert "could not be fetched" in ran.stderr


@pytest.mark.parametrize("name", [".gitconfig", ".git-credentials"])
def test_a_secret_of_another_form_is_refused(clone: Clone, login: Path, name: str) -> None:
    (login / name).unlink()
    ran = clone(basic_auth=login)
    assert ran.status == 1
    assert f"the workspace basic-auth holds no file {name}" in ran.stderr
    assert "s3cret" not in ran.stdout + ran.stderr
