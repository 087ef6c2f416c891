"""The order of a Pipeline's tasks: what each waits for, and which results it needs."""

import re
from collections.abc import Iterator, Mapping, Sequence

from tekton.runner.errors import RefusedError
from tekton.runner.fields import Node
from tekton.runner.variables import references

_RESULT = re.compile(r"^tasks\.(?P<task>[^.]+)\.results\.(?P<result>[^.\[]+)")


def texts(node: object) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def results_wanted(task: Node) -> set[tuple[str, str]]:
    """The results that a task of a Pipeline names, each as the task and the result."""
    named = {key: task[key] for key in ("params", "matrix", "when", "workspaces") if key in task}
    return {
        (match["task"], match["result"])
        for text in texts(named)
        for reference in references(text)
        if (match := _RESULT.match(reference))
    }


def parents(task: Node) -> set[str]:
    """The tasks that have to end before it."""
    return {*(task.get("runAfter") or ()), *(name for name, _ in results_wanted(task))}


def check(tasks: Sequence[Node], final: Sequence[Node]) -> None:
    """See that names are there once, that what is waited for is there, and that there is no cycle.

    Raises:
        RefusedError: otherwise.
    """
    names = [task["name"] for task in tasks]
    every = [*names, *(task["name"] for task in final)]
    if len(set(every)) < len(every):
        raise RefusedError(f"two tasks of one name: {every}")
    for task in tasks:
        if unknown := parents(task) - set(names):
            raise RefusedError(f"{task['name']} waits for {sorted(unknown)}, which is not there")
    for task in final:
        if task.get("runAfter"):
            raise RefusedError(f"{task['name']} is in finally and has runAfter")
        if unknown := parents(task) - set(names):
            raise RefusedError(f"{task['name']} needs results of {sorted(unknown)}, which is not there")
    done: set[str] = set()
    while ready := [task["name"] for task in tasks if task["name"] not in done and parents(task) <= done]:
        done |= set(ready)
    if done != set(names):
        raise RefusedError(f"a cycle: {sorted(set(names) - done)}")
