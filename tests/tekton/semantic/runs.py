"""A TaskRun or a PipelineRun: what it gives to what it runs."""

from collections.abc import Iterator, Mapping

from tekton.semantic.flow import given_problems
from tekton.semantic.folders import one_folder_problems
from tekton.semantic.model import Known, Node, Parameter, Problem, duplicates, items, value_type
from tekton.semantic.pipeline import bound_problems, pipeline_problems
from tekton.semantic.references import references, strings
from tekton.semantic.resolve import reference_problems, target
from tekton.semantic.task import task_problems
from tekton.semantic.timeouts import run_timeouts

# What the API server makes a volume of, one to each workspace.
SOURCES = frozenset(
    {"persistentVolumeClaim", "volumeClaimTemplate", "emptyDir", "configMap", "secret", "projected", "csi"}
)
RUN_CONTEXT = frozenset(
    {("pipelineRun", "name"), ("pipelineRun", "namespace"), ("pipelineRun", "uid")}
    | {("taskRun", "name"), ("taskRun", "namespace"), ("taskRun", "uid")}
)


def run_problems(document: Node, known: Known) -> Iterator[Problem]:
    """Everything wrong with a TaskRun or a PipelineRun, embedded specs and counted matrices included."""
    spec: Node = document["spec"]
    kind = "task" if document["kind"] == "TaskRun" else "pipeline"
    yield from reference_problems(spec, kind, known, "spec")
    yield from duplicates(items(spec, "params"), "spec.params", "parameter")
    yield from duplicates(items(spec, "workspaces"), "spec.workspaces", "workspace")
    for place, binding in enumerate(items(spec, "workspaces")):
        if len(SOURCES & set(binding)) != 1:
            yield Problem(path=f"spec.workspaces[{place}]", message=f"{binding['name']!r} has not one volume")
    for key in ("params", "workspaces"):
        for path, text in strings(spec.get(key), f"spec.{key}"):
            for found in references(text):
                if found.root != "context" or found.parts not in RUN_CONTEXT:
                    yield Problem(path=path, message=f"{found.text} is nothing that a run knows")
    found_target = target(spec, kind, known)
    given = {each["name"]: each["value"] for each in items(spec, "params")}
    if found_target.interface is not None:
        handed_down = f"{kind}Spec" in spec
        kinds: Mapping[str, str | None] = {
            name: value_type(value)
            for name, value in given.items()
            if not handed_down or name in found_target.interface.params
        }
        yield from given_problems(kinds, found_target.interface, "spec")
        yield from bound_problems(
            {each["name"] for each in items(spec, "workspaces")}, found_target.interface, "spec"
        )
    yield from _what_runs(spec, kind, known, given)
    if found_target.spec is not None:
        yield from _of_tasks(spec, found_target.spec)
    yield from run_timeouts(spec, found_target.spec if kind == "pipeline" else None)
    claims = (
        (each["name"], each["persistentVolumeClaim"].get("claimName", ""), each.get("subPath", ""))
        for each in items(spec, "workspaces")
        if "persistentVolumeClaim" in each
    )
    yield from one_folder_problems(claims, "spec.workspaces")


def _of_tasks(spec: Node, pipeline: Node) -> Iterator[Problem]:
    """What a PipelineRun says of single tasks of its Pipeline."""
    tasks = {task["name"] for kind in ("tasks", "finally") for task in items(pipeline, kind)}
    for place, each in enumerate(items(spec, "taskRunSpecs")):
        if each["pipelineTaskName"] not in tasks:
            yield Problem(
                path=f"spec.taskRunSpecs[{place}]",
                message=f"there is no task {each['pipelineTaskName']!r} in the Pipeline",
            )


def _what_runs(spec: Node, kind: str, known: Known, given: Mapping[str, object]) -> Iterator[Problem]:
    found = target(spec, kind, known)
    inherited = {name: Parameter(type=value_type(value), required=False) for name, value in given.items()}
    if f"{kind}Spec" in spec and kind == "task":
        yield from task_problems(spec["taskSpec"], "spec.taskSpec", inherited)
    elif f"{kind}Spec" in spec:
        yield from pipeline_problems(
            spec["pipelineSpec"], known, path="spec.pipelineSpec", given=given, inherited=inherited
        )
    elif kind == "pipeline" and found.spec is not None:
        # Ours alone is checked on its own; with this run's values its matrices can be counted.
        alone = set(pipeline_problems(found.spec, known))
        for problem in pipeline_problems(found.spec, known, given=given):
            if problem not in alone:
                yield problem
