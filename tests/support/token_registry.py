"""A stand-in for a registry that gives tokens, as the public ones do; it takes all, and keeps nothing."""

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

USER, PASSWORD = "pusher", "of-the-registry"
_BASIC = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
_TOKEN = "a-token"


@dataclass(kw_only=True)
class TokenRegistry:
    """Where it listens, what each request said of who asks, and whether its paths are elsewhere first."""

    host: str = ""
    redirects: bool = False
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def logins(self) -> set[str]:
        """What Authorization headers there were."""
        return {login for _, _, login in self.seen}


@contextmanager
def token_registry(certificate: Path | None = None) -> Iterator[TokenRegistry]:
    """Serve while the block runs, over TLS where there is a certificate with its key in one PEM file."""
    state = TokenRegistry()
    handler = type("Handler", (_Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        state.host = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()


def self_signed(path: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, and its key, in one PEM file."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path],
        check=True,
        capture_output=True,
    )
    return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: TokenRegistry

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Say nothing."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        login = self.headers.get("Authorization", "")
        self.state.seen.append((self.command, self.path, login))
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        here = f"{scheme}://{self.state.host}"
        # What comes as through a proxy has the whole URL.
        path = self.path.removeprefix(here)
        if path.startswith("/token"):
            self._send(200 if login == _BASIC else 401, json.dumps({"token": _TOKEN}).encode())
        elif login != f"Bearer {_TOKEN}":
            self._send(401, www_authenticate=f'Bearer realm="{here}/token",service="tests"')
        elif self.command == "HEAD" and self.state.redirects and "moved" not in path:
            self._send(307, location=f"{here}{path}?moved")
        elif self.command in {"POST", "PATCH"}:
            self._send(202, location=f"{path}1")
        elif self.command == "PUT":
            self._send(201)
        else:
            self._send(404 if "/blobs/" in path else 200, docker_content_digest=f"sha256:{'0' * 64}")

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _answer  # noqa: N815 - as the base class has it

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
