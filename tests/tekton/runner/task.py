"""A TaskRun: the steps of a Task, one after the other, as containers of podman."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from tekton.runner import params as parameters
from tekton.runner.cluster import Cluster, Ended
from tekton.runner.durations import seconds
from tekton.runner.errors import NotStartedError, RefusedError
from tekton.runner.fields import Node, listed, spec_of
from tekton.runner.outcome import FAILED, SKIPPED, SUCCEEDED, StepOutcome, TaskOutcome
from tekton.runner.results import TooLargeError, check_room, room, written
from tekton.runner.step import (
    RESULTS,
    SCRIPTS,
    STEPS,
    Folders,
    check,
    container,
    ended_file,
    merged,
    step_name,
    volume_names,
    write_script,
)
from tekton.runner.variables import Layers, Value, references
from tekton.runner.when import holds

# A TaskRun without a timeout of its own (default-timeout-minutes).
_DEFAULT_SECONDS = 3600.0
_TOO_LATE = "TaskRunTimeout"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a TaskRun has of its surroundings: its names, its try, its limit in seconds."""

    name: str = field(default_factory=lambda: f"taskrun-{uuid4().hex[:8]}")
    namespace: str = "default"
    retry: int = 0
    timeout: float | None = _DEFAULT_SECONDS


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A Task with what was given to it: its steps as they run, and what stands for its variables."""

    steps: Sequence[Node]
    results: Sequence[Node]
    layers: Layers
    folders: Folders
    deadline: float | None


def run_task(
    task: Node,
    *,
    params: Mapping[str, object],
    workspaces: Mapping[str, Path],
    cluster: Cluster,
    run: Run | None = None,
) -> TaskOutcome:
    """Run a Task to its end, as Tekton does.

    Args:
        task: the object of kind Task.
        params: values by name, each of the parameter's type.
        workspaces: the folder for each workspace, as a PersistentVolumeClaim would be bound.
        cluster: where it runs.
        run: its names and its limit.

    Raises:
        RefusedError: Tekton would refuse the Task or what was given to it.
        UnknownFieldError: the Task has a field that the runner does not carry out.
    """
    run = run or Run()
    spec = spec_of(task, "Task")
    with cluster.room() as folder:
        prepared = _prepared(spec, task["metadata"]["name"], params, workspaces, cluster, run, folder)
        return _finished(prepared, _steps(prepared, cluster), folder)


def _prepared(
    spec: Node,
    name: str,
    params: Mapping[str, object],
    workspaces: Mapping[str, Path],
    cluster: Cluster,
    run: Run,
    folder: Path,
) -> Prepared:
    declared = listed(spec, "params", "param", name)
    results = listed(spec, "results", "result", name)
    steps = [merged(step, spec.get("stepTemplate") or {}) for step in spec.get("steps") or ()]
    names = [step_name(step, index) for index, step in enumerate(steps)]
    if not steps or len(set(names)) < len(names):
        raise RefusedError(f"{name}: no steps, or two of one name")
    for step, its_name in zip(steps, names, strict=True):
        check(step, f"{name}: {its_name}")
    spaces = listed(spec, "workspaces", "declared workspace", name)
    layers = (
        parameters.as_layer(parameters.bound(declared, params, name)),
        _context(name, run),
        {f"results.{result['name']}.path": f"{RESULTS}/{result['name']}" for result in results},
        _step_paths(steps, names),
        _workspaces(name, spaces, workspaces),
    )
    for index, step in enumerate(steps):
        if "script" in step:
            scripts = folder / "scripts"
            scripts.mkdir(exist_ok=True)
            if any(reference.endswith("[*]") for reference in references(step["script"])):
                raise RefusedError(f"{name}: a script cannot hold a whole array: {names[index]}")
            write_script(step, index, scripts, layers)
    return Prepared(
        steps=steps,
        results=results,
        layers=layers,
        folders=_folders(spec, spaces, workspaces, cluster, folder, names),
        deadline=None if run.timeout is None else time.monotonic() + run.timeout,
    )


def _context(name: str, run: Run) -> Mapping[str, Value]:
    return {
        "context.task.name": name,
        "context.task.retry-count": str(run.retry),
        "context.taskRun.name": run.name,
        "context.taskRun.namespace": run.namespace,
        "context.taskRun.uid": str(uuid4()),
    }


def _step_paths(steps: Sequence[Node], names: Sequence[str]) -> Mapping[str, Value]:
    found: dict[str, Value] = {f"steps.{name}.exitCode.path": f"{STEPS}/{name}/exitCode" for name in names}
    for step, name in zip(steps, names, strict=True):
        for result in listed(step, "results", "result", name):
            # `step.results` is the step's own, so two steps may not name one result in different places.
            path = f"{STEPS}/{name}/results/{result['name']}"
            if found.setdefault(f"step.results.{result['name']}.path", path) != path:
                raise RefusedError(f"two steps have a result {result['name']}: the runner knows one")
    return found


def _workspaces(name: str, declared: Sequence[Node], given: Mapping[str, Path]) -> Mapping[str, Value]:
    if unknown := sorted(set(given) - {space["name"] for space in declared}):
        raise RefusedError(f"{name}: no workspace of the name {', '.join(unknown)}")
    found: dict[str, Value] = {}
    for space in declared:
        bound = space["name"] in given
        if not bound and not space.get("optional"):
            raise RefusedError(f"{name}: the workspace {space['name']} is not bound")
        prefix = f"workspaces.{space['name']}"
        found[f"{prefix}.bound"] = "true" if bound else "false"
        found[f"{prefix}.path"] = _mount_path(space) if bound else ""
        found[f"{prefix}.claim"] = f"pvc-{space['name']}" if bound else ""
        found[f"{prefix}.volume"] = f"ws-{space['name']}" if bound else ""
    return found


def _mount_path(space: Node) -> str:
    return str(space.get("mountPath") or f"/workspace/{space['name']}")


def _folders(
    spec: Node,
    spaces: Sequence[Node],
    given: Mapping[str, Path],
    cluster: Cluster,
    folder: Path,
    names: Sequence[str],
) -> Folders:
    for part in ("workspace", "home", "results", "steps", "volumes"):
        cluster.volume(folder / part, mode=0o2777)
    for name in names:
        (folder / "steps" / name).mkdir()
        cluster.volume(folder / "steps" / name / "results", mode=0o2777)
    mounts = {
        "/workspace": (folder / "workspace", False),
        "/tekton/home": (folder / "home", False),
        RESULTS: (folder / "results", False),
        STEPS: (folder / "steps", False),
    }
    if (folder / "scripts").is_dir():
        mounts[SCRIPTS] = (folder / "scripts", True)
    for space in spaces:
        if space["name"] in given:
            source = given[space["name"]]
            mounts[_mount_path(space)] = (cluster.volume(source), bool(space.get("readOnly")))
    volumes = volume_names(listed(spec, "volumes", "volume", "spec"))
    return Folders(
        room=folder,
        mounts=mounts,
        volumes={name: cluster.volume(folder / "volumes" / name, mode=0o2777) for name in volumes},
    )


def _steps(prepared: Prepared, cluster: Cluster) -> Mapping[str, StepOutcome]:
    outcomes: dict[str, StepOutcome] = {}
    failed = False
    for index, step in enumerate(prepared.steps):
        name = step_name(step, index)
        short = name.removeprefix("step-")
        if failed:
            outcomes[short] = StepOutcome(name=short, status=SKIPPED)
            continue
        started = time.monotonic()
        outcome = replace(_step(prepared, step, index, cluster), seconds=time.monotonic() - started)
        outcomes[short] = outcome
        failed = outcome.status == FAILED
        if outcome.exit_code is not None and not failed:
            path = prepared.folders.room / "steps" / name / "exitCode"
            path.write_text(str(outcome.exit_code), encoding="utf-8")
    return outcomes


def _step(prepared: Prepared, step: Node, index: int, cluster: Cluster) -> StepOutcome:
    name = step_name(step, index).removeprefix("step-")
    layers = (*prepared.layers, _step_results(prepared))
    if not holds(listed(step, "when", "when", name), layers):
        return StepOutcome(name=name, status=SKIPPED, exit_code=0, reason="when")
    try:
        arguments = container(step, index, prepared.folders, layers, cluster)
    except NotStartedError as error:
        return StepOutcome(name=name, status=FAILED, reason=str(error))
    own = seconds(step.get("timeout"))
    left = None if prepared.deadline is None else max(0.1, prepared.deadline - time.monotonic())
    limits = [limit for limit in (own, left) if limit is not None]
    ended = cluster.run(arguments, timeout=min(limits, default=None))
    late = _TOO_LATE if own is None or (left is not None and left < own) else "TimeoutExceeded"
    outcome = _judged(step, name, ended, _told(ended_file(prepared.folders, index)), late)
    try:
        check_room(
            prepared.folders.room / "results",
            (result["name"] for result in prepared.results),
            limit=room(prepared.steps),
        )
    except TooLargeError as error:
        return StepOutcome(
            name=name, status=FAILED, exit_code=outcome.exit_code, output=ended.output, reason=str(error)
        )
    return outcome


def _told(file: Path) -> int | None:
    """How the step's own process ended; None where it never ran, or the whole container was ended."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return int(text) if text.lstrip("-").isdecimal() else None


