"""`factory push` where the registry or the network fails: nothing half-tagged, nothing lost."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fault_proxy import Fault, FaultProxy, fault_proxy
from support.push_site import REGISTRY_ERROR, TAG, Site, push_site

import factory.registry.client
from factory.http.retry import RetryPolicy

pytestmark = pytest.mark.integration

_BLOBS, _UPLOADS = r"/blobs/sha256:", r"/blobs/uploads/"


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    # What is waited for is not what is tested.
    quick = RetryPolicy(first_pause_seconds=0.01, max_pause_seconds=0.02)
    monkeypatch.setattr(factory.registry.client, "RETRY_POLICY", quick)
    with push_site(tmp_path, monkeypatch, capsys) as site:
        yield site


@pytest.fixture
def proxy(site: Site) -> Iterator[FaultProxy]:
    with fault_proxy(site.server.host) as proxy:
        yield proxy


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="unavailable", method="GET", path=r"/v2/$"),
        Fault(kind="unavailable", method="GET", path=r"/manifests/latest", times=2),
        Fault(kind="unavailable", method="HEAD", path=_BLOBS, times=3),
        Fault(kind="unavailable", method="POST", path=_UPLOADS, times=2),
        Fault(kind="unavailable", method="PATCH", path=_UPLOADS),
        Fault(kind="unavailable", method="PUT", path=_UPLOADS),
        Fault(kind="unavailable", method="PUT", path=r"/manifests/sha256:"),
        Fault(kind="unavailable", method="PUT", path=rf"/manifests/{TAG}", times=2),
        Fault(kind="unavailable", method="PUT", path=r"/manifests/latest", times=2),
        Fault(kind="reset", method="GET", path=r"/v2/$"),
        Fault(kind="reset", method="PATCH", path=_UPLOADS, times=2),
        Fault(kind="reset", method="PUT", path=r"/manifests/sha256:"),
        Fault(kind="reset", method="PUT", path=r"/manifests/latest"),
        Fault(kind="reset", method="GET", path=r"/manifests/sha256:"),
        Fault(kind="slow", method="PATCH", path=_UPLOADS, times=3),
        Fault(kind="slow", method="PUT", path=r"/manifests/", times=-1),
    ],
    ids=lambda fault: f"{fault.kind} {fault.method} {fault.path} {fault.times}",
)
def test_what_fails_for_a_while_is_tried_again_until_the_image_is_whole(
    site: Site, proxy: FaultProxy, fault: Fault
) -> None:
    image = site.image()
    proxy.faults.append(fault)
    (outcome,) = site.push(image.reference, "--to", f"{proxy.host}/team")["outcomes"]
    assert proxy.hit
    assert outcome["error"] is None
    assert site.tags() == {TAG: image.digest, "latest": image.digest}
    assert site.blobs_of(image) == set(image.blobs)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="unavailable", method="POST", path=_UPLOADS, times=-1),
        Fault(kind="unavailable", method="PATCH", path=_UPLOADS, times=-1),
        Fault(kind="reset", method="PATCH", path=_UPLOADS, times=-1),
        Fault(kind="unavailable", method="PUT", path=r"/manifests/sha256:", times=-1),
        Fault(kind="reset", method="PUT", path=r"/manifests/sha256:", times=-1),
    ],
    ids=lambda fault: f"{fault.kind} {fault.method} {fault.path}",
)
def test_what_fails_for_good_leaves_no_tag_and_the_next_run_goes_on(
    site: Site, proxy: FaultProxy, fault: Fault
) -> None:
    image, old = site.image(), site.image("old", content="old")
    site.push(old.reference, "--to", "near", "--tags", "latest")
    proxy.faults.append(fault)
    report = site.push(image.reference, "--to", f"{proxy.host}/team", status=REGISTRY_ERROR)
    (outcome,) = report["outcomes"]
    assert outcome["tags"] == []
    assert "did not take the image" in outcome["error"]["reason"]
    assert site.tags() == {"latest": old.digest}
    proxy.faults.clear()
    proxy.seen.clear()
    there = site.blobs_of(image)
    site.push(image.reference, "--to", f"{proxy.host}/team")
    assert site.tags() == {TAG: image.digest, "latest": image.digest}
    # What had arrived was not sent again.
    lacking = sum(size for digest, size in image.blobs.items() if digest not in there)
    assert proxy.sent("PATCH", _UPLOADS) == lacking


def test_the_moving_tag_stays_where_another_tag_could_not_be_set(site: Site, proxy: FaultProxy) -> None:
    image, old = site.image(), site.image("old", content="old")
    site.push(old.reference, "--to", "near", "--tags", "latest")
    proxy.faults.append(Fault(kind="unavailable", method="PUT", path=rf"/manifests/{TAG}", times=-1))
    site.push(image.reference, "--to", f"{proxy.host}/team", status=REGISTRY_ERROR)
    assert site.tags() == {"latest": old.digest}


@pytest.mark.parametrize("lost", ["sha256:", TAG, "latest"])
def test_what_a_registry_says_to_have_taken_is_read_back(site: Site, proxy: FaultProxy, lost: str) -> None:
    image, old = site.image(), site.image("old", content="old")
    site.push(old.reference, "--to", "near", "--tags", "latest")
    proxy.faults.append(Fault(kind="lost", method="PUT", path=f"/manifests/{lost}", times=-1))
    report = site.push(image.reference, "--to", f"{proxy.host}/team", status=REGISTRY_ERROR)
    (outcome,) = report["outcomes"]
    assert "was read back and is not what was pushed" in outcome["error"]["reason"]
    assert lost not in [tag["tag"] for tag in outcome["tags"]]
    assert site.tags()["latest"] == old.digest


def test_one_destination_that_fails_does_not_hold_up_the_other(site: Site, proxy: FaultProxy) -> None:
    image = site.image()
    proxy.faults.append(Fault(kind="reset", method="PATCH", path=_UPLOADS, times=-1))
    report = site.push(image.reference, "--to", f"{proxy.host}/far", "--to", "near", status=REGISTRY_ERROR)
    assert [bool(outcome["error"]) for outcome in report["outcomes"]] == [True, False]
    assert site.tags() == {TAG: image.digest, "latest": image.digest}
    assert site.tags("far/trainer") == {}


def test_an_answer_that_lies_about_its_digest_is_seen(site: Site, proxy: FaultProxy) -> None:
    image = site.image()
    site.push(image.reference, "--to", "near", "--tags", "1.0.0")
    data = site.server.folder / "data"
    (stored,) = data.rglob(f"{image.digest.removeprefix('sha256:')}/data")
    stored.write_bytes(stored.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion":  2'))
    report = site.push(image.reference, "--to", "near", "--tags", "1.0.1", status=REGISTRY_ERROR)
    (outcome,) = report["outcomes"]
    assert outcome["error"]["kind"] == "RegistryError"
    assert "1.0.1" not in site.tags()


def _started(site: Site, image: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "factory", "--root", str(site.root), "push", image, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_pushes_of_one_image_at_once_both_come_to_the_end(site: Site) -> None:
    image = site.image(compressed=False)
    runs = [_started(site, image.reference, "--to", "near") for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, out + err
    tags = site.tags()
    assert set(tags) == {TAG, "latest"}
    assert len(set(tags.values())) == 1


def test_of_two_images_that_want_one_tag_at_once_exactly_one_gets_it(site: Site) -> None:
    images = {name: site.image(name, content=name) for name in ("one", "two")}
    runs = {
        name: _started(site, image.reference, "--to", "near", "--tags", "1.0.0", "--tags", "latest")
        for name, image in images.items()
    }
    said = {name: run.communicate(timeout=120) for name, run in runs.items()}
    statuses = {name: run.returncode for name, run in runs.items()}
    assert sorted(statuses.values()) == [0, REGISTRY_ERROR], said
    (winner,) = (name for name, status in statuses.items() if status == 0)
    (loser,) = (name for name, status in statuses.items() if status != 0)
    assert re.search("1.0.0 exists already and names another image", said[loser][1])
    assert site.tags() == {"1.0.0": images[winner].digest, "latest": images[winner].digest}


@pytest.mark.parametrize(
    ("word", "count"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)], ids=str
)
def test_a_push_that_is_interrupted_ends_at_once_and_leaves_no_tag(
    site: Site, proxy: FaultProxy, word: signal.Signals, count: int
) -> None:
    proxy.faults.append(Fault(kind="slow", method="PATCH", path=_UPLOADS, times=-1, seconds=60))
    images = [site.image(f"image-{number}", content=str(number)).reference for number in range(count)]
    run = _started(site, *images, "--to", f"{proxy.host}/team")
    while not proxy.hit and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(word)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 130, out + err
    assert site.tags() == {}
