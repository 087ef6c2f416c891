"""What tests of the lock share."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.locked_once import LockedOnce
from support.private_index import PrivateWorld, index_servers, make_private_index
from support.private_index import private_world as make_private_world
from support.workshop import Workshop


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that another run kept: an index on loopback may get a port that one had before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def workshop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Workshop]:
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    pushed = tmp_path / "pushed"
    pushed.mkdir()
    (tmp_path / "repository" / "flavors").mkdir(parents=True)
    with IndexServer(folder=pushed) as index:
        yield Workshop(root=tmp_path / "repository", pushed=pushed, index=index, capsys=capsys)


@pytest.fixture(scope="session")
def _index_servers() -> Iterator[Mapping[str, IndexServer]]:
    """One set for all tests, so that the same repository has the same URLs in each."""
    with index_servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def _private_index(
    tmp_path_factory: pytest.TempPathFactory, _index_servers: Mapping[str, IndexServer]
) -> Path:
    """Made once; each test changes a copy of its own."""
    folder = tmp_path_factory.mktemp("private-index")
    make_private_index(folder, _index_servers)
    return folder


@pytest.fixture(scope="session")
def _locked_once(tmp_path_factory: pytest.TempPathFactory) -> LockedOnce:
    return LockedOnce(tmp_path_factory.mktemp("locked"))


@pytest.fixture
def private_world(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    _index_servers: Mapping[str, IndexServer],
    _private_index: Path,
    _locked_once: LockedOnce,
) -> PrivateWorld:
    """A private index and a repository of flavors on it, on a machine whose public index is full of bait."""
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_", "XDG_")):
            monkeypatch.delenv(name)
    places = {"HOME": "home", "UV_CACHE_DIR": "uv-cache", "XDG_CACHE_HOME": "cache", "NETRC": "netrc"}
    for name, place in places.items():
        monkeypatch.setenv(name, str(tmp_path / place))
    caches = tuple(tmp_path / places[name] for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME"))
    world = make_private_world(tmp_path, _private_index, capsys, _index_servers, _locked_once, caches)
    monkeypatch.setenv("UV_DEFAULT_INDEX", world.public.url)
    monkeypatch.setenv("PIP_INDEX_URL", world.public.url)
    monkeypatch.chdir(world.elsewhere)
    return world
