"""A PipelineRun: tasks in the order of what they wait for, those of `finally` at the end."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from tekton.runner import graph
from tekton.runner import params as parameters
from tekton.runner.cluster import Cluster
from tekton.runner.errors import RefusedError
from tekton.runner.fields import Node, listed, spec_of
from tekton.runner.outcome import FAILED, SUCCEEDED, PipelineOutcome, Ran, Skipped, TaskOutcome
from tekton.runner.pipeline_task import Planned, TaskRun, plan, run_planned
from tekton.runner.pipeline_values import MissingError, results_layer, status_layer
from tekton.runner.variables import Layers, Value, is_known, references, value_of
from tekton.runner.when import holds


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all tasks of a PipelineRun share."""

    name: str
    layers: Layers
    workspaces: Mapping[str, Path]
    cluster: Cluster
    ran: dict[str, Ran] = field(default_factory=dict)


def run_pipeline(
    pipeline: Node,
    *,
    params: Mapping[str, object],
    workspaces: Mapping[str, Path],
    cluster: Cluster,
) -> PipelineOutcome:
    """Run a Pipeline to its end, as Tekton does. Tasks that wait for nothing more run beside one another.

    Args:
        pipeline: the object of kind Pipeline; the Tasks that it names are the cluster's.
        params: values by name, each of the parameter's type.
        workspaces: the folder for each workspace; an optional one may be left out.
        cluster: where it runs.

    Raises:
        RefusedError: Tekton would refuse the Pipeline or what was given to it.
        UnknownFieldError: the Pipeline has a field that the runner does not carry out.
    """
    name = pipeline["metadata"]["name"]
    spec = spec_of(pipeline, "Pipeline")
    tasks = listed(spec, "tasks", "pipeline task", name)
    final = listed(spec, "finally", "pipeline task", name)
    graph.check(tasks, final)
    shared = Surroundings(
        name=f"{name}-{uuid4().hex[:6]}",
        layers=_layers(spec, name, params, workspaces),
        workspaces=workspaces,
        cluster=cluster,
    )
    problem = _run_in_order(tasks, shared)
    if problem is None:
        ended = {task["name"]: shared.ran[task["name"]] for task in tasks}
        layers = (*shared.layers, status_layer(ended))
        _together([(task, layers) for task in final], shared, final=True)
    return _outcome(spec, shared, problem)


def _layers(spec: Node, name: str, params: Mapping[str, object], workspaces: Mapping[str, Path]) -> Layers:
    declared = listed(spec, "workspaces", "pipeline workspace", name)
    if unknown := sorted(set(workspaces) - {space["name"] for space in declared}):
        raise RefusedError(f"{name}: no workspace of the name {', '.join(unknown)}")
    bound: dict[str, Value] = {}
    for space in declared:
        if space["name"] not in workspaces and not space.get("optional"):
            raise RefusedError(f"{name}: the workspace {space['name']} is not bound")
        bound[f"workspaces.{space['name']}.bound"] = "true" if space["name"] in workspaces else "false"
    context: dict[str, Value] = {
        "context.pipeline.name": name,
        "context.pipelineRun.name": name,
        "context.pipelineRun.namespace": "default",
        "context.pipelineRun.uid": str(uuid4()),
    }
    values = parameters.bound(listed(spec, "params", "param", name), params, name)
    return (parameters.as_layer(values), context, bound)


def _run_in_order(tasks: Sequence[Node], shared: Surroundings) -> str | None:
    """Run what is ready, until nothing is; gives why the run ended early, where a result was missing."""
    while ready := [
        task for task in tasks if task["name"] not in shared.ran and graph.parents(task) <= set(shared.ran)
    ]:
        if _any_failed(shared.ran):
            # What runs is let run to its end, and nothing more is started.
            shared.ran.update({task["name"]: Skipped(reason="PipelineRun was stopping") for task in ready})
            continue
        try:
            _together([(task, shared.layers) for task in ready], shared, final=False)
        except MissingError as error:
            return f"InvalidTaskResultReference: {error}"
    return None


