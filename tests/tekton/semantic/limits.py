"""How long and how often something runs, and on what condition: durations, retries, `when`."""

from collections.abc import Iterator

from tekton.durations import duration
from tekton.semantic.model import Node, Problem, items


def timeout_problems(text: str | None, path: str) -> Iterator[Problem]:
    """A problem where a timeout is no duration, or below zero; None is none at all."""
    if text is None or "$(" in text:
        return
    try:
        found = duration(text)
    except ValueError as error:
        yield Problem(path=path, message=str(error))
        return
    if found < 0:
        yield Problem(path=path, message=f"{text!r} is below zero")


def limit_problems(node: Node, path: str) -> Iterator[Problem]:
    """Problems of the timeout, the retries and the conditions of a step or of a Pipeline's task."""
    yield from timeout_problems(node.get("timeout"), f"{path}.timeout")
    if node.get("retries", 0) < 0:
        yield Problem(path=f"{path}.retries", message=f"{node['retries']} retries are less than none")
    for place, expression in enumerate(items(node, "when")):
        if "cel" not in expression and not expression.get("values"):
            yield Problem(path=f"{path}.when[{place}]", message="the condition has no values")
