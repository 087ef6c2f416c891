"""Whose login reaches whom: lying registries and indexes, redirects, other ports and hosts, plain HTTP."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from support.fault_proxy import Fault, fault_proxy
from support.push_site import Site, push_site
from support.registry import PASSWORD, USER
from support.stub_registry import Reply, Said, StubRegistry, stub_registry
from support.token_registry import self_signed

from factory.errors import IndexAccessError, RegistryError, SbomError
from factory.http.download import Spool
from factory.http.origins import is_loopback, may_carry, origin_of
from factory.http.retry import RetryPolicy
from factory.index.client import IndexClient
from factory.registry.client import RegistryClient, open_registry
from factory.registry.connection import check_realm
from factory.registry.credentials import amazon_client, login_for, login_of_amazon
from factory.registry.declared import Registry
from factory.registry.drivers.artifact_registry import ENDPOINT_VARIABLE, open_google
from factory.sbom.attach import RegistryAccess, attach, read_reference

pytestmark = pytest.mark.integration

_USER, _PASSWORD = "pusher", "of-the-registry"
_BASIC = f"Basic {base64.b64encode(f'{_USER}:{_PASSWORD}'.encode()).decode()}"
_QUICK = RetryPolicy(first_pause_seconds=0.01, max_pause_seconds=0.02, read_seconds=5, connect_seconds=5)
_REPOSITORY = "team/x"
_DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for 127.0.0.1 that this machine believes."""
    path = self_signed(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


@pytest.fixture
def thief() -> Iterator[StubRegistry]:
    """A server of somebody else, which wants the login as a registry does."""

    def answer(said: Said) -> Reply:
        if said.path.startswith("/token"):
            return Reply(body=b'{"token": "stolen"}')
        return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    with stub_registry(answer) as server:
        yield server


def _client(host: str, folder: Path, **settings: object) -> RegistryClient:
    """A client of a registry, with a login for that."""
    logins = folder / "logins.json"
    logins.write_text(json.dumps({"auths": {host: {"auth": _BASIC.removeprefix("Basic ")}}}))
    given = {"name": "stub", "url": f"{host}/team", "kind": "disposable", **settings}
    registry = Registry(**given)  # type: ignore[arg-type]
    environment = {**os.environ, "REGISTRY_AUTH_FILE": str(logins)}
    return open_registry(registry, environment=environment, policy=_QUICK)


def _bearer(realm: str) -> Reply:
    return Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="stub"'})


def _logins(server: StubRegistry) -> set[str]:
    return {said.login for said in server.seen} - {""}


def test_token_realm_on_another_host_gets_no_login(tmp_path: Path, thief: StubRegistry) -> None:
    with stub_registry(lambda _: _bearer(f"http://{thief.host}/token")) as registry:
        with _client(registry.host, tmp_path) as client, pytest.raises(RegistryError) as caught:
            client.tags(_REPOSITORY)
        assert not thief.seen
        assert not _logins(registry)
    assert f"http://{thief.host} is another origin" in caught.value.reason
    assert f'token-host = "{thief.host}"' in caught.value.solution


def test_token_realm_by_https_on_another_port_gets_no_login(tmp_path: Path, certificate: Path) -> None:
    with (
        stub_registry(lambda _: Reply(body=b'{"token": "x"}'), certificate=certificate) as other,
        stub_registry(lambda _: _bearer(f"https://{other.host}/token"), certificate=certificate) as registry,
        _client(registry.host, tmp_path) as client,
    ):
        with pytest.raises(RegistryError, match="is another origin"):
            client.tags(_REPOSITORY)
        assert not other.seen


def test_token_realm_without_encryption_gets_no_login_of_a_registry_with(
    tmp_path: Path, certificate: Path
) -> None:
    with stub_registry(lambda _: Reply(), certificate=certificate) as registry:
        registry.answer = lambda _: _bearer(f"http://{registry.host}/token")
        with (
            _client(registry.host, tmp_path) as client,
            pytest.raises(RegistryError, match="that no login is sent to"),
        ):
            client.tags(_REPOSITORY)
        assert not _logins(registry)


def test_token_host_of_the_settings_gets_the_login_by_https(tmp_path: Path, certificate: Path) -> None:
    def service(said: Said) -> Reply:
        return Reply(body=b'{"token": "given"}') if said.login == _BASIC else Reply(status=401)

    def answer(said: Said) -> Reply:
        if said.login == "Bearer given":
            return Reply(body=b'{"tags": ["a"]}')
        return _bearer(f"https://{other.host}/token")

    with (
        stub_registry(service, certificate=certificate) as other,
        stub_registry(answer, certificate=certificate) as registry,
        _client(registry.host, tmp_path, token_host=other.host) as client,
    ):
        assert client.tags(_REPOSITORY) == ("a",)
        assert _logins(other) == {_BASIC}
        # The token is the registry's, the login is not sent there.
        assert _logins(registry) == {"Bearer given"}


def test_token_host_of_the_settings_has_to_show_its_certificate_where_the_registry_need_not(
    tmp_path: Path,
) -> None:
    unknown = self_signed(tmp_path / "unknown.pem")
    with (
        stub_registry(lambda _: Reply(body=b'{"token": "x"}'), certificate=unknown) as other,
        stub_registry(lambda _: _bearer(f"https://{other.host}/token"), certificate=unknown) as registry,
        _client(registry.host, tmp_path, token_host=other.host, tls_verify=False) as client,
    ):
        with pytest.raises(RegistryError, match="CERTIFICATE_VERIFY_FAILED"):
            client.tags(_REPOSITORY)
        assert not other.seen


def test_token_host_of_the_settings_gets_no_login_by_plain_http(tmp_path: Path, thief: StubRegistry) -> None:
    with (
        stub_registry(lambda _: _bearer(f"http://{thief.host}/token")) as registry,
        _client(registry.host, tmp_path, token_host=thief.host) as client,
    ):
        with pytest.raises(RegistryError, match="that no login is sent to"):
            client.tags(_REPOSITORY)
        assert not thief.seen


def test_token_service_that_redirects_takes_the_login_nowhere(tmp_path: Path, thief: StubRegistry) -> None:
    with stub_registry(lambda _: Reply()) as registry:

        def answer(said: Said) -> Reply:
            if said.path.startswith("/token"):
                return Reply(status=307, headers={"Location": f"http://{thief.host}/token"})
            return _bearer(f"http://{registry.host}/token")

        registry.answer = answer
        with _client(registry.host, tmp_path) as client, pytest.raises(RegistryError, match="gave no token"):
            client.tags(_REPOSITORY)
        assert not thief.seen


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("https://registry-1.docker.io", "https://auth.docker.io/token"),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("https://quay.io", "https://quay.io/v2/auth"),
        ("https://ghcr.io", "https://ghcr.io/token"),
        ("https://europe-docker.pkg.dev", "https://europe-docker.pkg.dev/v2/token"),
        ("https://artifacts.example.com", "https://artifacts.example.com:443/api/docker/x/v2/token"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/token"),
    ],
)
def test_token_services_of_known_registries_get_the_login(registry: str, realm: str) -> None:
    there = Registry(name="x", url=registry.partition("//")[2], kind="persistent")
    assert check_realm(realm, base=registry, registry=there, login=True) == realm


