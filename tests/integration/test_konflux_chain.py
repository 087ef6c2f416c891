"""``factory konflux`` of images on images: their folders, their parents, and packages of their own."""

import json
from pathlib import Path

import pytest
import yaml
from support.wheels import make_wheel
from support.workshop import Workshop

from factory.check.check import check_flavors
from factory.clock import today
from factory.flavor.repository import Repository

pytestmark = pytest.mark.integration
FLAVOR, STACK, TRAINER = "th09-cpu-torch2110-py312", "llm-stack", "tuner"
PARENT = f"quay.io/org/{FLAVOR}@sha256:{'a' * 64}"
SETTINGS = '[konflux]\napplication = "images"\noutput-image = "quay.io/org/"\n'


@pytest.fixture
def chain(workshop: Workshop) -> Workshop:
    """A flavor, a stack on it and a trainer on that without packages of its own, the first two locked."""
    make_wheel(workshop.pushed, "base", "1.0")
    make_wheel(workshop.pushed, "adds", "1.0")
    workshop.flavor("base", name=FLAVOR)
    workshop.child("adds", name=STACK, parent=FLAVOR)
    trainer = workshop.child(name=TRAINER, parent=STACK, kind="trainer")
    (trainer / "pyproject.toml").unlink()
    assert workshop.lock("--all").status == 0
    return workshop


def settings(chain: Workshop, *parents: str) -> None:
    file = chain.root / "factory.toml"
    images = file.read_text().partition("[konflux]")[0]
    lines = "".join(f"{name} = {json.dumps(PARENT)}\n" for name in parents)
    file.write_text(f"{images}{SETTINGS}[konflux.parents]\n{lines}")


def parameters(chain: Workshop, name: str) -> dict[str, object]:
    (run,) = yaml.safe_load_all((chain.root / ".tekton" / f"{name}-push.yaml").read_text())
    return {item["name"]: item["value"] for item in run["spec"]["params"]}


def findings(chain: Workshop) -> list[tuple[str, str]]:
    images = Repository(chain.root).images()
    report = check_flavors(images, root=chain.root, today=today(), others=images)
    return [(item.flavor, item.code) for item in report.findings if item.code.startswith("FAC50")]


def test_a_child_is_built_from_its_folder_on_what_konflux_has_built_of_its_parent(chain: Workshop) -> None:
    settings(chain, FLAVOR, STACK)
    run = chain.run("konflux", "--all")
    assert run.status == 0, run.err
    found = parameters(chain, STACK)
    assert found["dockerfile"] == "Dockerfile"
    assert found["path-context"] == f"images/{STACK}"
    assert found["build-args"] == [f"BASE_IMAGE={PARENT}"]
    (package,) = json.loads(str(found["prefetch-input"]))
    assert (package["path"], package["requirements_files"]) == (f"images/{STACK}", ["requirements.txt"])
    assert parameters(chain, TRAINER)["prefetch-input"] == ""
    assert parameters(chain, TRAINER)["build-platforms"] == ["linux/x86_64"]
    assert findings(chain) == []
    again = chain.run("konflux", "--all")
    assert "written" not in again.out


def test_the_files_of_a_child_are_kept_current(chain: Workshop) -> None:
    settings(chain, FLAVOR, STACK)
    assert chain.run("konflux", STACK).status == 0
    assert not (chain.root / ".tekton" / f"{TRAINER}-push.yaml").exists()
    path = chain.root / ".tekton" / f"{STACK}-push.yaml"
    path.write_text(path.read_text().replace("llm-stack/***", "other/***"))
    assert (STACK, "FAC502") in findings(chain)
    path.unlink()
    assert (STACK, "FAC501") in findings(chain)


def test_a_parent_that_nobody_named_is_an_error_for_a_named_child_and_said_with_all(chain: Workshop) -> None:
    settings(chain)
    run = chain.run("konflux", STACK)
    assert run.status != 0
    assert "[konflux.parents]" in run.err
    assert not (chain.root / ".tekton").exists()
    run = chain.run("konflux", "--all")
    assert run.status == 0, run.err
    assert f"{STACK} has no PipelineRuns: " in run.out
    assert findings(chain) == []


def test_the_files_of_a_child_that_is_no_more_are_removed(chain: Workshop) -> None:
    settings(chain, FLAVOR, STACK)
    assert chain.run("konflux", "--all").status == 0
    file = chain.root / "factory.toml"
    head, _, rest = file.read_text().partition(f"[images.{TRAINER}]")
    file.write_text(head + rest[rest.index("[konflux]") :])
    run = chain.run("konflux", "--all")
    assert f"{TRAINER}-push.yaml: removed" in run.out
    assert not Path(chain.root / ".tekton" / f"{TRAINER}-push.yaml").exists()


def test_the_prefetch_input_of_a_child_is_printed_alone(chain: Workshop) -> None:
    (package,) = json.loads(chain.run("konflux", STACK, "--prefetch-input").out)
    assert package["path"] == f"images/{STACK}"
