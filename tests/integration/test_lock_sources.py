"""Where ``factory lock`` takes packages from, and what it does when a source refuses or fails."""

from pathlib import Path

import pytest
from support.index_server import Fault, IndexServer
from support.wheels import make_wheel, sha256
from support.workshop import ACCESS, CONFLICT, GAP, Workshop, hashes

from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "variable", ["UV_EXTRA_INDEX_URL", "UV_INDEX", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX"]
)
def test_no_other_index_of_the_environment_leaks_in(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    ours = make_wheel(workshop.pushed, "private", "1.0")
    make_wheel(tmp_path / "public", "private", "9.0")
    with IndexServer(folder=tmp_path / "public") as public:
        monkeypatch.setenv(variable, public.url)
        monkeypatch.setenv("UV_INDEX_STRATEGY", "unsafe-best-match")
        lock = workshop.locked(workshop.flavor("private"))
        assert not public.requests
    assert lock.versions() == {"private": "1.0"}
    assert hashes(lock, "private") == {sha256(ours)}


def test_a_configuration_file_does_not_leak_into_a_private_lock(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "aa", "2.0")
    (tmp_path / "config" / "uv").mkdir(parents=True)
    (tmp_path / "config" / "uv" / "uv.toml").write_text(
        'constraint-dependencies = ["aa<2"]\n[pip]\nresolution = "lowest"\n'
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert workshop.locked(workshop.flavor("aa")).versions() == {"aa": "2.0"}


def test_offline_in_the_environment_is_no_reason_to_fail(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert workshop.locked(workshop.flavor("aa")).versions() == {"aa": "1.0"}


_LEAKS = {
    "an index": '[[index]]\nname = "corp"\nurl = "{url}"\n',
    "extra-index-url": 'extra-index-url = ["{url}"]\n',
    "extra-index-url of pip": '[pip]\nextra-index-url = ["{url}"]\n',
    "find-links": 'find-links = ["{url}aa/"]\n',
    "a strategy": 'index-strategy = "unsafe-best-match"\n[[index]]\nurl = "{url}"\n',
}


@pytest.mark.parametrize("setting", list(_LEAKS.values()), ids=list(_LEAKS))
@pytest.mark.parametrize("index_url", ["", None], ids=["public", "private"])
def test_no_second_index_of_the_machines_configuration_is_asked(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, index_url: str | None
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(tmp_path / "corp", "aa", "9.0")
    with IndexServer(folder=tmp_path / "corp") as corp:
        (tmp_path / "config" / "uv").mkdir(parents=True)
        (tmp_path / "config" / "uv" / "uv.toml").write_text(setting.format(url=corp.url))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("UV_DEFAULT_INDEX", workshop.index.url)
        lock = workshop.locked(workshop.flavor("aa", index_url=index_url))
        assert not corp.requests
    assert lock.versions() == {"aa": "1.0"}


def test_how_hosts_are_reached_is_taken_from_the_machines_configuration(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    (tmp_path / "uv.toml").write_text(f'cache-dir = "{tmp_path / "configured"}"\nresolution = "lowest"\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.delenv("UV_CACHE_DIR")
    make_wheel(workshop.pushed, "aa", "2.0")
    assert workshop.locked(workshop.flavor("aa")).versions() == {"aa": "2.0"}
    assert (tmp_path / "configured").is_dir()


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_the_public_index_is_the_one_that_this_machine_names(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    monkeypatch.setenv(variable, workshop.index.url)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert workshop.locked(workshop.flavor("aa", index_url="")).versions() == {"aa": "1.0"}


def test_credentials_in_the_environment_are_for_the_index_of_that_name(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    workshop.index.credentials = ("me", "s3cret")
    folder = workshop.flavor("aa")
    monkeypatch.setenv("UV_INDEX_MAIN_USERNAME", "me")
    monkeypatch.setenv("UV_INDEX_MAIN_PASSWORD", "s3cret")
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    assert "s3cret" not in run.out + run.err + (folder / "requirements.txt").read_text()


def test_a_flavor_of_the_public_index_has_no_index_line(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", workshop.index.url)
    lock = workshop.locked(workshop.flavor("aa", index_url=""))
    assert lock.versions() == {"aa": "1.0"}
    assert not lock.options


def test_a_folder_of_wheels_serves_beside_the_index(workshop: Workshop, tmp_path: Path) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["tt"])
    local = make_wheel(tmp_path / "wheels", "tt", "2.0+cpu")
    folder = workshop.flavor("aa")
    run = workshop.lock(folder.name, "--find-links", str(tmp_path / "wheels"))
    assert run.status == 0, run.err
    lock = require_lock(folder)
    assert lock.versions() == {"aa": "1.0", "tt": "2.0+cpu"}
    assert hashes(lock, "tt") == {sha256(local)}
    assert lock.beside_index == ("tt",)
    assert lock.as_locked
    assert f"tt comes from {tmp_path / 'wheels'}" in run.err


@pytest.mark.parametrize(("index_url", "status"), [("", 0), (None, GAP)])
def test_folders_of_the_environment_serve_the_public_index_only(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index_url: str | None, status: int
) -> None:
    make_wheel(tmp_path / "wheels", "tt", "2.0+cpu")
    monkeypatch.setenv("UV_DEFAULT_INDEX", workshop.index.url)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    assert workshop.lock(workshop.flavor("tt", index_url=index_url).name).status == status


def test_credentials_come_from_netrc_and_are_shown_nowhere(workshop: Workshop, tmp_path: Path) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    workshop.index.credentials = ("me", "s3cret")
    folder = workshop.flavor("aa", "absent")
    refused = workshop.lock(folder.name)
    assert refused.status == ACCESS
    assert "~/.netrc" in refused.err
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    (tmp_path / "netrc").chmod(0o600)
    lacking = workshop.lock(folder.name)
    assert lacking.status == GAP
    workshop.flavor("aa")
    run = workshop.lock(folder.name)
    assert run.status == 0, run.err
    shown = refused.out + refused.err + lacking.out + lacking.err + run.out + run.err
    assert "s3cret" not in shown + (folder / "requirements.txt").read_text()


def test_an_index_url_with_credentials_is_refused(workshop: Workshop) -> None:
    folder = workshop.flavor("aa", index_url="https://me:s3cret@packages.example.com/simple/")
    run = workshop.lock(folder.name)
    assert run.status == 11
    assert "s3cret" not in run.out + run.err
    assert not (folder / "requirements.txt").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(status=500), Fault(hang=True), Fault(status=401), Fault(status=403)],
    ids=["503", "500", "hang", "401", "403"],
)
def test_an_index_that_does_not_answer_is_no_gap(workshop: Workshop, fault: Fault) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb"])
    make_wheel(workshop.pushed, "bb", "1.0")
    workshop.index.fault("/simple/bb/", fault)
    folder = workshop.flavor("aa")
    run = workshop.lock(folder.name)
    assert run.status == ACCESS
    assert workshop.index.url in run.err
    assert not (folder / "requirements.txt").exists()


def test_an_index_that_is_down_is_no_gap(workshop: Workshop) -> None:
    run = workshop.lock(workshop.flavor("aa", index_url="http://127.0.0.1:9/simple/").name)
    assert run.status == ACCESS


def test_a_requirement_from_a_url_is_refused(workshop: Workshop) -> None:
    run = workshop.lock(workshop.flavor("aa @ git+https://example.com/aa.git").name)
    assert run.status == 11
    assert "required from a URL" in run.err


def test_a_requirement_from_a_url_further_down_is_refused(workshop: Workshop) -> None:
    local = make_wheel(workshop.root / "elsewhere", "bb", "1.0")
    make_wheel(workshop.pushed, "aa", "1.0", requires=[f"bb @ {local.as_uri()}"])
    run = workshop.lock(workshop.flavor("aa").name)
    assert run.status == CONFLICT
    assert "bb" in run.err
