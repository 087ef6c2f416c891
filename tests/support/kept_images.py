"""A repository of three images and its registries: what the tests of `factory registry` share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.registry import registry
from support.stored_images import PackageFinder

from factory.cli.main import main
from factory.http.retry import RetryPolicy
from factory.registry import client

REGISTRY_ERROR = 32
NAMES = ("base", "stack", "trainer")
_IMAGES = """
[images.base]
kind = "stack"
parent = "docker.io/library/debian:13"
[images.stack]
kind = "stack"
parent = "base"
[images.trainer]
kind = "trainer"
parent = "stack"
"""


@dataclass
class KeptSite:
    """A repository of three images, with a persistent and a disposable registry on one host."""

    root: Path
    shelf: PackageFinder
    capsys: pytest.CaptureFixture[str]
    err: str = ""

    def declare(self, *tables: str) -> None:
        """Say which registries there are: ``NAME CLASS URL`` and further lines of the table."""
        text = ""
        for table in tables:
            head, *lines = table.splitlines()
            name, kind, url = head.split()
            text += f'[registries.{name}]\nurl = "{url}"\nclass = "{kind}"\n' + "".join(
                f"{line.strip()}\n" for line in lines
            )
        (self.root / "factory.toml").write_text(text + _IMAGES)

    def declare_two(self, host: str) -> None:
        """A persistent registry, release, and a disposable one, scratch, at a host."""
        self.declare(
            f"release persistent {host}/release",
            f"scratch disposable {host}/scratch\nkeep = 1\nkeep-days = 30",
        )

    def run(self, *words: str, status: int = 0) -> dict[str, Any]:
        """What `factory registry` gives as JSON."""
        with pytest.raises(SystemExit) as ended:
            main(["--root", str(self.root), "registry", *words, "--json"])
        out, self.err = self.capsys.readouterr()
        assert ended.value.code == status, out + self.err
        document: dict[str, Any] = json.loads(out)
        return document

    def states(self, *words: str, status: int = 0) -> dict[str, str]:
        """What became of each manifest, by its digest."""
        report = self.run(*words, status=status)
        return {fate["reference"].partition("@")[2]: fate["state"] for fate in report["fates"]}

    def findings(self, *words: str, status: int = 0) -> list[tuple[str, str, str]]:
        """What `setup` found: registry, what was looked at, and how it is."""
        report = self.run("setup", *words, status=status)
        return [
            (one["registry"]["name"], finding["what"], finding["state"])
            for one in report["registries"]
            for finding in one["findings"]
        ]


@contextmanager
def kept_site(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **options: bool
) -> Iterator[KeptSite]:
    """The site, on a machine where nobody is logged in; ``options`` are those of `registry`."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setattr(client, "RETRY_POLICY", RetryPolicy(attempts=2, first_pause_seconds=0.01))
    root = folder / "repository"
    (root / "flavors").mkdir(parents=True)
    for name in NAMES:
        (root / "images" / name).mkdir(parents=True)
        (root / "images" / name / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    with registry(folder / "registry", **options) as server:
        site = KeptSite(root=root, shelf=PackageFinder(host=server.host), capsys=capsys)
        site.declare_two(server.host)
        yield site
