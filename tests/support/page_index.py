"""An index on loopback whose pages stand ready in memory, so that a benchmark measures its clients.

Made projects with as many files as those of a real index have: versions by kinds of wheel, each with a
digest and metadata (PEP 658). No wheel can be fetched: a request for a part of one is answered as by a
server without ranges. Run as a script (``page_index.py PROJECTS DELAY``) it
prints its URL and serves from a process of its own until its input ends.
"""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import ClassVar

VERSIONS = 12
_TAGS = (
    *(
        f"cp3{minor}-cp3{minor}-{kind}"
        for minor in (11, 12, 13)
        for kind in ("manylinux_2_28_x86_64", "win_amd64")
    ),
    *(
        f"cp3{minor}-cp3{minor}-{kind}"
        for minor in (11, 12)
        for kind in ("manylinux_2_28_aarch64", "macosx_11_0_arm64")
    ),
)
# Each project requires so many of those after it, so that a resolution goes through several rounds.
_REQUIRES = (1, 7, 19)
_NO_RANGES = b"the whole of a wheel would be here"
_PAGE, _TEXT = "application/vnd.pypi.simple.v1+json", "text/plain"


def project_name(number: int) -> str:
    """The name of a made project."""
    return f"made-{number}"


def wheels(number: int, version: int) -> dict[str, str]:
    """The wheels of a version of a project, and the SHA-256 of each in hex."""
    stem = f"made_{number}-{version}.0"
    names = [f"{stem}-{tag}.whl" for tag in _TAGS]
    return {name: hashlib.sha256(name.encode()).hexdigest() for name in names}


@contextmanager
def served(projects: int, *, delay: float = 0.0) -> Iterator[str]:
    """The URL of an index of so many projects, in another process; each answer takes ``delay`` seconds."""
    command = [sys.executable, str(Path(__file__).resolve()), str(projects), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip() if server.stdout else ""
        finally:
            server.terminate()


def _answers(projects: int) -> dict[str, tuple[bytes, str]]:
    found: dict[str, tuple[bytes, str]] = {}
    for number in range(projects):
        name = project_name(number)
        after = [number + step for step in _REQUIRES if number + step < projects]
        files = []
        for version in range(1, VERSIONS + 1):
            lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}.0"]
            lines += [f"Requires-Dist: {project_name(other)}>=2" for other in after]
            metadata = ("\n".join(lines) + "\n").encode()
            digest = hashlib.sha256(metadata).hexdigest()
            for file_name, sha256 in wheels(number, version).items():
                found[f"/files/{file_name}.metadata"] = metadata, _TEXT
                found[f"/files/{file_name}"] = _NO_RANGES, _TEXT
                files.append(
                    {
                        "filename": file_name,
                        "url": f"/files/{file_name}",
                        "hashes": {"sha256": sha256},
                        "core-metadata": {"sha256": digest},
                        "size": 1_000_000,
                        "upload-time": "2026-01-01T00:00:00Z",
                        "yanked": False,
                    }
                )
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
        found[f"/simple/{name}/"] = json.dumps(page).encode(), _PAGE
    return found


class _Handler(StreamRequestHandler):
    """As little HTTP/1.1 as the clients need: a GET after the other, on a connection that stays."""

    disable_nagle_algorithm = True
    answers: ClassVar[dict[str, tuple[bytes, str]]] = {}
    delay: ClassVar[float] = 0.0

    def handle(self) -> None:
        with suppress(ConnectionError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass  # headers, which change nothing here
                time.sleep(self.delay)
                content, kind = self.answers.get(line.split()[1].decode(), (b"", _TEXT))
                status = "200 OK" if content else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
                self.wfile.write(head.encode() + content)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    _Handler.answers = _answers(int(sys.argv[1]))
    _Handler.delay = float(sys.argv[2])
    with _Server(("127.0.0.1", 0), _Handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/simple/\n")
        sys.stdout.flush()
        server.serve_forever()
