"""A Pipeline: what its tasks are given and give, in which order, and that nothing is declared for nothing."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from tekton.semantic.flow import Flow, given_problems, text_problems, value_kind
from tekton.semantic.folders import one_folder_problems
from tekton.semantic.limits import limit_problems
from tekton.semantic.matrix import Values, matrix_names, matrix_problems
from tekton.semantic.model import Interface, Known, Node, Parameter, Problem, duplicates, interface, items
from tekton.semantic.names import label
from tekton.semantic.references import references, strings
from tekton.semantic.resolve import reference_problems, target
from tekton.semantic.task import declarations, task_problems

# The fields of a Pipeline task in which Tekton substitutes.
FIELDS = frozenset({"params", "matrix", "when", "workspaces", "taskRef", "displayName"})
SKIPPED = frozenset({"taskSpec", "name", "runAfter"})


def pipeline_problems(
    spec: Node,
    known: Known,
    *,
    path: str = "spec",
    given: Mapping[str, object] | None = None,
    inherited: Mapping[str, Parameter] | None = None,
) -> Iterator[Problem]:
    """Everything wrong with a PipelineSpec.

    Args:
        spec: the PipelineSpec.
        known: what its references can find.
        path: where it stands in its document.
        given: the values that a run gives its parameters, to count matrices by.
        inherited: parameters that a run hands down to a spec embedded in it.
    """
    flow = _flow(spec, known, inherited or {})
    values = _arrays(flow.interface.params, given or {})
    yield from declarations(spec, path)
    yield from duplicates([*items(spec, "tasks"), *items(spec, "finally")], f"{path}.tasks", "task")
    for kind in ("tasks", "finally"):
        for place, task in enumerate(items(spec, kind)):
            where = f"{path}.{kind}[{place}]"
            yield from _task(task, flow, known, where, last=kind == "finally")
            yield from matrix_problems(task, values, where)
    yield from _order(spec, flow, path)
    yield from _results(spec, flow, path)
    yield from _for_nothing(spec, flow, path)


def _flow(spec: Node, known: Known, inherited: Mapping[str, Parameter]) -> Flow:
    own = interface(spec)
    tasks = items(spec, "tasks")
    return Flow(
        interface=Interface(
            params={**inherited, **own.params}, results=own.results, workspaces=own.workspaces
        ),
        tasks={task["name"]: target(task, "task", known).interface for task in tasks},
        last={task["name"]: target(task, "task", known).interface for task in items(spec, "finally")},
        fanned=frozenset(task["name"] for task in (*tasks, *items(spec, "finally")) if "matrix" in task),
    )


def _arrays(params: Mapping[str, Parameter], given: Mapping[str, object]) -> Values:
    values = {name: given.get(name, parameter.default) for name, parameter in params.items()}
    return {name: value for name, value in values.items() if isinstance(value, list)}


def _task(task: Node, flow: Flow, known: Known, path: str, *, last: bool) -> Iterator[Problem]:
    yield from label(task.get("name", ""), f"{path}.name", "task")
    yield from reference_problems(task, "task", known, path)
    if "taskSpec" in task:
        yield from task_problems(task["taskSpec"], f"{path}.taskSpec", flow.interface.params)
    if last and "runAfter" in task:
        yield Problem(path=f"{path}.runAfter", message="finally's tasks run at once; they have no runAfter")
    for key, value in task.items():
        for where, text in strings(value, f"{path}.{key}"):
            if key in FIELDS:
                yield from text_problems(text, where, flow, last=last)
            elif key not in SKIPPED:
                for found in references(text):
                    yield Problem(path=where, message=f"{found.text} stays as it is here")
    yield from duplicates(items(task, "params"), f"{path}.params", "parameter")
    yield from duplicates(items(task, "workspaces"), f"{path}.workspaces", "workspace")
    yield from limit_problems(task, path)
    yield from _workspaces(task, flow, path)
    yield from _given(task, flow, known, path)


def _given(task: Node, flow: Flow, known: Known, path: str) -> Iterator[Problem]:
    """What the task is given against what it takes: names, what must be there, types."""
    taken = target(task, "task", known).interface
    matrix: Node = task.get("matrix") or {}
    kinds = {each["name"]: value_kind(each["value"], flow) for each in items(task, "params")}
    for each in items(matrix, "params"):
        if value_kind(each["value"], flow) not in {"array", None}:
            yield Problem(
                path=f"{path}.matrix.params", message=f"{each['name']!r} is fanned out and no array"
            )
    for entry in items(matrix, "include"):
        for each in items(entry, "params"):
            if value_kind(each["value"], flow) not in {"string", None}:
                yield Problem(path=f"{path}.matrix.include", message=f"{each['name']!r} is no string")
    if taken is not None:
        # Each of the TaskRuns gets one element, a string.
        yield from given_problems(kinds | dict.fromkeys(matrix_names(matrix), "string"), taken, path)
        yield from bound_problems({each["name"] for each in items(task, "workspaces")}, taken, path)
        for each in items(task, "workspaces"):
            if flow.interface.workspaces.get(
                each.get("workspace") or each["name"]
            ) and not taken.workspaces.get(each["name"], True):
                yield Problem(
                    path=f"{path}.workspaces",
                    message=f"the task needs {each['name']!r}, which is optional for the Pipeline",
                )


def bound_problems(bound: set[str], taken: Interface, path: str) -> Iterator[Problem]:
    """Workspaces that are needed and not bound, and such as are bound and nobody knows."""
    for name in sorted(bound - set(taken.workspaces)):
        yield Problem(path=f"{path}.workspaces", message=f"there is no workspace {name!r} to bind")
    for name, optional in taken.workspaces.items():
        if not optional and name not in bound:
            yield Problem(path=f"{path}.workspaces", message=f"the workspace {name!r} is not bound")


def _workspaces(task: Node, flow: Flow, path: str) -> Iterator[Problem]:
    bound = (
        (each["name"], each.get("workspace") or each["name"], each.get("subPath", ""))
        for each in items(task, "workspaces")
    )
    yield from one_folder_problems(bound, f"{path}.workspaces")
    for place, binding in enumerate(items(task, "workspaces")):
        name = binding.get("workspace") or binding["name"]
        flow.used.add(("workspaces", name))
        if name not in flow.interface.workspaces:
            yield Problem(path=f"{path}.workspaces[{place}]", message=f"no workspace {name!r} is declared")


def _order(spec: Node, flow: Flow, path: str) -> Iterator[Problem]:
    """Cycles, over runAfter and over the results that a task takes of another."""
    before: dict[str, set[str]] = {}
    for place, task in enumerate(items(spec, "tasks")):
        after = set(task.get("runAfter") or ())
        for name in sorted(after - set(flow.tasks)):
            yield Problem(
                path=f"{path}.tasks[{place}].runAfter", message=f"there is no task {name!r} to wait for"
            )
        taken = {
            found.parts[0]
            for key in FIELDS
            for _, text in strings(task.get(key), "")
            for found in references(text)
            if found.root == "tasks" and found.parts
        }
        before[task["name"]] = (after | taken) & set(flow.tasks)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        yield Problem(
            path=f"{path}.tasks", message=f"the tasks wait for each other: {' -> '.join(error.args[1])}"
        )


def _results(spec: Node, flow: Flow, path: str) -> Iterator[Problem]:
    for place, result in enumerate(items(spec, "results")):
        where = f"{path}.results[{place}].value"
        for inner, text in strings(result["value"], where):
            found = list(references(text))
            yield from text_problems(text, inner, flow, last=True, results=True)
            if not found or any(each.root not in {"tasks", "finally"} for each in found):
                yield Problem(path=inner, message=f"{text!r} is no result of a task")
        kind, declared = value_kind(result["value"], flow), result.get("type", "string")
        if kind is not None and kind != declared:
            yield Problem(
                path=where, message=f"the value is a {kind}, the result {result['name']!r} a {declared}"
            )


def _for_nothing(spec: Node, flow: Flow, path: str) -> Iterator[Problem]:
    embedded = {
        found.parts[0]
        for task in (*items(spec, "tasks"), *items(spec, "finally"))
        for _, text in strings(task.get("taskSpec"), "")
        for found in references(text)
        if found.root == "params"
    }
    for declared in items(spec, "params"):
        if ("params", declared["name"]) not in flow.used and declared["name"] not in embedded:
            yield Problem(path=f"{path}.params", message=f"the parameter {declared['name']!r} is never used")
    for declared in items(spec, "workspaces"):
        if ("workspaces", declared["name"]) not in flow.used:
            yield Problem(
                path=f"{path}.workspaces", message=f"the workspace {declared['name']!r} is never used"
            )
