"""A repository, a registry to push into, and images in layouts: what the tests of `factory push` share."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.layouts import INDEX, MANIFEST, SmallImage, small_image
from support.registry import Registry, registry

from factory.cli.main import main
from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL

REGISTRY_ERROR = 32
IDENTITY = "0123456789abcdef" * 4
TAG = IDENTITY[:16]


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
        labels = {IDENTITY_LABEL: IDENTITY, IMAGE_LABEL: "trainer"}
        return small_image(self.root / "made" / name, **{"labels": labels, **arguments})

    def tags(self, repository: str = "team/trainer", server: Registry | None = None) -> dict[str, str]:
        """The tags of a repository, and the digest of each."""
        base = f"http://{(server or self.server).host}/v2/{repository}"
        listed = httpx.get(f"{base}/tags/list").json().get("tags") or []
        accept = {"Accept": f"{MANIFEST}, {INDEX}"}
        return {
            tag: httpx.head(f"{base}/manifests/{tag}", headers=accept).headers["Docker-Content-Digest"]
            for tag in listed
        }

    def uploads(self) -> int:
        """How many requests of the registry's log began to upload a blob."""
        return self.server.log.read_text().count('"POST /v2/')

    def blobs_of(self, image: SmallImage, repository: str = "team/trainer") -> set[str]:
        """Which of an image's blobs a repository has."""
        base = f"http://{self.server.host}/v2/{repository}/blobs"
        return {digest for digest in image.blobs if httpx.head(f"{base}/{digest}").is_success}


@contextmanager
def push_site(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    login: bool = False,
) -> Iterator[Site]:
    """The site, on a machine where nobody is logged in; with ``login`` the registry wants one."""
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo here: scripts/engine.sh installs it")
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    root = folder / "repository"
    (root / "flavors").mkdir(parents=True)
    with registry(folder / "registry", login=login) as server:
        (root / "factory.toml").write_text(
            f'[registries.near]\nurl = "{server.host}/team"\nclass = "persistent"\n'
        )
        yield Site(root=root, server=server, capsys=capsys)
