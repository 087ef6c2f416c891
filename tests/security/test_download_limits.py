"""Servers that send without an end: what is fetched is bounded by the lock, the index, a setting or the disk.

Each test counts the bytes that the hostile server got rid of, of 900 MB that it is ready to send.
"""

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from support.endless_server import MOST, STOPPED, EndlessServer, Sent, endless, endless_server, whole
from support.locks import edit_lock
from support.small_flavors import make_flavor, write_lock
from support.wheels import make_wheel, sha256

from factory.errors import (
    FactoryError,
    IndexAccessError,
    IndexContentError,
    PrefetchError,
    RegistryError,
    SpecError,
)
from factory.flavor.repository import Flavor
from factory.http.client import HttpClient, ServerErrors
from factory.http.download import MAX_DOWNLOAD_VARIABLE, Spool, read_max_download
from factory.index.client import IndexClient, IndexFile, RetryPolicy
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import prefetch_flavor
from factory.process import Cancellation
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry
from factory.registry.drivers.artifact_registry import GoogleApi

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_QUICK = RetryPolicy(connect_seconds=2.0, read_seconds=2.0, attempts=2, first_pause_seconds=0.01)
_NAME = "lib-1.0-py3-none-any.whl"
_FILE, _PAGE = f"/files/{_NAME}", "/simple/lib/"
_JSON = "application/vnd.pypi.simple.v1+json"
_BOMB = gzip.compress(bytes(300_000_000), compresslevel=9)

Answer = Callable[[str, Mapping[str, str]], Sent]


def page(**entry: object) -> Sent:
    """The page of lib, with what it says of its one file."""
    file = {"filename": _NAME, "url": _FILE, "hashes": {}, **entry}
    document = {"meta": {"api-version": "1.0"}, "name": "lib", "files": [file]}
    return whole(json.dumps(document).encode(), Content_Type=_JSON)


def index(listed: Sent, file: Callable[[], Sent], **others: Callable[[], Sent]) -> Answer:
    """Answer as an index whose page is ``listed``, and whose file is sent as it likes."""

    def answer(path: str, headers: Mapping[str, str]) -> Sent:
        del headers
        return listed if path == _PAGE else others["metadata"]() if path.endswith(".metadata") else file()

    return answer


def announced() -> Sent:
    return Sent(headers={"Content-Length": str(MOST)}, body=endless())


def chunked() -> Sent:
    return Sent(body=endless())


def compressed() -> Sent:
    return Sent(headers={"Content-Encoding": "gzip"}, body=endless())


SENDINGS = {"announced": announced, "chunked": chunked, "compressed": compressed}


@pytest.fixture(params=SENDINGS.values(), ids=list(SENDINGS))
def sending(request: pytest.FixtureRequest) -> Callable[[], Sent]:
    sent: Callable[[], Sent] = request.param
    return sent


def locked(tmp_path: Path, root: str, *, size: int | None) -> Flavor:
    """A flavor that is locked to lib 1.0, with or without the size of its wheel."""
    wheel = make_wheel(tmp_path / "wheels", "lib", "1.0")
    flavor = make_flavor(tmp_path / "repository", index_url=f"{root}/simple/")
    lock = write_lock(flavor, [wheel], index_url=f"{root}/simple/")
    if size is not None:
        edit_lock(lock, f"# {_NAME}", f"# {_NAME}, {size} bytes")
    return flavor


def prefetch(flavor: Flavor, folder: Path) -> FactoryError:
    with pytest.raises(PrefetchError) as caught:
        prefetch_flavor(flavor, folder, fetching=Fetching(timeout_seconds=2, jobs=1))
    assert not [path for path in folder.rglob("*") if path.is_file()]
    return caught.value


def stopped(server: EndlessServer, path: str) -> bool:
    return server.sent.get(path, 0) < STOPPED


def test_a_lock_bounds_what_is_fetched_where_the_page_gives_no_size(
    sending: Callable[[], Sent], tmp_path: Path
) -> None:
    with endless_server(index(page(), sending)) as server:
        error = prefetch(locked(tmp_path, server.root, size=899), tmp_path / "out")
        assert f"{_NAME} is larger than the lock says" in error.reason
        assert stopped(server, _FILE)


