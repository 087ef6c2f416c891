"""`factory registry setup` at all kinds of registries, and the chores at Amazon's and at Google's."""

import base64
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.artifact_registry import PUSHED, TOKEN, FakeArtifactRegistry, fake_artifact_registry
from support.aws import ACCOUNT, REGION, amazon
from support.aws import HOST as AMAZON
from support.fault_proxy import fault_proxy
from support.kept_images import NAMES, REGISTRY_ERROR, KeptSite, kept_site
from support.registry import PASSWORD, USER
from support.stored_images import labels

from factory.registry.declared import Registry
from factory.registry.drivers import open_driver
from factory.registry.maintenance import set_up

pytestmark = pytest.mark.integration

_GOOGLE = "projects/p/locations/europe/repositories/images"


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[KeptSite]:
    with kept_site(tmp_path, monkeypatch, capsys) as found:
        yield found


def test_a_registry_of_the_specification_is_tried_and_left_as_it_was(site: KeptSite) -> None:
    digest = site.shelf.image("scratch/base", "a", labels=labels("base", "b1"))
    states = {(name, what): state for name, what, state in site.findings()}
    assert states["release", "deletes"] == "not checked"
    del states["release", "deletes"]
    assert set(states.values()) == {"ok"}
    assert site.shelf.has("scratch/base", digest)


def test_a_disposable_registry_that_does_not_delete_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with kept_site(tmp_path, monkeypatch, capsys, deletes=False) as site:
        wrong = [finding for finding in site.findings(status=1) if finding[2] == "wrong"]
        assert wrong == [("scratch", "deletes", "wrong")]


@pytest.mark.parametrize("words", [("status",), ("setup", "--dry-run"), ("prune",), ("teardown",)])
def test_what_only_looks_sends_nothing_but_reading_requests(site: KeptSite, words: tuple[str, ...]) -> None:
    site.shelf.image("scratch/base", "a", labels=labels("base", "b1"))
    with fault_proxy(site.shelf.host) as proxy:
        site.declare_two(proxy.host)
        site.run(*words)
        asked = {method for method, *_ in proxy.seen}
    assert asked <= {"GET", "HEAD"}
    assert proxy.seen


def test_a_setup_tries_once_whether_a_disposable_registry_deletes(site: KeptSite) -> None:
    looked = [finding for finding in site.findings("--dry-run", "scratch") if finding[1] == "deletes"]
    assert looked == [("scratch", "deletes", "not checked")]
    tried = [finding for finding in site.findings("scratch") if finding[1] == "deletes"]
    assert tried == [("scratch", "deletes", "ok")]


