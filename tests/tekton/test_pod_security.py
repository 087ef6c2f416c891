"""What docs/tekton.md claims of a namespace's Pod Security level is true of the YAML, task by task."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from tekton.pod_security import Level, violations
from tekton.semantic import Node
from tekton.semantic.model import items
from tekton.sources import ROOT, blocks, known, of_kind

PAGE = "docs/tekton.md"
HEADING = "## Pod Security"
PROFILE = {"seccompProfile": {"type": "RuntimeDefault"}}
GOOD = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    **PROFILE,
}
LEVELS: Mapping[str, Level] = {"`restricted`": "restricted", "`baseline`": "baseline"}
TASKS = sorted(name for name in known().tasks)


def _section() -> str:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert f"\n{HEADING}\n" in text
    return text.partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]


def _rows() -> dict[str, tuple[Level, str]]:
    """Each Task's level and what it needs for it, as the table says."""
    found: dict[str, tuple[Level, str]] = {}
    for line in _section().splitlines():
        if not line.startswith("| "):
            continue
        what, level, needs = (cell.strip() for cell in line.strip("|").split(" | "))
        for name in re.findall(r"`(factory-[a-z-]+)`", what):
            assert name not in found, f"{name} is in the table twice"
            found[name] = (LEVELS[level], needs)
    return found


def _spec(task: str) -> Node:
    spec: Node = known().tasks[task]["spec"]
    return spec


def test_the_table_has_every_task_once() -> None:
    assert sorted(_rows()) == TASKS


@pytest.mark.parametrize("task", TASKS)
def test_a_task_passes_the_level_that_the_table_gives_it_with_what_it_needs(task: str) -> None:
    level, needs = _rows()[task]
    pod = PROFILE if "seccompProfile" in needs else None
    assert violations(_spec(task), level, pod=pod) == set()


@pytest.mark.parametrize("task", TASKS)
def test_a_task_needs_what_the_table_says_that_it_needs(task: str) -> None:
    level, needs = _rows()[task]
    alone = violations(_spec(task), "restricted")
    if level == "baseline":
        assert {"runAsNonRoot", "runAsUser", "capabilities"} <= alone
        assert "SETFCAP" in needs
    else:
        assert alone == ({"seccompProfile"} if "seccompProfile" in needs else set())


def test_the_run_template_of_the_page_gives_what_the_tasks_need() -> None:
    (fragment,) = (
        yaml.safe_load(block.text) for block in blocks(_section(), PAGE) if "podTemplate" in block.text
    )
    pod: Mapping[str, Any] = fragment["taskRunTemplate"]["podTemplate"]["securityContext"]
    for task, (level, _) in _rows().items():
        if level == "restricted":
            assert violations(_spec(task), "restricted", pod=pod) == set(), task


def test_a_pipeline_passes_the_level_that_the_page_gives_it() -> None:
    text = " ".join(_section().split())
    assert (
        "So `flavors-check` runs in a namespace of `restricted`, and `universal-image` in one of `baseline`"
        in text
    )
    needed = {
        name: {_rows()[task["taskRef"]["name"]] for task in (*items(spec, "tasks"), *items(spec, "finally"))}
        for name in ("flavors-check", "universal-image")
        for spec in (known().pipelines[name]["spec"],)
    }
    assert needed["flavors-check"] == {("restricted", "nothing")}
    assert {level for level, _ in needed["universal-image"]} == {"restricted", "baseline"}


def test_the_page_names_the_setting_of_tekton_without_which_nothing_passes() -> None:
    assert 'set-security-context: "true"' in _section()
    for path in ("tekton/README.md", "tekton/tasks/factory-build/README.md"):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "docs/tekton.md#pod-security" in text, path


def test_the_nightly_job_passes_restricted() -> None:
    text = (ROOT / "tekton/examples/nightly/cronjob.yaml").read_text(encoding="utf-8")
    pod = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert violations(pod, "restricted", pod=pod.get("securityContext")) == set()


def test_the_namespace_of_the_examples_has_the_level_of_the_whole_pipeline() -> None:
    setup = [*yaml.safe_load_all((ROOT / "tekton/examples/setup.yaml").read_text(encoding="utf-8"))]
    (namespace,) = (each for each in setup if each["kind"] == "Namespace")
    level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert level == "baseline"
    assert {task: found for task in TASKS if (found := violations(_spec(task), "baseline"))} == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation"),
        ({"capabilities": {}}, "capabilities"),
        ({"capabilities": {"drop": ["ALL"], "add": ["SETFCAP"]}}, "capabilities"),
        ({"runAsNonRoot": False}, "runAsNonRoot"),
        ({"runAsUser": 0}, "runAsUser"),
        ({"seccompProfile": {"type": "Unconfined"}}, "seccompProfile"),
        ({"seccompProfile": None}, "seccompProfile"),
        ({"privileged": True}, "privileged"),
    ],
)
def test_each_field_of_restricted_is_looked_at(change: Mapping[str, Any], field: str) -> None:
    """Else the tables above could pass for no reason."""
    assert violations({"steps": [{"securityContext": GOOD}]}, "restricted") == set()
    assert violations({"steps": [{"securityContext": {**GOOD, **change}}]}, "restricted") == {field}


def test_baseline_takes_setfcap_and_no_more() -> None:
    assert (
        violations({"steps": [{"securityContext": {"capabilities": {"add": ["SETFCAP"]}}}]}, "baseline")
        == set()
    )
    for added in ("SYS_ADMIN", "ALL"):
        found = violations({"steps": [{"securityContext": {"capabilities": {"add": [added]}}}]}, "baseline")
        assert found == {"capabilities"}


def test_every_task_is_looked_at() -> None:
    assert {each.node["metadata"]["name"] for each in of_kind("Task")} == set(TASKS)
