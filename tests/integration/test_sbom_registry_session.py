"""Who a registry is told is asking: with the registry's own login, and never with another one's."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stub_registry import Reply, Said, stub_registry
from support.token_registry import PASSWORD, USER, TokenRegistry, self_signed, token_registry

from factory.errors import SbomError
from factory.sbom.attach import RegistryAccess, attach, read_reference

pytestmark = pytest.mark.integration

_INDEX_PASSWORD = "of-the-index"
_INDEX_LOGIN = f"Basic {base64.b64encode(f'reader:{_INDEX_PASSWORD}'.encode()).decode()}"
_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NETRC")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose .netrc has the login of a package index on the registry's host."""
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login reader password {_INDEX_PASSWORD}\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


@pytest.fixture
def server() -> Iterator[TokenRegistry]:
    with token_registry() as server:
        yield server


def _attach(
    server: TokenRegistry, home: Path, access: RegistryAccess, *, password: str = PASSWORD, **more: str
) -> str:
    path = home / "auth.json"
    encoded = base64.b64encode(f"{USER}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {server.host: {"auth": encoded}}}))
    image = read_reference(f"{server.host}/team/trainer@sha256:{'0' * 64}")
    environment = {"REGISTRY_AUTH_FILE": str(path), **more}
    return attach(b"{}", image, access=access, environment=environment).blob_url


@pytest.mark.parametrize("redirects", [False, True])
def test_the_login_of_a_package_index_never_reaches_the_registry(
    server: TokenRegistry, home: Path, capfd: pytest.CaptureFixture[str], *, redirects: bool
) -> None:
    server.redirects = redirects
    assert _attach(server, home, RegistryAccess(plain_http=True)).startswith(
        f"{server.host}/team/trainer@sha256:"
    )
    assert any("moved" in path for _, path, _ in server.seen) == redirects
    assert ("PUT", f"/v2/team/trainer/manifests/sha256-{'0' * 64}.sbom", "Bearer a-token") in server.seen
    assert _INDEX_LOGIN not in server.logins
    assert "".join(capfd.readouterr()) == ""


def test_a_registry_that_gives_no_token_refuses_in_our_words_alone(
    server: TokenRegistry, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SbomError, match="refuses access") as caught:
        _attach(server, home, RegistryAccess(plain_http=True), password="wrong")
    assert "podman login" in caught.value.solution
    assert _INDEX_LOGIN not in server.logins
    assert "".join(capfd.readouterr()) == ""


def _open(said: Said) -> Reply:
    """A registry that lets anybody in, and has the image."""
    statuses = {"HEAD": 404 if "/blobs/" in said.path else 200, "POST": 202, "PATCH": 202, "PUT": 201}
    digest = {"Docker-Content-Digest": f"sha256:{'0' * 64}"} if said.method == "HEAD" else {}
    return Reply(status=statuses.get(said.method, 200), headers={"Location": "/v2/upload", **digest})


def test_requests_go_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    image = read_reference(f"registry.example:5000/team/trainer@sha256:{'0' * 64}")
    with stub_registry(_open) as proxy:
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        attach(b"{}", image, access=RegistryAccess(plain_http=True), environment={})
        # A proxy is asked for whole URLs.
        assert {said.path.partition("/v2/")[0] for said in proxy.seen} == {"http://registry.example:5000"}
        assert [said.method for said in proxy.seen].count("PUT") == 3


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_are_those_of_the_environment(home: Path, name: str) -> None:
    certificate = self_signed(home / "server.pem")
    with token_registry(certificate) as server:
        with pytest.raises(SbomError, match="CERTIFICATE_VERIFY_FAILED"):
            _attach(server, home, RegistryAccess())
        assert not server.seen
        assert _attach(server, home, RegistryAccess(), **{name: str(certificate)}).startswith(server.host)
        with pytest.raises(SbomError, match="certificates of authorities cannot be read"):
            _attach(server, home, RegistryAccess(), **{name: str(home / "absent.pem")})


def test_tls_that_nobody_verifies_is_told_by_no_warning(home: Path) -> None:
    with token_registry(self_signed(home / "server.pem")) as server:
        # pytest makes an error of a warning.
        assert _attach(server, home, RegistryAccess(tls_verify=False)).startswith(server.host)