def _any_failed(ran: Mapping[str, Ran]) -> bool:
    return any(_failed(one) for one in ran.values())


def _failed(ran: Ran) -> bool:
    return any(one.status == FAILED for one in (ran if isinstance(ran, list) else [ran]))


def _together(tasks: Sequence[tuple[Node, Layers]], shared: Surroundings, *, final: bool) -> None:
    plans: dict[str, Planned] = {}
    for task, layers in tasks:
        found = _decided(task, layers, shared, final=final)
        if isinstance(found, Skipped):
            shared.ran[task["name"]] = found
        else:
            plans[task["name"]] = found
    runs: list[TaskRun] = [run for planned in plans.values() for run in planned.runs]
    outcomes = _all(runs, shared.cluster)
    for name, planned in plans.items():
        own = [outcome for run, outcome in zip(runs, outcomes, strict=True) if run in planned.runs]
        shared.ran[name] = own if planned.matrix else own[0]


def _all(runs: Sequence[TaskRun], cluster: Cluster) -> list[TaskOutcome]:
    own = cluster.until_stopped()
    with ThreadPoolExecutor(max_workers=cluster.parallel) as pool:
        futures = [pool.submit(run_planned, run, own) for run in runs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # An interruption, too: no container outlives it.
            pool.shutdown(wait=False, cancel_futures=True)
            own.stop()
            raise


def _decided(task: Node, layers: Layers, shared: Surroundings, *, final: bool) -> Planned | Skipped:
    """The TaskRuns of a task, or why it is skipped, by the rules of `when` and of missing results."""
    parents = graph.parents(task)
    wanted = graph.results_wanted(task)
    for parent in sorted(parents):
        ran = shared.ran[parent]
        if not isinstance(ran, Skipped):
            continue
        needed = any(name == parent for name, _ in wanted)
        if needed or (ran.reason != "when" and not final):
            return Skipped(reason="Results were missing" if needed else "Parent Tasks were skipped")
    try:
        layer = results_layer(wanted, shared.ran)
    except MissingError:
        if final:
            return Skipped(reason="Results were missing")
        raise
    every = (*layers, layer)
    if not holds(listed(task, "when", "when", task["name"]), every):
        return Skipped(reason="when")
    planned = plan(task, every, shared.name, shared.workspaces, shared.cluster)
    return planned if planned.runs else Skipped(reason="Matrix Parameters have an empty array")


def _outcome(spec: Node, shared: Surroundings, problem: str | None) -> PipelineOutcome:
    failed = next((name for name, ran in shared.ran.items() if _failed(ran)), None)
    results: dict[str, Value] = {}
    for result in listed(spec, "results", "result", "spec"):
        layers = (*shared.layers, _known_results(result["value"], shared.ran))
        if all(any(is_known(name, layer) for layer in layers) for name in _named(result["value"])):
            results[result["name"]] = value_of(result["value"], layers)
    if problem is None and failed is None:
        return PipelineOutcome(tasks=shared.ran, results=results, status=SUCCEEDED)
    return PipelineOutcome(
        tasks=shared.ran,
        results=results,
        status=FAILED,
        failed_task=failed,
        reason=problem or f"task {failed} failed",
    )


def _named(value: object) -> list[str]:
    return [name for text in graph.texts(value) for name in references(text)]


def _known_results(value: object, ran: Mapping[str, Ran]) -> Mapping[str, Value]:
    """Of the results that a Pipeline's result names, those of tasks that succeeded."""
    found: dict[str, Value] = {}
    for pair in graph.results_wanted({"params": value}):
        one = ran.get(pair[0])
        succeeded = all(each.succeeded for each in one) if isinstance(one, list) else one and one.succeeded
        if succeeded:
            try:
                found |= results_layer({pair}, ran)
            except MissingError:
                continue
    return found
