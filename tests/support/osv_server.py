"""A vulnerability service on loopback that answers queries as OSV's does."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class OsvServer:
    """Answers with the advisories of a package and version; ``asked`` holds every query's pair.

    ``answer`` is a status and a body that are given instead, whatever is asked.
    """

    known: Mapping[tuple[str, str], Sequence[Mapping[str, object]]]
    url: str = ""
    answer: tuple[int, bytes] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def reply(self, query: Mapping[str, object]) -> bytes:
        """The answer to a query: OSV gives an empty object where it knows of nothing."""
        package, version = query["package"], query["version"]
        assert isinstance(package, dict)
        assert package["ecosystem"] == "PyPI"
        assert isinstance(version, str)
        self.asked.append((package["name"], version))
        found = self.known.get((package["name"], version), ())
        return json.dumps({"vulns": list(found)} if found else {}).encode()


@contextmanager
def osv_server(known: Mapping[tuple[str, str], Sequence[Mapping[str, object]]]) -> Iterator[OsvServer]:
    """Serve while the block runs."""
    service = OsvServer(known=known)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = service.answer or (200, service.reply(json.loads(body)))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent: the queries are kept in a list."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}/v1/query"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
