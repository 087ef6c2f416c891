"""A matrix: the combinations that a task of a Pipeline runs with.

The combinations of `params` are all products, the last parameter varying fastest. `include` adds its
parameters to each combination that it does not contradict, and is one of its own where there is none.
"""

from collections.abc import Mapping
from itertools import product

from tekton.runner.errors import RefusedError
from tekton.runner.fields import Node, known, listed
from tekton.runner.variables import Layers, text_of, value_of

# default-max-matrix-combinations-count
MOST = 256


def combinations(matrix: Node, layers: Layers, where: str) -> list[dict[str, str]]:
    """The parameters of each TaskRun, in their order.

    Raises:
        RefusedError: a parameter is no array, or there are too many.
    """
    known(matrix, "matrix", where)
    arrays = {
        param["name"]: _array(param["value"], layers, f"{where}: {param['name']}")
        for param in listed(matrix, "params", "value", where)
    }
    found = [dict(zip(arrays, values, strict=True)) for values in product(*arrays.values())] if arrays else []
    products = len(found)
    for include in listed(matrix, "include", "include", where):
        added = {
            param["name"]: text_of(param["value"], layers)
            for param in listed(include, "params", "value", where)
        }
        fitting = [one for one in found[:products] if _fits(added, one, arrays)]
        for one in fitting:
            one.update(added)
        if not fitting:
            found.append(added)
    if len(found) > MOST:
        raise RefusedError(f"{where}: {len(found)} combinations are more than {MOST}")
    return found


def _fits(added: Mapping[str, str], one: Mapping[str, str], arrays: Mapping[str, list[str]]) -> bool:
    return all(one[name] == value for name, value in added.items() if name in arrays)


def _array(value: object, layers: Layers, where: str) -> list[str]:
    found = value_of(value, layers)
    if not isinstance(found, list):
        raise RefusedError(f"{where} is no array")
    return found