@pytest.mark.parametrize("login", [True, False])
@pytest.mark.parametrize(
    "realm",
    [
        "http://quay.io/v2/auth",
        "https://user:secret@quay.io/v2/auth",
        "http://evil.example/token",
        "https://169.254.169.254/token",
        "https://127.0.0.1/token",
        "https://localhost/token",
        "https://[::1]/token",
        "https://2130706433/token",
        "https://metadata/token",
        "https://quay.io:99999/token",
        "https:///token",
        "file:///etc/passwd",
        "quay.io/token",
        "",
    ],
)
def test_token_realms_that_nobody_is_sent_to(realm: str, *, login: bool) -> None:
    """Not even without a login: what answers there would be sent to the registry as a token."""
    there = Registry(name="x", url="quay.io", kind="persistent")
    with pytest.raises(RegistryError, match="that no login is sent to"):
        check_realm(realm, base="https://quay.io", registry=there, login=login)


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example/token",
        "https://quay.io:8443/v2/auth",
        "https://quay.io.evil.example/v2/auth",
        "https://evil-quay.io/v2/auth",
        "https://auth.quay.io/v2/auth",
        "https://auth.docker.io/token",
    ],
)
def test_token_realms_of_other_origins_get_no_login(realm: str) -> None:
    there = Registry(name="x", url="quay.io", kind="persistent")
    with pytest.raises(RegistryError, match="is another origin"):
        check_realm(realm, base="https://quay.io", registry=there, login=True)
    # Without one there is nothing to lose.
    assert check_realm(realm, base="https://quay.io", registry=there, login=False) == realm