def test_a_lock_bounds_what_is_fetched_whatever_size_the_page_gives(tmp_path: Path) -> None:
    with endless_server(index(page(size=MOST), announced)) as server:
        error = prefetch(locked(tmp_path, server.root, size=899), tmp_path / "out")
        assert f"{_NAME} is larger than the lock says" in error.reason
        assert stopped(server, _FILE)


def test_a_page_bounds_what_is_fetched_where_the_lock_has_no_size(
    sending: Callable[[], Sent], tmp_path: Path
) -> None:
    with endless_server(index(page(size=899), sending)) as server:
        error = prefetch(locked(tmp_path, server.root, size=None), tmp_path / "out")
        assert f"{_NAME} is larger than the index says" in error.reason
        assert stopped(server, _FILE)


@pytest.mark.parametrize("size", [None, MOST])
def test_a_setting_bounds_what_is_fetched_where_only_the_server_says_its_size(
    sending: Callable[[], Sent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    monkeypatch.setenv(MAX_DOWNLOAD_VARIABLE, "1M")
    listed = page() if size is None else page(size=size)
    with endless_server(index(listed, sending)) as server:
        error = prefetch(locked(tmp_path, server.root, size=None), tmp_path / "out")
        assert "is larger than FACTORY_MAX_DOWNLOAD allows" in error.reason
        assert "FACTORY_MAX_DOWNLOAD, as in 40G" in error.solution
        assert stopped(server, _FILE)


def test_the_room_on_the_disk_bounds_what_is_fetched(tmp_path: Path) -> None:
    class Full(Spool):
        """A spool on a disk that has room for a megabyte more."""

        def room(self) -> int:
            return 1_000_000

    with endless_server(index(page(), chunked)) as server, _client(server) as client, Full() as spool:
        with pytest.raises(IndexContentError, match="is larger than the disk has room for"):
            client.fetch(f"{server.root}{_FILE}", spool)
        assert stopped(server, _FILE)
        assert spool.received <= 1_000_000


def test_a_file_that_is_begun_again_and_again_is_given_up(tmp_path: Path) -> None:
    """A server that knows no ranges drops the connection a byte later each time, to be asked on and on."""
    size, tries = 2_000_000, count(1_000_000)

    def dropped() -> Sent:
        return Sent(headers={"Content-Length": str(size)}, body=[bytes(next(tries))])

    policy = RetryPolicy(connect_seconds=2, read_seconds=2, attempts=4, first_pause_seconds=0.0)
    with (
        endless_server(index(page(size=size), dropped)) as server,
        IndexClient(f"{server.root}/simple/", environment={}, policy=policy) as client,
        Spool() as spool,
    ):
        with pytest.raises(IndexContentError, match="was begun again and again"):
            client.fetch(f"{server.root}{_FILE}", spool, size=size)
        assert server.sent[_FILE] < 6 * size


def _client(server: EndlessServer, **environment: str) -> IndexClient:
    return IndexClient(f"{server.root}/simple/", environment=environment, policy=_QUICK)


def _only_file(client: IndexClient) -> IndexFile:
    (file,) = client.project("lib") or ()
    return file


def test_a_wheel_that_a_server_without_ranges_sends_whole_is_bounded(sending: Callable[[], Sent]) -> None:
    with (
        endless_server(index(page(), sending)) as server,
        _client(server, FACTORY_MAX_DOWNLOAD="1M") as client,
    ):
        file = _only_file(client)
        with pytest.raises(IndexContentError, match="FACTORY_MAX_DOWNLOAD allows"):
            client.metadata(file)
        assert stopped(server, _FILE)


@pytest.mark.parametrize("content_range", ["bytes 0-0/1000", "bytes 0-899999999/900000000", "bytes 5-5/1000"])
def test_more_bytes_of_a_file_than_were_asked_for_are_refused(content_range: str) -> None:
    def more() -> Sent:
        return Sent(status=206, headers={"Content-Range": content_range}, body=endless())

    with endless_server(index(page(), more)) as server, _client(server) as client:
        file = _only_file(client)
        with pytest.raises(IndexContentError, match="is larger than 1 bytes"):
            client.metadata(file)
        assert stopped(server, _FILE)


def test_a_part_of_a_file_that_is_packed_is_refused() -> None:
    def packed() -> Sent:
        headers = {"Content-Range": "bytes 0-0/1000", "Content-Encoding": "gzip"}
        return Sent(status=206, headers=headers, body=[_BOMB])

    with endless_server(index(page(), packed)) as server, _client(server) as client:
        file = _only_file(client)
        with pytest.raises(IndexContentError, match="which was not asked for"):
            client.metadata(file)
        assert server.asked[-1][1]["accept-encoding"] == "identity"


def test_metadata_without_an_end_is_refused(sending: Callable[[], Sent]) -> None:
    listed = page(**{"core-metadata": True})
    with endless_server(index(listed, announced, metadata=sending)) as server, _client(server) as client:
        file = _only_file(client)
        with pytest.raises((IndexContentError, IndexAccessError), match=r"larger than 16,777,216|unpacked"):
            client.metadata(file)
        assert server.sent.get(f"{_FILE}.metadata", 0) < STOPPED + (17 << 20)


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "zstd", "deflate"])
def test_what_unpacks_to_more_than_is_read_is_refused_before_it_is_unpacked(encoding: str) -> None:
    bomb = gzip.compress(_BOMB) if "," in encoding else _BOMB
    listed = page(**{"core-metadata": True})
    sent = whole(bomb, Content_Encoding=encoding)
    with (
        endless_server(index(listed, announced, metadata=lambda: sent)) as server,
        _client(server) as client,
    ):
        file = _only_file(client)
        tracemalloc.start()
        try:
            with pytest.raises(IndexContentError, match=r"larger than 16,777,216|not asked for"):
                client.metadata(file)
            assert tracemalloc.get_traced_memory()[1] < 60_000_000
        finally:
            tracemalloc.stop()


