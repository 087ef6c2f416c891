"""`factory registry prune` and `teardown` on a real registry: what goes, what stays, and interruptions."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fault_proxy import Fault, fault_proxy
from support.kept_images import REGISTRY_ERROR, KeptSite, kept_site
from support.stored_images import labels

from factory.cli.main import main
from factory.registry import removal, retention

pytestmark = pytest.mark.integration


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[KeptSite]:
    with kept_site(tmp_path, monkeypatch, capsys) as found:
        yield found


def test_prune_takes_old_ones_with_their_bills_and_only_when_it_is_told_to(site: KeptSite) -> None:
    put = site.shelf.image
    old = put("scratch/stack", "a", "b", labels=labels("stack", "old"), layers=("x", "o"))
    newest = put("scratch/stack", "c", labels=labels("stack", "new"), days=40, layers=("x", "n"))
    moving = put("scratch/stack", "latest", labels=labels("stack", "moving"), days=90)
    foreign = put("scratch/stack", "theirs")
    bill = site.shelf.attach("scratch/stack", old, content="bill of old")
    kept_bill = site.shelf.attach("scratch/stack", newest, content="bill of new")
    dry = site.run("prune", "scratch")
    states = {deletion["reference"].partition("@")[2]: deletion["state"] for deletion in dry["fates"]}
    going = {digest for digest, state in states.items() if state == "would be deleted"}
    assert going == {old, bill}
    assert site.shelf.has("scratch/stack", old)
    done = site.run("prune", "scratch", "--yes")
    assert done["freed_bytes"] == dry["freed_bytes"] > 1000
    assert {d for d in states if not site.shelf.has("scratch/stack", d)} == {old, bill}
    assert site.shelf.tags("scratch/stack") >= {"c", "latest", "theirs"}
    assert set(site.states("prune", "scratch", "--yes").values()) == {"kept"}
    assert {newest, moving, foreign, kept_bill} <= set(states)


def test_a_parent_of_what_stays_in_the_persistent_registry_stays(site: KeptSite) -> None:
    put = site.shelf.image
    base = put("scratch/base", "a", labels=labels("base", "b1"))
    stack = put("scratch/stack", "a", labels=labels("stack", "s1", parents=["base=b1"]))
    alone = put("scratch/stack", "b", labels=labels("stack", "s2", parents=["base=b0"]))
    put("release/trainer", "1.0.0", labels=labels("trainer", "t1", parents=["stack=s1"]))
    assert site.states("teardown", "scratch", "--yes") == {base: "kept", stack: "kept", alone: "deleted"}


def test_teardown_never_touches_the_persistent_registry_and_says_how_to_by_hand(site: KeptSite) -> None:
    kept = site.shelf.image("release/base", "latest", labels=labels("base", "b1"))
    gone = site.shelf.image("scratch/base", "latest", labels=labels("base", "b2"))
    report = site.run("teardown", "--yes")
    (deletion,) = (deletion for deletion in report["fates"] if deletion["state"] == "kept")
    assert deletion["reason"] == "the registry release is persistent"
    assert site.shelf.has("release/base", kept)
    assert not site.shelf.has("scratch/base", gone)
    if shutil.which("skopeo"):
        subprocess.run(shlex.split(deletion["by_hand"]), check=True, capture_output=True)
        assert not site.shelf.has("release/base", kept)


@pytest.mark.parametrize("chore", ["prune", "teardown"])
def test_without_a_name_all_disposable_registries_are_meant_and_the_help_says_so(
    site: KeptSite, chore: str
) -> None:
    host = site.shelf.host
    site.declare(*(f"{name} disposable {host}/{name}\nkeep = 1" for name in ("one", "two")))
    old = {site.shelf.image(f"{name}/base", name, labels=labels("base", name)) for name in ("one", "two")}
    for name in ("one", "two"):
        site.shelf.image(f"{name}/base", "latest", labels=labels("base", f"{name} new"), days=1)
    named = {digest for digest, state in site.states(chore, "one").items() if state == "would be deleted"}
    going = {digest for digest, state in site.states(chore).items() if state == "would be deleted"}
    assert len(named & old) == 1
    assert going >= old
    with pytest.raises(SystemExit):
        main(["registry", chore, "--help"])
    assert "Without a name, ALL disposable registries" in " ".join(site.capsys.readouterr().out.split())


def test_a_second_name_of_a_persistent_registry_is_seen_before_anything_is_deleted(site: KeptSite) -> None:
    old = site.shelf.image("scratch/stack", "a", labels=labels("stack", "s1"))
    with fault_proxy(site.shelf.host) as proxy:
        site.declare(
            f"release persistent {proxy.host}/scratch", f"scratch disposable {site.shelf.host}/scratch"
        )
        for words in (("teardown",), ("teardown", "--yes")):
            deletions = site.run(*words)["fates"]
            (reason,) = (deletion["reason"] for deletion in deletions if deletion["registry"] == "scratch")
            assert reason == "the persistent registry release has it as well: both may be one place"
    assert site.shelf.has("scratch/stack", old)


def test_an_index_goes_with_the_parts_that_nothing_else_names(site: KeptSite) -> None:
    parts = [
        site.shelf.image("scratch/base", labels=labels("base", "b1"), layers=(word,), days=days)
        for word, days in (("a", 100), ("b", 60), ("c", 60))
    ]
    index = site.shelf.index("scratch/base", "old", parts=parts[:2])
    staying = site.shelf.index("scratch/base", "latest", parts=parts[1:])
    assert site.states("prune", "scratch", "--yes") == {index: "deleted", staying: "kept"}
    there = [site.shelf.has("scratch/base", digest) for digest in (index, staying, *parts)]
    assert there == [False, True, False, True, True]


def test_one_that_cannot_be_deleted_does_not_stop_the_others_and_the_next_run_goes_on(site: KeptSite) -> None:
    digests = [
        site.shelf.image("scratch/stack", word, labels=labels("stack", word), days=100 + number)
        for number, word in enumerate("abc")
    ]
    bill = site.shelf.attach("scratch/stack", digests[1])
    with fault_proxy(site.shelf.host) as proxy:
        site.declare_two(proxy.host)
        proxy.faults.append(Fault(kind="unavailable", method="DELETE", path=bill, times=-1))
        states = site.states("teardown", "scratch", "--yes", status=REGISTRY_ERROR)
        assert states == {digests[0]: "deleted", digests[1]: "kept", digests[2]: "deleted", bill: "failed"}
        proxy.faults.clear()
        assert site.states("teardown", "scratch", "--yes") == {digests[1]: "deleted", bill: "deleted"}


def test_a_tag_that_comes_meanwhile_protects_its_image_and_its_bill(
    site: KeptSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = site.shelf.image("scratch/stack", "a", labels=labels("stack", "s1"))
    bill = site.shelf.attach("scratch/stack", old)

    def tagged(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as what it stands for
        verdicts = retention.decide(*arguments, **named)
        document = json.loads(site.shelf.manifests[old])
        site.shelf.manifest("scratch/stack", ["1.0.0"], document, document["mediaType"])
        return verdicts

    monkeypatch.setattr("factory.registry.maintenance.decide", tagged)
    assert site.states("teardown", "scratch", "--yes") == {old: "kept", bill: "kept"}
    assert site.shelf.tags("scratch/stack") >= {"a", "1.0.0"}
    assert site.shelf.has("scratch/stack", bill)


def test_an_image_that_went_meanwhile_is_fine(site: KeptSite, monkeypatch: pytest.MonkeyPatch) -> None:
    old = site.shelf.image("scratch/stack", "a", labels=labels("stack", "s1"))
    outcome = removal._outcome  # noqa: SLF001 - the moment right before

    def without(run: Any, verdict: Any) -> Any:  # noqa: ANN401 - as what it stands for
        run.drivers["scratch"].delete("scratch/stack", old)
        return outcome(run, verdict)

    monkeypatch.setattr(removal, "_outcome", without)
    assert site.states("teardown", "scratch", "--yes") == {old: "gone already"}


def test_a_registry_that_does_not_answer_protects_what_others_hold(site: KeptSite) -> None:
    old = site.shelf.image("scratch/stack", "a", labels=labels("stack", "s1"))
    text = (site.root / "factory.toml").read_text()
    gone = '[registries.far]\nurl = "127.0.0.1:1/x"\nclass = "persistent"\n'
    (site.root / "factory.toml").write_text(gone + text)
    assert site.states("teardown", "scratch", "--yes", status=REGISTRY_ERROR) == {old: "kept"}
    assert "127.0.0.1:1" in site.err + site.capsys.readouterr().err


def test_status_shows_what_is_there_and_what_a_prune_would_take(site: KeptSite) -> None:
    site.shelf.image("release/base", "latest", labels=labels("base", "b1"), layers=("x",))
    for number, word in enumerate("abc"):
        site.shelf.image("scratch/stack", word, labels=labels("stack", word), days=40 + number, layers=("x",))
    release, scratch = site.run("status")["registries"]
    assert (release["kind"], release["images"], release["prunable"]) == ("persistent", 1, 0)
    assert (scratch["kind"], scratch["repositories"], scratch["images"]) == ("disposable", 1, 3)
    assert (scratch["prunable"], scratch["error"]) == (2, None)


def test_yes_and_dry_run_together_are_wrong_usage(site: KeptSite) -> None:
    assert site.run("prune", "--yes", "--dry-run", status=2)["error"]["kind"] == "UsageError"
