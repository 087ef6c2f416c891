"""What tests of the lock share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.private_index import PrivateWorld
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


@pytest.fixture
def private_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[PrivateWorld]:
    """A private index and a repository of flavors on it, on a machine whose public index is full of bait."""
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_", "XDG_")):
            monkeypatch.delenv(name)
    places = {"HOME": "home", "UV_CACHE_DIR": "uv-cache", "XDG_CACHE_HOME": "cache", "NETRC": "netrc"}
    for name, place in places.items():
        monkeypatch.setenv(name, str(tmp_path / place))
    with make_private_world(tmp_path, capsys) as world:
        monkeypatch.setenv("UV_DEFAULT_INDEX", world.public.url)
        monkeypatch.setenv("PIP_INDEX_URL", world.public.url)
        monkeypatch.chdir(world.elsewhere)
        yield world
