"""What an index, or the machine, may say that is no sense: each ends in an error, none in a traceback."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_wheel

from factory.errors import IndexAccessError, RedirectError
from factory.http.download import Spool
from factory.index.client import IndexClient, RetryPolicy
from factory.index.pages import IndexFile

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_QUICK = RetryPolicy(connect_seconds=1.0, read_seconds=0.5, attempts=2, first_pause_seconds=0.01)
_JSON = "application/vnd.pypi.simple.v1+json"
_NAME = "lib-1.0-py3-none-any.whl"


def _client(url: str) -> IndexClient:
    return IndexClient(url, policy=_QUICK, environment={})


@pytest.fixture(params=["", "me:s3cret@"], ids=["nobody", "with credentials"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[IndexServer, str]]:
    """An index, and its URL as it is configured."""
    make_wheel(tmp_path / "files", "lib", "1.0")
    with IndexServer(folder=tmp_path / "files") as server:
        yield server, server.url.replace("//", f"//{request.param}")


@pytest.mark.parametrize(
    "location",
    [
        *("http://[bad/", "http://127.0.0.1:99999/x", "http://127.0.0.1:abc/", "//", "http://"),
        *("http://\x01/", "ftp://127.0.0.1/", "javascript:1"),
    ],
)
def test_a_redirect_to_what_is_no_url_is_an_error(index: tuple[IndexServer, str], location: str) -> None:
    server, url = index
    server.fault("/simple/lib/", Fault(status=302, location=location))
    with _client(url) as reader, pytest.raises((IndexAccessError, RedirectError)) as caught:
        reader.project("lib")
    assert f"{server.url}lib/" in caught.value.reason or location in caught.value.reason
    assert "s3cret" not in caught.value.reason


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:99999/x", "http://127.0.0.1:0/x", "http://127.0.0.1:abc/x", "http://\x01/"]
)
def test_a_link_to_what_is_no_url_is_an_error(index: tuple[IndexServer, str], address: str) -> None:
    _, url = index
    file = IndexFile(file_name=_NAME, url=address, sha256=None, size=None, yanked=False)
    with _client(url) as reader:
        with pytest.raises(IndexAccessError, match="cannot be followed"):
            reader.metadata(file)
        with Spool() as spool, pytest.raises(IndexAccessError, match="cannot be followed"):
            reader.fetch(address, spool)


def test_an_index_url_that_is_none_is_an_error_that_does_not_repeat_it() -> None:
    with pytest.raises(IndexAccessError, match="not a URL") as caught:
        IndexClient("http://me:s3cret@[bad/", environment={})
    assert "s3cret" not in caught.value.reason


@pytest.mark.parametrize(("content", "kind"), [(b"[" * 200_000, _JSON), (b"<div>" * 5_000, "text/html")])
def test_a_page_that_is_nested_without_end_is_an_error(
    index: tuple[IndexServer, str], content: bytes, kind: str
) -> None:
    server, url = index
    server.fault("/simple/lib/", Fault(body=content, content_type=kind))
    with _client(url) as reader, pytest.raises(IndexAccessError, match="no page of a package index"):
        reader.project("lib")


def test_a_part_of_a_page_is_not_taken_for_the_page(index: tuple[IndexServer, str]) -> None:
    server, url = index
    server.fault("/simple/lib/", Fault(status=206))
    with _client(url) as reader, pytest.raises(IndexAccessError, match="HTTP 206"):
        reader.project("lib")


def test_a_sign_in_page_is_not_taken_for_an_empty_project(index: tuple[IndexServer, str]) -> None:
    server, url = index
    server.fault("/simple/lib/", Fault(body=b"<html><body><form action=/login>Sign in</form></body></html>"))
    with _client(url) as reader, pytest.raises(IndexAccessError, match="no page of a package index"):
        reader.project("lib")


@contextmanager
def _raw(**headers: str) -> Iterator[str]:
    """A server that answers everything with one byte, as a part of a file, and these headers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(206)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(b"x")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": f"bytes 0-0/{'9' * 5000}", "Content_Length": "1"},
        {"Content_Range": f"bytes 0-{'9' * 5000}/1", "Content_Length": "1"},
        {"Content_Range": "bytes 0-0/1", "Content_Length": "9" * 5000},
    ],
)
def test_a_size_of_thousands_of_digits_is_an_error(headers: dict[str, str]) -> None:
    with _raw(**headers) as url, _client(url) as reader:
        file = IndexFile(file_name=_NAME, url=f"{url}{_NAME}", sha256=None, size=None, yanked=False)
        with pytest.raises(IndexAccessError):
            reader.metadata(file)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["gopher://me:s3cret@127.0.0.1:1", "http://proxy:port"])
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    with _client("http://127.0.0.1:1/simple/") as reader, pytest.raises(IndexAccessError) as caught:
        reader.project("lib")
    assert variable in caught.value.reason
    assert "s3cret" not in caught.value.reason + caught.value.solution


def test_a_socks_proxy_is_asked_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with (
        _client("http://index.example/simple/") as reader,
        pytest.raises(IndexAccessError, match="cannot be reached"),
    ):
        reader.project("lib")


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_certificates_that_cannot_be_read_are_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with (
        _client("https://127.0.0.1:1/simple/") as reader,
        pytest.raises(IndexAccessError, match="SSL_CERT_FILE") as caught,
    ):
        reader.project("lib")
    assert f"SSL_CERT_FILE={path} (" in caught.value.reason
