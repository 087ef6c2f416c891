"""Where an index sends requests on to: to its own host and to those that are named, and nowhere else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_wheel, sha256

from factory.errors import RedirectError
from factory.http.download import Spool
from factory.index.client import IndexClient, RetryPolicy, check_redirect
from factory.index.pages import IndexFile

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_QUICK = RetryPolicy(connect_seconds=1.0, read_seconds=0.3, attempts=2, first_pause_seconds=0.01)


@dataclass
class Pair:
    """Two servers of the same folder: an index that needs a login, and one under another host name."""

    index: IndexServer
    other: IndexServer
    wheel: Path
    netrc: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def other_root(self) -> str:
        return self.other.root.replace("127.0.0.1", "localhost")

    def client(self, *redirect_hosts: str) -> IndexClient:
        url = self.index.url.replace("//", "//me:s3cret@")
        environment = {"NETRC": str(self.netrc)}
        return IndexClient(url, policy=_QUICK, environment=environment, redirect_hosts=redirect_hosts)

    def send_on(self, path: str, target: str) -> None:
        self.index.fault(path, Fault(status=302, location=f"{target}{path}"))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    wheel = make_wheel(tmp_path / "files", "lib", "1.0")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login them password 0ther\n")
    with (
        IndexServer(folder=tmp_path / "files", credentials=("me", "s3cret"), metadata=True) as index,
        IndexServer(folder=tmp_path / "files") as other,
    ):
        yield Pair(index=index, other=other, wheel=wheel, netrc=netrc)


def _page(reader: IndexClient, pair: Pair) -> None:
    assert reader.project("lib")


def _file(reader: IndexClient, pair: Pair) -> None:
    with Spool() as spool:
        assert reader.fetch(f"{pair.index.root}/files/{pair.wheel.name}", spool)
        assert spool.sha256 == sha256(pair.wheel)


def _served_metadata(reader: IndexClient, pair: Pair) -> None:
    url = f"{pair.index.root}/files/{pair.wheel.name}"
    file = IndexFile(file_name=pair.wheel.name, url=url, sha256=None, size=None, yanked=False)
    served = IndexFile(**{**vars(file), "metadata_url": f"{url}.metadata"})
    assert reader.metadata(served).name == "lib"


def _metadata_by_ranges(reader: IndexClient, pair: Pair) -> None:
    url = f"{pair.index.root}/files/{pair.wheel.name}"
    file = IndexFile(file_name=pair.wheel.name, url=url, sha256=None, size=None, yanked=False)
    assert reader.metadata(file).name == "lib"


_WAYS = pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/simple/lib/", _page),
        ("/files/lib-1.0-py3-none-any.whl", _file),
        ("/files/lib-1.0-py3-none-any.whl.metadata", _served_metadata),
        ("/files/lib-1.0-py3-none-any.whl", _metadata_by_ranges),
    ],
)


@_WAYS
def test_another_host_is_refused_and_not_asked(
    pair: Pair, path: str, read: Callable[[IndexClient, Pair], None]
) -> None:
    pair.send_on(path, pair.other_root)
    with pair.client() as reader, pytest.raises(RedirectError) as caught:
        read(reader, pair)
    assert f"{path} is sent on to another host, localhost" in caught.value.reason
    assert 'redirect-hosts = ["localhost"] into [tool.factory]' in caught.value.solution
    assert pair.other.requests == []


@_WAYS
def test_a_host_that_is_named_is_asked_without_credentials(
    pair: Pair, path: str, read: Callable[[IndexClient, Pair], None]
) -> None:
    pair.other.metadata = True
    pair.send_on(path, pair.other_root)
    with pair.client("localhost") as reader:
        read(reader, pair)
    assert {request.path for request in pair.other.requests} == {path}
    assert not any("Authorization" in request.headers for request in pair.other.requests)
    assert all("Authorization" in request.headers for request in pair.index.requests)


def test_another_port_of_the_same_host_is_the_same_host_and_not_told_the_index_s_login(pair: Pair) -> None:
    pair.send_on("/simple/lib/", pair.other.root)
    with pair.client() as reader:
        assert reader.project("lib")
    assert ["Authorization" in request.headers for request in pair.other.requests] == [False]


def test_credentials_in_a_redirect_are_neither_used_nor_shown(pair: Pair) -> None:
    pair.send_on("/simple/lib/", pair.other.root.replace("//", "//eve:l1sten@"))
    with pair.client() as reader:
        assert reader.project("lib")
    assert ["Authorization" in request.headers for request in pair.other.requests] == [False]
    pair.send_on("/simple/lib/", pair.other_root.replace("//", "//eve:l1sten@"))
    with pair.client() as reader, pytest.raises(RedirectError) as caught:
        reader.project("lib")
    assert "l1sten" not in f"{caught.value.reason} {caught.value.solution} {caught.value!r}"


def test_a_link_to_another_host_is_followed_without_a_login(pair: Pair) -> None:
    """Not with that of .netrc either, which is for that host at the port of https."""
    link = f'<a href="{pair.other_root}/files/{pair.wheel.name}">{pair.wheel.name}</a>'
    pair.index.fault("/simple/lib/", Fault(body=link.encode()))
    with pair.client() as reader:
        (file,) = reader.project("lib") or ()
        with Spool() as spool:
            assert reader.fetch(file.url, spool)
    assert [request.headers.get("Authorization") for request in pair.other.requests] == [None]


@pytest.mark.parametrize(
    ("url", "target", "allowed"),
    [
        ("https://a.example/x", "https://a.example/y", True),
        ("https://a.example/x", "https://a.example:8443/y", True),
        ("http://a.example/x", "https://a.example/y", True),
        ("https://a.example/x", "http://a.example/y", False),
        ("https://a.example/x", "http://files.example/y", False),
        ("https://a.example/x", "https://files.example/y", True),
        ("https://a.example/x", "https://FILES.example/y", True),
        ("https://a.example/x", "https://b.files.example/y", False),
        ("https://a.example/x", "https://files.example.evil/y", False),
        ("https://a.example/x", "https://files.example@evil.example/y", False),
        ("https://a.example/x", "https://b.example/y", False),
        ("https://a.example/x", "ftp://a.example/y", False),
        ("https://a.example/x", "file:///etc/passwd", False),
    ],
)
def test_hosts_are_compared_whole_and_https_is_never_left(url: str, target: str, *, allowed: bool) -> None:
    if allowed:
        check_redirect(url, target, named={"files.example"})
    else:
        with pytest.raises(RedirectError):
            check_redirect(url, target, named={"files.example"})
