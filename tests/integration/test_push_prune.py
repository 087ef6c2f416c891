"""`prune-after-push`: a push prunes the disposable registry that asks for it, and no other."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kept_images import REGISTRY_ERROR, KeptSite, kept_site
from support.stored_images import labels

from factory.cli.main import main

pytestmark = pytest.mark.integration


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[KeptSite]:
    with kept_site(tmp_path, monkeypatch, capsys) as found:
        host = found.shelf.host
        found.declare(
            f"release persistent {host}/release",
            f"scratch disposable {host}/scratch\nkeep = 1\nkeep-days = 30\nprune-after-push = true",
            f"other disposable {host}/other\nkeep = 1\nkeep-days = 30",
        )
        yield found


def _push(site: KeptSite, *words: str, status: int = 0) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(site.root), "push", *words, "--json"])
    out, site.err = site.capsys.readouterr()
    assert ended.value.code == status, out + site.err
    document: dict[str, Any] = json.loads(out)
    return document


def test_old_images_go_from_the_registry_that_asks_and_from_no_other(site: KeptSite) -> None:
    put = site.shelf.image
    old = {
        name: put(f"{name}/stack", "a", labels=labels("stack", f"{name} old"))
        for name in ("scratch", "other")
    }
    kept = put("release/stack", "old", labels=labels("stack", "release old"), days=300)
    new = put("release/stack", "b", labels=labels("stack", "new"), days=1)
    planned = _push(site, "release/stack:b", "--to", "scratch", "--dry-run")["pruned"]
    assert planned["cleanup"]["dry_run"]
    assert site.shelf.has("scratch/stack", old["scratch"])
    report = _push(site, "release/stack:b", "--to", "scratch", "--to", "other")
    assert report["pruned"]["registries"] == ["scratch"]
    assert not site.shelf.has("scratch/stack", old["scratch"])
    assert site.shelf.has("scratch/stack", new)
    assert site.shelf.has("other/stack", old["other"])
    assert site.shelf.has("release/stack", kept)


def test_several_images_are_pruned_once_after_the_last(site: KeptSite) -> None:
    put = site.shelf.image
    old = [put(f"scratch/{name}", "a", labels=labels(name, f"old {name}")) for name in ("stack", "base")]
    for name in ("stack", "base"):
        put(f"release/{name}", "b", labels=labels(name, f"new {name}"), days=1)
    report = _push(site, "release/stack:b", "release/base:b", "--to", "scratch")
    fates = report["pruned"]["cleanup"]["fates"]
    assert {fate["reference"].partition("@")[2] for fate in fates if fate["state"] == "deleted"} == set(old)
    assert [image["report"]["pruned"] for image in report["images"]] == [None, None]


def test_a_push_to_another_registry_prunes_nothing(site: KeptSite) -> None:
    old = site.shelf.image("scratch/stack", "a", labels=labels("stack", "old"))
    site.shelf.image("release/stack", "b", labels=labels("stack", "new"), days=1)
    assert _push(site, "release/stack:b", "--to", "other")["pruned"] is None
    assert site.shelf.has("scratch/stack", old)


def test_what_was_pushed_is_reported_where_pruning_fails(site: KeptSite) -> None:
    old = site.shelf.image("scratch/stack", "a", labels=labels("stack", "old"))
    new = site.shelf.image("release/stack", "b", labels=labels("stack", "new"), days=1)
    settings = site.root / "factory.toml"
    # A registry that cannot be read may hold what is built on the old image.
    silent = '[registries.silent]\nurl = "127.0.0.1:1/x"\nclass = "disposable"\n'
    settings.write_text(silent + settings.read_text())
    report = _push(site, "release/stack:b", "--to", "scratch", status=REGISTRY_ERROR)
    assert report["outcomes"][0]["error"] is None
    assert site.shelf.has("scratch/stack", new)
    assert site.shelf.has("scratch/stack", old)
    assert "127.0.0.1:1" in site.err
