"""All our YAML keeps to the semantic checks; broken in any one place, it does not."""

from collections.abc import Callable, Iterator

import pytest
from tekton.changing import GONE, changed
from tekton.semantic import Known, Node, problems
from tekton.semantic.model import items
from tekton.sources import (
    TEKTON_KINDS,
    Object,
    Source,
    blocks,
    every_object,
    known,
    objects,
    of_kind,
    tekton_objects,
)

CHECKED = tuple(each for each in tekton_objects() if each.node["kind"] != "StepAction")
OTHER_OBJECTS = tuple(each for each in every_object() if each.node.get("kind") not in TEKTON_KINDS)
# Of every kind of Kubernetes object that our YAML may hold: its apiVersion, and what stands beside it.
OTHERS = {
    "ConfigMap": ("v1", {"data", "binaryData", "immutable"}),
    "CronJob": ("batch/v1", {"spec"}),
    "Kustomization": (
        "kustomize.config.k8s.io/v1beta1",
        {
            "resources",
            "namespace",
            "configMapGenerator",
            "generatorOptions",
            "labels",
            "patches",
            "replacements",
        },
    ),
    "Namespace": ("v1", {"spec"}),
    "PersistentVolumeClaim": ("v1", {"spec"}),
    "Repository": ("pipelinesascode.tekton.dev/v1alpha1", {"spec"}),
    "Role": ("rbac.authorization.k8s.io/v1", {"rules"}),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", {"roleRef", "subjects"}),
    "Secret": ("v1", {"type", "data", "stringData", "immutable"}),
    "ServiceAccount": ("v1", {"secrets", "imagePullSecrets", "automountServiceAccountToken"}),
    # Konflux's own
    "Application": ("appstudio.redhat.com/v1alpha1", {"spec"}),
    "Component": ("appstudio.redhat.com/v1alpha1", {"spec"}),
    "ImageRepository": ("appstudio.redhat.com/v1alpha1", {"spec"}),
}


def _name(each: Object) -> str:
    return each.name


def test_there_is_something_to_check() -> None:
    assert len(of_kind("Task")) >= 8
    assert len(of_kind("Pipeline")) >= 3
    assert [each for each in CHECKED if each.node["kind"] == "PipelineRun"]


def test_every_object_of_ours_is_right() -> None:
    found = {each.name: [str(problem) for problem in problems(each.node, known())] for each in CHECKED}
    assert {name: messages for name, messages in found.items() if messages} == {}


def test_every_other_object_is_of_a_kind_that_a_cluster_knows() -> None:
    assert [each.name for each in OTHER_OBJECTS if not _known_to_a_cluster(each.node)] == []


def _known_to_a_cluster(node: Node) -> bool:
    version, beside = OTHERS.get(node["kind"], ("", frozenset()))
    return node["apiVersion"] == version and not set(node) - beside - {"apiVersion", "kind", "metadata"}


@pytest.mark.parametrize("kind", ["Task", "Pipeline"])
@pytest.mark.parametrize("folder", ["tekton/", ".tekton/"])  # the second has copies out of the first
def test_no_name_is_taken_twice(kind: str, folder: str) -> None:
    names = [each.node["metadata"]["name"] for each in of_kind(kind) if each.name.startswith(folder)]
    assert names
    assert sorted(names) == sorted(set(names))


def test_the_blocks_of_a_page_are_read() -> None:
    in_a_list = "1. Two:\n\n   ```yaml\n   kind: B\n\n   x:\n     y: z\n   ```\n"
    page = f"One:\n\n```yaml\nkind: A\n```\n\n{in_a_list}\n```json\n{{}}\n```\n"
    assert [(block.name, block.text) for block in blocks(page, "page.md")] == [
        ("page.md:4", "kind: A\n"),
        ("page.md:10", "kind: B\n\nx:\n  y: z\n"),
    ]


def test_of_a_pages_blocks_only_whole_objects_are_objects() -> None:
    text = "apiVersion: v1\nkind: Secret\n---\nspec:\n  a: b\n"
    block = Source(name="page.md:1", text=text, is_block=True)
    assert [each.node for each in objects(block)] == [{"apiVersion": "v1", "kind": "Secret"}]