@pytest.mark.parametrize("first", [True, False], ids=["the first question", "a later one"])
def test_challenge_of_a_redirect_target_gets_no_login(
    tmp_path: Path, thief: StubRegistry, *, first: bool
) -> None:
    def answer(said: Said) -> Reply:
        if said.path == "/v2/" and not first:
            return Reply()
        return Reply(status=307, headers={"Location": f"http://{thief.host}{said.path}"})

    with stub_registry(answer) as registry:
        with _client(registry.host, tmp_path) as client, pytest.raises(RegistryError) as caught:
            client.tags(_REPOSITORY)
        assert thief.seen
        assert not _logins(thief)
        assert not _logins(registry)
    assert f"is sent on to http://{thief.host}" in caught.value.reason


def test_challenge_of_a_redirect_target_names_no_token_service(tmp_path: Path) -> None:
    with stub_registry(lambda _: Reply(body=b'{"token": "stolen"}')) as thief:
        usual = thief.answer
        thief.answer = lambda said: (
            usual(said) if said.path.startswith("/token") else _bearer(f"http://{thief.host}/token")
        )

        def answer(said: Said) -> Reply:
            if said.path == "/v2/":
                return Reply()
            return Reply(status=307, headers={"Location": f"http://{thief.host}{said.path}"})

        with stub_registry(answer) as registry:
            with _client(registry.host, tmp_path) as client, pytest.raises(RegistryError):
                client.tags(_REPOSITORY)
            assert not _logins(thief)
            assert not [said for said in thief.seen if said.path.startswith("/token")]


def _attach(host: str, folder: Path, *, token_host: str | None = None, plain: bool = True) -> None:
    logins = folder / "logins.json"
    logins.write_text(json.dumps({"auths": {host: {"auth": _BASIC.removeprefix("Basic ")}}}))
    declared = Registry(name="x", url=f"{host}/team", kind="persistent", token_host=token_host)
    attach(
        b"{}",
        read_reference(f"{host}/team/trainer@{_DIGEST}"),
        access=RegistryAccess(plain_http=plain),
        environment={**os.environ, "REGISTRY_AUTH_FILE": str(logins)},
        declared=[declared],
    )


@pytest.mark.parametrize("answer", ["realm", "redirect"])
def test_a_bill_of_materials_takes_the_login_to_no_other_host(
    tmp_path: Path, thief: StubRegistry, answer: str
) -> None:
    replies = {
        "realm": _bearer(f"http://{thief.host}/token"),
        "redirect": Reply(status=307, headers={"Location": f"http://{thief.host}/v2/"}),
    }
    with stub_registry(lambda _: replies[answer]) as registry:
        with pytest.raises(SbomError, match=f"http://{thief.host}"):
            _attach(registry.host, tmp_path)
        assert not _logins(thief)
        assert not _logins(registry)


def test_a_bill_of_materials_is_attached_with_a_token_of_the_declared_host(
    tmp_path: Path, certificate: Path
) -> None:
    def service(said: Said) -> Reply:
        return Reply(body=b'{"token": "given"}') if said.login == _BASIC else Reply(status=401)

    def answer(said: Said) -> Reply:
        if said.login != "Bearer given":
            return _bearer(f"https://{other.host}/token")
        statuses = {"HEAD": 404 if "/blobs/" in said.path else 200, "POST": 202, "PATCH": 202, "PUT": 201}
        digest = {"Docker-Content-Digest": _DIGEST} if said.method == "HEAD" else {}
        return Reply(status=statuses[said.method], headers={"Location": "/v2/upload", **digest})

    with (
        stub_registry(service, certificate=certificate) as other,
        stub_registry(answer, certificate=certificate) as registry,
    ):
        _attach(registry.host, tmp_path, token_host=other.host, plain=False)
        assert _logins(other) == {_BASIC}
        assert _logins(registry) == {"Bearer given"}


def _taking(place: str) -> Callable[[Said], Reply]:
    """A registry that wants the login, and takes uploads at the URL."""

    def answer(said: Said) -> Reply:
        if said.login != _BASIC:
            return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if said.method == "HEAD":
            return Reply(status=404)
        return Reply(status=202, headers={"Location": place})

    return answer


