"""A server on loopback that sends what a test wants, also without an end, and counts what it got rid of."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What a hostile server is ready to send. No test waits for it.
MOST = 900_000_000
# What the kernel takes of a connection that nobody reads, on both sides, is some megabytes.
STOPPED = 16_000_000
_PIECE = bytes(64 << 10)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An answer: its body in pieces, chunked unless the headers give a Content-Length."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()


@dataclass(kw_only=True)
class EndlessServer:
    """Where it listens, and what was sent: requests and bytes of bodies by path, without the query."""

    root: str = ""
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)


def endless(piece: bytes = _PIECE) -> Iterator[bytes]:
    """Yield 900 MB."""
    return itertools.repeat(piece, MOST // len(piece) + 1)


def whole(content: bytes, **headers: str) -> Sent:
    """Answer with something whole."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(headers={"Content-Length": str(len(content)), **named}, body=[content])


@contextmanager
def endless_server(answer: Callable[[str, Mapping[str, str]], Sent]) -> Iterator[EndlessServer]:
    """Serve while the block runs; ``answer`` is given a path with its query, and the request's headers."""
    state = EndlessServer()
    handler = type("Handler", (_Handler,), {"state": state, "answer": staticmethod(answer)})
    with _Server(("127.0.0.1", 0), handler) as server:
        state.root = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: EndlessServer
    answer: Callable[[str, Mapping[str, str]], Sent]

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Say nothing."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.state.asked.append((self.path, headers))
        reply = self.answer(self.path, headers)
        chunked = "Content-Length" not in reply.headers
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        path = self.path.partition("?")[0]
        with suppress(OSError):
            for piece in reply.body if self.command != "HEAD" else ():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                self.state.sent[path] = self.state.sent.get(path, 0) + len(piece)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        # What was announced need not have come.
        self.close_connection = True

    do_HEAD = do_GET  # noqa: N815 - as the base class has it
