"""Parameters: what was declared, what was given, and what they come to."""

from collections.abc import Iterable, Mapping

from tekton.runner.errors import RefusedError
from tekton.runner.fields import Node
from tekton.runner.variables import Value, checked


def kind_of(value: object) -> str:
    """string, array or object."""
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list) else "string"


def bound(declared: Iterable[Node], given: Mapping[str, object], where: str) -> dict[str, Value]:
    """A value for each declared parameter: the one that was given, or its default.

    Tekton passes over a parameter that nobody declared; here it is refused, since in a test it is a mistake.

    Raises:
        RefusedError: one is missing, unknown, of another type, or none of the values that are allowed.
    """
    values: dict[str, Value] = {}
    for param in declared:
        name = param["name"]
        if name not in given and "default" not in param:
            raise RefusedError(f"{where}: the parameter {name} is missing")
        values[name] = _value(param, given.get(name, param.get("default")), f"{where}: the parameter {name}")
    if unknown := sorted(set(given) - set(values)):
        raise RefusedError(f"{where}: no parameter of the name {', '.join(unknown)}")
    return values


def _value(param: Node, value: object, where: str) -> Value:
    kind = param.get("type") or kind_of(param.get("default"))
    if kind_of(value) != kind:
        raise RefusedError(f"{where} is of type {kind}, and got {value!r}")
    default = param.get("default")
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        value = {**default, **value}
    found = checked(value)
    if isinstance(found, dict) and (missing := sorted(set(param.get("properties", {})) - set(found))):
        raise RefusedError(f"{where} lacks {', '.join(missing)}")
    if "enum" in param and found not in param["enum"]:
        raise RefusedError(f"{where} is {found!r}, and none of {param['enum']}")
    return found


def as_layer(values: Mapping[str, Value]) -> dict[str, Value]:
    """The variables that parameters are."""
    return {f"params.{name}": value for name, value in values.items()}
