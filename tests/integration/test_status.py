"""``factory status`` against a real registry, on a machine without an engine."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.fault_proxy import Fault, fault_proxy
from support.registry import registry
from support.tiers import four_tiers, publish_all
from support.workshop import Run

from factory.cli.main import main
from factory.flavor.repository import Repository
from factory.http.retry import RetryPolicy

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Site:
    """A repository of four tiers whose images are in a registry, and the command."""

    repository: Repository
    host: str
    capsys: pytest.CaptureFixture[str]

    def status(self, *arguments: str) -> Run:
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.repository.root), "status", *arguments])
        captured = self.capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Run(status=ended.value.code, out=captured.out, err=captured.err)

    def overview(self, *arguments: str) -> dict[str, Any]:
        run = self.status("--json", *arguments)
        assert run.status == 0, run.out + run.err
        overview: dict[str, Any] = json.loads(run.out)
        return overview

    def pushed(self) -> dict[str, list[bool]]:
        """By image whether what each registry has is current."""
        return {
            image["name"]: [one["current"] for one in image["pushed"]] for image in self.overview()["images"]
        }


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    with registry(tmp_path / "registry") as served:
        # No engine, so that what this machine has built before does not count.
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("FACTORY_ENGINE", raising=False)
        repository = four_tiers(tmp_path / "a repository", registry=served.host)
        publish_all(repository, served.host)
        yield Site(repository, served.host, capsys)


def test_what_a_registry_has_is_current_until_an_input_changes(site: Site) -> None:
    assert site.pushed() == {"base": [True], "launcher": [True], "stack": [True], "trainer": [True]}
    (site.repository.root / "images/stack/requirements.txt").write_text("trl==0.25.0\n")
    assert site.pushed() == {"base": [True], "launcher": [True], "stack": [False], "trainer": [False]}


def test_each_image_stands_below_its_parent(site: Site) -> None:
    run = site.status()
    names = [line.split()[0] for line in run.out.splitlines()[1:5]]
    assert names == ["base", "stack", "trainer", "launcher"]
    assert "4 images: 0 built, 0 tested, 4 pushed as they are now; nothing to fix" in run.out


def test_registry_that_does_not_answer_is_told_and_the_rest_is_shown(site: Site) -> None:
    settings = site.repository.root / "factory.toml"
    with fault_proxy(site.host) as gone:
        gone.faults.append(Fault(kind="unavailable", method="GET", path="^/v2/$", times=-1))
        table = f'[registries.gone]\nurl = "{gone.host}/x"\nclass = "disposable"\n'
        settings.write_text(settings.read_text() + table)
        overview = site.overview()
        # Once, with its tries, and not again for each of the four images.
        assert gone.count("GET", "^/v2/$") == RetryPolicy().attempts
    problems = {one["name"]: bool(one["problem"]) for one in overview["registries"]}
    assert problems == {"release": False, "gone": True}
    assert all(image["pushed"] for image in overview["images"])


def test_image_that_cannot_be_planned_does_not_hide_the_others(site: Site) -> None:
    (site.repository.root / "images/launcher/launch.sh").unlink()
    images = {image["name"]: image for image in site.overview()["images"]}
    assert "launch.sh" in images["launcher"]["problem"]
    assert images["trainer"]["problem"] == ""
    assert images["trainer"]["pushed"][0]["current"]


def test_offline_asks_nobody(site: Site) -> None:
    overview = site.overview("--offline")
    assert overview["registries"] == []
    assert not any(image["pushed"] for image in overview["images"])


def test_page_is_written_whole_and_the_table_printed(site: Site, tmp_path: Path) -> None:
    page = tmp_path / "a page.html"
    run = site.status("trainer", "--html", str(page))
    assert run.status == 0
    assert f"written: {page}" in run.err
    assert "trainer" in run.out
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "trainer" in text


def test_image_that_is_not_there_is_told(site: Site) -> None:
    assert site.status("nothing").status == 13