def _judged(step: Node, name: str, ended: Ended, told: int | None, late: str) -> StepOutcome:
    if ended.status is None:
        return StepOutcome(name=name, status=FAILED, output=ended.output, reason=late)
    # What could not be started at all fails the Task, whatever onError says.
    goes_on = step.get("onError") == "continue" and told is not None
    # Go's ExitCode is -1 for any signal; where nothing goes on, the container's own code is what is told.
    exit_code = max(told, -1) if told is not None and goes_on else ended.status
    return StepOutcome(
        name=name,
        status=SUCCEEDED if ended.status == 0 or goes_on else FAILED,
        exit_code=exit_code,
        output=ended.output,
        reason="" if ended.status == 0 else "Continued" if goes_on else "Error",
    )


def _step_results(prepared: Prepared) -> Mapping[str, Value]:
    """What the steps before wrote, as `steps.NAME.results.RESULT`."""
    found: dict[str, Value] = {}
    for index, step in enumerate(prepared.steps):
        name = step_name(step, index)
        folder = prepared.folders.room / "steps" / name / "results"
        for result, value in written(folder, listed(step, "results", "result", name)).items():
            found[f"steps.{name.removeprefix('step-')}.results.{result}"] = value
    return found


def _finished(prepared: Prepared, steps: Mapping[str, StepOutcome], folder: Path) -> TaskOutcome:
    broken = next((step for step in steps.values() if step.status == FAILED), None)
    try:
        results = (
            {} if broken and "Termination" in broken.reason else written(folder / "results", prepared.results)
        )
    except RefusedError as error:
        return TaskOutcome(steps=steps, status=FAILED, reason=f"TaskRunResultInvalid: {error}")
    if broken is None:
        return TaskOutcome(results=results, steps=steps, status=SUCCEEDED)
    reason = broken.reason if broken.reason == _TOO_LATE else f"step {broken.name}: {broken.reason}"
    return TaskOutcome(results=results, steps=steps, status=FAILED, reason=reason)
