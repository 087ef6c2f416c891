"""Metadata of packages from a real index on loopback: served beside the file, or read out of it."""

from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_sdist, make_wheel

from factory.errors import FactoryError, IndexAccessError, IndexContentError
from factory.index.client import IndexClient, RetryPolicy
from factory.index.metadata import Metadata
from factory.index.pages import IndexFile

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_QUICK = RetryPolicy(
    connect_seconds=1.0, read_seconds=0.3, attempts=3, first_pause_seconds=0.01, max_pause_seconds=0.05
)


def only_file(reader: IndexClient, name: str = "lib") -> IndexFile:
    files = reader.project(name)
    assert files is not None
    (file,) = files
    return file


def read(index: IndexServer, name: str = "lib") -> Metadata:
    with IndexClient(index.url, policy=_QUICK, environment={}) as reader:
        return reader.metadata(only_file(reader, name))


@pytest.mark.parametrize("json_pages", [True, False])
@pytest.mark.parametrize(("served", "ranges"), [(True, True), (False, True), (False, False)])
def test_metadata_is_the_same_from_wherever_it_comes(
    tmp_path: Path, *, json_pages: bool, served: bool, ranges: bool
) -> None:
    wheel = make_wheel(
        tmp_path,
        "Some.Lib",
        "1.0",
        requires=["attrs>=20", 'numpy ; python_version < "3.13"'],
        extras={"GPU_things": ["Flash_Attn>=2"]},
        requires_python=">=3.11",
        payload=100_000,
    )
    with IndexServer(folder=tmp_path, json_pages=json_pages, metadata=served, ranges=ranges) as index:
        found = read(index, "some-lib")
        of_wheel = index.requested(f"/files/{wheel.name}")
    assert (found.name, found.version, found.requires_python) == ("some-lib", "1.0", ">=3.11")
    assert [str(requirement) for requirement in found.requires] == [
        "attrs>=20",
        'numpy; python_version < "3.13"',
        'Flash_Attn>=2; extra == "gpu-things"',  # PEP 685
    ]
    assert found.extras == {"gpu-things"}
    assert bool(of_wheel) != served
    assert all("Range" in request.headers for request in of_wheel) == (served or ranges)


_WHEEL = "/files/lib-1.0-py3-none-any.whl"
_SERVED = f"{_WHEEL}.metadata"


@pytest.mark.parametrize(("older_names", "json_pages"), [(True, True), (True, False)])
def test_served_metadata_by_its_older_name_is_read(
    tmp_path: Path, *, older_names: bool, json_pages: bool
) -> None:
    make_wheel(tmp_path, "lib", "1.0")
    with IndexServer(folder=tmp_path, metadata=True, older_names=older_names, json_pages=json_pages) as index:
        assert read(index).version == "1.0"
        assert index.requested(_WHEEL) == []


def test_an_index_that_announces_what_it_does_not_serve_is_read_by_ranges(tmp_path: Path) -> None:
    make_wheel(tmp_path, "lib", "1.0", requires=["attrs"])
    with IndexServer(folder=tmp_path, metadata=True) as index:
        index.fault(f"{_WHEEL}.metadata", Fault(status=404))
        assert [str(requirement) for requirement in read(index).requires] == ["attrs"]


