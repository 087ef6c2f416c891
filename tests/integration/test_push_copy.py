"""`factory push REGISTRY/REF --to REGISTRY`: a copy by digest, without an engine, with what is attached."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.layouts import CONFIG, INDEX, MANIFEST, SmallImage, indexed
from support.push_site import REGISTRY_ERROR, TAG, Site, push_site
from support.registry import Registry, registry

import factory.registry.client
from factory.engine.images import IMAGE_LABEL, STAND_IN_LABEL
from factory.http.retry import RetryPolicy

pytestmark = pytest.mark.integration

_NOT_FOUND = 13


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    with push_site(tmp_path, monkeypatch, capsys) as site:
        # The copy needs no program.
        monkeypatch.setenv("FACTORY_ENGINE", "nothing-of-the-kind")
        yield site


@pytest.fixture
def far(site: Site, tmp_path: Path) -> Iterator[Registry]:
    """A second registry, declared as the disposable one."""
    with registry(tmp_path / "far") as server:
        settings = site.root / "factory.toml"
        settings.write_text(
            f'{settings.read_text()}[registries.scratch]\nurl = "{server.host}/try"\nclass = "disposable"\n'
        )
        yield server


@pytest.fixture
def image(site: Site, far: Registry) -> SmallImage:
    """An image in the disposable registry."""
    image = site.image()
    site.push(image.reference, "--to", "scratch", "--tags", "auto", "--tags", "0.1.0")
    assert site.tags("try/trainer", far).keys() == {TAG, "latest", "0.1.0"}
    return image


def _attach(server: Registry, image: SmallImage, *, subject: bool, tag: str | None) -> str:
    """Put a small manifest beside an image in a registry; gives its digest."""
    repository = f"http://{server.host}/v2/try/trainer"
    blob = b'{"sbom": true}'
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    begun = httpx.post(f"{repository}/blobs/uploads/")
    place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
    httpx.put(place, content=blob).raise_for_status()
    named = {"mediaType": CONFIG, "digest": digest, "size": len(blob)}
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": named,
        "layers": [named],
        "artifactType": "x/sbom",
    }
    if subject:
        manifest["subject"] = {"mediaType": MANIFEST, "digest": image.digest, "size": 1}
    content = json.dumps(manifest).encode()
    own = f"sha256:{hashlib.sha256(content).hexdigest()}"
    headers = {"Content-Type": MANIFEST}
    httpx.put(f"{repository}/manifests/{tag or own}", content=content, headers=headers).raise_for_status()
    if subject:
        entry = {"mediaType": MANIFEST, "digest": own, "size": len(content), "artifactType": "x/sbom"}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        listing = f"{repository}/manifests/{image.digest.replace(':', '-')}"
        httpx.put(listing, content=json.dumps(index).encode(), headers={"Content-Type": INDEX})
    return own


def test_a_copy_keeps_the_digest_and_the_tag_by_which_it_was_named(
    site: Site, far: Registry, image: SmallImage
) -> None:
    (outcome,) = site.push("scratch/trainer:0.1.0", "--to", "near")["outcomes"]
    assert site.tags() == {TAG: image.digest, "0.1.0": image.digest}
    assert {tag["state"] for tag in outcome["tags"]} == {"sent"}
    assert outcome["sent_bytes"] > sum(image.blobs.values())
    # By its digest, and by the address of the registry.
    again = f"{far.host}/try/trainer@{image.digest}"
    (outcome,) = site.push(again, "--to", "near")["outcomes"]
    assert [(tag["tag"], tag["state"]) for tag in outcome["tags"]] == [(TAG, "already there")]
    assert outcome["sent_bytes"] == 0


def test_a_registry_that_nobody_declared_is_named_with_docker(
    site: Site, far: Registry, image: SmallImage
) -> None:
    site.push(f"docker://{far.host}/try/trainer:latest", "--to", "near", "--tags", "moved", "--name", "other")
    assert site.tags("team/other") == {"moved": image.digest}


def test_an_index_is_copied_with_its_images(site: Site, far: Registry) -> None:
    image = site.image("two")
    digest = indexed(image)
    site.push(image.reference, "--to", "scratch", "--tags", "1.0.0")
    site.push("scratch/trainer:1.0.0", "--to", "near")
    assert site.tags()["1.0.0"] == digest == site.tags("try/trainer", far)["1.0.0"]
    child = f"http://{site.server.host}/v2/team/trainer/manifests/{image.digest}"
    assert httpx.head(child, headers={"Accept": MANIFEST}).is_success


def test_what_is_attached_comes_along_by_tag_and_by_subject(
    site: Site, far: Registry, image: SmallImage
) -> None:
    tag = image.digest.replace(":", "-")
    cosign = _attach(far, image, subject=False, tag=f"{tag}.sbom")
    referrer = _attach(far, image, subject=True, tag=None)
    (planned,) = site.push("scratch/trainer", "--to", "near", "--dry-run")["outcomes"]
    assert [each["state"] for each in planned["tags"]] == ["would be sent"] * 4
    assert site.tags() == {}
    (outcome,) = site.push("scratch/trainer", "--to", "near")["outcomes"]
    tags = site.tags()
    assert tags[f"{tag}.sbom"] == cosign
    listed = httpx.get(
        f"http://{site.server.host}/v2/team/trainer/manifests/{tag}", headers={"Accept": INDEX}
    ).json()
    assert [(each["digest"], each["artifactType"]) for each in listed["manifests"]] == [(referrer, "x/sbom")]
    there = f"http://{site.server.host}/v2/team/trainer/manifests/{referrer}"
    assert httpx.get(there, headers={"Accept": MANIFEST}).is_success
    assert {each["tag"] for each in outcome["tags"]} == {f"{tag}.sbom", tag, TAG, "latest"}
    # Twice: nothing is sent, and nothing listed twice.
    (outcome,) = site.push("scratch/trainer", "--to", "near")["outcomes"]
    assert {each["state"] for each in outcome["tags"]} == {"already there"}
    assert site.tags() == tags


def test_another_attachment_under_the_same_tag_stays(site: Site, far: Registry, image: SmallImage) -> None:
    tag = f"{image.digest.replace(':', '-')}.sbom"
    _attach(far, image, subject=False, tag=tag)
    other = site.image("other", content="other")
    site.push(other.reference, "--to", "near", "--tags", tag)
    (outcome,) = site.push("scratch/trainer", "--to", "near")["outcomes"]
    assert [each["state"] for each in outcome["tags"] if each["tag"] == tag] == ["another is there"]
    assert site.tags()[tag] == other.digest


def test_within_a_registry_layers_are_mounted_and_not_sent(site: Site, image: SmallImage) -> None:
    site.push(image.reference, "--to", "near")
    (outcome,) = site.push("near/trainer", "--to", "near", "--name", "moved")["outcomes"]
    assert outcome["sent_bytes"] == 0
    assert site.tags("team/moved") == {TAG: image.digest, "latest": image.digest}
    assert '"PATCH' not in site.server.log.read_text().partition("team/moved/blobs/uploads")[2]


def test_a_copy_that_broke_sends_only_what_is_missing(
    site: Site, far: Registry, image: SmallImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory.registry.client, "RETRY_POLICY", RetryPolicy(first_pause_seconds=0.01))
    config, first, second = image.blobs
    damaged = next(far.folder.rglob(f"{second.removeprefix('sha256:')}/data"))
    whole = damaged.read_bytes()
    damaged.write_bytes(gzip.compress(b"something else").ljust(len(whole), b"\0"))
    report = site.push("scratch/trainer", "--to", "near", status=REGISTRY_ERROR)
    assert "is not what it is said to be" in report["outcomes"][0]["error"]["reason"]
    assert site.tags() == {}
    # The other blobs are as they should be, and are there by now.
    assert site.blobs_of(image) == {config, first}
    damaged.write_bytes(whole)
    (outcome,) = site.push("scratch/trainer", "--to", "near")["outcomes"]
    assert image.blobs[second] < outcome["sent_bytes"] < image.blobs[first] + image.blobs[second]
    assert site.tags() == {TAG: image.digest, "latest": image.digest}


def test_an_image_on_a_stand_in_is_not_copied_into_a_persistent_registry(site: Site, far: Registry) -> None:
    labels = {IMAGE_LABEL: "trainer", STAND_IN_LABEL: "localhost/standin:1"}
    site.push(site.image("standing-in", labels=labels).reference, "--to", "scratch", "--tags", "1.0.0")
    report = site.push("scratch/trainer:1.0.0", "--to", "near", status=REGISTRY_ERROR)
    assert "localhost/standin:1" in report["outcomes"][0]["error"]["reason"]
    assert site.tags() == {}
    site.push("scratch/trainer:1.0.0", "--to", "near", "--force")
    assert site.tags().keys() == {"1.0.0"}


def test_what_is_not_there_is_said_and_nothing_is_pushed(site: Site, far: Registry) -> None:
    report = site.push("scratch/nothing", "--to", "near", status=_NOT_FOUND)
    assert f"the registry scratch ({far.host}) has no image" in report["error"]["reason"]


def test_several_images_of_a_registry_are_copied_in_one_command(
    site: Site, far: Registry, image: SmallImage
) -> None:
    site.push(
        site.image("second", content="2").reference, "--to", "scratch", "--name", "second", "--tags", "1.0.0"
    )
    report = site.push(
        "scratch/trainer", "scratch/second:1.0.0", "scratch/third:1", "--to", "near", status=_NOT_FOUND
    )
    assert [each["state"] for each in report["images"]] == ["pushed", "pushed", "failed"]
    assert site.tags("team/second").keys() == {TAG, "1.0.0"}
    assert site.tags().keys() == {TAG, "latest"}
