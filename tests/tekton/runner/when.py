"""`when`: whether a step or a task of a Pipeline runs."""

from collections.abc import Iterable

from tekton.runner.errors import RefusedError
from tekton.runner.fields import Node
from tekton.runner.variables import Layers, text_of, texts_of


def holds(expressions: Iterable[Node], layers: Layers) -> bool:
    """Whether all expressions are true, with variables replaced; without any they are."""
    return all(_true(expression, layers) for expression in expressions)


def _true(expression: Node, layers: Layers) -> bool:
    operator = expression.get("operator")
    if operator not in {"in", "notin"}:
        raise RefusedError(f"when: {operator!r} is neither in nor notin")
    if not expression.get("values"):
        raise RefusedError("when: there are no values")
    found = text_of(expression["input"], layers) in texts_of(expression["values"], layers)
    return found if operator == "in" else not found
