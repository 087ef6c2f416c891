"""A real package index on loopback for tests, which serves a folder of wheels and sdists.

Speaks PEP 503 (HTML) and PEP 691 (JSON) over HTTP/1.1 with keep-alive, and PEP 658/714 metadata
when asked to. The folder is read anew for each request, so that a test can push a file again.
Run as ``python -m support.index_server FOLDER`` it serves from a process of its own, for benchmarks.
"""

import base64
import hashlib
import html
import json
import re
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from typing import Self
from urllib.parse import unquote

from packaging.utils import canonicalize_name
from support.wheels import metadata_of, project_of

_JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "text/html; charset=utf-8"
_Incoming = socket | tuple[bytes, socket]  # as socketserver types it; TCP gives sockets
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with a path. ``times`` is how often it does before it is cured; None is always.

    status: answer with this status and no body; ``location`` makes it a redirect.
    body: answer with this instead, as ``content_type``.
    delay: seconds before the answer; hang: never answer while the server runs.
    close_after: announce the whole body, send so many bytes of it and close the connection.
    truncate: announce and send only so many bytes.
    wrong_bytes: the right number of bytes, and not the right ones.
    drip: seconds between the bytes of the answer's header (``drip_header``) or of its body.
    """

    status: int | None = None
    location: str | None = None
    body: bytes | None = None
    content_type: str = "text/html"
    retry_after: str | None = None
    delay: float = 0.0
    hang: bool = False
    close_after: int | None = None
    truncate: int | None = None
    wrong_bytes: bool = False
    drip: float = 0.0
    drip_header: bool = False
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came in, and the status of the answer."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


@dataclass(kw_only=True)
class IndexServer:
    """An index of a folder's files; ``with IndexServer(folder=…) as index: index.url``.

    json_pages: answer in PEP 691 JSON where the client accepts it (HTML otherwise).
    hashes: tell digests; sizes: tell sizes (JSON only); metadata: serve PEP 658/714 metadata files.
    ranges: honour range requests for files. credentials: user and password that every request needs.
    yanked: names of files that are.
    told, told_sizes: what pages say of files, by name, instead of their digests (None: no digest)
    and sizes. told_metadata: what is served as their metadata.
    older_names: tell served metadata by the names that PEP 658 gave it, not by PEP 714's.
    """

    folder: Path
    json_pages: bool = True
    hashes: bool = True
    sizes: bool = True
    metadata: bool = False
    ranges: bool = True
    credentials: tuple[str, str] | None = None
    yanked: frozenset[str] = frozenset()
    told: dict[str, str | None] = field(default_factory=dict)
    told_sizes: dict[str, int] = field(default_factory=dict)
    told_metadata: dict[str, bytes] = field(default_factory=dict)
    older_names: bool = False
    log: bool = True
    requests: list[Request] = field(default_factory=list)
    _faults: dict[str, Fault] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _server: "_Server | None" = None
    _thread: threading.Thread | None = None
    _digests: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Start serving on a free port of 127.0.0.1."""
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving: hanging answers end, connections are closed, threads are joined."""
        assert self._server is not None
        assert self._thread is not None
        self._closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    @property
    def root(self) -> str:
        """The server's URL, without a path."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The URL of the index."""
        return f"{self.root}/simple/"

    def serve(self, folder: Path) -> None:
        """Serve another folder as if just started: nothing was asked for, and nothing goes wrong."""
        assert self._server is not None
        self._server.hang_up()
        fresh = IndexServer(folder=folder)
        for name in vars(fresh).keys() - {"_closing", "_server", "_thread", "_guard"}:
            setattr(self, name, getattr(fresh, name))

    def fault(self, path: str, fault: Fault | None) -> None:
        """Let something go wrong with a path such as ``/simple/attrs/``; None cures it."""
        with self._guard:
            self._faults.pop(path, None)
            if fault is not None:
                self._faults[path] = fault

    def requested(self, path: str) -> list[Request]:
        """The requests for one path, in order."""
        return [request for request in self.requests if request.path == path]

    def take_fault(self, path: str) -> Fault:
        """The fault of a path, counted."""
        with self._guard:
            fault = self._faults.get(path)
            if fault is None:
                return Fault()
            if fault.times is not None:
                if fault.times <= 0:
                    return Fault()
                self._faults[path] = replace(fault, times=fault.times - 1)
            return fault

    def projects(self) -> dict[str, list[Path]]:
        """Normalized project names and their files, as the folder has them now."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self.folder.iterdir()):
            if project := project_of(path.name):
                found.setdefault(project, []).append(path)
        return found

    def digest(self, path: Path) -> str:
        """The SHA-256 of a file, computed once for each state of it."""
        status = path.stat()
        key = (path.name, status.st_mtime_ns, status.st_size)
        if key not in self._digests:
            with path.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[key]

    def told_digest(self, path: Path) -> str | None:
        """What pages say that a file's digest is."""
        return self.told.get(path.name, self.digest(path)) if self.hashes else None

    def metadata_of(self, path: Path) -> bytes:
        """What is served as a wheel's metadata."""
        return self.told_metadata.get(path.name) or metadata_of(path)

    def wait_until_closing(self, seconds: float | None = None) -> bool:
        """Wait so long, or until the server is stopped; whether it is."""
        return self._closing.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, index: IndexServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.index = index
        self._connections: set[_Incoming] = set()
        self._guard = threading.Lock()

    def process_request(self, request: _Incoming, client_address: object) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Incoming) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: _Incoming, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        with self._guard:
            for connection in self._connections:
                assert isinstance(connection, socket)
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        fault = self.server.index.take_fault(self.path)
        if fault.hang or fault.delay:
            self.server.index.wait_until_closing(None if fault.hang else fault.delay)
        if fault.hang or fault.drip_header:
            self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000, fault.drip)
            self.close_connection = True
        elif not self._authorized():
            self._answer(401, headers={"WWW-Authenticate": 'Basic realm="index"'})
        elif fault.status is not None:
            extra = {"Location": fault.location, "Retry-After": fault.retry_after}
            self._answer(fault.status, headers={name: value for name, value in extra.items() if value})
        elif fault.drip:
            self._start(200, 10_000, fault.content_type, {})
            self._drip(b" " * 10_000, fault.drip)
        elif fault.body is not None:
            self._start(200, len(fault.body), fault.content_type, {})
            self.wfile.write(fault.body[: fault.close_after])
            self.close_connection = fault.close_after is not None
        else:
            self._route(fault)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: requests are kept."""

    def _authorized(self) -> bool:
        if self.server.index.credentials is None:
            return True
        plain = ":".join(self.server.index.credentials).encode()
        return self.headers.get("Authorization") == f"Basic {base64.b64encode(plain).decode()}"

    def _route(self, fault: Fault) -> None:
        index = self.server.index
        # Clients quote the + of a local version, as in torch-2.13.0%2Bcpu-….whl.
        if match := re.fullmatch(r"/files/([^/]+?)(\.metadata)?", unquote(self.path)):
            path = index.folder / match[1]
            if path.is_file() and match[2] and index.metadata and path.suffix == ".whl":
                self._answer(200, index.metadata_of(path), content_type="text/plain")
            elif path.is_file() and not match[2]:
                self._file(path, fault)
            else:
                self._answer(404)
        elif match := re.fullmatch(r"/simple/([^/]+)(/?)", self.path):
            name = canonicalize_name(match[1])
            files = index.projects().get(name)
            if files is None:
                self._answer(404)
            elif match[1] != name or not match[2]:
                self._answer(301, headers={"Location": f"/simple/{name}/"})
            else:
                self._answer(200, *self._project(name, files))
        elif self.path == "/simple/":
            self._answer(200, *self._root())
        else:
            self._answer(404)

    def _in_json(self) -> bool:
        return self.server.index.json_pages and _JSON in self.headers.get("Accept", "")

    def _root(self) -> tuple[bytes, str]:
        names = sorted(self.server.index.projects())
        if self._in_json():
            listing = {"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in names]}
            return json.dumps(listing).encode(), _JSON
        links = "".join(f'<a href="/simple/{name}/">{name}</a>\n' for name in names)
        return f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), _HTML

    def _project(self, name: str, files: list[Path]) -> tuple[bytes, str]:
        index = self.server.index
        if self._in_json():
            entries = []
            for path in files:
                entry: dict[str, object] = {
                    "filename": path.name,
                    "url": f"/files/{path.name}",
                    "hashes": {"sha256": told} if (told := index.told_digest(path)) else {},
                    "yanked": path.name in index.yanked,
                }
                if index.sizes:
                    entry["size"] = index.told_sizes.get(path.name, path.stat().st_size)
                if index.metadata and path.suffix == ".whl":
                    key = "dist-info-metadata" if index.older_names else "core-metadata"
                    entry[key] = {"sha256": hashlib.sha256(index.metadata_of(path)).hexdigest()}
                entries.append(entry)
            page = {"meta": {"api-version": "1.0"}, "name": name, "files": entries}
            return json.dumps(page).encode(), _JSON
        links = []
        for path in files:
            told = index.told_digest(path)
            fragment = f"#sha256={told}" if told else ""
            attributes = ' data-yanked=""' if path.name in index.yanked else ""
            if index.metadata and path.suffix == ".whl":
                digest = hashlib.sha256(index.metadata_of(path)).hexdigest()
                key = "data-dist-info-metadata" if index.older_names else "data-core-metadata"
                attributes += f' {key}="sha256={digest}"'
            target = html.escape(f"../../files/{path.name}{fragment}", quote=True)
            links.append(f'<a href="{target}"{attributes}>{html.escape(path.name)}</a><br/>\n')
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode(), _HTML

    def _file(self, path: Path, fault: Fault) -> None:
        size = path.stat().st_size if fault.truncate is None else fault.truncate
        start, end, status, headers = 0, size, 200, {}
        wanted = _RANGE.fullmatch(self.headers.get("Range", "")) if self.server.index.ranges else None
        if wanted:
            start = int(wanted[1])
            end = min(int(wanted[2]) + 1, size) if wanted[2] else size
            if start >= size:
                self._answer(416, headers={"Content-Range": f"bytes */{size}"})
                return
            status, headers = 206, {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._start(status, end - start, "application/octet-stream", headers)
        if self.command == "HEAD":
            return
        count = end - start if fault.close_after is None else min(fault.close_after, end - start)
        if fault.wrong_bytes:
            self.wfile.write(b"\0" * count)
        else:
            with path.open("rb") as file:
                self.connection.sendfile(file, start, count)
        if fault.close_after is not None:
            self.close_connection = True

    def _drip(self, content: bytes, seconds: float) -> None:
        """Send byte by byte until the client has gone, or the server is stopped."""
        for byte in content if seconds else b"":
            self.wfile.write(bytes([byte]))
            if self.server.index.wait_until_closing(seconds):
                break
        if seconds:
            self.close_connection = True

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "text/plain",
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._start(status, len(body), content_type, headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(self, status: int, length: int, content_type: str, headers: dict[str, str]) -> None:
        if self.server.index.log:
            self.server.index.requests.append(
                Request(method=self.command, path=self.path, headers=dict(self.headers), status=status)
            )
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length))
        if self.server.index.ranges:
            self.send_header("Accept-Ranges", "bytes")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


if __name__ == "__main__":
    with IndexServer(folder=Path(sys.argv[1]), log=False) as served:
        sys.stdout.write(f"{served.url}\n")
        sys.stdout.flush()
        sys.stdin.read()  # until whoever started this process closes the pipe, or dies
