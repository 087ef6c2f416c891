"""What flows between the tasks of a Pipeline: parameters and results, and the types that they have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tekton.semantic.model import Interface, Problem, value_type
from tekton.semantic.references import WHOLE, Reference, alone, references
from tekton.semantic.task import parameter_problems

CONTEXT = frozenset(
    {
        ("pipelineRun", "name"),
        ("pipelineRun", "namespace"),
        ("pipelineRun", "uid"),
        ("pipeline", "name"),
        ("pipelineTask", "retries"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A Pipeline's own interface, those of its tasks (None: nobody knows), which of them have a matrix."""

    interface: Interface
    tasks: Mapping[str, Interface | None]
    last: Mapping[str, Interface | None]
    fanned: frozenset[str]
    used: set[tuple[str, str]] = field(default_factory=set)


def text_problems(
    text: str, path: str, flow: Flow, *, last: bool, results: bool = False
) -> Iterator[Problem]:
    """Problems of the references in a text.

    Args:
        text: the text.
        path: where it stands.
        flow: what the Pipeline has.
        last: whether it stands in ``finally``, where the status of a task can be read.
        results: whether it is a result of the Pipeline, which may come from ``finally``.
    """
    for found in references(text):
        if found.index == WHOLE and alone(text) is None:
            yield Problem(path=path, message=f"{found.text} is a list and stands in a text")
        if found.root == "params":
            flow.used.add(("params", found.parts[0]))
            yield from parameter_problems(found, flow.interface.params, path)
        elif found.root == "tasks" or (found.root == "finally" and results):
            yield from _of_task(found, flow, path, last=last)
        elif found.root == "workspaces":
            flow.used.add(("workspaces", found.parts[0]))
            if found.parts[0] not in flow.interface.workspaces or found.parts[1:] != ("bound",):
                yield Problem(
                    path=path, message=f"{found.text}: there is only .bound of a declared workspace"
                )
        elif found.root == "context":
            if found.parts not in CONTEXT:
                yield Problem(path=path, message=f"{found.text} is not in the context of a Pipeline")
        else:
            yield Problem(path=path, message=f"{found.text} is no variable of a Pipeline")


def _of_task(found: Reference, flow: Flow, path: str, *, last: bool) -> Iterator[Problem]:
    if found.parts == ("status",) or (len(found.parts) > 1 and found.parts[1] == "status"):
        if not last:
            yield Problem(path=path, message=f"{found.text} is known in finally only")
        if found.parts != ("status",) and found.parts[0] not in flow.tasks:
            yield Problem(path=path, message=f"{found.text}: there is no task {found.parts[0]!r}")
        return
    tasks = flow.last if found.root == "finally" else flow.tasks
    name, kind, result = (*found.parts, "", "", "")[:3]
    if name not in tasks:
        yield Problem(path=path, message=f"{found.text}: there is no task {name!r}")
    elif kind == "matrix" and result == "length":
        if name not in flow.fanned:
            yield Problem(path=path, message=f"{found.text}: {name!r} has no matrix")
    elif kind != "results":
        yield Problem(path=path, message=f"{found.text}: of a task there are results")
    else:
        yield from _of_result(found, tasks[name], path, fanned=name in flow.fanned)


def _of_result(found: Reference, taken: Interface | None, path: str, *, fanned: bool) -> Iterator[Problem]:
    name, _, result = found.parts[:3]
    keys = found.parts[3:]
    if fanned and (found.index != WHOLE or keys):
        yield Problem(path=path, message=f"{found.text}: {name!r} has a matrix, only [*] can be read of it")
    if taken is None:
        return
    kind = taken.results.get(result)
    if kind is None:
        yield Problem(path=path, message=f"{found.text}: {name!r} gives no result {result!r}")
    elif fanned and kind != "string":
        yield Problem(
            path=path, message=f"{found.text}: only strings are gathered from a matrix, this is {kind}"
        )
    elif kind == "string" and not fanned and (found.index is not None or keys):
        yield Problem(path=path, message=f"{found.text}: the result {result!r} is a string")
    elif kind == "array" and not fanned and found.index is None:
        yield Problem(
            path=path, message=f"{found.text}: the result {result!r} is an array; [*] or [i] is missing"
        )
    elif kind == "object" and found.index != WHOLE and not keys:
        yield Problem(
            path=path, message=f"{found.text}: the result {result!r} is an object; a key is missing"
        )


def value_kind(value: object, flow: Flow) -> str | None:
    """What a given value is: string, array, object, or None where nobody can know."""
    if not isinstance(value, str):
        return value_type(value)
    whole = alone(value)
    if whole is None or whole.index != WHOLE:
        return "string"
    if whole.root == "params":
        declared = flow.interface.params.get(whole.parts[0])
        return None if declared is None else declared.type
    if whole.parts and whole.parts[0] in flow.fanned:
        return "array"
    taken = {**flow.tasks, **flow.last}.get(whole.parts[0]) if whole.parts else None
    return None if taken is None else taken.results.get(whole.parts[-1])


def given_problems(kinds: Mapping[str, str | None], taken: Interface, path: str) -> Iterator[Problem]:
    """Parameters that are given against those that are taken; a kind is None where nobody can know it."""
    for name, kind in kinds.items():
        declared = taken.params.get(name)
        if declared is None:
            yield Problem(path=f"{path}.params", message=f"no parameter {name!r} is taken")
        elif kind is not None and kind != declared.type:
            yield Problem(
                path=f"{path}.params", message=f"{name!r} is given {kind}, the parameter is {declared.type}"
            )
    for name, declared in taken.params.items():
        if declared.required and name not in kinds:
            yield Problem(path=f"{path}.params", message=f"the parameter {name!r} is not given")
