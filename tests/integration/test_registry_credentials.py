"""Whom a registry is told is asking: helper programs, Amazon, Google; and that nobody else comes to know."""

import base64
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.aws import HOST as AMAZON
from support.aws import amazon
from support.push_site import REGISTRY_ERROR, TAG, Site, push_site
from support.registry import PASSWORD, USER

from factory.cli.main import main
from factory.errors import RegistryError
from factory.http.origins import Login
from factory.registry.credentials import Credentials
from factory.registry.declared import DriverName, Registry

pytestmark = pytest.mark.integration

_SECRETS = (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


def _program(folder: Path, name: str, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return path


def _helper(folder: Path, name: str, *, user: str = USER, password: str = PASSWORD) -> Path:
    """A credential helper that writes down what it was asked, and answers with a login."""
    said = json.dumps({"ServerURL": "x", "Username": user, "Secret": password})
    asked = folder / f"{name}.asked"
    return _program(
        folder, f"docker-credential-{name}", f'{{ echo "$@"; cat; echo; }} >> {asked}', f"echo '{said}'"
    )


def _registry(host: str, driver: DriverName = "oci") -> Registry:
    return Registry(name="far", url=f"{host}/team", kind="persistent", driver=driver)


def _environment(folder: Path, document: object = None) -> dict[str, str]:
    """An environment whose PATH is the folder, and the system's; with a file of logins."""
    path = folder / "logins.json"
    path.write_text(json.dumps(document or {}))
    return {"PATH": f"{folder}:{os.environ['PATH']}", "REGISTRY_AUTH_FILE": str(path), "HOME": str(folder)}


def _path_alone(folder: Path) -> str:
    """A PATH on which nothing is found but the folder's programs: no gcloud of this machine."""
    (folder / "cat").symlink_to(shutil.which("cat") or "cat")
    return str(folder)


@pytest.mark.parametrize(
    ("document", "asked"),
    [
        ({"credHelpers": {"quay.io": "one"}}, "quay.io"),
        ({"credsStore": "one"}, "quay.io"),
        ({"credsStore": "one", "auths": {"quay.io": {}}}, "quay.io"),
        ({"credHelpers": {"quay.io": "one"}, "auths": {"quay.io": {"auth": "eDp5"}}}, "quay.io"),
    ],
)
def test_the_helper_that_a_file_names_is_asked_once(tmp_path: Path, document: object, asked: str) -> None:
    _helper(tmp_path, "one")
    credentials = Credentials(_registry("quay.io"), _environment(tmp_path, document))
    for repository in ("team/x", "team/y"):
        assert credentials.of(repository) == Login(user=USER, password=PASSWORD)
    assert (tmp_path / "one.asked").read_text().split() == ["get", asked]


def test_what_the_file_itself_says_goes_before_the_store_for_all(tmp_path: Path) -> None:
    _helper(tmp_path, "one")
    document = {"credsStore": "one", "auths": {"quay.io": {"auth": "eDp5"}}}
    credentials = Credentials(_registry("quay.io"), _environment(tmp_path, document))
    assert credentials.of("team/x") == Login(user="x", password="y")
    assert not (tmp_path / "one.asked").exists()


def test_dockers_public_registry_has_the_name_of_its_own(tmp_path: Path) -> None:
    _helper(tmp_path, "one")
    environment = _environment(tmp_path, {"credsStore": "one"})
    assert Credentials(_registry("docker.io"), environment).of("team/x") is not None
    assert (tmp_path / "one.asked").read_text().split() == ["get", "https://index.docker.io/v1/"]
    document = {"auths": {"https://index.docker.io/v1/": {"auth": "eDp5"}}}
    login = Credentials(_registry("docker.io"), _environment(tmp_path, document)).of("team/x")
    assert login == Login(user="x", password="y")


def test_a_helper_that_knows_nothing_is_no_login(tmp_path: Path) -> None:
    _program(tmp_path, "docker-credential-one", f"echo {PASSWORD} not found; exit 1")
    environment = _environment(tmp_path, {"credsStore": "one"})
    assert Credentials(_registry("quay.io"), environment).of("team/x") is None


@pytest.mark.parametrize(
    ("helper", "says"),
    [("absent", "not on PATH"), ("../one", "is not the name of a credential helper"), ("odd", "no login")],
)
def test_a_helper_that_cannot_be_asked_is_told_and_its_output_is_not(
    tmp_path: Path, helper: str, says: str
) -> None:
    _program(tmp_path, "docker-credential-odd", f"echo {PASSWORD}")
    environment = _environment(tmp_path, {"credsStore": helper})
    with pytest.raises(RegistryError, match=says) as caught:
        Credentials(_registry("quay.io"), environment).of("team/x")
    assert PASSWORD not in caught.value.reason + caught.value.solution


def test_amazon_gives_a_login_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with amazon(monkeypatch):
        credentials = Credentials(_registry(AMAZON, "ecr"), os.environ)
        first, second = credentials.of("team/x"), credentials.of("team/y")
    assert first is not None
    # As ECR's documentation has it: the user is AWS. The password is moto's.
    assert (first.user, bool(first.password)) == ("AWS", True)
    assert second is first


def test_amazon_that_refuses_is_told_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with amazon(monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(RegistryError, match=r"no login for .* \(EndpointConnectionError\)"):
            Credentials(_registry(AMAZON, "ecr"), os.environ).of("team/x")


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(RegistryError, match="boto3 is not installed") as caught:
        Credentials(_registry(AMAZON, "ecr"), os.environ).of("team/x")
    assert "[aws]" in caught.value.solution


@pytest.mark.parametrize("driver", ["ecr", "artifact-registry"])
def test_a_cloud_s_login_is_for_its_own_hosts(tmp_path: Path, driver: DriverName) -> None:
    _helper(tmp_path, "gcr")
    for host in ("quay.io", f"{AMAZON}.example.com", "europe-docker.pkg.dev.example.com"):
        with pytest.raises(RegistryError, match="gets none of its logins"):
            Credentials(_registry(host, driver), _environment(tmp_path)).of("team/x")
    assert not (tmp_path / "gcr.asked").exists()


def test_google_s_helper_is_asked_before_gcloud(tmp_path: Path) -> None:
    host = "europe-docker.pkg.dev"
    environment = _environment(tmp_path) | {"PATH": _path_alone(tmp_path)}
    with pytest.raises(RegistryError, match="neither docker-credential-gcr nor gcloud is on PATH"):
        Credentials(_registry(host, "artifact-registry"), environment).of("project/x")
    _program(tmp_path, "gcloud", '[ "$*" = "auth print-access-token" ] && echo a-token')
    login = Credentials(_registry(host, "artifact-registry"), environment).of("project/x")
    assert login == Login(user="oauth2accesstoken", password="a-token")
    _helper(tmp_path, "gcr")
    login = Credentials(_registry(host, "artifact-registry"), environment).of("project/x")
    assert login == Login(user=USER, password=PASSWORD)
    assert (tmp_path / "gcr.asked").read_text().split() == ["get", host]


def test_google_s_programs_that_are_not_logged_in_are_named(tmp_path: Path) -> None:
    _program(tmp_path, "docker-credential-gcr", f"echo {PASSWORD}; exit 1")
    environment = _environment(tmp_path) | {"PATH": _path_alone(tmp_path)}
    with pytest.raises(RegistryError, match="docker-credential-gcr gave none") as caught:
        Credentials(_registry("gcr.io", "artifact-registry"), environment).of("project/x")
    assert PASSWORD not in caught.value.reason


@pytest.fixture
def guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    """A registry that wants a login, and programs that write down what they are told."""
    with push_site(tmp_path, monkeypatch, capsys, login=True) as site:
        for name in ("skopeo", "podman", "docker", "buildah"):
            _program(tmp_path / "bin", name, f'echo "$@" >> {tmp_path}/words', "env >> {tmp_path}/words")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        yield site


def test_a_push_with_a_login_of_a_helper_tells_it_to_the_registry_alone(
    guarded: Site, tmp_path: Path
) -> None:
    image = guarded.image()
    refused = guarded.push(image.reference, "--to", "near", status=REGISTRY_ERROR)
    assert "refuses access" in refused["outcomes"][0]["error"]["reason"]
    assert "podman login" in refused["outcomes"][0]["error"]["solution"]
    _helper(tmp_path / "bin", "gcr")
    (guarded.root / "factory.toml").write_text(
        f'[registries.near]\nurl = "{guarded.server.host}/team/images"\nclass = "persistent"\n'
        'driver = "artifact-registry"\n'
    )
    (outcome,) = guarded.push(image.reference, "--to", "near")["outcomes"]
    assert [tag["tag"] for tag in outcome["tags"]] == [TAG, "latest"]
    assert [tag["digest"] for tag in outcome["tags"]] == [image.digest] * 2
    with pytest.raises(SystemExit):
        main(["--root", str(guarded.root), "push", image.reference, "--to", "near", "--tags", "x"])
    out, err = guarded.capsys.readouterr()
    for secret in _SECRETS:
        assert secret not in out + err + guarded.err + json.dumps(outcome)
        assert secret not in guarded.server.log.read_text()
    # No other program was told a word.
    assert not (tmp_path / "words").exists()


def test_a_wrong_login_is_refused_and_not_shown(guarded: Site, tmp_path: Path) -> None:
    logins = tmp_path / "home" / ".docker" / "config.json"
    logins.parent.mkdir(parents=True)
    encoded = base64.b64encode(f"{USER}:wrong-{PASSWORD}".encode()).decode()
    logins.write_text(json.dumps({"auths": {guarded.server.host: {"auth": encoded}}}))
    report = guarded.push(guarded.image().reference, "--to", "near", status=REGISTRY_ERROR)
    assert "refuses access" in report["outcomes"][0]["error"]["reason"]
    assert not [secret for secret in (PASSWORD, encoded) if secret in json.dumps(report) + guarded.err]
