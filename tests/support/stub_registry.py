"""A registry that answers what a test tells it to, and remembers what each request said of who asks."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Said:
    """A request: its method, path with the query, and Authorization."""

    method: str
    path: str
    login: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class StubRegistry:
    """Where it listens, how it answers, and what it was asked."""

    host: str = ""
    answer: Callable[[Said], Reply] = lambda _: Reply()
    seen: list[Said] = field(default_factory=list)


@contextmanager
def stub_registry(
    answer: Callable[[Said], Reply], *, certificate: Path | None = None
) -> Iterator[StubRegistry]:
    """Serve on loopback while the block runs; over TLS with a certificate and its key in one PEM file."""
    state = StubRegistry(answer=answer)
    handler = type("Handler", (_Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        state.host = f"127.0.0.1:{server.server_port}"
        # Looked at often, so that the end is quick.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: StubRegistry

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Say nothing."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = Said(method=self.command, path=self.path, login=self.headers.get("Authorization", ""))
        self.state.seen.append(said)
        reply = self.state.answer(said)
        self.send_response_only(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - as the base class has it