def test_a_registry_that_wants_a_login_is_told_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with kept_site(tmp_path, monkeypatch, capsys, login=True) as site:
        wrong = {what for _, what, state in site.findings("scratch", status=1) if state == "wrong"}
        assert wrong == {"reads", "deletes", "takes"}
        encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        logins = tmp_path / "logins.json"
        logins.write_text(json.dumps({"auths": {site.shelf.host: {"auth": encoded}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(logins))
        assert {state for *_, state in site.findings("scratch")} == {"ok"}


def test_one_that_does_not_answer_does_not_stop_the_others(site: KeptSite) -> None:
    site.declare("far persistent 127.0.0.1:1/x", f"scratch disposable {site.shelf.host}/scratch")
    found = site.findings(status=REGISTRY_ERROR)
    assert {name for name, *_ in found} == {"scratch"}


def _ecr(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - boto3 has no types
    import boto3  # noqa: PLC0415 - slow to import

    monkeypatch.setenv("AWS_REGION", REGION)
    return boto3.client("ecr", region_name=REGION)


def test_amazons_repositories_are_created_once_and_checked(
    site: KeptSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.declare(f'far persistent {AMAZON}/team\ndriver = "ecr"')
    with amazon(monkeypatch):
        ecr = _ecr(monkeypatch)
        dry = site.findings("--dry-run", status=1)
        assert [state for *_, state in dry] == ["ok", "wrong", "wrong", "wrong"]
        assert not ecr.describe_repositories()["repositories"]
        created = [("far", f"team/{name}", "created") for name in NAMES]
        assert site.findings() == [("far", "answers", "ok"), *created]
        assert {state for *_, state in site.findings()} == {"ok"}
        assert len(ecr.describe_repositories(registryId=ACCOUNT)["repositories"]) == len(NAMES)


def test_an_amazon_repository_whose_tags_cannot_move_or_that_aws_empties_is_wrong(
    site: KeptSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.declare(f'far persistent {AMAZON}/team\ndriver = "ecr"')
    with amazon(monkeypatch):
        ecr = _ecr(monkeypatch)
        ecr.create_repository(repositoryName="team/base", imageTagMutability="IMMUTABLE")
        ecr.create_repository(repositoryName="team/stack")
        policy = {
            "rulePriority": 1,
            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
        text = json.dumps({"rules": [policy]})
        for name in ("team/base", "team/stack"):
            ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
        report = site.run("setup", status=1)
        wrong = [
            (finding["what"], word)
            for finding in report["registries"][0]["findings"]
            for word in ("IMMUTABLE", "lifecycle policy")
            if finding["state"] == "wrong" and word in finding["detail"]
        ]
        assert sorted(wrong) == [
            ("team/base", "IMMUTABLE"),
            ("team/base", "lifecycle policy"),
            ("team/stack", "lifecycle policy"),
        ]


def _together(registry: Registry) -> list[str]:
    """What two setups at the same time found: the states, sorted."""

    def once(_: int) -> list[str]:
        report = set_up(
            [registry],
            {registry.name: NAMES},
            lambda one: open_driver(one, lambda _: None),
            dry_run=False,
        )
        assert report.exit_code == 0, report
        return [finding.state for one in report.registries for finding in one.findings]

    with ThreadPoolExecutor(2) as pool:
        return sorted(state for states in pool.map(once, range(2)) for state in states)


def test_two_setups_at_once_create_each_amazon_repository_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with amazon(monkeypatch):
        ecr = _ecr(monkeypatch)
        registry = Registry(name="far", url=f"{AMAZON}/team", kind="persistent", driver="ecr")
        states = _together(registry)
        assert states == ["created"] * len(NAMES) + ["ok"] * (len(NAMES) + 2)
        assert len(ecr.describe_repositories()["repositories"]) == len(NAMES)


def test_one_that_another_creates_in_between_is_checked_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The race itself: it was not there when it was looked for, and is when it is created."""
    with amazon(monkeypatch):
        ecr = _ecr(monkeypatch)
        registry = Registry(name="far", url=f"{AMAZON}/team", kind="persistent", driver="ecr")
        driver: Any = open_driver(registry, lambda _: None)
        ecr.create_repository(repositoryName="team/base", imageTagMutability="IMMUTABLE")
        assert driver._created("team/base") is False  # noqa: SLF001 - the moment in between
        states = {finding.what: finding.state for finding in driver.check(("base",))}
        assert states["team/base"] == "wrong"
        driver.close()


def test_amazons_images_are_pruned_by_the_time_of_their_push_and_empty_repositories_go(
    site: KeptSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists and deletes are AWS's (moto); manifests and labels are read from a registry that has them too."""
    site.declare(f'far disposable {site.shelf.host}/team\ndriver = "ecr"\nkeep = 1\nkeep-days = 30')
    with amazon(monkeypatch):
        ecr = _ecr(monkeypatch)
        site.findings()
        digests = []
        for word in "ab":
            digest = site.shelf.image("team/base", word, labels=labels("base", word), days=500)
            text = site.shelf.manifests[digest].decode()
            ecr.put_image(repositoryName="team/base", imageManifest=text, imageTag=word, imageDigest=digest)
            digests.append(digest)
        there = [
            item["imageDigest"] for item in ecr.describe_images(repositoryName="team/base")["imageDetails"]
        ]
        assert sorted(there) == sorted(digests)
        # Built long ago, pushed now.
        assert set(site.states("prune", "--yes").values()) == {"kept"}
        assert set(site.states("teardown", "--yes").values()) == {"deleted"}
        names = {item["repositoryName"] for item in ecr.describe_repositories()["repositories"]}
        assert names == {"team/stack", "team/trainer"}


@pytest.fixture
def google(site: KeptSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeArtifactRegistry]:
    """A stand-in for Google's API, and a gcloud that gives its token."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gcloud").write_text(f"#!/bin/sh\necho {TOKEN}\n")
    (programs / "gcloud").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CLOUDSDK_ARTIFACTS_LOCATION", "europe")
    with fake_artifact_registry(site.shelf.host) as fake:
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY", fake.url)
        lines = ('driver = "artifact-registry"', "keep = 1", "keep-days = 30")
        site.declare("\n".join((f"far disposable {site.shelf.host}/p/images", *lines)))
        yield fake


def test_googles_repository_is_created_with_its_format_and_checked(
    site: KeptSite, google: FakeArtifactRegistry
) -> None:
    assert site.findings("--dry-run", status=1) == [("far", "images", "wrong")]
    assert not google.repositories
    assert site.findings() == [("far", "images", "created")]
    assert google.repositories[_GOOGLE]["format"] == "DOCKER"
    assert site.findings() == [("far", "images", "ok")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "PYTHON"}, "format PYTHON"),
        ({"mode": "REMOTE_REPOSITORY"}, "REMOTE_REPOSITORY"),
        ({"dockerConfig": {"immutableTags": True}}, "immutable"),
        ({"name": _GOOGLE.replace("europe", "us")}, "is in us"),
    ],
)
def test_a_google_repository_that_does_not_serve_is_told(
    site: KeptSite, google: FakeArtifactRegistry, change: dict[str, Any], told: str
) -> None:
    google.repositories[_GOOGLE] = {"name": _GOOGLE, "format": "DOCKER", **change}
    (finding,) = site.run("setup", status=1)["registries"][0]["findings"]
    assert told in finding["detail"]
    assert TOKEN not in json.dumps(finding) + site.err


def _googles_images(site: KeptSite, google: FakeArtifactRegistry) -> list[str]:
    """Three images that say that they are a day old, and were all pushed long ago."""
    google.repositories[_GOOGLE] = {"name": _GOOGLE, "format": "DOCKER"}
    return [
        site.shelf.image("p/images/base", word, f"{word}-too", labels=labels("base", word), days=1)
        for word in "abc"
    ]


def test_googles_images_are_listed_page_by_page_and_deleted_with_their_tags(
    site: KeptSite, google: FakeArtifactRegistry
) -> None:
    first, newest, second = _googles_images(site, google)
    google.pushed.update({newest: "2026-01-04T00:00:00Z", second: "2026-01-03T00:00:00Z"})
    (status,) = site.run("status")["registries"]
    assert (status["images"], status["prunable"], status["error"]) == (3, 2, None)
    assert (status["oldest"][:10], status["newest"][:10]) == (PUSHED[:10], "2026-01-04")
    states = site.states("prune", "--yes")
    assert states == {first: "deleted", newest: "kept", second: "deleted"}
    there = {digest for digest in states if site.shelf.has("p/images/base", digest)}
    assert there == {newest}
    assert site.shelf.tags("p/images/base") == {"b", "b-too"}


def test_googles_images_that_were_pushed_in_one_moment_stay_together(
    site: KeptSite, google: FakeArtifactRegistry
) -> None:
    digests = _googles_images(site, google)
    assert site.states("prune", "--yes") == dict.fromkeys(digests, "kept")


def test_two_setups_at_once_create_googles_repository_once(
    site: KeptSite, google: FakeArtifactRegistry
) -> None:
    url = f"{site.shelf.host}/p/images"
    registry = Registry(name="far", url=url, kind="persistent", driver="artifact-registry")
    assert _together(registry) == ["created", "ok"]
    assert list(google.repositories) == [_GOOGLE]


def test_nobody_logged_in_at_google_is_told(
    site: KeptSite, google: FakeArtifactRegistry, tmp_path: Path
) -> None:
    (tmp_path / "programs" / "gcloud").write_text("#!/bin/sh\nexit 1\n")
    assert site.findings(status=REGISTRY_ERROR) == []
    assert not google.seen