def test_a_page_that_is_packed_is_read() -> None:
    listed = page()
    packed = whole(gzip.compress(b"".join(listed.body)), Content_Type=_JSON, Content_Encoding="gzip")
    with endless_server(index(packed, announced)) as server, _client(server) as client:
        assert _only_file(client).file_name == _NAME
        assert server.asked[0][1]["accept-encoding"] == "gzip"


def test_a_page_of_an_object_store_that_names_how_it_was_uploaded_is_read() -> None:
    listed = whole(b"".join(page().body), Content_Type=_JSON, Content_Encoding="aws-chunked")
    with endless_server(index(listed, announced)) as server, _client(server) as client:
        assert _only_file(client).file_name == _NAME


def _registry(server: EndlessServer) -> RegistryClient:
    host = server.root.removeprefix("http://")
    return open_registry(
        Registry(name="r", url=f"{host}/x", kind="disposable"), environment={}, policy=_QUICK
    )


def _answers(path_part: str, answer: Callable[[str], Sent]) -> Answer:
    def reply(path: str, headers: Mapping[str, str]) -> Sent:
        del headers
        return answer(path) if path_part in path else whole(b"{}")

    return reply


_DIGEST = "sha256:" + "0" * 64
_ASKING: dict[str, tuple[str, Callable[[RegistryClient], object]]] = {
    "a manifest": ("/manifests/", lambda client: client.manifest("x/a", "1")),
    "a blob": ("/blobs/", lambda client: client.blob("x/a", _DIGEST)),
    "tags": ("/tags/", lambda client: client.tags("x/a")),
    "the catalogue": ("/_catalog", lambda client: client.repositories()),
    "the first answer": ("/v2/", lambda client: client.check()),
}


@pytest.mark.parametrize("asked", _ASKING)
def test_a_registry_that_sends_without_an_end_is_cut_off(asked: str, sending: Callable[[], Sent]) -> None:
    part, ask = _ASKING[asked]
    with endless_server(_answers(part, lambda _: sending())) as server, _registry(server) as client:
        with pytest.raises(RegistryError, match=r"larger than 8,388,608|unpacked"):
            ask(client)
        assert sum(server.sent.values()) < STOPPED + (9 << 20)


