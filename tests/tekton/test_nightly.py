"""The nightly example: its container, run for real, against a cluster's API that keeps what it is sent."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from support.podman import podman
from tekton.sources import ROOT

pytestmark = pytest.mark.tekton

NIGHTLY = ROOT / "tekton" / "examples" / "nightly"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN = "of-the-account"


@dataclass(kw_only=True)
class Api:
    """A cluster's API: what it was sent, and with which status it answers."""

    port: int = 0
    status: int = 201
    requests: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)


@contextmanager
def _api(certificate: Path, key: Path) -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            api.requests.append((self.command, self.path, dict(self.headers), body))
            answer = json.dumps({"metadata": {"name": "nightly-locks-x7k2p"}}).encode()
            self.send_response(api.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent: requests are kept."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that has signed itself, and its key."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "ca.crt", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kubernetes",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """What a Pod has of its service account."""
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "token").chmod(0o644)
    return folder


def _create(image: str, account: Path, port: int, *, status: int | None = 0) -> str:
    (job,) = [
        document
        for document in yaml.safe_load_all((NIGHTLY / "cronjob.yaml").read_text())
        if document["kind"] == "CronJob"
    ]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    entry, *arguments = container["command"]
    return podman(
        "run", "--rm", "--network", "host", "--user", "1000970000:0", "--cap-drop", "ALL", "--read-only",
        "--env", "NAMESPACE=universal-images", "--env", "KUBERNETES_SERVICE_HOST=127.0.0.1",
        "--env", f"KUBERNETES_SERVICE_PORT={port}", "--volume", f"{account}:{ACCOUNT}:ro",
        "--volume", f"{NIGHTLY}:/etc/nightly:ro", "--entrypoint", entry, image, *arguments, status=status,
    )  # fmt: skip


def test_it_creates_the_run_as_its_account(tmp_path: Path, account: Path, factory_image: str) -> None:
    certificate, key = _certificate(tmp_path / "api")
    (account / "ca.crt").write_bytes(certificate.read_bytes())
    with _api(certificate, key) as api:
        said = _create(factory_image, account, api.port)
    assert said.split() == ["created", "nightly-locks-x7k2p"]
    ((method, path, headers, body),) = api.requests
    assert (method, path) == ("POST", "/apis/tekton.dev/v1/namespaces/universal-images/pipelineruns")
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/yaml"
    sent = yaml.safe_load(body)
    assert sent["kind"] == "PipelineRun"
    assert sent["spec"]["pipelineRef"]["name"] == "flavors-check"


def test_a_refusal_fails_the_job_and_shows_no_token(
    tmp_path: Path, account: Path, factory_image: str
) -> None:
    certificate, key = _certificate(tmp_path / "api")
    (account / "ca.crt").write_bytes(certificate.read_bytes())
    with _api(certificate, key) as api:
        api.status = 403
        said = _create(factory_image, account, api.port, status=1)
    assert "403" in said
    assert TOKEN not in said


def test_an_api_that_somebody_else_answers_for_gets_no_token(
    tmp_path: Path, account: Path, factory_image: str
) -> None:
    certificate, key = _certificate(tmp_path / "api")
    (account / "ca.crt").write_bytes(_certificate(tmp_path / "other")[0].read_bytes())
    with _api(certificate, key) as api:
        said = _create(factory_image, account, api.port, status=1)
    assert "certificate" in said.lower()
    assert api.requests == []
