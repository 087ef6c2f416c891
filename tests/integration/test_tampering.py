"""Everything that can be done to a package on its way: each command refuses it, each case in its own words.

A lock is made from what an index tells and from the metadata of wheels, not from their bytes; what only
the bytes can show is refused by the prefetch, before any build.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.locks import resealed
from support.wheels import make_wheel
from support.workshop import Workshop

pytestmark = pytest.mark.integration

_WHEEL = "lib-1.0-py3-none-any.whl"
_FILE = f"/files/{_WHEEL}"
_FINDINGS, _PREFETCH, _CONTENT, _REDIRECT = 1, 20, 26, 28


@dataclass(frozen=True)
class Stage:
    """A workshop with a flavor that requires one package, and a second server by another host's name."""

    shop: Workshop
    flavor: Path
    other: IndexServer

    @property
    def elsewhere(self) -> str:
        return self.other.root.replace("127.0.0.1", "localhost")


@pytest.fixture
def stage(workshop: Workshop) -> Iterator[Stage]:
    make_wheel(workshop.pushed, "lib", "1.0", payload=50_000)
    flavor = workshop.flavor("lib")
    with IndexServer(folder=workshop.pushed) as other:
        yield Stage(shop=workshop, flavor=flavor, other=other)


def _wrong_bytes(stage: Stage) -> None:
    stage.shop.index.fault(_FILE, Fault(wrong_bytes=True))


def _cut_short(stage: Stage) -> None:
    stage.shop.index.fault(_FILE, Fault(truncate=1000))


def _wrong_digest(stage: Stage) -> None:
    stage.shop.index.told[_WHEEL] = "ab" * 32


def _no_digest(stage: Stage) -> None:
    stage.shop.index.told[_WHEEL] = None


def _digest_that_is_none(stage: Stage) -> None:
    stage.shop.index.told[_WHEEL] = "ab"


def _page_elsewhere(stage: Stage) -> None:
    stage.shop.index.fault("/simple/lib/", Fault(status=302, location=f"{stage.elsewhere}/simple/lib/"))


def _file_elsewhere(stage: Stage) -> None:
    stage.shop.index.fault(_FILE, Fault(status=302, location=f"{stage.elsewhere}{_FILE}"))


def _another_package(stage: Stage) -> None:
    make_wheel(stage.shop.pushed, "evil", "1.0", payload=50_000).rename(stage.shop.pushed / _WHEEL)


def _another_version(stage: Stage) -> None:
    make_wheel(stage.shop.pushed, "lib", "2.0", payload=50_000).rename(stage.shop.pushed / _WHEEL)


Tampering = Callable[[Stage], None]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("tamper", "status", "message"),
    [
        (_wrong_bytes, _PREFETCH, f"{_WHEEL}: the index sent sha256:"),
        (_cut_short, _PREFETCH, "is cut short: it has 1,000 bytes, and the index says"),
        (_wrong_digest, _PREFETCH, "the index was pushed again: "),
        (_digest_that_is_none, _CONTENT, "a SHA-256 that is none: 'ab'"),
        (_page_elsewhere, _REDIRECT, "/simple/lib/ is sent on to another host, localhost"),
        (_file_elsewhere, _REDIRECT, f"{_WHEEL} is sent on to another host, localhost"),
        (_another_package, _PREFETCH, "the index was pushed again: "),
    ],
)
def test_a_prefetch_refuses_what_is_not_what_was_locked(
    stage: Stage, tamper: Tampering, status: int, message: str, tmp_path: Path
) -> None:
    stage.shop.locked(stage.flavor)
    tamper(stage)
    run = stage.shop.run("prefetch", stage.flavor.name, "--output", str(tmp_path / "out"))
    assert (run.status, run.out) == (status, "")
    assert message in run.err
    assert _files(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (_another_package, "holds the metadata of evil 1.0, not that of its name"),
        (_another_version, "holds the metadata of lib 2.0, not that of its name"),
    ],
)
@pytest.mark.parametrize("locally", [True, False])
def test_a_prefetch_refuses_another_package_though_its_digest_is_locked(
    stage: Stage, tamper: Tampering, message: str, tmp_path: Path, *, locally: bool
) -> None:
    stage.shop.locked(stage.flavor)
    lock = stage.flavor / "requirements.txt"
    before = stage.shop.index.digest(stage.shop.pushed / _WHEEL)
    tamper(stage)
    text = lock.read_text().replace(before, stage.shop.index.digest(stage.shop.pushed / _WHEEL))
    lock.write_text(resealed(re.sub(r", \d+ bytes", "", text)))
    arguments = ["--find-links", str(stage.shop.pushed)] if locally else []
    for _ in range(2):
        # Nor is it there for the next run to find.
        run = stage.shop.run("prefetch", stage.flavor.name, "--output", str(tmp_path / "out"), *arguments)
        assert run.status == _PREFETCH
        assert f"{_WHEEL} {message}" in run.err
        assert "Do not build with that package" in run.err
        assert _files(tmp_path / "out") == {}


