"""The index client against a real index on loopback, and what an index can do wrong."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_sdist, make_wheel, sha256

from factory.errors import IndexAccessError
from factory.index.client import IndexClient, RetryPolicy
from factory.index.configured import PYTHON_PACKAGE_INDEX

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_QUICK = RetryPolicy(
    connect_seconds=1.0, read_seconds=0.3, attempts=3, first_pause_seconds=0.01, max_pause_seconds=0.05
)


@dataclass
class Buffer:
    """A sink in memory that counts how often it had to start anew."""

    content: bytearray = field(default_factory=bytearray)
    restarts: int = 0
    total: int | None = None

    @property
    def received(self) -> int:
        return len(self.content)

    def room(self) -> int:
        return 1_000_000

    def expect(self, total: int) -> None:
        self.total = total

    def restart(self) -> None:
        self.content.clear()
        self.restarts += 1

    def write(self, chunk: bytes) -> None:
        self.content += chunk


def client(index: IndexServer, **environment: str) -> IndexClient:
    return IndexClient(index.url, policy=_QUICK, environment=environment)


@pytest.mark.parametrize("json_pages", [True, False])
def test_a_project_page_gives_names_urls_digests_sizes_and_yanked(
    tmp_path: Path, *, json_pages: bool
) -> None:
    wheel, sdist = make_wheel(tmp_path, "Some.Lib", "1.0"), make_sdist(tmp_path, "some-lib", "2.0")
    with (
        IndexServer(folder=tmp_path, json_pages=json_pages, yanked=frozenset({sdist.name})) as index,
        client(index) as reader,
    ):
        files = reader.project("Some_Lib")
        assert files is not None
        assert {file.file_name: (file.sha256, file.size, file.yanked) for file in files} == {
            wheel.name: (sha256(wheel), wheel.stat().st_size if json_pages else None, False),
            sdist.name: (sha256(sdist), sdist.stat().st_size if json_pages else None, True),
        }
        buffer = Buffer()
        assert reader.fetch(files[0].url, buffer)
    assert bytes(buffer.content) in {wheel.read_bytes(), sdist.read_bytes()}


def test_files_that_are_not_kept_are_not_given(tmp_path: Path) -> None:
    make_wheel(tmp_path, "lib", "1.0")
    wanted = make_wheel(tmp_path, "lib", "2.0")
    for json_pages in (True, False):
        with IndexServer(folder=tmp_path, json_pages=json_pages) as index, client(index) as reader:
            files = reader.project("lib", keep=lambda name: name == wanted.name)
        assert files is not None
        assert [file.file_name for file in files] == [wanted.name]


def test_a_file_name_that_leaves_its_folder_is_not_given(tmp_path: Path) -> None:
    links = b"".join(
        b'<a href="/files/x-1.0.tar.gz">%b</a>' % name for name in (b"../x-1.0.tar.gz", b".x.whl")
    )
    with IndexServer(folder=tmp_path) as index, client(index) as reader:
        index.fault("/simple/x/", Fault(body=links))
        assert reader.project("x") == ()


def test_404_is_not_there(tmp_path: Path) -> None:
    with IndexServer(folder=tmp_path) as index, client(index) as reader:
        assert reader.project("nothing") is None
        assert reader.fetch(f"{index.root}/files/nothing-1.0-py3-none-any.whl", Buffer()) is False


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_never_taken_for_not_there(tmp_path: Path, status: int) -> None:
    with IndexServer(folder=tmp_path) as index, client(index) as reader:
        index.fault("/simple/lib/", Fault(status=status))
        with pytest.raises(IndexAccessError, match=f"refuses access .HTTP {status}") as caught:
            reader.project("lib")
    assert ".netrc" in caught.value.solution
    assert len(index.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 524])
def test_what_may_pass_is_tried_again(tmp_path: Path, status: int) -> None:
    make_wheel(tmp_path, "lib", "1.0")
    with IndexServer(folder=tmp_path) as index, client(index) as reader:
        index.fault("/simple/lib/", Fault(status=status, retry_after="0", times=2))
        files = reader.project("lib")
        assert files is not None
        assert len(files) == 1
        index.fault("/simple/lib/", Fault(status=status))
        with pytest.raises(IndexAccessError, match=f"HTTP {status}, 3 times in a row"):
            reader.project("lib")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(hang=True), "did not answer in time"),
        (Fault(status=418), "answers HTTP 418"),
        (Fault(body=b"{", content_type="application/vnd.pypi.simple.v1+json"), "can be read"),
        (Fault(body=b"[]", content_type="application/vnd.pypi.simple.v1+json"), "can be read"),
        (Fault(body=b'{"files": [{}]}', content_type="application/vnd.pypi.simple.v1+json"), "can be read"),
        (
            Fault(body=b"%PDF", content_type="application/pdf"),
            "no page of a package index, but application/pdf",
        ),
        (Fault(status=302, location="/simple/lib/"), "cannot be followed"),
    ],
)
def test_an_index_that_gives_no_page_is_an_error_that_says_so(
    tmp_path: Path, fault: Fault, message: str
) -> None:
    with IndexServer(folder=tmp_path) as index, client(index) as reader:
        index.fault("/simple/lib/", fault)
        with pytest.raises(IndexAccessError, match=message):
            reader.project("lib")


def test_nobody_listening_is_an_error_that_names_the_url(tmp_path: Path) -> None:
    with IndexServer(folder=tmp_path) as index:
        url = index.url
    with (
        IndexClient(url, policy=_QUICK, environment={}) as reader,
        pytest.raises(IndexAccessError, match=r"simple/lib/ cannot be reached .*3 times"),
    ):
        reader.project("lib")


@pytest.mark.parametrize(("ranges", "restarts"), [(True, 0), (False, 1)])
def test_a_download_that_breaks_off_is_gone_on_with(tmp_path: Path, *, ranges: bool, restarts: int) -> None:
    wheel = make_wheel(tmp_path, "lib", "1.0", payload=300_000)
    with IndexServer(folder=tmp_path, ranges=ranges) as index, client(index) as reader:
        index.fault(f"/files/{wheel.name}", Fault(close_after=100_000, times=1))
        buffer = Buffer()
        assert reader.fetch(f"{index.root}/files/{wheel.name}", buffer)
        assert bytes(buffer.content) == wheel.read_bytes()
        assert buffer.total == wheel.stat().st_size
        assert buffer.restarts == restarts
        offsets = [request.headers.get("Range") for request in index.requests]
        assert offsets == [None, "bytes=100000-"]


def test_a_download_that_always_breaks_off_ends_in_an_error(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "lib", "1.0", payload=300_000)
    with IndexServer(folder=tmp_path, ranges=False) as index, client(index) as reader:
        index.fault(f"/files/{wheel.name}", Fault(close_after=1000))
        with pytest.raises(IndexAccessError, match="dropped the connection"):
            reader.fetch(f"{index.root}/files/{wheel.name}", Buffer())


@pytest.mark.parametrize("extra", [b"", b"and more than there is"])
def test_a_partial_that_is_whole_or_too_long_does_not_confuse_the_client(
    tmp_path: Path, extra: bytes
) -> None:
    wheel = make_wheel(tmp_path, "lib", "1.0")
    with IndexServer(folder=tmp_path) as index, client(index) as reader:
        buffer = Buffer(content=bytearray(wheel.read_bytes() + extra))
        assert reader.fetch(f"{index.root}/files/{wheel.name}", buffer)
        assert bytes(buffer.content) == wheel.read_bytes()


def test_credentials_in_the_url_are_sent_and_not_shown(tmp_path: Path) -> None:
    make_wheel(tmp_path, "lib", "1.0")
    with IndexServer(folder=tmp_path, credentials=("me", "s3/cret")) as index:
        with IndexClient(index.url.replace("//", "//me:s3%2Fcret@"), policy=_QUICK, environment={}) as reader:
            assert reader.project("lib")
            assert "cret" not in reader.url
        with (
            IndexClient(index.url.replace("//", "//me:wr0ng@"), policy=_QUICK, environment={}) as reader,
            pytest.raises(IndexAccessError) as caught,
        ):
            reader.project("lib")
    assert "wr0ng" not in caught.value.reason + caught.value.solution


def test_netrc_is_honoured_for_its_host_only(tmp_path: Path) -> None:
    make_wheel(tmp_path / "files", "lib", "1.0")
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\ndefault login me password s3cret\n")
    netrc.chmod(0o600)
    with IndexServer(folder=tmp_path / "files", credentials=("me", "s3cret")) as index:
        with client(index, HOME=str(tmp_path)) as reader:
            assert reader.project("lib")
        with client(index, NETRC=str(netrc)) as reader:
            assert reader.project("lib")
        by_name = index.url.replace("127.0.0.1", "localhost")
        with (
            IndexClient(by_name, policy=_QUICK, environment={"HOME": str(tmp_path)}) as reader,
            pytest.raises(IndexAccessError),
        ):
            reader.project("lib")
    assert all("Authorization" not in request.headers for request in index.requests[2:])


def test_a_broken_netrc_is_an_error_that_does_not_repeat_it(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine host login me pasword s3cret\n")
    with pytest.raises(IndexAccessError) as caught:
        IndexClient("http://127.0.0.1:9/simple/", environment={"HOME": str(tmp_path)})
    assert "netrc" in caught.value.reason
    assert "s3cret" not in caught.value.reason + caught.value.solution


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"UV_DEFAULT_INDEX": "https://a.example/simple", "PIP_INDEX_URL": "https://b.example/"}, "https://a.example/simple/"),
        ({"UV_DEFAULT_INDEX": "named=https://a.example/simple/"}, "https://a.example/simple/"),
        ({"UV_INDEX_URL": "https://a.example/simple/"}, "https://a.example/simple/"),
        ({"PIP_INDEX_URL": "https://user:secret@b.example/simple/"}, "https://b.example/simple/"),
    ],
)  # fmt: skip
def test_the_public_index_is_the_one_that_the_machine_is_set_up_for(
    environment: dict[str, str], url: str
) -> None:
    with IndexClient(None, environment=environment) as reader:
        assert reader.url == url


def test_without_settings_the_public_index_is_the_librarys(tmp_path: Path) -> None:
    with IndexClient(None, environment={"HOME": str(tmp_path), "UV_NO_CONFIG": "1"}) as reader:
        assert reader.url == PYTHON_PACKAGE_INDEX
