"""Entry points that do something: a launcher's that submits jobs, an agent's that a launcher is built on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.built import factory
from support.podman import podman

pytestmark = pytest.mark.container

AGENT = "localhost/entry-point-agent:1"
SUBMITTER = "localhost/entry-point-submitter:1"
ENDLESS = "localhost/entry-point-endless:1"
CONFIGURATION = ("Entrypoint", "Cmd", "User", "WorkingDir")


def _build(tag: str, text: str, context: Path) -> None:
    words = ("--quiet", "--network", "none", "--pull=never", "--tag", tag, "--file", "-")
    podman("build", *words, ".", given=text, cwd=context)


@pytest.fixture
def agent(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image that starts an agent: its own user, folder, entry point and command."""
    _build(
        AGENT,
        'FROM scratch\nUSER 4711\nWORKDIR /agent\nENTRYPOINT ["/agent/run"]\nCMD ["serve"]\n',
        tmp_path_factory.mktemp("agent"),
    )
    yield AGENT
    podman("image", "rm", "--force", AGENT)


@pytest.fixture
def submitter(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A launcher with an entry point of its own: whatever starts it submits a job, which ends with 99."""
    text = (
        f"FROM {base_image}\nUSER 0\n"
        "RUN printf '#!/bin/sh\\necho JOB-$((40+2))\\nexit 99\\n' > /submit && chmod 0755 /submit\n"
        'USER 1001\nENTRYPOINT ["/submit"]\nLABEL name="jobs" org.opencontainers.image.title="jobs"\n'
    )
    _build(SUBMITTER, text, tmp_path_factory.mktemp("submitter"))
    yield SUBMITTER
    podman("image", "rm", "--force", SUBMITTER)


def _configuration(image: str) -> dict[str, Any]:
    (document,) = json.loads(podman("image", "inspect", image))
    return {key: document["Config"].get(key) for key in CONFIGURATION}


def test_launcher_keeps_the_entry_point_of_its_parent(agent: str, tmp_path: Path) -> None:
    (tmp_path / "flavors").mkdir()
    words = ("--kind", "launcher", "--parent", agent, "--keep-entrypoint")
    factory("--root", tmp_path, "new-image", "entry-point-jobs", *words)
    image = json.loads(factory("--root", tmp_path, "--json", "build", "entry-point-jobs"))
    try:
        assert _configuration(image["id"]) == _configuration(agent)
        assert _configuration(image["id"])["Entrypoint"] == ["/agent/run"]
    finally:
        podman("image", "rm", "--force", image["id"])


def test_no_test_of_a_launcher_starts_its_entry_point(submitter: str, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "jobs"
    folder.mkdir(parents=True)
    (tmp_path / "flavors").mkdir()
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    (tmp_path / "factory.toml").write_text(
        '[images.jobs]\nkind = "launcher"\nparent = "quay.io/example/a:1"\n'
    )
    told = factory(
        "--root", tmp_path, "--json", "test", submitter, "--level", "standard",
        "--report", tmp_path / "report", status=None,
    )  # fmt: skip
    assert "JOB-42" not in told
    outcomes = {outcome["name"]: outcome["status"] for outcome in json.loads(told)["outcomes"]}
    assert outcomes["no-network"] == "passed"
    # Wherever its reports went, the image was tested.
    (standing,) = json.loads(factory("--root", tmp_path, "--json", "status", "--offline"))["images"]
    assert standing["tested"]["level"] == "standard"


@pytest.fixture
def endless(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image whose Python prints without an end."""
    program = r"#!/bin/sh\nwhile :; do printf %4096s; done\n"
    text = (
        f"FROM {base_image}\nUSER 0\n"
        f"RUN printf '{program.replace('%', '%%')}' > /python3 && chmod 0755 /python3 && "
        'for place in $(type -ap python3); do ln -sf /python3 "$place"; done\nUSER 1001\n'
    )
    _build(ENDLESS, text, tmp_path_factory.mktemp("endless"))
    yield ENDLESS
    podman("image", "rm", "--force", ENDLESS)


def test_what_an_image_prints_without_an_end_fails_its_test_and_leaves_no_container(
    endless: str, tmp_path: Path
) -> None:
    told = factory(
        "--json", "test", endless, "--only", "dependencies", "--report", tmp_path / "report", status=None
    )
    (outcome,) = json.loads(told)["outcomes"]
    assert "printed more than is kept" in outcome["reason"]
    assert not podman("ps", "--all", "--quiet", "--filter", f"ancestor={endless}").strip()
