"""`factory push` into real registries: content by digest, tags last, what is there already not sent."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.layouts import MANIFEST, SmallImage, indexed
from support.push_site import IDENTITY, REGISTRY_ERROR, TAG, Site, push_site
from support.registry import registry

import factory.registry.client
from factory.cli.main import main
from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL, STAND_IN_LABEL
from factory.http.retry import RetryPolicy

pytestmark = pytest.mark.integration

_SPEC = 11


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    with push_site(tmp_path, monkeypatch, capsys) as site:
        yield site


def test_an_image_has_its_tags_after_a_push_and_the_digest_of_its_layout(site: Site) -> None:
    image = site.image()
    report = site.push(image.reference, "--to", "near")
    assert site.tags() == {TAG: image.digest, "latest": image.digest}
    (outcome,) = report["outcomes"]
    assert outcome["error"] is None
    assert [(tag["tag"], tag["state"], tag["digest"]) for tag in outcome["tags"]] == [
        (TAG, "sent", image.digest),
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
    assert states == {"stable": "tagged", TAG: "already there", "latest": "already there"}
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
        second.reference, "--to", "near", "--tags", "latest", "--tags", "1.0.0", status=REGISTRY_ERROR
    )
    (outcome,) = report["outcomes"]
    assert "1.0.0 exists already and names another image" in outcome["error"]["reason"]
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


def test_a_new_tag_for_an_image_that_is_there_compresses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = site.image(compressed=False)
    site.push(plain.reference, "--to", "near")
    # Without the programs that would compress it.
    monkeypatch.setenv("PATH", str(site.root))
    (planned,) = site.push(plain.reference, "--to", "near", "--tags", "1.0.0", "--dry-run")["outcomes"]
    assert [tag["state"] for tag in planned["tags"]] == ["would be tagged"]
    (outcome,) = site.push(plain.reference, "--to", "near", "--tags", "1.0.0")["outcomes"]
    assert [tag["state"] for tag in outcome["tags"]] == ["tagged"]
    assert outcome["sent_bytes"] == 0
    assert len(set(site.tags().values())) == 1


def test_an_image_is_found_under_a_tag_that_nobody_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = site.image(compressed=False)
    site.push(plain.reference, "--to", "near", "--tags", "odd")
    site.push(site.image("other", content="other").reference, "--to", "near", "--tags", "latest")
    monkeypatch.setenv("PATH", str(site.root))
    (outcome,) = site.push(plain.reference, "--to", "near")["outcomes"]
    assert outcome["sent_bytes"] == 0
    assert site.tags()[TAG] == site.tags()["latest"] == site.tags()["odd"]


def test_the_same_layers_and_labels_are_the_same_image_whatever_else_its_configuration_says(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.image("first")
    site.push(first.reference, "--to", "near", "--tags", "1.0.0")
    # As docker writes an image of its own: another configuration, and layers that are not compressed.
    second = site.image("second", compressed=False, created="2026-01-01T00:00:00Z")
    monkeypatch.setenv("PATH", str(site.root))
    report = site.push(second.reference, "--to", "near", "--tags", "1.0.0", "--tags", "1.0")
    states = {tag["tag"]: tag["state"] for tag in report["outcomes"][0]["tags"]}
    assert states == {"1.0.0": "already there", "1.0": "tagged"}
    assert site.tags() == {"1.0.0": first.digest, "1.0": first.digest}


def test_the_same_layers_with_other_labels_are_another_image(site: Site) -> None:
    site.push(site.image("first").reference, "--to", "near", "--tags", "1.0.0")
    second = site.image("second", labels={"other": "label"})
    report = site.push(
        second.reference, "--to", "near", "--name", "trainer", "--tags", "1.0.0", status=REGISTRY_ERROR
    )
    assert "1.0.0 exists already" in report["outcomes"][0]["error"]["reason"]


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
            site.tags() == site.tags("elsewhere/trainer", far) == {TAG: image.digest, "latest": image.digest}
        )
    assert [outcome["error"] for outcome in report["outcomes"]] == [None, None]


def test_a_destination_that_is_down_does_not_stop_the_other(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry(tmp_path / "far") as far:
        gone = far.host
    image = site.image()
    # How long it is waited for is not what is tested.
    monkeypatch.setattr(factory.registry.client, "RETRY_POLICY", RetryPolicy(first_pause_seconds=0.01))
    report = site.push(image.reference, "--to", f"{gone}/team", "--to", "near", status=REGISTRY_ERROR)
    down, near = report["outcomes"]
    assert down["error"]["kind"] == "RegistryError"
    assert "cannot be reached" in down["error"]["reason"]
    assert down["tags"] == []
    assert near["error"] is None
    assert site.tags() == {TAG: image.digest, "latest": image.digest}
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
    assert states == {TAG: "already there", "latest": "already there", "x": "would be tagged"}


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


def test_the_commit_is_a_tag_where_nothing_is_changed_since(site: Site) -> None:
    image = site.image()
    (site.root / ".gitignore").write_text("made/\n.work/\n")

    def git(*words: str) -> str:
        known = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        done = subprocess.run(
            ["git", "-C", site.root, *known, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    commit = git("rev-parse", "HEAD")[:12]
    site.push(image.reference, "--to", "near", "--tags", "git-sha")
    assert site.tags() == {commit: image.digest}
    (site.root / "new").write_text("x")
    document = site.push(image.reference, "--to", "near", "--tags", "git-sha", status=_SPEC)
    assert "in no commit" in document["error"]["reason"]
    site.push(image.reference, "--to", "near", "--tags", "git-sha", "--allow-dirty")
    assert site.tags() == {commit: image.digest, f"{commit}-dirty": image.digest}


def test_text_for_people_has_a_row_for_each_tag(site: Site) -> None:
    image = site.image()
    with pytest.raises(SystemExit):
        main(["--root", str(site.root), "push", image.reference, "--to", "near"])
    out = site.capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    place = f"{site.server.host}/team/trainer"
    assert [row[:4] for row in rows[1:]] == [
        [place, TAG, image.digest, "sent"],
        [place, "latest", image.digest, "sent"],
    ]


def test_what_is_built_on_a_stand_in_stays_out_of_persistent_registries(site: Site) -> None:
    labels = {IDENTITY_LABEL: IDENTITY, IMAGE_LABEL: "trainer", STAND_IN_LABEL: "localhost/standin:1"}
    image = site.image(labels=labels)
    with (site.root / "factory.toml").open("a") as file:
        file.write(f'[registries.scratch]\nurl = "{site.server.host}/scratch"\nclass = "disposable"\n')
    report = site.push(image.reference, "--to", "near", "--to", "scratch", status=REGISTRY_ERROR)
    refused, taken = report["outcomes"]
    assert "localhost/standin:1, which only stands in" in refused["error"]["reason"]
    assert taken["error"] is None
    assert set(site.tags("scratch/trainer")) == {TAG, "latest"}
    with pytest.raises(httpx.HTTPStatusError):
        httpx.get(f"http://{site.server.host}/v2/team/trainer/tags/list").raise_for_status()
    # A copy of what a disposable registry has is no way around it.
    copied = site.push(f"scratch/trainer:{TAG}", "--to", "near", status=REGISTRY_ERROR)
    assert "only stands in" in copied["outcomes"][0]["error"]["reason"]
    assert site.push(image.reference, "--to", "near", "--force")["outcomes"][0]["error"] is None
    # An address that nobody declared makes no promise.
    assert site.push(image.reference, "--to", f"{site.server.host}/any")["outcomes"][0]["error"] is None