def _put(client: RegistryClient, content: bytes = b"a layer") -> None:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    client.put_blob(_REPOSITORY, digest, len(content), lambda: BytesIO(content))


def test_an_upload_that_is_taken_elsewhere_goes_there_without_the_login(
    tmp_path: Path, certificate: Path
) -> None:
    def store(said: Said) -> Reply:
        if said.method == "PATCH":
            return Reply(status=202, headers={"Location": "/place?part=2"})
        return Reply(status=201)

    with (
        stub_registry(store, certificate=certificate) as other,
        stub_registry(_taking(f"https://{other.host}/place"), certificate=certificate) as registry,
        _client(registry.host, tmp_path) as client,
    ):
        _put(client)
        assert _logins(registry) == {_BASIC}
        assert [said.method for said in other.seen] == ["PATCH", "PUT"]
        assert not _logins(other)


def test_an_upload_is_not_sent_elsewhere_without_encryption(tmp_path: Path, thief: StubRegistry) -> None:
    with (
        stub_registry(_taking(f"http://{thief.host}/place")) as registry,
        _client(registry.host, tmp_path) as client,
    ):
        with pytest.raises(RegistryError, match=f"sends the upload on to http://{thief.host}"):
            _put(client)
        assert not thief.seen


def test_who_takes_an_upload_elsewhere_makes_no_request_with_the_login(
    tmp_path: Path, certificate: Path
) -> None:
    """It would choose what of the registry is written, with the rights of the login."""
    with (
        stub_registry(lambda _: Reply(), certificate=certificate) as other,
        stub_registry(_taking(f"https://{other.host}/place"), certificate=certificate) as registry,
        _client(registry.host, tmp_path) as client,
    ):
        back = f"https://{registry.host}/v2/other/manifests/latest"
        other.answer = lambda _: Reply(status=202, headers={"Location": back})
        with pytest.raises(RegistryError, match="sends the upload on"):
            _put(client)
        assert not [said for said in registry.seen if "manifests" in said.path]


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    with push_site(tmp_path, monkeypatch, capsys, login=True) as site:
        yield site


