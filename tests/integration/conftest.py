"""What tests of the lock share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.workshop import Workshop


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