@pytest.mark.parametrize("json_pages", [True, False])
def test_without_a_digest_on_the_page_a_prefetch_believes_the_lock_alone(
    stage: Stage, tmp_path: Path, *, json_pages: bool
) -> None:
    stage.shop.index.json_pages = json_pages
    stage.shop.locked(stage.flavor)
    _no_digest(stage)
    _wrong_bytes(stage)
    run = stage.shop.run("prefetch", stage.flavor.name, "--output", str(tmp_path / "out"))
    assert run.status == _PREFETCH
    assert "and the lock says sha256:" in run.err
    assert _files(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("tamper", "status", "message"),
    [
        (_wrong_bytes, _CONTENT, "is not a valid wheel"),
        (_cut_short, _CONTENT, "is not a valid wheel"),
        (_no_digest, _CONTENT, f"gives no digest of {_WHEEL}"),
        (_digest_that_is_none, _CONTENT, "a SHA-256 that is none: 'ab'"),
        (_page_elsewhere, _REDIRECT, "/simple/lib/ is sent on to another host, localhost"),
        (_another_package, _CONTENT, "holds the metadata of another package than its name says"),
        (_another_version, _CONTENT, f"{_WHEEL} holds the metadata of lib 2.0, not that of its name"),
    ],
)
@pytest.mark.parametrize("locked_before", [True, False])
def test_a_lock_is_not_made_from_what_an_index_does_not_stand_by(
    stage: Stage, tamper: Tampering, status: int, message: str, *, locked_before: bool
) -> None:
    if locked_before:
        stage.shop.locked(stage.flavor)
    before = _files(stage.flavor)
    tamper(stage)
    run = stage.shop.lock(stage.flavor.name, "--upgrade")
    assert message in run.err
    assert run.status == status
    assert _files(stage.flavor) == before


def test_a_file_that_is_elsewhere_is_not_locked(stage: Stage) -> None:
    _file_elsewhere(stage)
    run = stage.shop.lock(stage.flavor.name)
    assert f"{_WHEEL} is sent on to another host, localhost" in run.err
    assert run.status == _REDIRECT
    assert not (stage.flavor / "requirements.txt").exists()


def test_a_digest_that_is_wrong_on_the_page_passes_the_lock_and_not_the_prefetch(
    stage: Stage, tmp_path: Path
) -> None:
    _wrong_digest(stage)
    stage.shop.locked(stage.flavor)
    run = stage.shop.run("prefetch", stage.flavor.name, "--output", str(tmp_path / "out"))
    assert run.status == _PREFETCH
    assert f"{_WHEEL}: the index sent sha256:" in run.err
    assert _files(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("tamper", "status", "message"),
    [
        (_wrong_digest, _FINDINGS, f"re-pushed: {_WHEEL} has other bytes"),
        (_no_digest, _FINDINGS, "gives no digest of"),
        (_digest_that_is_none, _CONTENT, "a SHA-256 that is none: 'ab'"),
        (_page_elsewhere, _REDIRECT, "/simple/lib/ is sent on to another host, localhost"),
        (_another_package, _FINDINGS, f"re-pushed: {_WHEEL} has other bytes"),
    ],
)
def test_verifying_a_lock_tells_what_is_not_as_it_was(
    stage: Stage, tamper: Tampering, status: int, message: str
) -> None:
    stage.shop.locked(stage.flavor)
    tamper(stage)
    run = stage.shop.lock(stage.flavor.name, "--verify")
    assert message in run.out + run.err
    assert run.status == status


@pytest.mark.parametrize(
    ("tamper", "status", "message"),
    [
        (_no_digest, None, "gives no digest of"),
        (_digest_that_is_none, _CONTENT, "a SHA-256 that is none: 'ab'"),
        (_page_elsewhere, _REDIRECT, "/simple/lib/ is sent on to another host, localhost"),
        (_another_package, _CONTENT, "holds the metadata of evil 1.0, not that of its name"),
        (_another_version, _CONTENT, "holds the metadata of lib 2.0, not that of its name"),
    ],
)
def test_rehashing_takes_no_hash_of_what_is_not_the_same_package(
    stage: Stage, tamper: Tampering, status: int | None, message: str
) -> None:
    stage.shop.locked(stage.flavor)
    before = _files(stage.flavor)
    tamper(stage)
    run = stage.shop.run("rehash", stage.flavor.name)
    assert message in run.err
    assert run.status == (status or run.status)
    assert run.status > 2
    assert _files(stage.flavor) == before


@pytest.mark.parametrize("fault", [_wrong_bytes, _cut_short, _file_elsewhere])
def test_rehashing_reads_what_it_takes_the_hash_of(stage: Stage, fault: Tampering) -> None:
    stage.shop.locked(stage.flavor)
    before = _files(stage.flavor)
    make_wheel(stage.shop.pushed, "lib", "1.0", payload=50_000, salt="pushed again")
    fault(stage)
    run = stage.shop.run("rehash", stage.flavor.name)
    assert run.status in {_CONTENT, _REDIRECT}
    assert _files(stage.flavor) == before
