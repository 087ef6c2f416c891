"""An index that is slow without end, or is not waited for any more: every request ends."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_wheel

from factory.errors import IndexAccessError, IndexContentError, ProgramError
from factory.http.download import Spool
from factory.http.parallel import in_parallel
from factory.index.client import IndexClient, RetryPolicy
from factory.process import Cancellation

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_WHEEL = "lib-1.0-py3-none-any.whl"
_FILE = f"/files/{_WHEEL}"
_SHORT = RetryPolicy(
    connect_seconds=1.0,
    read_seconds=1.0,
    total_seconds=0.6,
    stall_seconds=0.3,
    attempts=2,
    first_pause_seconds=0.01,
)
# Of everything an hour: only being stopped can end it.
_ENDLESS = RetryPolicy(read_seconds=3600, total_seconds=3600, stall_seconds=3600, first_pause_seconds=3600)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    make_wheel(tmp_path / "files", "lib", "1.0", payload=100_000)
    with IndexServer(folder=tmp_path / "files", sizes=False) as served:
        yield served


def _page(reader: IndexClient, index: IndexServer) -> None:
    reader.project("lib")


def _download(reader: IndexClient, index: IndexServer) -> None:
    with Spool() as spool:
        reader.fetch(f"{index.root}{_FILE}", spool)


def _metadata(reader: IndexClient, index: IndexServer) -> None:
    (file,) = reader.project("lib") or ()
    reader.metadata(file)


_WAYS = pytest.mark.parametrize(
    ("path", "ask"), [("/simple/lib/", _page), (_FILE, _download), (_FILE, _metadata)]
)
_Ask = Callable[[IndexClient, IndexServer], None]


@_WAYS
@pytest.mark.parametrize("header", [True, False])
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for_to_its_end(
    index: IndexServer, path: str, ask: _Ask, *, header: bool
) -> None:
    index.fault(path, Fault(drip=0.05, drip_header=header))
    with (
        IndexClient(index.url, environment={}, policy=_SHORT) as reader,
        pytest.raises(IndexAccessError, match="sends too slowly to come to an end"),
    ):
        ask(reader, index)


@_WAYS
@pytest.mark.parametrize(
    "fault", [Fault(hang=True), Fault(drip=0.05), Fault(drip=0.05, drip_header=True), Fault(status=503)]
)
def test_stopping_ends_what_is_waited_for(index: IndexServer, path: str, ask: _Ask, fault: Fault) -> None:
    index.fault(path, fault)
    stop = Cancellation()
    begun = threading.Timer(0.3, stop.stop)
    with IndexClient(index.url, environment={}, policy=_ENDLESS, stop=stop) as reader:
        begun.start()
        with pytest.raises(ProgramError, match="was interrupted"):
            ask(reader, index)


def test_the_cancellation_of_a_thread_stops_its_clients(index: IndexServer) -> None:
    stop = Cancellation()
    with stop.active(), IndexClient(index.url, environment={}) as reader:
        stop.stop()
        with pytest.raises(ProgramError):
            reader.project("lib")
    assert index.requests == []


def test_a_failure_of_one_ends_the_waiting_of_the_others(index: IndexServer) -> None:
    index.fault("/simple/slow/", Fault(hang=True))
    index.fault("/simple/lib/", Fault(status=403))
    with (
        IndexClient(index.url, environment={}, policy=_ENDLESS) as reader,
        pytest.raises(IndexAccessError, match="403"),
    ):
        in_parallel(reader.project, ["lib", "slow"], jobs=2, stop=reader.stop)


@pytest.mark.parametrize(
    ("told", "message"), [(5_000, "is larger than the index says"), (500_000, "is cut short: it has")]
)
def test_a_file_of_another_size_than_its_page_says_is_stopped(
    index: IndexServer, told: int, message: str
) -> None:
    index.sizes, index.told_sizes = True, {_WHEEL: told}
    with IndexClient(index.url, environment={}, policy=_SHORT) as reader, Spool() as spool:
        (file,) = reader.project("lib") or ()
        with pytest.raises(IndexContentError, match=message):
            reader.fetch(file.url, spool, size=file.size)
        assert spool.received <= told
        with pytest.raises(IndexContentError, match="bytes on the server, and the index says"):
            reader.metadata(file)
