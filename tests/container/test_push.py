"""`factory push` of an image that podman has: compressed once, the same digest everywhere, sent once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.podman import podman
from support.push_site import REGISTRY_ERROR, TAG, Site, push_site
from support.registry import registry

pytestmark = pytest.mark.container

_NAME = "localhost/universal-image-tests-push:latest"


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    with push_site(tmp_path, monkeypatch, capsys) as site:
        image = podman("pull", "--quiet", site.image(compressed=False).reference).split()[-1]
        podman("tag", image, _NAME)
        yield site
        podman("rmi", "--force", image)


def test_an_image_of_podman_has_one_digest_in_all_registries_and_is_sent_once(
    site: Site, tmp_path: Path
) -> None:
    report = site.push(_NAME, "--to", "near")
    tags = site.tags()
    assert set(tags) == {TAG, "latest"}
    assert len(set(tags.values())) == 1
    assert report["outcomes"][0]["sent_bytes"] > 0
    # What was compressed for the sending is gone.
    assert not list((site.root / ".work").rglob("blobs"))
    before = site.uploads()
    (outcome,) = site.push(_NAME, "--to", "near")["outcomes"]
    assert {tag["state"] for tag in outcome["tags"]} == {"already there"}
    assert site.uploads() == before
    with registry(tmp_path / "far") as far:
        site.push(_NAME, "--to", f"{far.host}/team")
        assert site.tags(server=far) == tags


def test_an_image_of_the_repository_goes_to_its_registry_under_its_moving_tag(site: Site) -> None:
    name = "universal-image-tests-push"
    folder = site.root / "images" / name
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    settings = site.root / "factory.toml"
    settings.write_text(
        f'{settings.read_text()}\n[images.{name}]\nkind = "launcher"\nparent = "quay.io/x/base:1"\n'
        'registry = "near"\nmoving-tag = "current"\n'
    )
    podman("tag", _NAME, f"localhost/{name}:current")
    # Its label calls it a trainer; its definition's name is what counts.
    report = site.push(name)
    assert [tag["tag"] for tag in report["outcomes"][0]["tags"]] == [TAG, "current"]
    assert set(site.tags(f"team/{name}")) == {TAG, "current"}


def test_a_new_tag_for_an_image_that_is_there_exports_nothing(site: Site) -> None:
    site.push(_NAME, "--to", "near")
    shutil.rmtree(site.root / ".work")
    (outcome,) = site.push(_NAME, "--to", "near", "--tags", "1.0.0")["outcomes"]
    assert [tag["state"] for tag in outcome["tags"]] == ["tagged"]
    # Beside the locks of the tags.
    assert [path.name for path in (site.root / ".work" / "push").iterdir() if path.is_dir()] == ["tags"]


def test_a_dry_run_compresses_nothing(site: Site) -> None:
    (outcome,) = site.push(_NAME, "--to", "near", "--dry-run")["outcomes"]
    assert [tag["state"] for tag in outcome["tags"]] == ["would be sent", "would be sent"]
    assert not (site.root / ".work").exists()


def test_what_another_image_has_is_told_before_anything_is_compressed(site: Site) -> None:
    other = site.image("other", content="other")
    site.push(other.reference, "--to", "near")
    report = site.push(_NAME, "--to", "near", status=REGISTRY_ERROR)
    assert f"{TAG} exists already" in report["outcomes"][0]["error"]["reason"]
    assert site.tags() == {TAG: other.digest, "latest": other.digest}
    assert not list((site.root / ".work").rglob("layout"))
