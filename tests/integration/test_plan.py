"""``factory plan`` against a real registry, on a machine without an engine."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.published import publish
from support.registry import Registry, registry
from support.tiers import BASE, four_tiers, publish_all
from support.workshop import Run

from factory.cli.main import main
from factory.flavor.repository import Repository
from factory.images.plan import Plan

pytestmark = pytest.mark.integration
USAGE, SPEC, REGISTRY, IMAGE = 2, 11, 32, 34


@dataclass(frozen=True)
class Site:
    """A repository of four tiers, a registry for them, and the command."""

    repository: Repository
    served: Registry
    capsys: pytest.CaptureFixture[str]

    @property
    def root(self) -> Path:
        return self.repository.root

    def published(self) -> Plan:
        """Publish every image as it would be built now."""
        return publish_all(self.repository, self.served.host)

    def plan(self, *arguments: str) -> Run:
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), "plan", *arguments])
        captured = self.capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Run(status=ended.value.code, out=captured.out, err=captured.err)

    def reasons(self, *arguments: str) -> dict[str, list[str]]:
        """What would be built, in order, and why."""
        run = self.plan("--json", *arguments)
        assert run.status == 0, run.out + run.err
        images = json.loads(run.out)["images"]
        return {image["image"]: image["reasons"] for image in images if image["action"] == "build"}

    def on_own_base(self) -> str:
        """Let the base stand on an image in this registry; gives its reference."""
        reference = f"{self.served.host}/vendor/base:1"
        settings = self.root / "factory.toml"
        settings.write_text(settings.read_text().replace(BASE, reference))
        return reference


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    with registry(tmp_path / "registry") as served:
        # No engine: what the registry has is all there is, whatever this machine has built before.
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("FACTORY_ENGINE", raising=False)
        repository = four_tiers(tmp_path / "a repository", registry=served.host)
        yield Site(repository, served, capsys)


def test_what_was_never_built_is_built_in_order(site: Site) -> None:
    assert list(site.reasons("trainer").items()) == [
        ("base", ["never built"]),
        ("stack", ["never built"]),
        ("trainer", ["never built"]),
    ]


def test_nothing_is_to_be_built_where_the_registry_has_everything(site: Site) -> None:
    plan = site.published()
    run = site.plan("--check")
    assert (run.status, run.err) == (0, "")
    assert "nothing to build" in run.out
    for step in plan.steps:
        (row,) = (line for line in run.out.splitlines() if line.startswith(f"{step.name} "))
        assert row.split() == [step.name, step.tag, "release", "nothing"]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (
            lambda root: (root / "images/base/requirements.txt").write_text("torch==2.12\n"),
            {
                "base": ["requirements.txt changed"],
                "stack": ["parent base changed"],
                "trainer": ["parent stack changed"],
            },
        ),
        (
            lambda root: (root / "images/trainer/config.yaml").chmod(0o755),
            {"trainer": ["config.yaml is executable now"]},
        ),
        (
            lambda root: (root / "images/launcher/Dockerfile").write_text(
                "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY *.sh /app/\n"
            ),
            {"launcher": ["Dockerfile changed"]},
        ),
        (lambda root: (root / "images/base/README.md").write_text("read me"), {}),
    ],
)
def test_a_change_is_the_reason_and_cascades(
    site: Site, change: Callable[[Path], object], reasons: dict[str, list[str]]
) -> None:
    site.published()
    change(site.root)
    assert site.reasons() == reasons
    assert site.plan("--check").status == (1 if reasons else 0)


def test_a_parent_that_is_gone_is_built_again_only_where_something_has_to_stand_on_it(site: Site) -> None:
    plan = site.published()
    (base,) = (step for step in plan.steps if step.name == "base")
    _lose(site, base.name, base.tag)
    assert site.reasons("stack") == {}
    assert site.reasons() == {"base": ["no image with this identity in release"]}
    (site.root / "images/stack/requirements.txt").write_text("changed")
    assert site.reasons("stack") == {
        "base": ["no image with this identity in release"],
        "stack": ["requirements.txt changed"],
    }


def _lose(site: Site, name: str, tag: str | None) -> None:
    folder = site.served.folder / "data/docker/registry/v2/repositories/images" / name / "_manifests/tags"
    (folder / str(tag)).rename(site.served.folder / f"lost-{name}")


def test_a_parent_of_the_repository_is_pulled_from_its_registry_where_the_engine_lacks_it(site: Site) -> None:
    site.published()
    (site.root / "images/stack/requirements.txt").write_text("changed")
    images = json.loads(site.plan("--json", "stack").out)["images"]
    (parent,) = images[0]["parents"]
    assert images[0]["image"] == "stack"
    assert parent["registry"] == "release"
    assert parent["reference"].startswith(f"{site.served.host}/images/base:")


def test_an_image_of_somebody_else_under_the_moving_tag_tells_nothing(site: Site) -> None:
    publish(site.served.host, "images/launcher", ["latest"], {"name": "by hand"})
    reference = f"{site.served.host}/images/launcher:latest"
    assert site.reasons("launcher") == {"launcher": [f"{reference} does not say what it was built from"]}


def test_a_parent_that_moved_at_its_origin_is_a_reason(site: Site) -> None:
    reference = site.on_own_base()
    first = publish(site.served.host, "vendor/base", ["1"], {"build": "1"})
    assert site.plan("--pull", "--record", "base").status == 0
    assert json.loads((site.root / "parents.json").read_text()) == {reference: first}
    site.published()
    assert site.reasons() == {}
    second = publish(site.served.host, "vendor/base", ["1"], {"build": "2"})
    assert site.reasons() == {}
    moved = f"parent {reference} moved at its origin: {first[:19]} -> {second[:19]}"
    whole = {"base": [moved], "stack": ["parent base changed"], "trainer": ["parent stack changed"]}
    assert site.reasons("base", "stack", "trainer", "--pull") == whole
    assert json.loads((site.root / "parents.json").read_text()) == {reference: first}
    run = site.plan("--pull", "--record", "trainer")
    assert "parents.json" in run.out
    assert json.loads((site.root / "parents.json").read_text()) == {reference: second}
    assert site.reasons("trainer") == whole


def test_a_parent_that_is_not_at_its_origin_is_an_error(site: Site) -> None:
    reference = site.on_own_base()
    run = site.plan("--pull", "base")
    assert (run.status, run.out) == (IMAGE, "")
    assert reference in run.err


def test_a_registry_that_is_down_is_named_and_a_plan_can_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry(tmp_path / "registry") as served:
        repository = four_tiers(tmp_path / "repository", registry=served.host)
    monkeypatch.setenv("PATH", "")
    site = Site(repository, served, capsys)
    run = site.plan("launcher")
    assert (run.status, run.out) == (REGISTRY, "")
    assert f"release ({served.host}/images)" in run.err
    assert "--offline" in run.err
    assert site.reasons("launcher", "--offline") == {
        "launcher": ["no image with this identity in the engine, and release was not asked"]
    }


def test_record_without_pull_is_wrong_usage(site: Site) -> None:
    assert site.plan("--record").status == USAGE


def test_a_mistake_in_the_settings_is_told_before_anybody_is_asked(site: Site) -> None:
    settings = site.root / "factory.toml"
    settings.write_text(settings.read_text().replace('registry = "release"', 'registry = "relaese"', 1))
    before = site.served.log.read_text()
    run = site.plan()
    assert (run.status, run.out) == (SPEC, "")
    assert "'relaese' is not declared" in run.err
    assert site.served.log.read_text() == before
