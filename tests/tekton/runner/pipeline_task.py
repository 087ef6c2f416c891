"""A task of a Pipeline: the TaskRuns that it comes to, with retries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tekton.runner.cluster import Cluster
from tekton.runner.durations import seconds
from tekton.runner.errors import RefusedError, UnknownFieldError
from tekton.runner.fields import Node, known, listed
from tekton.runner.matrix import combinations
from tekton.runner.outcome import FAILED, TaskOutcome
from tekton.runner.step import inside
from tekton.runner.task import Run, run_task
from tekton.runner.variables import Layers, Value, text_of, value_of


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskRun:
    """One TaskRun, as it is about to start."""

    task: Node
    params: Mapping[str, Value]
    workspaces: Mapping[str, Path]
    name: str
    retries: int
    timeout: float | None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The TaskRuns of a task: one, or one for each combination of its matrix."""

    runs: Sequence[TaskRun]
    matrix: bool


def plan(task: Node, layers: Layers, run: str, workspaces: Mapping[str, Path], cluster: Cluster) -> Planned:
    """The TaskRuns of a task of a Pipeline, with variables replaced."""
    where = task["name"]
    if task.get("onError", "stopAndFail") != "stopAndFail":
        raise UnknownFieldError(f"{where}: onError {task['onError']}")
    params = {
        param["name"]: value_of(param["value"], layers) for param in listed(task, "params", "value", where)
    }
    sets: list[dict[str, str]] = [{}]
    if "matrix" in task:
        sets = combinations(task["matrix"], layers, where)
    if both := sorted({name for one in sets for name in one} & set(params)):
        raise RefusedError(f"{where}: {', '.join(both)} stands in both matrix and params")
    timeout = seconds(task["timeout"]) if "timeout" in task else Run().timeout
    runs = [
        TaskRun(
            task=_task(task, cluster),
            params=params | one,
            workspaces=_workspaces(task, layers, workspaces, cluster),
            name=f"{run}-{where}" + (f"-{index}" if "matrix" in task else ""),
            retries=task.get("retries", 0),
            timeout=timeout,
        )
        for index, one in enumerate(sets)
    ]
    return Planned(runs=runs, matrix="matrix" in task)


def run_planned(run: TaskRun, cluster: Cluster) -> TaskOutcome:
    """Run it to its end; again where it failed and has retries, each time in a Pod of its own."""
    for retry in range(run.retries + 1):
        outcome = run_task(
            run.task,
            params=run.params,
            workspaces=run.workspaces,
            cluster=cluster,
            run=Run(name=run.name, retry=retry, timeout=run.timeout),
        )
        if outcome.status != FAILED:
            break
    return outcome


def _task(task: Node, cluster: Cluster) -> Node:
    if "taskSpec" in task:
        return {
            "apiVersion": "tekton.dev/v1",
            "kind": "Task",
            "metadata": {"name": task["name"]},
            "spec": task["taskSpec"],
        }
    reference = known(task.get("taskRef"), "task ref", f"{task['name']}: taskRef")
    if reference.get("kind", "Task") != "Task":
        raise UnknownFieldError(f"{task['name']}: kind {reference['kind']}")
    if reference["name"] not in cluster.tasks:
        raise RefusedError(f"{task['name']}: there is no Task {reference['name']}")
    return cluster.tasks[reference["name"]]


def _workspaces(
    task: Node, layers: Layers, given: Mapping[str, Path], cluster: Cluster
) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for space in listed(task, "workspaces", "workspace", task["name"]):
        source = space.get("workspace", space["name"])
        # A workspace of the Pipeline that is optional and not bound is not bound in the task either.
        if source in given:
            sub = text_of(space.get("subPath", ""), layers)
            found[space["name"]] = cluster.volume(inside(given[source], sub)) if sub else given[source]
    return found
