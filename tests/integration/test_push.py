"""`factory push` into real registries: content by digest, tags last, what is there already not sent."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.layouts import MANIFEST, SmallImage, indexed, small_image
from support.registry import Registry, registry

from factory.cli.main import main
from factory.image.labels import IDENTITY_LABEL, IMAGE_LABEL

pytestmark = pytest.mark.integration

_REGISTRY, _SPEC = 32, 11
_IDENTITY = "0123456789abcdef" * 4
_TAG = _IDENTITY[:16]


@dataclass
class Site:
    """A repository that declares a registry called near, which runs, and what `factory` says there."""

    root: Path
    server: Registry
    capsys: pytest.CaptureFixture[str]
    err: str = ""

    def push(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), "push", *arguments, "--json"])
        out, self.err = self.capsys.readouterr()
        assert ended.value.code == status, out + self.err
        document: dict[str, Any] = json.loads(out)
        return document

    def image(self, name: str = "trainer", **arguments: Any) -> SmallImage:  # noqa: ANN401 - as small_image
        labels = {IDENTITY_LABEL: _IDENTITY, IMAGE_LABEL: "trainer"}
        return small_image(self.root / "made" / name, **{"labels": labels, **arguments})

    def tags(self, repository: str = "team/trainer", server: Registry | None = None) -> dict[str, str]:
        """The tags of a repository, and the digest of each."""
        base = f"http://{(server or self.server).host}/v2/{repository}"
        listed = httpx.get(f"{base}/tags/list").json().get("tags") or []
        accept = {"Accept": f"{MANIFEST}, application/vnd.oci.image.index.v1+json"}
        return {
            tag: httpx.head(f"{base}/manifests/{tag}", headers=accept).headers["Docker-Content-Digest"]
            for tag in listed
        }

    def uploads(self) -> int:
        """How many requests of the registry's log began to upload a blob."""
        return self.server.log.read_text().count('"POST /v2/')


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo here: scripts/engine.sh installs it")
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    root = tmp_path / "repository"
    (root / "flavors").mkdir(parents=True)
    with registry(tmp_path / "registry") as server:
        (root / "factory.toml").write_text(
            f'[registries.near]\nurl = "{server.host}/team"\nclass = "persistent"\n'
        )
        yield Site(root=root, server=server, capsys=capsys)


def test_an_image_has_its_tags_after_a_push_and_the_digest_of_its_layout(site: Site) -> None:
    image = site.image()
    report = site.push(image.reference, "--to", "near")
    assert site.tags() == {_TAG: image.digest, "latest": image.digest}
    (outcome,) = report["outcomes"]
    assert outcome["error"] is None
    assert [(tag["tag"], tag["state"], tag["digest"]) for tag in outcome["tags"]] == [
        (_TAG, "sent", image.digest),
        ("latest", "sent", image.digest),
    ]
    manifest_bytes = len((image.folder / "blobs" / "sha256" / image.digest[7:]).read_bytes())
    assert outcome["sent_bytes"] == sum(image.blobs.values()) + manifest_bytes


def test_a_second_push_sends_nothing(site: Site) -> None:
    image = site.image()
    site.push(image.reference, "--to", "near")
    before = site.uploads()
    (outcome,) = site.push(image.reference, "--to", "near")["outcomes"]
    assert {tag["state"] for tag in outcome["tags"]} == {"already there"}
    assert outcome["sent_bytes"] == 0
    assert site.uploads() == before > 0


def test_an_image_that_is_there_gets_another_tag_without_being_sent(site: Site) -> None:
    image = site.image()
    site.push(image.reference, "--to", "near")
    before = site.uploads()
    (outcome,) = site.push(image.reference, "--to", "near", "--tags", "stable", "--tags", "auto")["outcomes"]
    states = {tag["tag"]: tag["state"] for tag in outcome["tags"]}
    assert states == {"stable": "tagged", _TAG: "already there", "latest": "already there"}
    assert site.tags()["stable"] == image.digest
    assert site.uploads() == before


def test_of_an_image_with_one_new_layer_that_layer_alone_is_sent(site: Site) -> None:
    site.push(site.image("first", layers=1).reference, "--to", "near")
    second = site.image("second", layers=2)
    (outcome,) = site.push(second.reference, "--to", "near", "--tags", "latest")["outcomes"]
    config, _, new = second.blobs
    manifest_bytes = len((second.folder / "blobs" / "sha256" / second.digest[7:]).read_bytes())
    assert outcome["sent_bytes"] == second.blobs[config] + second.blobs[new] + manifest_bytes
    assert site.tags()["latest"] == second.digest


def test_a_moving_tag_moves_and_any_other_tag_never(site: Site) -> None:
    first, second = site.image("first"), site.image("second", content="other")
    site.push(first.reference, "--to", "near", "--tags", "latest", "--tags", "1.0.0")
    before = site.uploads()
    report = site.push(
        second.reference, "--to", "near", "--tags", "latest", "--tags", "1.0.0", status=_REGISTRY
    )
    (outcome,) = report["outcomes"]
    assert "1.0.0 is there already and names another image" in outcome["error"]["reason"]
    # Seen before anything was sent, and so nothing of it is left.
    assert site.tags() == {"latest": first.digest, "1.0.0": first.digest}
    assert site.uploads() == before
    site.push(second.reference, "--to", "near", "--tags", "latest")
    assert site.tags() == {"latest": second.digest, "1.0.0": first.digest}


