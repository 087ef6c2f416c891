"""A small stand-in for Artifact Registry's REST API (v1), over a real registry that holds the images.

It knows repositories, packages, versions and tags, pages its lists, and answers what creates and deletes
with operations that are done when they are asked for again. It is written after Google's reference of
the API; nothing of Google's was there to compare it with.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
from support.stored_images import INDEX, MANIFEST

TOKEN = "made-up-google-token"
PUSHED = "2026-01-02T03:04:05.678901Z"
_REPOSITORY = r"projects/[^/]+/locations/[^/]+/repositories/[^/]+"


@dataclass(kw_only=True)
class FakeArtifactRegistry:
    """Its URL, the repositories by their resource names, and what was asked: (method, path).

    ``pushed`` has the time of a version by its digest; that of all others is `PUSHED`.
    """

    host: str
    url: str = ""
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    pushed: dict[str, str] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self, method: str, path: str, query: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """The status and the document of an answer."""
        with self.guard:
            self.seen.append((method, path))
            if path in self.operations:
                return 200, {"name": path, "done": True, "response": {}}
            if method == "POST" and path.endswith("/repositories"):
                return self._create(f"{path}/{query['repositoryId']}", body)
            if path in self.repositories:
                return 200, self.repositories[path]
            match = re.fullmatch(
                rf"({_REPOSITORY})/packages(?:/([^/]+)(?:/(versions|tags)(?:/(.+))?)?)?", path
            )
            if not match or match[1] not in self.repositories:
                return 404, {"error": {"code": 404}}
            return self._package(method, match, query)

    def _create(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if name in self.repositories:
            return 409, {"error": {"code": 409, "status": "ALREADY_EXISTS"}}
        self.repositories[name] = {"name": name, **body}
        return 200, self._operation()

    def _operation(self) -> dict[str, Any]:
        name = f"projects/p/locations/europe/operations/{len(self.operations)}"
        self.operations[name] = 1
        return {"name": name}

    def _package(
        self, method: str, match: re.Match[str], query: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        _, project, _, _, _, repository = match[1].split("/")
        inside = f"{project}/{repository}/"
        with httpx.Client(base_url=f"http://{self.host}", trust_env=False, verify=False) as client:
            if match[2] is None:
                found = client.get("/v2/_catalog").json()["repositories"]
                names = [name.removeprefix(inside) for name in found if name.startswith(inside)]
                named = [{"name": f"{match[1]}/packages/{name.replace('/', '%2F')}"} for name in names]
                return 200, _page(named, "packages", query)
            repository = inside + unquote(match[2])
            package = f"{match[1]}/packages/{match[2]}"
            if method == "DELETE" and match[4]:
                assert query == {"force": "true"}
                gone = client.delete(f"/v2/{repository}/manifests/{match[4]}").status_code == 404
                return (404, {"error": {"code": 404}}) if gone else (200, self._operation())
            if method == "DELETE":
                return 200, self._operation()
            tags = _tags(client, repository)
            if match[3] == "tags":
                listed = [
                    {"name": f"{package}/tags/{tag}", "version": f"{package}/versions/{digest}"}
                    for tag, digest in tags.items()
                ]
                return 200, _page(listed, "tags", query)
            versions = [
                {"name": f"{package}/versions/{digest}", "createTime": self.pushed.get(digest, PUSHED)}
                for digest in sorted(set(tags.values()))
            ]
            return 200, _page(versions, "versions", query)


def _page(items: list[dict[str, Any]], key: str, query: dict[str, str]) -> dict[str, Any]:
    """One item a page: whoever reads the first alone misses the rest."""
    start = int(query.get("pageToken", "0"))
    document: dict[str, Any] = {key: items[start : start + 1]}
    return {**document, "nextPageToken": str(start + 1)} if start + 1 < len(items) else document


def _tags(client: httpx.Client, repository: str) -> dict[str, str]:
    listed = client.get(f"/v2/{repository}/tags/list").json().get("tags") or []
    accept = {"Accept": f"{MANIFEST}, {INDEX}"}
    return {
        tag: client.head(f"/v2/{repository}/manifests/{tag}", headers=accept).headers["Docker-Content-Digest"]
        for tag in listed
    }


@contextmanager
def fake_artifact_registry(host: str) -> Iterator[FakeArtifactRegistry]:
    """Serve on loopback while the block runs, over the registry at a host."""
    fake = FakeArtifactRegistry(host=host)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        do_POST = do_DELETE = do_GET  # noqa: N815 - as the base class has them

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the base class has it
            """Say nothing."""

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            query.pop("pageSize", None)
            status, document = 401, {"error": {"code": 401}}
            if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                status, document = fake.answer(self.command, parts.path.removeprefix("/v1/"), query, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
