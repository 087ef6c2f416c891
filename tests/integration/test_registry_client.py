"""The client of container registries: a real registry, and one that answers what none should."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.registry import Registry as Server
from support.registry import registry
from support.stub_registry import Reply, Said, StubRegistry, stub_registry
from support.token_registry import self_signed, token_registry

import factory.registry.client
from factory.errors import RegistryError
from factory.http.retry import RetryPolicy
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry
from factory.registry.oci import OCI_INDEX, OCI_MANIFEST, Manifest

pytestmark = pytest.mark.integration

_QUICK = RetryPolicy(first_pause_seconds=0.01, max_pause_seconds=0.02, read_seconds=5, connect_seconds=5)
_USER, _PASSWORD = "pusher", "of-the-registry"
_BASIC = f"Basic {base64.b64encode(f'{_USER}:{_PASSWORD}'.encode()).decode()}"
_REPOSITORY = "team/x"


def _client(host: str, folder: Path, *, tls_verify: bool = True) -> RegistryClient:
    logins = folder / "logins.json"
    logins.write_text(json.dumps({"auths": {host: {"auth": _BASIC.removeprefix("Basic ")}}}))
    there = Registry(name="stub", url=f"{host}/team", kind="disposable", tls_verify=tls_verify)
    environment = {"REGISTRY_AUTH_FILE": str(logins)}
    return open_registry(there, environment=environment, policy=_QUICK)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _manifest(content: bytes = b"{}") -> Manifest:
    return Manifest(media_type=OCI_MANIFEST, content=content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with registry(tmp_path / "registry") as server:
        yield server


def _image(client: RegistryClient, server: Server, name: str = "x") -> Manifest:
    """An image without layers, whose configuration is put into the registry's own storage."""
    config = json.dumps({"config": {"Labels": {"name": name}}}).encode()
    digest = _digest(config).removeprefix("sha256:")
    root = server.folder / "data" / "docker" / "registry" / "v2"
    for path, content in (
        (root / "blobs" / "sha256" / digest[:2] / digest / "data", config),
        (
            root / "repositories" / "team" / "x" / "_layers" / "sha256" / digest / "link",
            f"sha256:{digest}".encode(),
        ),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    described = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": f"sha256:{digest}",
        "size": len(config),
    }
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []}
    manifest = _manifest(json.dumps(document).encode())
    client.put_tag(_REPOSITORY, name, manifest)
    return manifest


def test_what_a_real_registry_holds_is_read_and_changed(server: Server, tmp_path: Path) -> None:
    with _client(server.host, tmp_path) as client:
        assert client.digest(_REPOSITORY, "a") is None
        assert client.manifest(_REPOSITORY, "a") is None
        assert client.labels(_REPOSITORY, "a") is None
        assert client.tags(_REPOSITORY) == ()
        one, two = _image(client, server, "a"), _image(client, server, "b")
        client.put_tag(_REPOSITORY, "also-a", one)
        assert client.tags(_REPOSITORY) == ("a", "also-a", "b")
        assert client.digest(_REPOSITORY, "also-a") == one.digest
        assert client.manifest(_REPOSITORY, one.digest) == one
        assert client.labels(_REPOSITORY, "b") == {"name": "b"}
        assert client.has_blob(_REPOSITORY, str(one.config_digest))
        assert not client.has_blob(_REPOSITORY, f"sha256:{'0' * 64}")
        assert client.repositories() == (_REPOSITORY,)
        assert client.delete(_REPOSITORY, one.digest)
        assert not client.delete(_REPOSITORY, one.digest)
        assert client.tags(_REPOSITORY) == ("b",)
        assert client.digest(_REPOSITORY, "b") == two.digest


def test_an_image_is_found_through_an_index(server: Server, tmp_path: Path) -> None:
    with _client(server.host, tmp_path) as client:
        named = [("unknown/unknown", "a"), ("linux/arm64", "b"), ("linux/amd64", "c")]
        entries = []
        for platform, name in named:
            system, _, machine = platform.partition("/")
            manifest = _image(client, server, name)
            entries.append(
                {
                    "mediaType": OCI_MANIFEST,
                    "digest": manifest.digest,
                    "size": len(manifest.content),
                    "platform": {"os": system, "architecture": machine},
                }
            )
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        index = Manifest(media_type=OCI_INDEX, content=json.dumps(document).encode())
        client.put_tag(_REPOSITORY, "all", index)
        assert client.digest(_REPOSITORY, "all") == index.digest
        assert client.labels(_REPOSITORY, "all") == {"name": "c"}
        assert client.config(_REPOSITORY, "all", platform="linux/arm64") == {
            "config": {"Labels": {"name": "b"}}
        }
        # No image is for it: the first that is one.
        other = client.image_manifest(_REPOSITORY, "all", platform="linux/s390x")
        assert other is not None
        assert other.digest == entries[1]["digest"]


