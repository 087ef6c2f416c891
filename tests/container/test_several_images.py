"""`factory push` and `factory test` of several images that podman has: parents first, none on a failure."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from support.podman import podman
from support.push_site import Site, push_site
from support.tiers import make_image, table

from factory.cli.main import main

pytestmark = pytest.mark.container

_NOT_FOUND, _COULD_NOT_RUN = 13, 33


@dataclass(frozen=True)
class Chain:
    """A base, a stack on it, a trainer on that, and a launcher beside; their names are its own."""

    site: Site
    base: str
    stack: str
    trainer: str
    launcher: str

    def run(self, *words: str, status: int = 0) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.site.root), *words, "--json"])
        out, err = self.site.capsys.readouterr()
        assert ended.value.code == status, out + err
        document: dict[str, Any] = json.loads(out)
        return document


@pytest.fixture
def chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Chain]:
    own = uuid4().hex[:8]
    names = {name: f"{name}-{own}" for name in ("base", "stack", "trainer", "launcher")}
    below = f"localhost/below-{own}:1"
    with push_site(tmp_path, monkeypatch, capsys) as site:
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "Dockerfile").write_text("FROM scratch\nLABEL one=two\n")
        podman("build", "--quiet", "--tag", below, tmp_path / "below")
        for name in names.values():
            make_image(site.root, name, {"file": name})
        settings = site.root / "factory.toml"
        kept = 'registry = "near"'
        settings.write_text(
            settings.read_text()
            # The last of them by name is the first of the plan.
            + table(names["trainer"], "trainer", names["stack"], kept)
            + table(names["stack"], "stack", names["base"], kept)
            + table(names["base"], "pytorch-base", below, kept)
            + table(names["launcher"], "launcher", below)
        )
        try:
            yield Chain(site, **names)
        finally:
            stored = podman(
                "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=*{own}*"
            )
            podman("image", "rm", "--force", "--ignore", *stored.split())


def test_a_chain_is_pushed_and_tested_parents_first_and_none_of_it_after_a_failure(chain: Chain) -> None:
    """One chain for all of it: to build four images takes most of the time."""
    chain.run("build", chain.launcher)
    report = chain.run("push", "--all", "--to", "near", status=_NOT_FOUND)
    assert {image["image"]: image["state"] for image in report["images"]} == {
        chain.base: "failed",
        chain.stack: "stopped",
        chain.trainer: "stopped",
        chain.launcher: "pushed",
    }
    chain.run("build")
    report = chain.run("push", "--all")
    assert [(image["image"], image["state"]) for image in report["images"]] == [
        (chain.base, "pushed"),
        (chain.stack, "pushed"),
        (chain.trainer, "pushed"),
        (chain.launcher, "left out"),
    ]
    assert {step["in_registry"] for step in chain.run("plan", chain.base, chain.trainer)["images"]} == {True}
    _test(chain)


def _test(chain: Chain) -> None:
    names = {chain.base, chain.stack, chain.trainer, chain.launcher}
    report = chain.run("test", "--all", "--jobs", "2", "--only", "labels")
    assert {image["image"]: image["state"] for image in report["images"]} == dict.fromkeys(names, "passed")
    assert all(Path(image["page"]).is_file() for image in report["images"])
    # No program is in these images, by which this test would look.
    folder = chain.site.root / "reports"
    words = ("test", chain.trainer, chain.base, "--only", "compilers", "--report", str(folder))
    report = chain.run(*words, status=_COULD_NOT_RUN)
    states = {image["image"]: image["state"] for image in report["images"]}
    assert states == {chain.base: "failed", chain.trainer: "stopped"}
    root = ET.parse(folder / "junit.xml").getroot()
    assert (root.get("errors"), root.get("skipped")) == ("1", "1")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {chain.base}
