"""A matrix: how many TaskRuns it makes, and what it hands to each of them."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from tekton.semantic.model import Node, Problem, duplicates, items
from tekton.semantic.references import WHOLE, alone

# default-max-matrix-combinations-count of Tekton's config-defaults
LIMIT = 256

Values = Mapping[str, Sequence[str]]


def combinations(matrix: Node, values: Values) -> int:
    """How many TaskRuns a matrix makes.

    An entry of ``include`` makes one more where no parameter is fanned out, or where it gives one of
    them a value that is not among those fanned out; otherwise it adds to the TaskRuns that are there.

    Args:
        matrix: the matrix.
        values: what is known of the Pipeline's array parameters: defaults, or what a run gives. One of
            which nothing is known counts as one value.
    """
    fanned = {each["name"]: _elements(each["value"], values) for each in items(matrix, "params")}
    made = prod(len(elements) for elements in fanned.values()) if fanned else 0
    return made + sum(_makes_one_more(entry, fanned) for entry in items(matrix, "include"))


def _elements(value: str | Sequence[str], values: Values) -> Sequence[str]:
    whole = alone(value) if isinstance(value, str) else None
    if whole is not None and whole.root == "params" and whole.index == WHOLE:
        return values.get(whole.parts[0], [whole.text])
    if isinstance(value, str):
        return (value,)
    spread = [_elements(each, values) if alone(each) else (each,) for each in value]
    return [element for elements in spread for element in elements]


def _makes_one_more(entry: Node, fanned: Values) -> bool:
    given = {each["name"]: each["value"] for each in items(entry, "params")}
    overlapping = set(given) & set(fanned)
    return not fanned or any(given[name] not in fanned[name] for name in overlapping)


def matrix_problems(task: Node, values: Values, path: str) -> Iterator[Problem]:
    """Problems of a Pipeline task's matrix, its types aside."""
    matrix: Node | None = task.get("matrix")
    if matrix is None:
        return
    count = combinations(matrix, values)
    if count > LIMIT:
        yield Problem(path=f"{path}.matrix", message=f"{count} combinations are more than {LIMIT}")
    if not items(matrix, "params") and not items(matrix, "include"):
        yield Problem(path=f"{path}.matrix", message="the matrix is empty")
    yield from duplicates(items(matrix, "params"), f"{path}.matrix.params", "parameter")
    yield from duplicates(items(matrix, "include"), f"{path}.matrix.include", "combination")
    for place, entry in enumerate(items(matrix, "include")):
        where = f"{path}.matrix.include[{place}]"
        yield from duplicates(items(entry, "params"), f"{where}.params", "parameter")
        if not entry.get("name"):
            yield Problem(path=where, message="the combination has no name")
    for name in sorted(matrix_names(matrix) & {each["name"] for each in items(task, "params")}):
        yield Problem(path=f"{path}.params", message=f"{name!r} is in params and in the matrix")


def matrix_names(matrix: Node) -> set[str]:
    """The parameters that a matrix gives."""
    included = (each for entry in items(matrix, "include") for each in items(entry, "params"))
    return {each["name"] for each in (*items(matrix, "params"), *included)}