@pytest.mark.parametrize(
    ("served", "ranges", "path", "fault", "kind", "message"),
    [
        # Not allowed is not "not there": nothing else is tried in its place.
        (True, True, _SERVED, Fault(status=401), IndexAccessError, r"metadata refuses access \(HTTP 401"),
        (True, True, _SERVED, Fault(status=403), IndexAccessError, r"metadata refuses access \(HTTP 403"),
        (False, True, _WHEEL, Fault(status=403), IndexAccessError, r"whl refuses access \(HTTP 403"),
        (False, False, _WHEEL, Fault(status=403), IndexAccessError, r"whl refuses access \(HTTP 403"),
        (False, True, _WHEEL, Fault(status=404), IndexAccessError, "is not there, though its project"),
        (True, True, _SERVED, Fault(status=500), IndexAccessError, "HTTP 500, 3 times in a row"),
        (True, True, _SERVED, Fault(hang=True), IndexAccessError, "did not answer in time"),
        (True, True, _SERVED, Fault(body=b"Name: evil"), IndexContentError, "project's page says sha256"),
        (False, True, _WHEEL, Fault(truncate=500), IndexContentError, "on the server, and the index says"),
        (False, False, _WHEEL, Fault(truncate=500), IndexContentError, "cut short"),
        (False, True, _WHEEL, Fault(wrong_bytes=True), IndexContentError, "is not a valid wheel"),
        (False, False, _WHEEL, Fault(wrong_bytes=True), IndexContentError, "and its page says sha256"),
        (False, True, _WHEEL, Fault(close_after=0), IndexAccessError, "dropped the connection"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_had_is_an_error_of_its_own(
    tmp_path: Path,
    path: str,
    fault: Fault,
    kind: type[FactoryError],
    message: str,
    *,
    served: bool,
    ranges: bool,
) -> None:
    make_wheel(tmp_path, "lib", "1.0")
    with IndexServer(folder=tmp_path, metadata=served, ranges=ranges) as index:
        index.fault(path, fault)
        with pytest.raises(kind, match=message):
            read(index)


@pytest.mark.parametrize("sizes", [True, False])
def test_a_wheel_that_is_cut_short_on_the_server_itself_is_no_whole_wheel(
    tmp_path: Path, *, sizes: bool
) -> None:
    wheel = make_wheel(tmp_path, "lib", "1.0", payload=100_000)
    wheel.write_bytes(wheel.read_bytes()[:50_000])
    with (
        IndexServer(folder=tmp_path, sizes=sizes) as index,
        pytest.raises(IndexContentError, match="not a valid wheel"),
    ):
        read(index)


@pytest.mark.parametrize(("served", "ranges"), [(True, True), (False, True), (False, False)])
def test_metadata_of_another_package_is_refused_wherever_it_comes_from(
    tmp_path: Path, *, served: bool, ranges: bool
) -> None:
    make_wheel(tmp_path, "evil", "1.0").rename(tmp_path / "lib-1.0-py3-none-any.whl")
    with (
        IndexServer(folder=tmp_path, metadata=served, ranges=ranges) as index,
        pytest.raises(IndexContentError, match=r"holds the metadata of evil 1.0, not that of its name"),
    ):
        read(index)


def test_a_wheel_that_changes_between_two_pieces_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "lib", "1.0", payload=100_000)
    with (
        IndexServer(folder=tmp_path) as index,
        IndexClient(index.url, policy=_QUICK, environment={}) as reader,
    ):
        file = only_file(reader)
        wheel.write_bytes(wheel.read_bytes()[:50_000])
        with pytest.raises(IndexContentError, match="50,000 bytes on the server, and the index says"):
            reader.metadata(file)


def test_an_sdist_says_what_it_is_only_where_its_metadata_is_served(tmp_path: Path) -> None:
    make_sdist(tmp_path, "lib", "1.0")
    with IndexServer(folder=tmp_path) as index, pytest.raises(IndexContentError, match="which is no wheel"):
        read(index)


def test_the_metadata_of_a_large_wheel_is_read_without_fetching_it(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "lib", "1.0", payload=5_000_000)
    with IndexServer(folder=tmp_path) as index:
        assert read(index).name == "lib"
        ranges = [request.headers["Range"] for request in index.requested(f"/files/{wheel.name}")]
    assert len(ranges) <= 3
    wanted = [[int(place) for place in text.removeprefix("bytes=").split("-")] for text in ranges]
    assert sum(end - start + 1 for start, end in wanted) < 100_000


@pytest.mark.parametrize(
    ("variables", "name", "allowed"),
    [
        ({"UV_INDEX_TEAM_USERNAME": "me", "UV_INDEX_TEAM_PASSWORD": "s3cret"}, "team", True),
        ({"UV_INDEX_TEAM_USERNAME": "me", "UV_INDEX_TEAM_PASSWORD": "wr0ng"}, "team", False),
        ({"UV_INDEX_TEAM_USERNAME": "me", "UV_INDEX_TEAM_PASSWORD": "s3cret"}, "main", False),
    ],
)
def test_credentials_of_the_environment_go_to_the_index_of_their_name(
    tmp_path: Path, variables: dict[str, str], name: str, *, allowed: bool
) -> None:
    make_wheel(tmp_path, "lib", "1.0")
    with (
        IndexServer(folder=tmp_path, credentials=("me", "s3cret")) as index,
        IndexClient(index.url, name=name, policy=_QUICK, environment=variables) as reader,
    ):
        if allowed:
            assert reader.metadata(only_file(reader)).name == "lib"
            return
        with pytest.raises(IndexAccessError) as caught:
            reader.project("lib")
    assert f"UV_INDEX_{name.upper()}_USERNAME" in caught.value.solution
    assert not [
        secret for secret in ("s3cret", "wr0ng") if secret in f"{caught.value!r}{caught.value.solution}"
    ]


def test_credentials_of_a_name_are_not_for_the_public_index(tmp_path: Path) -> None:
    with IndexServer(folder=tmp_path) as index:
        environment = {
            "UV_DEFAULT_INDEX": index.url,
            "UV_INDEX_MAIN_USERNAME": "me",
            "UV_INDEX_MAIN_PASSWORD": "p",
        }
        with IndexClient(None, name="main", policy=_QUICK, environment=environment) as reader:
            assert reader.project("lib") is None
        assert [request.headers.get("Authorization") for request in index.requests] == [None]