def _breaks(node: Node) -> Iterator[tuple[str, dict[str, object]]]:
    """Ways to break an object in one place, each of which some check has to find."""
    spec = node["spec"]
    for kind in ("params", "workspaces", *(("results",) if "steps" in spec else ())):
        for place, declared in enumerate(items(spec, kind)):
            yield f"{kind} {declared['name']} renamed", {f"spec.{kind}[{place}].name": "renamed-by-a-test"}
    for place, step in enumerate(items(spec, "steps")):
        where = f"spec.steps[{place}]"
        yield f"{where} by tag", {f"{where}.image": "quay.io/example/tool:latest"}
        yield f"{where} without resources", {f"{where}.computeResources": {}}
        yield f"{where} twice", {"spec.steps[+]": step}
        if "script" in step:
            yield f"{where} lax", {f"{where}.script": step["script"].replace("set -euo pipefail", "set -e")}
            yield f"{where} injected", {f"{where}.script": step["script"] + "echo $(params.flavor)\n"}
        for number, variable in enumerate(items(step, "env")):
            if "$(" in variable.get("value", ""):
                yield (
                    f"{where} {variable['name']} misspelt",
                    {f"{where}.env[{number}].value": variable["value"].replace("$(", "$(x")},
                )
    for place, _ in enumerate(items(spec, "volumes")):
        yield f"volume {place} renamed", {f"spec.volumes[{place}].name": "renamed-by-a-test"}


def _breaks_of_pipeline(node: Node) -> Iterator[tuple[str, dict[str, object]]]:
    yield from _breaks(node)
    for place, result in enumerate(items(node["spec"], "results")):
        value = result["value"].replace(".results.", ".results.x")
        yield f"result {result['name']} of nothing", {f"spec.results[{place}].value": value}
    for kind in ("tasks", "finally"):
        for place, task in enumerate(items(node["spec"], kind)):
            where = f"spec.{kind}[{place}]"
            reference = task["taskRef"]
            if "name" in reference:
                yield f"{where} of no Task", {f"{where}.taskRef.name": "renamed-by-a-test"}
            for number, given in enumerate(items(reference, "params")):
                if given["name"] == "bundle":
                    tag = str(given["value"]).partition("@")[0]
                    yield f"{where} by tag", {f"{where}.taskRef.params[{number}].value": tag}
            for number, given in enumerate(items(task, "params")):
                yield (
                    f"{where} {given['name']} renamed",
                    {f"{where}.params[{number}].name": "renamed-by-a-test"},
                )
                other = (
                    "text" if isinstance(given["value"], list) or "[*])" in given["value"] else ["a", "list"]
                )
                yield f"{where} {given['name']} of another type", {f"{where}.params[{number}].value": other}
            for number, bound in enumerate(items(task, "workspaces")):
                yield (
                    f"{where} {bound['name']} renamed",
                    {f"{where}.workspaces[{number}].name": "renamed-by-a-test"},
                )
                yield (
                    f"{where} {bound['name']} of none",
                    {f"{where}.workspaces[{number}].workspace": "none-by-a-test"},
                )
            if "runAfter" in task:
                yield f"{where} after itself", {f"{where}.runAfter": [task["name"]]}
            yield f"{where} after none", {f"{where}.runAfter": ["none-by-a-test"]}
            yield f"{where} renamed", {f"{where}.name": "N"}


@pytest.mark.parametrize(("kind", "breaks"), [("Task", _breaks), ("Pipeline", _breaks_of_pipeline)])
def test_each_way_to_break_one_of_ours_is_found(
    kind: str, breaks: Callable[[Node], Iterator[tuple[str, dict[str, object]]]]
) -> None:
    broken = [
        (f"{each.node['metadata']['name']}: {name}", changed(each.node, changes))
        for each in of_kind(kind)
        if each.name.startswith("tekton/")  # .tekton/ holds copies
        for name, changes in breaks(each.node)
    ]
    assert len(broken) > 100
    assert [name for name, node in broken if not any(problems(node, known()))] == []


@pytest.mark.parametrize("each", of_kind("Task"), ids=_name)
def test_a_task_that_changes_is_found_by_the_pipelines_that_use_it(each: Object) -> None:
    """A result or a parameter that goes is missed where it is used."""
    name = each.node["metadata"]["name"]
    users = [
        pipeline.node
        for pipeline in of_kind("Pipeline")
        if any(
            (task.get("taskRef") or {}).get("name") == name
            for kind in ("tasks", "finally")
            for task in items(pipeline.node["spec"], kind)
        )
    ]
    without = changed(
        each.node, {"spec.results": GONE} if "results" in each.node["spec"] else {"spec.params": GONE}
    )
    less = Known(
        tasks={**known().tasks, name: without}, pipelines=known().pipelines, catalogue=known().catalogue
    )
    used = [
        pipeline
        for pipeline in users
        if "results" not in each.node["spec"]
        or f".results.{each.node['spec']['results'][0]['name']}" in str(pipeline)
    ]
    for pipeline in used:
        assert list(problems(pipeline, less))
