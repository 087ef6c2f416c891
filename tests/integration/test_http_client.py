"""The one HTTP client: a fixed number of threads, and credentials that a redirect cannot bring back."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_wheel

from factory.errors import IndexAccessError, IndexContentError
from factory.http.client import HttpClient, HttpRequest, ServerErrors
from factory.http.parallel import in_parallel
from factory.http.retry import RetryPolicy
from factory.process import Cancellation

pytestmark = pytest.mark.integration

_QUICK = RetryPolicy(connect_seconds=1.0, read_seconds=1.0, attempts=2, first_pause_seconds=0.01)
_ERRORS = ServerErrors(access=IndexAccessError, content=IndexContentError, solution="Look at the server.")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IndexServer]:
    make_wheel(tmp_path / "files", "lib", "1.0")
    with IndexServer(folder=tmp_path / "files") as served:
        yield served


def _client(*, connections: int = 4, policy: RetryPolicy = _QUICK) -> HttpClient:
    return HttpClient(policy=policy, connections=connections, stop=Cancellation(), errors=_ERRORS)


def _senders() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "http"}


def test_many_requests_share_as_many_threads_as_connections(server: IndexServer) -> None:
    before, seen = _senders(), set()
    client = _client(connections=3)

    def ask(_: int) -> int:
        status = client.send(HttpRequest(url=f"{server.url}lib/")).status
        seen.update(_senders() - before)
        return status

    assert in_parallel(ask, range(40), jobs=8) == [200] * 40
    assert 1 <= len(seen) <= 3
    client.close()
    for thread in seen:
        thread.join(timeout=5)
    assert not _senders() - before


def test_one_request_after_the_other_needs_one_thread(server: IndexServer) -> None:
    before = _senders()
    client = _client(connections=8)
    for _ in range(5):
        client.send(HttpRequest(url=f"{server.url}lib/"))
    # A thread may not yet have said that it is idle when the next request comes.
    assert len(_senders() - before) <= 2
    client.close()


def test_requests_that_nobody_waits_for_are_no_hindrance_to_the_next(server: IndexServer) -> None:
    server.fault("/simple/lib/", Fault(hang=True, times=1))
    quick = RetryPolicy(
        connect_seconds=1.0, read_seconds=0.3, total_seconds=5.0, attempts=3, first_pause_seconds=0.01
    )
    client = _client(connections=1, policy=quick)
    assert client.send(HttpRequest(url=f"{server.url}lib/")).status == 200
    client.close()


def test_credentials_are_lost_for_good_where_a_redirect_leaves_their_origin(
    tmp_path: Path, server: IndexServer
) -> None:
    """Else another origin could send requests of its choice back with them."""
    with IndexServer(folder=tmp_path / "files") as other:
        server.fault("/simple/lib/", Fault(status=302, location=f"{other.root}/away/"))
        other.fault("/away/", Fault(status=302, location=f"{server.root}/simple/"))
        client = _client()
        request = HttpRequest(url=f"{server.url}lib/", authorization="Basic bWU6czNjcmV0")
        assert client.send(request).url == f"{server.root}/simple/"
        client.close()
    assert ["Authorization" in asked.headers for asked in server.requests] == [True, False]
    assert ["Authorization" in asked.headers for asked in other.requests] == [False]


def test_a_redirect_within_the_origin_keeps_credentials(server: IndexServer) -> None:
    server.fault("/simple/old/", Fault(status=302, location="/simple/lib/"))
    client = _client()
    client.send(HttpRequest(url=f"{server.url}old/", authorization="Basic bWU6czNjcmV0"))
    client.close()
    assert ["Authorization" in asked.headers for asked in server.requests] == [True, True]


def test_redirects_without_an_end_are_an_error(server: IndexServer) -> None:
    server.fault("/simple/lib/", Fault(status=302, location="/simple/lib/"))
    client = _client()
    with pytest.raises(IndexAccessError, match="it is sent on and on"):
        client.send(HttpRequest(url=f"{server.url}lib/"))
    client.close()
    assert len(server.requests) == 11


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "HTTPS://127.0.0.1:1/"])
def test_a_server_is_asked_for_its_certificate_however_the_scheme_is_written(url: str) -> None:
    asked: list[str] = []

    def verify(url: str) -> bool:
        asked.append(url)
        return True

    client = HttpClient(
        policy=RetryPolicy(attempts=1),
        connections=1,
        stop=Cancellation(),
        errors=_ERRORS,
        proxied=False,
        verify=verify,
    )
    with pytest.raises(IndexAccessError, match="cannot be reached"):
        client.send(HttpRequest(url=url))
    client.close()
    assert asked == [url]


@pytest.mark.parametrize("target", ["ftp://a.example/x", "file:///etc/passwd"])
def test_a_redirect_to_what_is_not_http_is_refused(server: IndexServer, target: str) -> None:
    server.fault("/simple/lib/", Fault(status=302, location=target))
    client = _client()
    with pytest.raises(IndexAccessError, match="is sent on without encryption"):
        client.send(HttpRequest(url=f"{server.url}lib/"))
    client.close()


def test_httpx_is_imported_without_its_command_line() -> None:
    code = "import sys, factory.http.client; print(*sorted({'click', 'rich', 'pygments'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_origins_are_known_without_httpx() -> None:
    code = "import sys, factory.http.origins; print('httpx' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
