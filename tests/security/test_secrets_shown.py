"""Secrets that stand in addresses, or are written down on the way: none is printed, and none is left."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.layouts import small_image
from support.stub_registry import Reply, stub_registry
from support.wheels import make_wheel
from support.workshop import Workshop

from factory.errors import IndexAccessError, StorageError
from factory.files import private_folder, scratch_folder
from factory.lock.uv import Request, resolve

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_SECRET = "s3cret-t0ken"
_NAME = "th09-cpu-torch2110-py312"


@pytest.fixture
def public(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[IndexServer]:
    """A public index that wants a login, and a locked flavor of it."""
    make_wheel(workshop.pushed, "app", "1.0", headers=["License-Expression: MIT"])
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with IndexServer(folder=workshop.pushed, metadata=True) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        workshop.locked(workshop.flavor("app", index_url=""))
        index.credentials = ("me", _SECRET)
        yield index


_COMMANDS = [
    ("lock", _NAME),
    ("lock", _NAME, "--upgrade", "--json"),
    ("lock", _NAME, "--check", "--json"),
    ("lock", _NAME, "--verify"),
    ("rehash", _NAME, "--json"),
    ("index-gaps", _NAME),
    ("prefetch", _NAME, "--json"),
    ("sbom", _NAME),
    ("bump", _NAME, "app=2.0", "--json"),
]


@pytest.mark.parametrize("form", ["right login", "wrong login", "query", "login with a slash"])
def test_no_command_shows_a_secret_of_the_index_it_asks(
    workshop: Workshop, public: IndexServer, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    urls = {
        "right login": public.url.replace("//", f"//me:{_SECRET}@"),
        "wrong login": public.url.replace("//", f"//me:not@the-{_SECRET}@"),
        "query": f"{public.url}?token={_SECRET}",
        "login with a slash": public.url.replace("//", f"//me:/{_SECRET}@"),
    }
    monkeypatch.setenv("UV_DEFAULT_INDEX", urls[form])
    # What is taken for a host is looked for again and again.
    commands = _COMMANDS[:2] if form == "login with a slash" else _COMMANDS
    for command in commands:
        run = workshop.run(*command)
        assert _SECRET not in run.out + run.err, command
    written = [path for path in workshop.root.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if _SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "address",
    [
        f"quay.io/team?x={_SECRET}",
        f"quay.io/team?{_SECRET}",
        f"me:{_SECRET}@quay.io/team",
        f"{_SECRET}@quay.io/team",
        f"me:a/{_SECRET}@quay.io/team",
        f"https://me:{_SECRET}@quay.io/team",
        f"https://quay.io/team#token={_SECRET}",
        f"{_SECRET}@quay.io?x",
    ],
)
@pytest.mark.parametrize("command", ["push", "sbom"])
def test_no_command_shows_a_secret_of_the_registry_it_is_given(
    workshop: Workshop, tmp_path: Path, address: str, command: str
) -> None:
    workshop.flavor("app")
    words = {
        "push": ("push", small_image(tmp_path / "image").reference, "--to", address),
        "sbom": ("sbom", _NAME, "--attach-to", f"{address}@sha256:{'0' * 64}"),
    }
    run = workshop.run(*words[command], *(["--json"] if "?" in address else []))
    assert run.status not in {0, 1}
    assert _SECRET not in run.out + run.err


def test_no_command_shows_the_login_that_somebody_wrote_into_a_lock(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "app", "1.0")
    folder = workshop.flavor("app")
    workshop.locked(folder)
    path = folder / "requirements.txt"
    text = path.read_text().replace("--index-url http://", f"--index-url http://me:{_SECRET}@")
    path.write_text(f"{text}other @ https://{_SECRET}@a.example/other-1.0-py3-none-any.whl\n")
    commands = [("lock", _NAME, "--verify", "--json"), ("lock", _NAME, "--check"), ("prefetch", _NAME)]
    for command in (*commands, *((word, _NAME, "--json") for word in ("check", "show", "layers"))):
        run = workshop.run(*command)
        assert _SECRET not in run.out + run.err, command


def test_wrong_usage_shows_no_secret(workshop: Workshop) -> None:
    for arguments in (
        ("check", "--to", f"https://me:{_SECRET}@a/"),
        (f"https://me:{_SECRET}@a/",),
        ("sbom", "a", "--format", f"https://a/?x={_SECRET}"),
    ):
        for words in (arguments, (*arguments, "--json")):
            run = workshop.run(*words)
            assert run.status not in {0, 1}
            assert _SECRET not in run.out + run.err


@pytest.mark.parametrize("source", ["url", "environment", "netrc"])
def test_uv_gets_no_login_for_an_index_that_speaks_plain_http_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    url = "http://index.example/simple/"
    netrc = tmp_path / "netrc"
    netrc.write_text(
        f"machine {'index' if source == 'netrc' else 'other'}.example login me password {_SECRET}\n"
    )
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    if source == "environment":
        monkeypatch.setenv("UV_INDEX_MAIN_USERNAME", "me")
        monkeypatch.setenv("UV_INDEX_MAIN_PASSWORD", _SECRET)
    if source == "url":
        monkeypatch.setenv("UV_DEFAULT_INDEX", url.replace("//", f"//me:{_SECRET}@"))
    request = Request(
        requirements=("app",),
        python="3.12",
        platform="linux/amd64",
        glibc="2.28",
        index_url=None if source == "url" else url,
    )
    with stub_registry(lambda _: Reply(status=401)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        with pytest.raises(IndexAccessError, match="by plain HTTP none is sent"):
            resolve(request)
        assert proxy.seen
        assert not any(said.login for said in proxy.seen)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_lock_wrote_is_removed_by_the_next_run(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: signal.Signals
) -> None:
    """A proxy's password goes into uv's configuration, since uv has no other way to be given it."""
    make_wheel(workshop.pushed, "app", "1.0")
    folder = workshop.flavor("app")
    settings = tmp_path / "settings" / "uv" / "uv.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'http-proxy = "http://me:{_SECRET}@127.0.0.1:9"\nno-proxy = ["127.0.0.1"]\n')
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.delenv("UV_NO_CONFIG", raising=False)
    workshop.index.fault("/simple/app/", Fault(hang=True, times=1))

    def written() -> list[Path]:
        files = [path for path in temporary.rglob("*") if path.is_file()]
        return [path for path in files if _SECRET.encode() in path.read_bytes()]

    command = [sys.executable, "-m", "factory", "--root", str(workshop.root), "lock", folder.name]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while not written() and run.poll() is None:
            time.sleep(0.02)
        (secret,) = written()
        assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(secret.parent.parent.stat().st_mode) == 0o700
        run.send_signal(kind)
    workshop.index.fault("/simple/app/", None)
    assert bool(written()) == (kind == signal.SIGKILL)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    workshop.locked(folder)
    assert not written()
    assert not [path for path in temporary.rglob("*") if path.is_file()]


def test_a_folder_in_use_is_not_removed_by_another_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as first:
        (first / "secret").write_text(_SECRET)
        script = "import factory.files as f\nwith f.scratch_folder() as folder: print(folder)"
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        other = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, check=True
        )
        assert Path(other.stdout.decode().strip()).parent == first.parent
        assert (first / "secret").exists()
    assert not list(first.parent.iterdir())


@pytest.mark.parametrize("trap", ["link", "open to others"])
def test_secrets_are_not_written_where_somebody_else_may_read_them(tmp_path: Path, trap: str) -> None:
    folder = tmp_path / "shared"
    if trap == "link":
        (tmp_path / "of-somebody").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "of-somebody")
    else:
        folder.mkdir()
        folder.chmod(0o755)
    with pytest.raises(StorageError, match="somebody else"):
        private_folder(folder)
