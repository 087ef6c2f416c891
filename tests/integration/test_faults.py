"""An index that fails: every command ends in bounded time, says what happened, and changes nothing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.prefetch_site import Site, prefetch_site
from support.wheels import make_wheel
from support.workshop import ACCESS, Workshop

from factory.errors import IndexAccessError
from factory.index.client import IndexClient, RetryPolicy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

_WHEEL = "/files/lib-1.0-py3-none-any.whl"
_PAGE = "/simple/lib/"
_UNWELL = Fault(status=503, retry_after="0")
_HALF = Fault(close_after=500)
_HANGS = Fault(hang=True)
_QUICK = RetryPolicy(
    connect_seconds=1.0,
    read_seconds=0.3,
    total_seconds=3.0,
    stall_seconds=0.5,
    attempts=3,
    first_pause_seconds=0.01,
)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("path", "fault", "message"),
    [
        (_PAGE, _UNWELL, "503 Service Unavailable"),
        (_PAGE, _HANGS, "did not answer as an index does"),
        (_PAGE, Fault(body=b"<html></html>", close_after=3), None),
        (_WHEEL, _UNWELL, "503 Service Unavailable"),
        (_WHEEL, _HANGS, "did not answer as an index does"),
        (_WHEEL, _HALF, None),
    ],
)
@pytest.mark.parametrize("locked_before", [True, False])
def test_a_lock_stays_as_it_was(
    workshop: Workshop, path: str, fault: Fault, message: str | None, *, locked_before: bool
) -> None:
    make_wheel(workshop.pushed, "lib", "1.0", payload=50_000)
    flavor = workshop.flavor("lib")
    if locked_before:
        workshop.locked(flavor)
    make_wheel(workshop.pushed, "lib", "1.0", payload=50_000, salt="pushed again")
    before = _files(workshop.root)
    workshop.index.fault(path, fault)
    run = workshop.lock(flavor.name)
    assert run.status > 2
    assert "nothing was written" in run.out
    assert "error: " in run.err
    if message is not None:
        assert message in run.err
        assert run.status == ACCESS
    assert _files(workshop.root) == before


@pytest.mark.parametrize("command", [("lock", "--verify"), ("lock", "--check"), ("rehash",)])
def test_a_lock_that_cannot_be_held_against_its_index_is_neither_right_nor_changed(
    workshop: Workshop, command: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "lib", "1.0")
    flavor = workshop.flavor("lib")
    workshop.locked(flavor)
    before = _files(workshop.root)
    workshop.index.fault(_PAGE, Fault(status=503, retry_after="0"))
    run = workshop.run(*command, flavor.name)
    assert run.status == ACCESS
    assert "503" in run.err
    assert _files(workshop.root) == before


def _unwell(site: Site) -> None:
    site.index.fault("/files/tiny-0.1-py3-none-any.whl", _UNWELL)


def _page_unwell(site: Site) -> None:
    site.index.fault("/simple/tiny/", _UNWELL)


def _closes_half_way(site: Site) -> None:
    # The first part comes again and again: a server that honours no ranges.
    site.index.ranges = False
    site.index.fault("/files/tiny-0.1-py3-none-any.whl", _HALF)


def _hangs(site: Site) -> None:
    site.index.fault("/files/tiny-0.1-py3-none-any.whl", _HANGS)


def _page_hangs(site: Site) -> None:
    site.index.fault("/simple/tiny/", _HANGS)


def _drips(site: Site) -> None:
    site.index.sizes = False
    site.index.fault("/files/tiny-0.1-py3-none-any.whl", Fault(drip=0.05, drip_header=True))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_page_unwell, "answers HTTP 503"),
        (_page_hangs, "did not answer in time"),
        (_unwell, "answers HTTP 503"),
        (_closes_half_way, "dropped the connection"),
        (_hangs, "did not answer in time"),
        (_drips, "did not answer in time|sends too slowly"),
    ],
)
def test_a_prefetch_goes_on_later_from_what_is_right(
    tmp_path: Path, spoil: Callable[[Site], None], message: str
) -> None:
    with prefetch_site(tmp_path) as site:
        spoil(site)
        error = site.fails()
        assert isinstance(error, IndexAccessError)
        assert re.search(message, error.reason)
        # What is under its name is whole (`Site.fails`), and the file that failed is not.
        assert not (site.artifacts / "tiny-0.1-py3-none-any.whl").exists()
        for path in ("/files/tiny-0.1-py3-none-any.whl", "/simple/tiny/"):
            site.index.fault(path, None)
        assert site.prefetch().artifacts == 3


def test_a_prefetch_that_cannot_be_planned_changes_nothing(tmp_path: Path) -> None:
    with prefetch_site(tmp_path) as site:
        site.prefetch()
        site.wheels.append(make_wheel(site.index.folder, "more", "1.0"))
        site.lock()
        right = {path.name: path.read_bytes() for path in site.artifacts.iterdir()}
        site.index.fault("/simple/more/", _UNWELL)
        assert isinstance(site.fails(), IndexAccessError)
        assert {path.name: path.read_bytes() for path in site.artifacts.iterdir()} == right


@pytest.mark.parametrize(("path", "served"), [(_PAGE, True), (f"{_WHEEL}.metadata", True), (_WHEEL, False)])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_UNWELL, "answers HTTP 503, 3 times in a row"),
        (_HANGS, "did not answer in time, 2 times in a row"),
        (Fault(body=b"<html></html>", close_after=3), "dropped the connection .*, 3 times in a row"),
        (Fault(drip=0.05), "sends too slowly to come to an end|did not answer in time"),
    ],
)
def test_metadata_that_does_not_come_is_not_kept_as_if_it_had(
    tmp_path: Path, path: str, fault: Fault, message: str, *, served: bool
) -> None:
    make_wheel(tmp_path / "files", "lib", "1.0")
    with (
        IndexServer(folder=tmp_path / "files", metadata=served, sizes=False) as index,
        IndexClient(index.url, environment={}, policy=_QUICK, cache=tmp_path / "cache") as reader,
    ):
        index.fault(path, fault)
        with pytest.raises(IndexAccessError, match=message):
            reader.metadata((reader.project("lib") or ())[0])
        assert not (tmp_path / "cache").exists()
        index.fault(path, None)
        assert reader.metadata((reader.project("lib") or ())[0]).name == "lib"
