"""`kubectl apply -k tekton/stable` has nothing that a cluster with `enable-api-fields: stable` refuses."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from tekton.kustomize import built
from tekton.semantic import Node
from tekton.sources import ROOT, known, tekton_objects

TEKTON = ROOT / "tekton"
STABLE = TEKTON / "stable"
KUBECTL = shutil.which("kubectl")
# What the webhook of Tekton refuses there: pkg/apis/pipeline/v1, ValidateEnabledAPIFields(…, BetaAPIFields).
_BETA_FIELDS = frozenset({"matrix", "resolver", "stepSpecs", "sidecarSpecs"})
_INDEX = re.compile(r"\$\(params\.[\w-]+\[\d+\]\)")


def _names(objects: Sequence[Node]) -> list[tuple[str, str]]:
    return sorted((each["kind"], each["metadata"]["name"]) for each in objects)


def _beta(node: object) -> Iterator[str]:
    """Yield what of a document is a beta feature."""
    if isinstance(node, dict):
        yield from _BETA_FIELDS & node.keys()
        if node.get("type") == "object":
            yield "object"
    elif isinstance(node, str) and _INDEX.search(node):
        yield "index"
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _beta(inner)


def test_nothing_of_the_overlay_is_a_beta_feature() -> None:
    assert {each["metadata"]["name"]: [*_beta(each)] for each in built(STABLE) if [*_beta(each)]} == {}


def test_the_overlay_leaves_out_only_what_a_stable_cluster_refuses() -> None:
    whole, stable = _names(built(TEKTON)), _names(built(STABLE))
    left_out = {name for _, name in set(whole) - set(stable)}
    assert set(stable) < set(whole)
    assert left_out == {name for name, each in known().pipelines.items() if [*_beta(each)]}


def test_no_task_of_the_overlay_is_missing_to_its_pipelines() -> None:
    names = {name for kind, name in _names(built(STABLE)) if kind == "Task"}
    pipelines = [each for each in built(STABLE) if each["kind"] == "Pipeline"]
    assert pipelines
    assert {task["taskRef"]["name"] for each in pipelines for task in each["spec"]["tasks"]} <= names


def test_a_run_of_what_the_overlay_has_asks_for_no_beta_feature_either() -> None:
    names = {name for _, name in _names(built(STABLE))}
    runs = [
        each
        for each in tekton_objects()
        if each.name.startswith("tekton/examples/") and each.node["kind"] in {"PipelineRun", "TaskRun"}
        if (each.node["spec"].get("pipelineRef") or each.node["spec"]["taskRef"])["name"] in names
    ]
    assert len(runs) > 2
    assert {each.name: [*_beta(each.node)] for each in runs if [*_beta(each.node)]} == {}


# The reader of these tests against the real one, where a machine has that: no distribution's packages do.
if KUBECTL is not None:

    @pytest.mark.parametrize("folder", [TEKTON, STABLE], ids=lambda folder: folder.name)
    def test_kubectl_builds_what_this_reader_builds(folder: Path) -> None:
        assert _kubectl(folder) == _names(built(folder))


def test_the_overlay_that_names_the_image_can_be_of_the_stable_set(tmp_path: Path) -> None:
    """What the comment of examples/overlay says."""
    shutil.copytree(TEKTON, tmp_path / "tekton")
    path = tmp_path / "tekton" / "examples" / "overlay" / "kustomization.yaml"
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(told | {"resources": ["../../stable"]}), encoding="utf-8")
    assert _names(built(path.parent)) == _names(built(STABLE))
    if KUBECTL is not None:
        assert [each for each in _kubectl(path.parent) if each[0] != "ConfigMap"] == _names(built(STABLE))


def _kubectl(folder: Path) -> list[tuple[str, str]]:
    done = subprocess.run([str(KUBECTL), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return _names(list(yaml.safe_load_all(done.stdout)))
