"""Which index a machine is set up for: uv itself is asked, and its answer is the expected one."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.wheels import make_wheel

from factory.errors import IndexAccessError
from factory.index.configured import public_index_url
from factory.lock.uv import Request, resolve

pytestmark = pytest.mark.integration

_USER = ".config/uv/uv.toml"
_SYSTEM = "system/uv/uv.toml"
_FIRST = "1/uv/uv.toml"
_URL = 'index-url = "{%s}"\n'
_PIP = '[pip]\nindex-url = "{%s}"\n'
_DEFAULT = '[[index]]\nurl = "{%s}"\ndefault = true\n'


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[dict[str, IndexServer]]:
    """Three indexes of the same package."""
    with ExitStack() as stack:
        folders = {name: tmp_path / "indexes" / name for name in "abc"}
        for folder in folders.values():
            make_wheel(folder, "lib", "1.0")
        yield {name: stack.enter_context(IndexServer(folder=folder)) for name, folder in folders.items()}


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({_USER: _URL % "a"}, {}),
        ({_USER: _DEFAULT % "a"}, {}),
        ({_USER: _URL % "b" + _DEFAULT % "a"}, {}),
        ({_USER: _DEFAULT % "a" + _DEFAULT % "b"}, {}),
        ({_USER: _URL % "b" + _PIP % "a"}, {}),
        ({_USER: _PIP % "b" + _DEFAULT % "a"}, {}),
        ({_USER: _URL % "a", _SYSTEM: _URL % "b"}, {}),
        ({_USER: _URL % "b", _SYSTEM: _DEFAULT % "a"}, {}),
        ({_USER: _URL % "b", _SYSTEM: _PIP % "a"}, {}),
        ({_USER: _DEFAULT % "a", _SYSTEM: _DEFAULT % "b"}, {}),
        ({_SYSTEM: _URL % "a"}, {}),
        ({_SYSTEM: _URL % "b", _FIRST: _URL % "a"}, {"XDG_CONFIG_DIRS": "{root}/0:{root}/1:{root}/system"}),
        ({_USER: _URL % "b", "other/uv/uv.toml": _URL % "a"}, {"XDG_CONFIG_HOME": "{root}/other"}),
        ({_USER: _URL % "a"}, {"XDG_CONFIG_HOME": "not/absolute"}),
        ({_USER: _DEFAULT % "b", "my.toml": _URL % "a"}, {"UV_CONFIG_FILE": "{root}/my.toml"}),
        ({_USER: _DEFAULT % "b", "my": _URL % "a"}, {"UV_CONFIG_FILE": "{root}/my", "UV_NO_CONFIG": "1"}),
        ({_USER: _DEFAULT % "b"}, {"UV_INDEX_URL": "{a}"}),
        ({_USER: _DEFAULT % "b"}, {"UV_DEFAULT_INDEX": "named={a}", "UV_INDEX_URL": "{c}"}),
        ({_USER: _DEFAULT % "b"}, {"UV_INDEX_URL": "{a}", "UV_NO_CONFIG": "true"}),
        ({_USER: _DEFAULT % "a"}, {"UV_NO_CONFIG": "0", "PIP_INDEX_URL": "{b}"}),
    ],
)  # fmt: skip
def test_the_public_index_is_the_one_that_uv_locks_from(
    indexes: dict[str, IndexServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    variables: dict[str, str],
) -> None:
    values = {name: index.url for name, index in indexes.items()} | {"root": str(tmp_path)}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**values))
    places = {"HOME": "{root}", "UV_CACHE_DIR": "{root}/cache", "XDG_CONFIG_DIRS": "{root}/system"}
    for name in os.environ:
        if name.startswith(("UV_", "PIP_", "XDG_")):
            monkeypatch.delenv(name)
    for name, value in (places | variables).items():
        monkeypatch.setenv(name, value.format(**values))
    assert public_index_url(os.environ) == indexes["a"].url
    resolve(
        Request(requirements=("lib",), python="3.11", platform="linux/amd64", glibc="2.34", index_url=None)
    )
    assert {name for name, index in indexes.items() if index.requests} == {"a"}


def test_a_machine_may_set_its_configuration_aside(tmp_path: Path) -> None:
    path = tmp_path / _USER
    path.parent.mkdir(parents=True)
    path.write_text(_URL % "a")
    environment = {"HOME": str(tmp_path), "UV_NO_CONFIG": "1", "PIP_INDEX_URL": "http://pips.example/"}
    assert public_index_url(environment) == "http://pips.example/"


@pytest.mark.parametrize(
    "content", [b"[[[ s3cret", b"\xff", b'index = "s3cret"', b"index = [{default = true}]", b"pip = 7", None]
)
def test_a_configuration_that_cannot_be_read_is_an_error_that_does_not_repeat_it(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "uv.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IndexAccessError, match=r"uv\.toml, uv's configuration") as caught:
        public_index_url({"UV_CONFIG_FILE": str(path)})
    assert "s3cret" not in caught.value.reason