def test_uncompressed_layers_are_compressed_and_twice_give_one_digest(site: Site) -> None:
    plain = site.image(compressed=False)
    site.push(plain.reference, "--to", "near")
    digest = site.tags()["latest"]
    assert digest != plain.digest
    (outcome,) = site.push(plain.reference, "--to", "near")["outcomes"]
    assert {tag["state"] for tag in outcome["tags"]} == {"already there"}
    with registry(site.root / "far") as far:
        site.push(plain.reference, "--to", f"{far.host}/team")
        assert site.tags(server=far)["latest"] == digest
    assert not list((site.root / ".work").rglob("blobs"))


def test_an_index_is_pushed_whole(site: Site) -> None:
    image = site.image()
    digest = indexed(image)
    site.push(image.reference, "--to", "near", "--tags", "1.0.0")
    assert site.tags() == {"1.0.0": digest}
    child = f"http://{site.server.host}/v2/team/trainer/manifests/{image.digest}"
    assert httpx.head(child, headers={"Accept": MANIFEST}).status_code == httpx.codes.OK


def test_two_destinations_have_one_digest(site: Site, tmp_path: Path) -> None:
    image = site.image()
    with registry(tmp_path / "far") as far:
        report = site.push(image.reference, "--to", "near", "--to", f"{far.host}/elsewhere")
        assert (
            site.tags() == site.tags("elsewhere/trainer", far) == {_TAG: image.digest, "latest": image.digest}
        )
    assert [outcome["error"] for outcome in report["outcomes"]] == [None, None]


def test_a_destination_that_is_down_does_not_stop_the_other(site: Site, tmp_path: Path) -> None:
    with registry(tmp_path / "far") as far:
        gone = far.host
    image = site.image()
    report = site.push(image.reference, "--to", f"{gone}/team", "--to", "near", status=_REGISTRY)
    down, near = report["outcomes"]
    assert down["error"]["kind"] == "RegistryError"
    assert "cannot be reached" in down["error"]["reason"]
    assert down["tags"] == []
    assert near["error"] is None
    assert site.tags() == {_TAG: image.digest, "latest": image.digest}
    assert "cannot be reached" in site.err


def test_versions_are_raised_from_those_of_the_registry_and_kept_by_the_image_that_has_one(
    site: Site,
) -> None:
    def version(image: SmallImage, *more: str) -> str:
        report = site.push(image.reference, "--to", "near", "--tags", "semver", *more)
        (tag,) = report["tags"]
        return str(tag)

    first, second, third = (site.image(name, content=name) for name in ("first", "second", "third"))
    assert version(first) == "0.1.0"
    assert version(first) == "0.1.0"
    assert version(second) == "0.1.1"
    assert version(third, "--raise", "minor") == "0.2.0"
    # Its version is not the newest one any more: who pushes it again wants it as the newest.
    assert version(first, "--raise", "major") == "1.0.0"
    assert site.tags() == {
        "0.1.0": first.digest,
        "0.1.1": second.digest,
        "0.2.0": third.digest,
        "1.0.0": first.digest,
    }


def test_an_image_has_one_version_in_all_its_registries(site: Site, tmp_path: Path) -> None:
    first, second = site.image("first"), site.image("second", content="other")
    site.push(first.reference, "--to", "near", "--tags", "3.1.4")
    with registry(tmp_path / "far") as far:
        report = site.push(
            second.reference,
            "--to",
            f"{far.host}/team",
            "--to",
            "near",
            "--tags",
            "semver",
            "--raise",
            "minor",
        )
        assert report["tags"] == ["3.2.0"]
        assert site.tags(server=far) == {"3.2.0": second.digest}


def test_a_dry_run_tells_and_changes_nothing(site: Site) -> None:
    image = site.image()
    (outcome,) = site.push(image.reference, "--to", "near", "--dry-run")["outcomes"]
    assert [tag["state"] for tag in outcome["tags"]] == ["would be sent", "would be sent"]
    assert outcome["sent_bytes"] is None
    assert site.tags() == {}
    assert site.uploads() == 0
    site.push(image.reference, "--to", "near")
    (outcome,) = site.push(image.reference, "--to", "near", "--tags", "auto", "--tags", "x", "--dry-run")[
        "outcomes"
    ]
    states = {tag["tag"]: tag["state"] for tag in outcome["tags"]}
    assert states == {_TAG: "already there", "latest": "already there", "x": "would be tagged"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], _SPEC, "has no registry to go to"),
        (["--to", "nowhere"], _SPEC, "no such registry"),
        (["--to", "http://127.0.0.1/x"], _SPEC, "not the address of a registry"),
        (["--to", "near", "--tags", "{nothing}"], _SPEC, "there is no field {nothing}"),
        (["--to", "near", "--tags", "git-sha"], _SPEC, "no commit"),
    ],
)
def test_what_cannot_be_pushed_is_told_before_anything_is_sent(
    site: Site, arguments: list[str], status: int, says: str
) -> None:
    document = site.push(site.image().reference, *arguments, status=status)
    assert says in document["error"]["reason"]
    assert site.uploads() == 0


def test_text_for_people_has_a_row_for_each_tag(site: Site) -> None:
    image = site.image()
    with pytest.raises(SystemExit):
        main(["--root", str(site.root), "push", image.reference, "--to", "near"])
    out = site.capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    place = f"{site.server.host}/team/trainer"
    assert [row[:4] for row in rows[1:]] == [
        [place, _TAG, image.digest, "sent"],
        [place, "latest", image.digest, "sent"],
    ]
