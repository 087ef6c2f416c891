"""A bill beside its image in a real registry: where cosign puts it, with the logins of the engine."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.registry import PASSWORD, USER, Registry, registry
from support.wheels import make_wheel
from support.workshop import Run, Workshop

from factory.errors import RegistryError, SbomError
from factory.registry.credentials import login_for
from factory.registry.oci import OCI_MANIFEST as MANIFEST
from factory.render.drift import SBOM_FILE
from factory.sbom.attach import CONFIG, LAYER, read_reference

pytestmark = pytest.mark.integration

_SBOM = 30
_REPOSITORY = "team/images/trainer"


@dataclass(frozen=True)
class Pushed:
    """A locked flavor and an image of it in a registry, by digest."""

    workshop: Workshop
    folder: Path
    server: Registry
    digest: str
    login: tuple[str, str] | None = None

    @property
    def repository(self) -> str:
        return f"{self.server.host}/{_REPOSITORY}"

    def attach(self, *arguments: str, image: str | None = None) -> Run:
        image = image or f"{self.repository}@{self.digest}"
        return self.workshop.run("sbom", self.folder.name, "--attach-to", image, "--plain-http", *arguments)

    def get(self, path: str) -> httpx.Response:
        headers = {"Accept": MANIFEST}
        return httpx.get(
            f"http://{self.server.host}/v2/{_REPOSITORY}/{path}", headers=headers, auth=self.login
        )

    @property
    def manifest(self) -> httpx.Response:
        return self.get(f"manifests/{self.digest.replace(':', '-')}.sbom")


def _push_image(server: Registry, login: tuple[str, str] | None) -> str:
    """The smallest image that a registry takes; gives its digest."""
    config = b"{}"
    config_digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_digest, "size": len(config)},
        "layers": [],
    }
    content = json.dumps(manifest).encode()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with httpx.Client(base_url=f"http://{server.host}/v2/{_REPOSITORY}", auth=login) as client:
        upload = httpx.URL(client.post("/blobs/uploads/").headers["Location"])
        put = client.put(upload.copy_merge_params({"digest": config_digest}), content=config)
        assert put.status_code == httpx.codes.CREATED
        put = client.put(f"/manifests/{digest}", content=content, headers={"Content-Type": MANIFEST})
        assert put.status_code == httpx.codes.CREATED
    return digest


@pytest.fixture
def folder(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    make_wheel(workshop.pushed, "app", "1.0", headers=["License-Expression: MIT"])
    folder = workshop.flavor("app")
    workshop.locked(folder)
    return folder


@pytest.fixture
def pushed(workshop: Workshop, folder: Path, tmp_path: Path) -> Iterator[Pushed]:
    with registry(tmp_path / "registry") as server:
        yield Pushed(workshop, folder, server, _push_image(server, None))


@pytest.fixture
def guarded(workshop: Workshop, folder: Path, tmp_path: Path) -> Iterator[Pushed]:
    """A registry that lets nobody in without a login."""
    login = USER, PASSWORD
    with registry(tmp_path / "registry", login=True) as server:
        yield Pushed(workshop, folder, server, _push_image(server, login), login)


def _auth_file(path: Path, entries: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = {key: {"auth": base64.b64encode(login.encode()).decode()} for key, login in entries.items()}
    path.write_text(json.dumps({"auths": encoded}))


def test_the_bill_stands_beside_the_image_as_one_layer(pushed: Pushed) -> None:
    bill = pushed.workshop.run("sbom", pushed.folder.name).out.encode()
    run = pushed.attach()
    assert run.status == 0, run.err
    digest = f"sha256:{hashlib.sha256(bill).hexdigest()}"
    assert run.out == f"{pushed.repository}@{digest}\n"
    manifest = pushed.manifest.json()
    assert manifest["mediaType"] == MANIFEST
    assert manifest["layers"] == [{"mediaType": LAYER, "digest": digest, "size": len(bill)}]
    assert pushed.get(f"blobs/{digest}").content == bill
    config = pushed.get(f"blobs/{manifest['config']['digest']}").json()
    assert config["rootfs"] == {"type": "layers", "diff_ids": [digest]}


def test_its_reference_is_told_as_data(pushed: Pushed) -> None:
    run = pushed.attach("--json")
    assert run.status == 0, run.err
    assert set(run.data) == {"blob_url", "tag"}
    assert run.data["blob_url"] == pushed.attach().out.strip()
    assert run.data["tag"] == f"{pushed.repository}:{pushed.digest.replace(':', '-')}.sbom"


def test_a_second_run_pushes_nothing_new(pushed: Pushed) -> None:
    assert pushed.attach().status == 0
    first = pushed.manifest
    assert pushed.attach().status == 0
    assert pushed.manifest.headers["Docker-Content-Digest"] == first.headers["Docker-Content-Digest"]


def test_a_tag_before_the_digest_is_no_matter(pushed: Pushed) -> None:
    run = pushed.attach(image=f"{pushed.repository}:latest@{pushed.digest}")
    assert run.status == 0, run.err
    assert run.out.startswith(f"{pushed.repository}@sha256:")


def test_the_bill_of_the_folder_is_what_is_attached_and_no_index_is_asked(pushed: Pushed) -> None:
    assert pushed.workshop.run("sbom", pushed.folder.name, "--write").status == 0
    (pushed.workshop.pushed / "app-1.0-py3-none-any.whl").unlink()
    pushed.workshop.index.requests.clear()
    run = pushed.attach()
    assert run.status == 0, run.err
    digest = hashlib.sha256((pushed.folder / SBOM_FILE).read_bytes()).hexdigest()
    assert run.out == f"{pushed.repository}@sha256:{digest}\n"
    assert not pushed.workshop.index.requests


def test_a_bill_of_another_lock_is_not_attached(pushed: Pushed) -> None:
    assert pushed.workshop.run("sbom", pushed.folder.name, "--write").status == 0
    make_wheel(pushed.workshop.pushed, "app", "1.0", salt="again")
    kept = (pushed.folder / SBOM_FILE).read_bytes()
    assert pushed.workshop.run("rehash", pushed.folder.name).status == 0
    (pushed.folder / SBOM_FILE).write_bytes(kept)
    run = pushed.attach()
    assert run.status == _SBOM
    assert "is not that of its lock: app 1.0 is locked with other hashes" in run.err
    assert pushed.manifest.status_code == httpx.codes.NOT_FOUND


def test_an_image_that_is_not_there_gets_no_bill(pushed: Pushed) -> None:
    run = pushed.attach(image=f"{pushed.repository}@sha256:{'0' * 64}")
    assert run.status == _SBOM
    assert "is not in the registry" in run.err
    assert pushed.get(f"manifests/sha256-{'0' * 64}.sbom").status_code == httpx.codes.NOT_FOUND


def test_a_registry_that_is_down_is_told_in_seconds(workshop: Workshop, folder: Path) -> None:
    image = f"127.0.0.1:9/{_REPOSITORY}@sha256:{'0' * 64}"
    run = workshop.run("sbom", folder.name, "--attach-to", image, "--plain-http", "--json")
    assert run.status == _SBOM
    assert "127.0.0.1:9 did not take the bill of materials: " in run.out
    assert "http://127.0.0.1:9/v2/ cannot be reached" in run.out


def test_https_is_the_rule(pushed: Pushed) -> None:
    image = f"{pushed.repository}@{pushed.digest}"
    run = pushed.workshop.run("sbom", pushed.folder.name, "--attach-to", image)
    assert run.status == _SBOM
    assert "--plain-http" in run.err


@pytest.mark.parametrize(
    "image",
    [
        "quay.io/a/b:1",
        "quay.io/a/b",
        f"a/b@sha256:{'0' * 63}",
        f"quay.io/A@sha256:{'0' * 64}",
        f"b@sha256:{'0' * 64}",
        f"quay.io/a/b@sha512:{'0' * 128}",
        f"https://quay.io/a/b@sha256:{'0' * 64}",
        f"quay.io/a/../b@sha256:{'0' * 64}",
        f"quay.io/a b@sha256:{'0' * 64}",
        f"quay.io/a@sha256:{'0' * 64}\n",
    ],
)
def test_an_image_that_is_not_named_by_its_digest_is_refused(image: str) -> None:
    with pytest.raises(SbomError, match="names no image by its digest"):
        read_reference(image)


def test_a_login_is_wanted_and_none_is_known(guarded: Pushed) -> None:
    run = guarded.attach()
    assert run.status == _SBOM
    assert "refuses access" in run.err
    assert "podman login" in run.err


@pytest.mark.parametrize(
    ("variable", "value", "file"),
    [
        ("REGISTRY_AUTH_FILE", "own.json", "own.json"),
        ("XDG_RUNTIME_DIR", "run", "run/containers/auth.json"),
        (None, "", "home/.config/containers/auth.json"),
        ("DOCKER_CONFIG", "docker", "docker/config.json"),
        (None, "", "home/.docker/config.json"),
    ],
)
def test_the_engines_logins_are_used_and_not_told(
    guarded: Pushed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    value: str,
    file: str,
) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / value))
    _auth_file(tmp_path / file, {guarded.server.host: f"{USER}:{PASSWORD}"})
    run = guarded.attach()
    assert run.status == 0, run.err
    assert guarded.manifest.status_code == httpx.codes.OK
    assert PASSWORD not in run.out + run.err


def test_a_wrong_password_is_refused_at_once_and_not_told(
    guarded: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "own.json"))
    _auth_file(tmp_path / "own.json", {guarded.server.host: f"{USER}:not-the-pass-word"})
    run = guarded.attach()
    assert run.status == _SBOM
    assert "refuses access" in run.err
    assert "not-the-pass-word" not in run.out + run.err


def test_the_login_that_fits_best_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    entries = {
        "quay.io": "all:1",
        "quay.io/team": "team:2",
        "quay.io/team/images": "images:3",
        "quay.io/te": "te:4",
        "https://registry.example.com": "other:5",
    }
    _auth_file(path, entries)
    environment = {"REGISTRY_AUTH_FILE": str(path)}
    for repository, user in (
        ("quay.io/team/images/trainer", "images"),
        ("quay.io/team/others", "team"),
        ("quay.io/teams/x", "all"),
        ("registry.example.com/x", "other"),
    ):
        login = login_for(repository, environment)
        assert login is not None
        assert login.user == user
    assert login_for("ghcr.io/x/y", environment) is None


@pytest.mark.parametrize("content", ["", "[]", '{"auths": 1}', '{"auths": {"quay.io": {"auth": "§"}}}'])
def test_a_file_of_logins_that_cannot_be_read_is_told_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(content)
    with pytest.raises(RegistryError, match=r"auth\.json cannot be read") as caught:
        login_for("quay.io/x", {"REGISTRY_AUTH_FILE": str(path)})
    assert "§" not in caught.value.reason