def test_many_are_asked_for_at_once_from_many_threads(server: Server, tmp_path: Path) -> None:
    with _client(server.host, tmp_path) as client:
        manifest = _image(client, server)
        wanted = [(_REPOSITORY, "x"), *((f"team/y{number}", "x") for number in range(50))]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: client.digests(wanted), range(4)))
    expected = {(_REPOSITORY, "x"): manifest.digest, **dict.fromkeys(wanted[1:])}
    assert answers == [expected] * 4


def test_a_list_is_read_to_its_last_page(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory.registry.client, "_PAGE", 2)
    names = [f"team/y{number}" for number in range(5)]
    for name in names:
        (server.folder / "data/docker/registry/v2/repositories" / name / "_layers").mkdir(parents=True)
        (server.folder / "data/docker/registry/v2/repositories" / name / "_manifests").mkdir()
    with _client(server.host, tmp_path) as client:
        assert client.repositories() == tuple(names)
    assert server.log.read_text().count("GET /v2/_catalog") >= 3


def test_nothing_is_deleted_by_a_tag(server: Server, tmp_path: Path) -> None:
    with _client(server.host, tmp_path) as client:
        manifest = _image(client, server)
        with pytest.raises(RegistryError, match="is no digest"):
            client.delete(_REPOSITORY, "x")
        assert client.digest(_REPOSITORY, "x") == manifest.digest


_Answer = Callable[[Said], Reply]


def _always(reply: Reply) -> _Answer:
    """The reply to everything but the first question, of whether anybody is there."""
    return lambda said: Reply() if said.path == "/v2/" else reply


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=403), "refuses access"),
        (Reply(status=503), r"answers HTTP 503, 4 times in a row"),
        (Reply(status=418), "answers HTTP 418"),
        (Reply(status=405, body=b'{"errors": [{"code": "UNSUPPORTED"}]}'), r"HTTP 405 \(UNSUPPORTED\)"),
        (Reply(body=b"x" * (9 << 20)), "is larger than"),
        (Reply(body=b"x", headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"}), "is not what it is said"),
        (Reply(status=302, headers={"Location": "ftp://127.0.0.1/x"}), "without encryption"),
        (Reply(status=302, headers={"Location": "/v2/on"}), "on and on"),
    ],
    ids=["refused", "down", "teapot", "unsupported", "endless", "lying", "elsewhere", "circle"],
)
def test_what_no_registry_should_answer_is_an_error_that_says_so(
    tmp_path: Path, reply: Reply, says: str
) -> None:
    with (
        stub_registry(_always(reply)) as stub,
        _client(stub.host, tmp_path) as client,
        pytest.raises(RegistryError, match=says),
    ):
        client.manifest(_REPOSITORY, "x")


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"tags": 1}', b'{"tags": [1]}'], ids=["html", "list", "number", "numbers"]
)
def test_a_page_of_tags_that_is_none_is_told(tmp_path: Path, body: bytes) -> None:
    with (
        stub_registry(_always(Reply(body=body))) as stub,
        _client(stub.host, tmp_path) as client,
        pytest.raises(RegistryError, match="a page of tags of a registry is not "),
    ):
        client.tags(_REPOSITORY)


def test_a_page_of_another_host_is_not_asked_for(tmp_path: Path) -> None:
    with stub_registry(_always(Reply(body=b'{"tags": []}'))) as other:
        link = {"Link": f'<http://{other.host}/v2/team/x/tags/list?last=a>; rel="next"'}
        with (
            stub_registry(_always(Reply(body=b'{"tags": ["a"]}', headers=link))) as stub,
            _client(stub.host, tmp_path) as client,
            pytest.raises(RegistryError, match="another host"),
        ):
            client.tags(_REPOSITORY)
        assert not other.seen


def test_without_the_header_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    body = b'{"schemaVersion": 2, "manifests": []}'
    with stub_registry(_always(Reply(body=body))) as stub, _client(stub.host, tmp_path) as client:
        assert client.digest(_REPOSITORY, "x") == _digest(body)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Log in first</html>",
        b"{}",
        b'{"schemaVersion": 2, "config": {"digest": 5}}',
        b'{"schemaVersion": 2, "config": "x"}',
        b'{"schemaVersion": 2, "layers": {"a": 1}}',
        b'{"schemaVersion": 2, "manifests": [{}]}',
    ],
)
def test_what_is_no_manifest_is_no_image(tmp_path: Path, body: bytes) -> None:
    """A page that asks for a login has status 200 too."""
    with stub_registry(_always(Reply(body=body))) as stub, _client(stub.host, tmp_path) as client:
        for ask in (client.digest, client.manifest, client.labels):
            with pytest.raises(RegistryError, match="what was given as the manifest of"):
                ask(_REPOSITORY, "x")