def test_a_push_that_is_killed_leaves_no_login_behind(site: Site, tmp_path: Path) -> None:
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    logins = tmp_path / "logins.json"
    work = tmp_path / "temporary"
    work.mkdir()
    with fault_proxy(site.server.host) as proxy:
        logins.write_text(json.dumps({"auths": {proxy.host: {"auth": encoded.decode()}}}))
        proxy.faults.append(Fault(kind="slow", method="PATCH", path="/blobs/uploads/", times=-1, seconds=3))
        command = [sys.executable, "-m", "factory", "--root", str(site.root), "push"]
        with subprocess.Popen(
            [*command, site.image(compressed=False).reference, "--to", f"{proxy.host}/team"],
            env={**os.environ, "TMPDIR": str(work), "REGISTRY_AUTH_FILE": str(logins)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as run:
            while not proxy.hit and run.poll() is None:
                time.sleep(0.02)
            assert run.poll() is None
            environments = [
                path.read_bytes()
                for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
                for path in (Path(f"/proc/{child}/environ"), Path(f"/proc/{child}/cmdline"))
            ]
            run.kill()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != logins]
    assert len(files) > 3
    found = [
        path
        for path in files
        for secret in (PASSWORD.encode(), encoded)
        if path.parent != site.server.folder and secret in path.read_bytes()
    ]
    assert not found
    assert not any(PASSWORD.encode() in text or encoded in text for text in environments)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_blob_is_read_from_storage_elsewhere_without_authorization(tmp_path: Path, host: str) -> None:
    """Another port of one host, or another name of it, is another origin."""
    content = b"a blob"
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with stub_registry(lambda _: Reply(body=content)) as storage:

        def answer(said: Said) -> Reply:
            if said.login != _BASIC:
                return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            port = storage.host.rpartition(":")[2]
            return Reply(status=307, headers={"Location": f"http://{host}:{port}/signed?X-Amz-Signature=1"})

        with stub_registry(answer) as registry, _client(registry.host, tmp_path) as client:
            assert client.blob(_REPOSITORY, digest) == content
            assert _logins(registry) == {_BASIC}
        assert not _logins(storage)


def test_a_registry_that_speaks_plain_http_elsewhere_gets_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy of the network would see it: the name is none of this machine's."""

    def answer(said: Said) -> Reply:
        return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    with stub_registry(answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        monkeypatch.setenv("NO_PROXY", "")
        with (
            _client("registry.example:5000", tmp_path, tls_verify=False) as client,
            pytest.raises(RegistryError, match="asks for a login and speaks plain HTTP") as caught,
        ):
            client.tags(_REPOSITORY)
        assert [said.path for said in proxy.seen if "/v2/" in said.path]
        assert not _logins(proxy)
    assert "podman logout registry.example:5000" in caught.value.solution


def _page(url: str) -> Reply:
    """A page of an index that links to a wheel."""
    body = f'<a href="{url}">lib-1.0-py3-none-any.whl</a>'.encode()
    return Reply(body=body, headers={"Content-Type": "text/html"})


def _netrc(folder: Path, host: str = "127.0.0.1") -> dict[str, str]:
    path = folder / "netrc"
    path.write_text(f"machine {host} login {_USER} password {_PASSWORD}\n")
    return {"NETRC": str(path)}


@pytest.mark.usefixtures("own_cache")
def test_a_file_that_an_index_links_to_on_another_port_gets_no_login(
    tmp_path: Path, thief: StubRegistry
) -> None:
    def answer(said: Said) -> Reply:
        if said.login != _BASIC:
            return Reply(status=401)
        return _page(f"http://{thief.host}/lib-1.0-py3-none-any.whl")

    with stub_registry(answer) as index:
        url, environment = f"http://{index.host}/simple/", _netrc(tmp_path)
        with IndexClient(url, policy=_QUICK, environment=environment) as client, Spool() as spool:
            (file,) = client.project("lib") or ()
            with pytest.raises(IndexAccessError, match="refuses access"):
                client.fetch(file.url, spool)
    assert thief.seen
    assert not _logins(thief)


@pytest.mark.usefixtures("own_cache")
def test_an_index_that_sends_on_to_another_port_takes_the_login_nowhere(
    tmp_path: Path, thief: StubRegistry
) -> None:
    def answer(said: Said) -> Reply:
        return Reply(status=302, headers={"Location": f"http://{thief.host}{said.path}"})

    with stub_registry(answer) as index:
        url, environment = f"http://{_USER}:{_PASSWORD}@{index.host}/simple/", _netrc(tmp_path)
        with (
            IndexClient(url, policy=_QUICK, environment=environment) as client,
            pytest.raises(IndexAccessError, match="refuses access"),
        ):
            client.project("lib")
        assert _logins(index) == {_BASIC}
    assert thief.seen
    assert not _logins(thief)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("source", ["url", "environment", "netrc"])
def test_an_index_that_speaks_plain_http_elsewhere_gets_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    url = "http://index.example/simple/"
    if source == "url":
        url = url.replace("//", f"//{_USER}:{_PASSWORD}@")
    environment = _netrc(tmp_path, "index.example" if source == "netrc" else "other.example")
    if source == "environment":
        environment |= {"UV_INDEX_MAIN_USERNAME": _USER, "UV_INDEX_MAIN_PASSWORD": _PASSWORD}
    with stub_registry(lambda _: Reply(status=401)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        monkeypatch.setenv("NO_PROXY", "")
        with (
            IndexClient(url, name="main", policy=_QUICK, environment=environment) as client,
            pytest.raises(IndexAccessError, match="by plain HTTP no login is sent") as caught,
        ):
            client.project("lib")
        assert proxy.seen
        assert not _logins(proxy)
    assert "https://" in caught.value.solution


@pytest.mark.parametrize(
    "endpoint",
    ["https://evil.example/", "http://artifactregistry.googleapis.com/", "https://googleapis.com.x/"],
)
def test_googles_token_goes_to_google_alone(tmp_path: Path, endpoint: str) -> None:
    """What gcloud's own variable names may be anybody's."""
    helper = tmp_path / "docker-credential-gcr"
    helper.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    helper.chmod(0o755)
    registry = Registry(
        name="x", url="europe-docker.pkg.dev/project/x", kind="persistent", driver="artifact-registry"
    )
    with pytest.raises(RegistryError, match="no token of Google's is sent to"):
        open_google(registry, {"PATH": str(tmp_path), ENDPOINT_VARIABLE: endpoint})
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    "endpoint",
    ["https://evil.example/", "http://api.ecr.eu-west-1.amazonaws.com/", "https://amazonaws.com.x/"],
)
def test_credentials_of_amazon_go_to_amazon_alone(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, _PASSWORD)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    registry = Registry(name="x", url=f"{host}/x", kind="persistent", driver="ecr")
    with pytest.raises(RegistryError, match="no request with AWS's credentials is sent"):
        login_of_amazon(registry, os.environ)


@pytest.mark.parametrize(
    ("key", "repository", "found"),
    [
        ("https://quay.io/v1/", "quay.io/team/x", True),
        ("http://quay.io/v2", "quay.io/team/x", True),
        ("https://index.docker.io/v1/", "docker.io/library/x", True),
        ("index.docker.io", "docker.io/library/x", True),
        ("docker.io/library", "docker.io/library/x", True),
        ("docker.io/other", "docker.io/library/x", False),
        ("https://quay.io.evil.example/v1/", "quay.io/team/x", False),
        ("https://quay.io/v1/", "quay.io.evil.example/x", False),
        ("https://evil.example/quay.io", "quay.io/team/x", False),
        ("quay.io/v1", "quay.io/team/x", False),
    ],
)
def test_a_key_that_is_an_address_is_for_its_host_alone(
    tmp_path: Path, key: str, repository: str, *, found: bool
) -> None:
    """As podman and skopeo read docker's file; an entry beside it that is null hides no other."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"a": None, key: {"auth": _BASIC.removeprefix("Basic ")}}}))
    assert (login_for(repository, {"REGISTRY_AUTH_FILE": str(path)}) is not None) == found


@pytest.mark.parametrize("dual_stack", ["false", "true"])
@pytest.mark.parametrize(
    ("region", "place"),
    [
        ("eu-west-1", "dkr.ecr.eu-west-1.amazonaws.com"),
        ("eu-west-1", "dkr-ecr.eu-west-1.on.aws"),
        ("cn-north-1", "dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("cn-north-1", "dkr-ecr.cn-north-1.on.amazonwebservices.com.cn"),
        ("eusc-de-east-1", "dkr.ecr.eusc-de-east-1.amazonaws.eu"),
        ("us-gov-west-1", "dkr.ecr.us-gov-west-1.amazonaws.com"),
    ],
)
def test_no_endpoint_of_botocores_own_is_taken_for_a_strangers(
    monkeypatch: pytest.MonkeyPatch, region: str, place: str, dual_stack: str
) -> None:
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dual_stack)
    registry = Registry(name="x", url=f"123456789012.{place}/x", kind="persistent", driver="ecr")
    assert amazon_client(registry, os.environ).meta.region_name == region


@pytest.mark.parametrize(
    ("url", "owner", "goes"),
    [
        ("https://a.example/x", "https://a.example", True),
        ("https://a.example:443/x", "https://A.EXAMPLE/y?z", True),
        ("http://127.0.0.1:5000/x", "http://127.0.0.1:5000", True),
        ("http://[::1]:5000/x", "http://[::1]:5000", True),
        ("http://localhost/x", "http://localhost:80", True),
        ("http://a.example/x", "http://a.example", False),
        ("http://a.example/x", "https://a.example", False),
        ("https://a.example:8443/x", "https://a.example", False),
        ("https://a.example.evil.example/x", "https://a.example", False),
        ("https://evil.example/https://a.example", "https://a.example", False),
        ("https://a.example@evil.example/x", "https://a.example", False),
        ("https://a.example\\@evil.example/x", "https://a.example", False),
        ("https://evil.example#@a.example/", "https://a.example", False),
        ("http://localhost:5000/x", "http://127.0.0.1:5000", False),
        ("http://127.0.0.1.evil.example/x", "http://127.0.0.1.evil.example", False),
        ("https://a.example:99999999/x", "https://a.example:99999999", False),
        ("//a.example/x", "//a.example", False),
        ("", "", False),
    ],
)
def test_credentials_go_to_their_own_origin_only(url: str, owner: str, *, goes: bool) -> None:
    assert may_carry(url, owner=owner) == goes


def test_what_is_called_loopback_is_this_machine() -> None:
    assert all(map(is_loopback, ("localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000")))
    others = (
        "a.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example#localhost",
        "0.0.0.0",
    )
    assert not any(map(is_loopback, others))
    assert str(origin_of("HTTPS://A.example:443/x")) == "https://a.example"
