"""What registries, token services, indexes, wheels and advisories say, made to end in a traceback."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository
from support.stub_registry import Reply, Said, stub_registry

from factory.check.state import flavor_state
from factory.clock import parse_moment, seconds_since_1970
from factory.errors import AdvisoryError, FactoryError, IndexAccessError, IndexContentError, RegistryError
from factory.http.retry import RetryPolicy
from factory.images.identity import parse_build_inputs
from factory.images.parents import read_recorded_digests
from factory.index.metadata import parse_metadata, project_of
from factory.index.pages import IndexFile, parse_page
from factory.lock.lockfile import parse_lock
from factory.registry.client import RegistryClient, open_registry
from factory.registry.connection import read_token
from factory.registry.credentials import login_for
from factory.registry.declared import Registry
from factory.registry.drivers.driver import ListedManifest, read_images
from factory.registry.inventory import FactoryLabels
from factory.upkeep.advisories import read_database

_QUICK = RetryPolicy(first_pause_seconds=0.01, max_pause_seconds=0.02, read_seconds=5, connect_seconds=5)
_DIGEST = f"sha256:{'0' * 64}"
_DIGITS = "1" + "0" * 5_000
BODIES = {
    "nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"manifests":' * 100_000 + b"1" + b"}" * 100_000,
    "nested below a key": b'{"tags":' + b"[" * 100_000 + b"]" * 100_000 + b',"schemaVersion":2}',
    "a number of 5,000 digits": f'{{"tags": {_DIGITS}, "schemaVersion": {_DIGITS}}}'.encode(),
    "null": b"null",
    "a list": b"[1, 2]",
    "null for everything": b'{"tags": null, "schemaVersion": null, "config": null, "layers": null}',
    "other types": b'{"tags": {"a": 1}, "repositories": 5, "schemaVersion": "2", "config": []}',
    "lists of other types": b'{"tags": [1, null], "repositories": [[]], "schemaVersion": 2, "layers": [1]}',
    "half a character": b'{"tags": ["\xff"]}',
    "no JSON": b"<html>Sign in</html>",
    "nothing": b"",
}


@pytest.fixture
def client_of(tmp_path: Path) -> Iterator[Callable[[Callable[[Said], Reply]], RegistryClient]]:
    """Make a client of a registry that answers as it is given."""
    opened: list[RegistryClient] = []
    with stub_registry(lambda _: Reply()) as stub:

        def make(answer: Callable[[Said], Reply]) -> RegistryClient:
            stub.answer = answer
            there = Registry(name="stub", url=f"{stub.host}/team", kind="disposable")
            environment = {"REGISTRY_AUTH_FILE": str(tmp_path / "none.json")}
            opened.append(open_registry(there, environment=environment, policy=_QUICK))
            return opened[-1]

        yield make
    for client in opened:
        client.close()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_a_registry_says_is_read_or_an_error_of_the_family(
    client_of: Callable[[Callable[[Said], Reply]], RegistryClient], body: bytes
) -> None:
    client = client_of(lambda _: Reply(body=body, headers={"Docker-Content-Digest": _DIGEST}))
    for ask in (
        lambda: client.tags("team/x"),
        client.repositories,
        lambda: client.manifest("team/x", "latest"),
        lambda: client.image_manifest("team/x", "latest"),
        lambda: client.labels("team/x", "latest"),
    ):
        try:
            ask()
        except RegistryError as error:
            assert error.solution  # noqa: PT017 - nothing, or this, and no other exception


def _manifest(layers: object, config: object = None) -> bytes:
    described = {"digest": _DIGEST, "size": 2, "mediaType": "x"} if config is None else config
    return json.dumps({"schemaVersion": 2, "config": described, "layers": layers}).encode()


@pytest.mark.parametrize(
    "manifest",
    [
        _manifest([{"digest": _DIGEST, "size": "12"}]),
        _manifest([{"digest": _DIGEST, "size": None}]),
        _manifest([{"digest": _DIGEST, "size": -5}]),
        _manifest([{"digest": _DIGEST, "size": 1e300}]),
        _manifest([{"digest": _DIGEST, "size": 1 << 80}]),
        _manifest([{"digest": "../../../etc/passwd", "size": 1}]),
        _manifest([{"digest": 5, "size": 1}]),
        _manifest([], config=[]),
    ],
)
def test_one_damaged_manifest_is_said_of_its_image_alone(
    client_of: Callable[[Callable[[Said], Reply]], RegistryClient], manifest: bytes
) -> None:
    client = client_of(lambda _: Reply(body=manifest))
    (image,) = read_images(client, "team/x", [ListedManifest(digest="latest", tags=("latest",))], _made_of)
    assert image.problem


@pytest.mark.parametrize(
    "config",
    [
        b"[" * 100_000,
        b'{"config": {"Labels": [1]}}',
        b'{"config": {"Labels": {"a": {}}}}',
        b'{"config": 5}',
        b'{"created": 5}',
        b'{"created": "0001-01-01T00:00:00+14:00"}',
        b'{"created": "9999-12-31T23:59:59-14:00"}',
        b'{"created": "0000-00-00"}',
    ],
)
def test_the_configuration_of_an_image_is_read_or_a_problem_of_it(
    client_of: Callable[[Callable[[Said], Reply]], RegistryClient], config: bytes
) -> None:
    def answer(said: Said) -> Reply:
        if "/referrers/" in said.path:
            return Reply(body=b"[" * 100_000)
        return Reply(body=config if "/blobs/" in said.path else _manifest([]))

    (image,) = read_images(client_of(answer), "team/x", [ListedManifest(digest="x", tags=("x",))], _made_of)
    assert image.problem or image.moment is None


def _made_of(labels: object) -> FactoryLabels | None:
    assert isinstance(labels, dict)
    return None


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_token_service_that_says_something_else_gave_no_token(body: bytes) -> None:
    with pytest.raises(RegistryError, match="gave no token"):
        read_token(body, host="auth.example")


@pytest.mark.parametrize(
    ("seconds", "held"),
    [
        ("1" + "0" * 400, None),
        ("1e308", 86_400),
        ("-1e308", 0),
        ("-5", 0),
        ("true", None),
        ("null", 60),
        ('"300"', 60),
        ("[]", 60),
        (_DIGITS, None),
    ],
)
def test_how_long_a_token_holds_is_bounded(seconds: str, held: float | None) -> None:
    try:
        token, given = read_token(f'{{"token": "a", "expires_in": {seconds}}}'.encode(), host="auth.example")
    except RegistryError:
        assert held is None
    else:
        assert token == "a"
        assert 0 <= given <= 86_400
        assert held is None or given == held


@pytest.mark.parametrize(
    "content", [*BODIES.values(), b'{"auths": {"r.example": {"auth": 5}}}', b'{"auths": 5}']
)
def test_a_file_of_logins_is_read_or_refused_without_repeating_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "auth.json"
    path.write_bytes(content)
    try:
        assert login_for("r.example/x", {"REGISTRY_AUTH_FILE": str(path)}) is None
    except RegistryError as error:
        assert str(path) in error.reason  # noqa: PT017 - nothing, or this, and no other exception


@pytest.mark.parametrize("content", BODIES.values(), ids=BODIES)
def test_a_label_and_a_recorded_digest_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    assert parse_build_inputs(content.decode("utf-8", "replace")) is None
    (tmp_path / "parents.json").write_bytes(content)
    with pytest.raises(FactoryError, match=r"parents\.json"):
        read_recorded_digests(tmp_path)


def _listing(more: dict[str, object]) -> tuple[IndexFile, ...]:
    file = {"filename": "a-1-py3-none-any.whl", "url": "a.whl", "hashes": {}} | more
    page = {"meta": {"api-version": "1.1"}, "name": "a", "files": [file]}
    kind = "application/vnd.pypi.simple.v1+json"
    return parse_page(json.dumps(page).encode(), kind=kind, encoding=None, url="http://i/a/", name="a")


@pytest.mark.parametrize(
    "more",
    [
        {"size": "5"},
        {"size": -1},
        {"size": 1.5},
        {"size": 1 << 80},
        {"size": True},
        {"hashes": []},
        {"hashes": {"sha256": 5}},
        {"url": None},
        {"yanked": []},
        {"core-metadata": "x"},
        {"upload-time": 5},
    ],
    ids=str,
)
def test_a_file_of_another_shape_makes_no_page(more: dict[str, object]) -> None:
    with pytest.raises(IndexAccessError, match="no page of a package index"):
        _listing(more)


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "0001-01-01", "1969-12-31T23:59:59Z", "yesterday", "", None]
)
def test_a_time_that_no_upload_has_counts_as_none(time: str | None) -> None:
    (file,) = _listing({"upload-time": time, "size": None})
    assert (file.uploaded, file.size) == (None, None)


def test_the_first_and_last_times_are_read_in_every_zone() -> None:
    assert parse_moment("9999-12-31T23:59:59-23:59") is None
    assert parse_moment("0001-01-01T00:00:00+23:59") is None
    last = parse_moment("9999-12-31T23:59:59Z")
    assert last is not None
    assert seconds_since_1970(last) == 253_402_300_799
    assert seconds_since_1970(dt.datetime(1, 1, 1)) is None  # noqa: DTZ001 - as a document may have it


METADATA = {
    "a version of 5,000 digits": f"Name: a\nVersion: {_DIGITS}",
    "a requirement of 5,000 digits": f"Name: a\nVersion: 1\nRequires-Dist: b=={_DIGITS}",
    "a marker in 5,000 brackets": f"Name: a\nVersion: 1\nRequires-Dist: b; {'(' * 5_000}",
    "no name": "Version: 1",
    "nothing": "",
    "messages in messages": "Content-Type: message/rfc822\n\n" * 5_000,
}


@pytest.mark.parametrize("text", METADATA.values(), ids=METADATA)
def test_odd_metadata_is_refused(text: str) -> None:
    with pytest.raises(IndexContentError):
        parse_metadata(f"Metadata-Version: 2.1\n{text}\n".encode(), of="a-1-py3-none-any.whl")


@pytest.mark.parametrize(
    "name", [f"a-{_DIGITS}-py3-none-any.whl", f"a-1-{_DIGITS}-py3-none-any.whl", f"a-{_DIGITS}.zip"]
)
def test_a_name_with_a_number_that_python_does_not_read_is_that_of_no_package(name: str) -> None:
    assert project_of(name) is None


@pytest.mark.parametrize(
    "line", [f"a=={_DIGITS}", f"a==1; {'(' * 5_000}os_name == 'x'{')' * 5_000}", f"a[{'b,' * 5_000}]==1"]
)
def test_a_lock_line_that_packaging_cannot_read_is_no_traceback(tmp_path: Path, line: str) -> None:
    repository = make_repository(tmp_path)
    flavor = make_flavor(repository)
    lock = flavor.folder / "requirements.txt"
    lock.write_text(f"{lock.read_text()}{line} --hash=sha256:{'0' * 64}\n")
    parse_lock(lock.read_text())
    assert flavor_state(flavor).lock in {"broken", "stale", "locked"}
    project = flavor.folder / "pyproject.toml"
    project.write_text(project.read_text().replace('"numpy>=2.0,<3"', f'"{line}"'))
    state = flavor_state(type(flavor)(flavor.folder))
    assert state.name == NAME


@pytest.mark.parametrize(
    "more",
    [
        {"modified": "0001-01-01T00:00:00+14:00"},
        {"modified": 5},
        {"affected": 5},
        {"affected": [{"package": {"ecosystem": "PyPI", "name": "a"}, "versions": [1]}]},
    ],
    ids=str,
)
def test_an_advisory_of_another_shape_is_an_error(tmp_path: Path, more: dict[str, object]) -> None:
    advisory = {"id": "X-1", "modified": "2026-01-01T00:00:00Z", "affected": []} | more
    (tmp_path / "one.json").write_text(json.dumps(advisory))
    with pytest.raises(AdvisoryError):
        read_database(tmp_path)


def test_an_advisory_nested_without_an_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(b"[" * 100_000)
    with pytest.raises(AdvisoryError):
        read_database(tmp_path)
