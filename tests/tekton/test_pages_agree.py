"""What is told in several places, pages and YAML, is told alike."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from tekton.durations import duration
from tekton.semantic import Node, problems
from tekton.semantic.model import items
from tekton.sources import ROOT, every_object, known, of_kind, sources, tekton_objects

PAGE = "docs/tekton.md"
NEEDS = "tekton.dev/pipelines.minVersion"
ZEROS = "sha256:" + 64 * "0"


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))[:2]


@pytest.mark.parametrize("path", [PAGE, "tekton/README.md"])
def test_a_page_names_the_tekton_that_all_tasks_and_pipelines_need(path: str) -> None:
    needed = {
        _version(each.node["metadata"]["annotations"][NEEDS])
        for kind in ("Task", "Pipeline")
        for each in of_kind(kind)
        if each.name.startswith("tekton/")
    }
    told = {_version(number) for number in re.findall(r"Tekton Pipelines (\d+\.\d+) or newer", _text(path))}
    assert told == {max(needed)}


def test_every_page_names_the_same_openshift_pipelines() -> None:
    told = [
        number
        for path in (PAGE, "tekton/README.md")
        for number in re.findall(r"or OpenShift Pipelines (\d\.\d+)", _text(path))
    ]
    assert len(told) > 1
    assert len(set(told)) == 1


def _specs_of_single_tasks(node: object) -> Iterator[Node]:
    """Every taskRunSpecs, at any depth: blocks of a page may be fragments."""
    if isinstance(node, dict):
        yield from node.get("taskRunSpecs") or ()
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _specs_of_single_tasks(inner)


def test_no_run_gives_a_single_task_a_timeout_that_only_the_newest_tekton_knows() -> None:
    found = [
        (source.name, each)
        for source in sources()
        for document in yaml.safe_load_all(source.text)
        for each in _specs_of_single_tasks(document)
    ]
    assert found
    assert [(name, each) for name, each in found if "timeout" in each] == []


def _runs_of(pipeline: str) -> list[tuple[str, Node]]:
    return [
        (each.name, each.node["spec"])
        for each in tekton_objects()
        if each.node["kind"] == "PipelineRun"
        and each.node["spec"].get("pipelineRef", {}).get("name") == pipeline
    ]


def test_a_run_on_a_gpu_flavor_has_the_time_that_its_tasks_have() -> None:
    (pipeline,) = [
        each.node["spec"]
        for each in of_kind("Pipeline")
        if each.node["metadata"]["name"] == "universal-image"
    ]
    time = {task["name"]: duration(task["timeout"]) for task in items(pipeline, "tasks")}
    chain = ("clone", "lock-verify", "gate-source", "prefetch", "build", "image-test", "gate")
    after = {task["name"]: task.get("runAfter", []) for task in items(pipeline, "tasks")}
    assert [two for one, two in pairwise(chain) if after[two] and one not in after[two]] == []
    runs = [
        spec
        for _, spec in _runs_of("universal-image")
        if any(each["name"] == "flavor" and "cpu" not in each["value"] for each in spec["params"])
    ]
    assert runs
    for spec in runs:
        assert duration(spec["timeouts"]["pipeline"]) >= sum(time[name] for name in chain)


def test_every_volume_of_an_image_is_as_large_as_the_pages_say() -> None:
    claims = [
        each.node["spec"]
        for each in every_object()
        if each.node.get("kind") == "PersistentVolumeClaim"
        and "universal-image" in each.node["metadata"]["name"]
    ]
    made = [
        workspace["volumeClaimTemplate"]["spec"]
        for _, spec in _runs_of("universal-image")
        for workspace in items(spec, "workspaces")
        if "volumeClaimTemplate" in workspace
    ]
    asked = {spec["resources"]["requests"]["storage"].removesuffix("Gi") for spec in (*claims, *made)}
    assert claims
    assert made
    for path in (PAGE, "tekton/pipelines/universal-image/README.md"):
        assert set(re.findall(r"(\d+) GiB", _text(path))) == asked, path


def test_every_page_names_the_same_room_on_the_node() -> None:
    for path in (PAGE, "tekton/pipelines/universal-image/README.md", "tekton/tasks/factory-build/README.md"):
        assert "about three times the size of the image" in " ".join(_text(path).split()), path


def test_the_command_of_the_page_names_the_factory_s_image_in_every_example(tmp_path: Path) -> None:
    (command,) = re.findall(r"^sed -i (?:.*\\\n)*.*$", _text(PAGE), re.MULTILINE)
    shutil.copytree(ROOT / "tekton" / "examples", tmp_path / "tekton" / "examples")
    image = "registry.example.com/team/factory@sha256:" + 32 * "a1"
    before = _naming(tmp_path, ZEROS)
    subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, check=True, env={**os.environ, "factory_image": image}
    )
    assert before
    assert _naming(tmp_path, image) == before
    assert _naming(tmp_path, f"factory@{ZEROS}") == []


def _naming(folder: Path, text: str) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*.yaml")
        if any("team/factory@" in line and text in line for line in path.read_text().splitlines())
    )


def test_a_page_that_asks_for_the_last_of_all_runs_has_them_sorted() -> None:
    commands = re.findall(r"^kubectl (?:.*\\\n)*.*$", _text(PAGE), re.MULTILINE)
    last = [command for command in commands if "[-1:]" in command]
    assert last
    for command in last:
        assert "--sort-by=.metadata.creationTimestamp" in command


@pytest.mark.parametrize("path", [PAGE, "tekton/tasks/factory-build/README.md"])
def test_the_fragment_that_raises_a_step_s_memory_fits_the_run_and_the_task(path: str) -> None:
    (fragment,) = [
        yaml.safe_load(source.text)
        for source in sources()
        if source.name.startswith(f"{path}:") and source.text.startswith("taskRunSpecs:")
    ]
    (run,) = [
        each.node for each in tekton_objects()
        if each.name.startswith("tekton/examples/universal-image-run.yaml")
    ]  # fmt: skip
    whole = {**run, "spec": {**run["spec"], **fragment}}
    assert [str(problem) for problem in problems(whole, known())] == []
    steps = {
        task["name"]: {step["name"]: step for step in known().tasks[task["taskRef"]["name"]]["spec"]["steps"]}
        for task in items(known().pipelines["universal-image"]["spec"], "tasks")
    }
    for each in fragment["taskRunSpecs"]:
        assert set(each) == {"pipelineTaskName", "stepSpecs"}
        for step in each["stepSpecs"]:
            own = steps[each["pipelineTaskName"]][step["name"]]["computeResources"]["limits"]["memory"]
            assert _gibibytes(step["computeResources"]["limits"]["memory"]) > _gibibytes(own)


def _gibibytes(quantity: str) -> int:
    assert quantity.endswith("Gi")
    return int(quantity.removesuffix("Gi"))
