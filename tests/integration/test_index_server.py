"""The loopback index and the wheels of tests/support are what real clients take them for."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.wheels import make_sdist, make_wheel, sha256

pytestmark = pytest.mark.integration

_COMPILE = ("-m", "uv", "pip", "compile", "--no-config", "--no-cache", "--generate-hashes", "--no-header")


def _uv(*words: str | Path, stdin: str = "") -> str:
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("json_pages", [True, False])
@pytest.mark.parametrize("metadata", [True, False])
def test_uv_resolves_against_it(tmp_path: Path, *, json_pages: bool, metadata: bool) -> None:
    folder = tmp_path / "files"
    app = make_wheel(
        folder, "Some.App", "1.0", requires=["lib>=1"], extras={"more": ["extra-lib; python_version > '3'"]}
    )
    old, new = make_wheel(folder, "lib", "1.0"), make_wheel(folder, "lib", "2.0")
    extra = make_sdist(folder, "extra-lib", "0.1")
    with IndexServer(folder=folder, json_pages=json_pages, metadata=metadata) as index:
        lock = _uv(*_COMPILE, "--index-url", index.url, "-", stdin="some-app[more]")
        assert bool(index.requested(f"/files/{app.name}.metadata")) is metadata
    for path in (app, new, extra):
        assert sha256(path) in lock
    assert sha256(old) not in lock


def test_uv_installs_a_made_wheel(tmp_path: Path) -> None:
    make_wheel(tmp_path / "files", "some-app", "1.0", modules={"some_app.py": "ANSWER = 42\n"}, payload=1000)
    with IndexServer(folder=tmp_path / "files", credentials=("me", "s3cret")) as index:
        url = index.url.replace("//", "//me:s3cret@")
        _uv(
            *("-m", "uv", "pip", "install", "--no-config", "--no-cache", "--index-url", url),
            *("--target", tmp_path / "site", "some-app"),
        )
    assert (tmp_path / "site" / "some_app.py").read_text() == "ANSWER = 42\n"


def test_a_made_wheel_has_the_same_bytes_again_and_others_with_salt(tmp_path: Path) -> None:
    first = sha256(make_wheel(tmp_path / "a", "lib", "1.0", payload=100))
    assert sha256(make_wheel(tmp_path / "b", "lib", "1.0", payload=100)) == first
    assert sha256(make_wheel(tmp_path / "c", "lib", "1.0", payload=100, salt="again")) != first