def _guarded(stub: StubRegistry, realm: str | None = None) -> _Answer:
    """A registry that gives tokens by scope, and takes the one for what is asked."""

    def answer(said: Said) -> Reply:
        url = urlsplit(said.path)
        if url.path == "/token":
            scope = parse_qs(url.query).get("scope", [""])[0]
            body = json.dumps({"token": f"for {scope}".replace(" ", "-")}).encode()
            return Reply(body=body) if said.login == _BASIC else Reply(status=401)
        actions = {"PUT": "pull,push", "DELETE": "pull,delete"}.get(said.method, "pull")
        if said.login == f"Bearer for-repository:{_REPOSITORY}:{actions}":
            return Reply(status=201 if said.method == "PUT" else 202 if said.method == "DELETE" else 200)
        where = realm or f"http://{stub.host}/token"
        return Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="{where}",service="stub"'})

    return answer


def test_a_token_is_asked_for_once_for_each_thing_that_is_done(tmp_path: Path) -> None:
    with stub_registry(_always(Reply())) as stub:
        stub.answer = _guarded(stub)
        with _client(stub.host, tmp_path) as client:
            for _ in range(3):
                assert client.has_blob(_REPOSITORY, f"sha256:{'0' * 64}")
            client.put_tag(_REPOSITORY, "x", _manifest())
            assert client.delete(_REPOSITORY, _manifest().digest)
        tokens = [said for said in stub.seen if said.path.startswith("/token")]
        assert len(tokens) == 3
        # The login went to the token service alone.
        assert {said.path.partition("?")[0] for said in stub.seen if said.login == _BASIC} == {"/token"}


def test_a_token_that_ran_out_is_renewed(tmp_path: Path) -> None:
    with stub_registry(_always(Reply())) as stub:
        usual = _guarded(stub)
        refused: list[Said] = []

        def answer(said: Said) -> Reply:
            if said.method == "HEAD" and len(refused) < 1 and len(stub.seen) > 4:
                refused.append(said)
                return usual(Said(method="HEAD", path=said.path, login=""))
            return usual(said)

        stub.answer = answer
        with _client(stub.host, tmp_path) as client:
            for _ in range(4):
                assert client.has_blob(_REPOSITORY, f"sha256:{'0' * 64}")
        assert refused
        assert len([said for said in stub.seen if said.path.startswith("/token")]) == 2


@pytest.mark.parametrize(
    "realm", ["http://localhost:9/token", "https://token.example.com/", "ftp://x", "", "//["]
)
def test_a_login_goes_to_no_token_service_that_others_could_stand_in_for(tmp_path: Path, realm: str) -> None:
    with stub_registry(_always(Reply())) as stub:
        stub.answer = _guarded(stub, realm or "x")
        with (
            _client(stub.host, tmp_path) as client,
            pytest.raises(RegistryError, match="that no login is sent to"),
        ):
            client.has_blob(_REPOSITORY, f"sha256:{'0' * 64}")
        assert not [said for said in stub.seen if said.login]


def test_a_redirect_to_another_host_goes_there_without_the_login(tmp_path: Path) -> None:
    blob = b"a blob"
    with stub_registry(lambda _: Reply(body=blob)) as storage:

        def answer(said: Said) -> Reply:
            if said.login != _BASIC:
                return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            location = f"http://somebody:else@{storage.host}/signed?signature=1"
            return Reply(status=307, headers={"Location": location})

        with stub_registry(answer) as stub, _client(stub.host, tmp_path) as client:
            assert client.blob(_REPOSITORY, _digest(blob)) == blob
            assert [said.login for said in stub.seen] == ["", _BASIC]
        assert [(said.path, said.login) for said in storage.seen] == [("/signed?signature=1", "")]


def test_an_unknown_certificate_is_refused_unless_nobody_is_to_look(tmp_path: Path) -> None:
    with token_registry(self_signed(tmp_path / "server.pem")) as server:
        with (
            _client(server.host, tmp_path) as client,
            pytest.raises(RegistryError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            client.has_blob(_REPOSITORY, f"sha256:{'0' * 64}")
        assert not server.seen
        with _client(server.host, tmp_path, tls_verify=False) as client:
            assert not client.has_blob(_REPOSITORY, f"sha256:{'0' * 64}")
            assert not client.plain_http
        assert f"Basic {_BASIC.removeprefix('Basic ')}" in server.logins


def test_no_secret_is_in_what_an_error_says(tmp_path: Path) -> None:
    with stub_registry(lambda _: Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})) as stub:
        with _client(stub.host, tmp_path) as client, pytest.raises(RegistryError) as caught:
            client.tags(_REPOSITORY)
        assert any(said.login == _BASIC for said in stub.seen)
        said = f"{caught.value.reason} {caught.value.solution} {caught.value!r}"
        assert _PASSWORD not in said
        assert _BASIC not in said