def test_a_list_of_tags_that_leads_back_to_itself_ends() -> None:
    def turning(path: str) -> Sent:
        onward = "1" if "last=2" in path else "2"
        link = f'</v2/x/a/tags/list?last={onward}>; rel="next"'
        return whole(b'{"tags": ["a"]}', Link=link)

    with endless_server(_answers("/tags/", turning)) as server, _registry(server) as client:
        with pytest.raises(RegistryError, match="has no end"):
            client.tags("x/a")
        assert len(server.asked) < 10


def test_a_list_of_tags_with_ever_more_of_them_ends() -> None:
    names = [f"{number:x}" for number in range(400_000)]
    body, number = json.dumps({"tags": names}).encode(), count()

    def onward(path: str) -> Sent:
        del path
        return whole(body, Link=f'</v2/x/a/tags/list?last={next(number)}>; rel="next"')

    with endless_server(_answers("/tags/", onward)) as server, _registry(server) as client:
        with pytest.raises(RegistryError, match="has no end"):
            client.tags("x/a")
        assert len(server.asked) < 10


def test_a_catalogue_with_ever_more_pages_ends() -> None:
    number = count()

    def onward(path: str) -> Sent:
        del path
        return whole(b'{"repositories": []}', Link=f'</v2/_catalog?last={next(number)}>; rel="next"')

    with endless_server(_answers("/_catalog", onward)) as server, _registry(server) as client:
        with pytest.raises(RegistryError, match="has no end"):
            client.repositories(most_pages=20)
        assert len(server.asked) < 30


@contextmanager
def _google(server: EndlessServer) -> Iterator[GoogleApi]:
    errors = ServerErrors(access=RegistryError, content=RegistryError, solution="")
    client = HttpClient(policy=_QUICK, connections=1, stop=Cancellation(), errors=errors)
    google = GoogleApi(endpoint=server.root, token="made-up", client=client)
    yield google
    google.close()


def test_a_list_of_artifact_registry_that_leads_back_to_itself_ends() -> None:
    turning = _answers("/v1/", lambda _: whole(b'{"tags": [], "nextPageToken": "1"}'))
    with endless_server(turning) as server, _google(server) as google:
        with pytest.raises(RegistryError, match="has no end"):
            list(google.listed("tags", "tags"))
        assert len(server.asked) < 10


def test_artifact_registry_is_cut_off_where_it_sends_without_an_end(sending: Callable[[], Sent]) -> None:
    with endless_server(_answers("/v1/", lambda _: sending())) as server, _google(server) as google:
        with pytest.raises(RegistryError, match=r"larger than 33,554,432|unpacked"):
            google.get("tags")
        assert sum(server.sent.values()) < STOPPED + (33 << 20)


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 16 << 30), ("899", 899), ("40G", 40_000_000_000), ("1 tb", 10**12), ("500k", 500_000)],
)
def test_the_setting_is_a_number_of_bytes(text: str, size: int) -> None:
    assert read_max_download({MAX_DOWNLOAD_VARIABLE: text}) == size


@pytest.mark.parametrize("text", ["much", "-1", "0", "1e9", "9" * 400, "4X", "1.5G"])
def test_a_setting_that_is_no_size_is_an_error(text: str) -> None:
    with pytest.raises(SpecError, match="FACTORY_MAX_DOWNLOAD"):
        read_max_download({MAX_DOWNLOAD_VARIABLE: text})


def test_a_file_of_exactly_the_locked_size_is_fetched(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "lib", "1.0")
    content = wheel.read_bytes()
    with endless_server(index(page(), partial(whole, content))) as server:
        flavor = locked(tmp_path, server.root, size=len(content))
        done = prefetch_flavor(flavor, tmp_path / "out", fetching=Fetching(timeout_seconds=2))
    assert (done.fetched, done.size) == (1, len(content))
    assert sha256(tmp_path / "out" / "output" / "deps" / "pip" / _NAME) == sha256(wheel)
