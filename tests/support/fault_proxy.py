"""A proxy before a real registry that fails as networks do: 503, a reset in mid-blob, slow answers."""

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Kind = Literal["unavailable", "reset", "slow", "lost"]
_CHUNK = 16 << 10
_HOP_HEADERS = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length"})


@dataclass(kw_only=True)
class Fault:
    """What happens to requests of a method whose path fits, so many times (a negative number: always).

    ``unavailable`` answers 503. ``reset`` passes on half of the request's body, or of the answer's where
    the request has none, and then resets the connection. ``slow`` waits before it answers. ``lost`` says
    that all was taken (201), and passes nothing on.
    """

    kind: Kind
    method: str
    path: str
    times: int = 1
    seconds: float = 0.3


@dataclass(kw_only=True)
class FaultProxy:
    """Where it listens, what it does wrong from now on, and what was asked: (method, path, body's bytes)."""

    upstream: str
    host: str = ""
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    hit: list[Kind] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The fault for a request, which is one time less to come."""
        with self.guard:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    self.hit.append(fault.kind)
                    return fault
        return None

    def sent(self, method: str, pattern: str) -> int:
        """How many bytes the bodies of such requests had in all."""
        return sum(size for asked, path, size in self.seen if asked == method and re.search(pattern, path))

    def count(self, method: str, pattern: str) -> int:
        """How many such requests there were."""
        return sum(1 for asked, path, _ in self.seen if asked == method and re.search(pattern, path))


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Serve while the block runs, before the registry at ``HOST:PORT``."""
    state = FaultProxy(upstream=upstream)
    handler = type("Handler", (_Handler,), {"state": state})
    with _Server(("127.0.0.1", 0), handler) as server:
        state.host = f"127.0.0.1:{server.server_port}"
        # Looked at often, so that the end is quick.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FaultProxy

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Say nothing."""

    def _answer(self) -> None:
        fault = self.state.next_fault(self.command, self.path)
        body = self._body()
        with self.state.guard:
            self.state.seen.append((self.command, self.path, len(body)))
        if fault is not None and fault.kind == "unavailable":
            self._send(503, {}, b"")
            return
        if fault is not None and fault.kind == "lost":
            self._send(201, {}, b"")
            return
        if fault is not None and fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault is not None and fault.kind == "reset" and body:
            self._half(body)
            self._reset()
            return
        connection = http.client.HTTPConnection(self.state.upstream, timeout=60)
        with suppress(OSError):
            connection.request(self.command, self.path, body=body, headers=self._headers())
            answer = connection.getresponse()
            content = answer.read()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_HEADERS}
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            if fault is not None and fault.kind == "reset":
                self._send(answer.status, headers, content[: len(content) // 2], length=length)
                self._reset()
            else:
                self._send(answer.status, headers, content, length=length)
        connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - as the base class has it

    def _headers(self) -> dict[str, str]:
        """As they came: with the proxy's own name, so that the registry sends on to the proxy."""
        return {name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _half(self, body: bytes) -> None:
        """Pass half of a body on, and go away from the registry in the middle of it."""
        connection = http.client.HTTPConnection(self.state.upstream, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**self._headers(), "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body[: len(body) // 2])
        connection.close()

    def _reset(self) -> None:
        """Close with a reset (RST) in the place of an end."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Without a shutdown, which would be an end as usual.
        self.close_connection = True
        self.connection.close()

    def _send(
        self, status: int, headers: dict[str, str], content: bytes, *, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:
            length = str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
