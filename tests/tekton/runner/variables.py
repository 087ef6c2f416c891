"""Tekton's variables: what stands for a `$(…)`, and Kubernetes' own `$(NAME)` in a container's fields.

Tekton replaces text, escapes nothing, and leaves a `$(…)` alone that is none of its variables, such as a
shell's command substitution. It does so in turns: of the parameters first, then of the context, the
results' paths, and the workspaces. So a parameter's value that reads `$(workspaces.x.path)` is replaced too,
and one that reads `$(params.x)` is not. The turns are the layers here.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

from tekton.runner.errors import RefusedError

Value = str | list[str] | dict[str, str]
Layers = Sequence[Mapping[str, Value]]
# The first word of every variable of Tekton's.
_ROOTS = "params|workspaces|results|steps?|tasks|context|inputs|outputs|resources|credentials"
_VARIABLE = re.compile(rf"\$\(((?:{_ROOTS})[.\[][^()$]*)\)")
_QUOTED = re.compile(r"\[(?:'([^']*)'|\"([^\"]*)\")\]")
_INDEXED = re.compile(r"^(?P<name>.*)\[(?P<index>\d+|\*)\]$")
_KUBERNETES = re.compile(r"\$(?:\$|\(([^()]*)\))")


def references(text: str) -> list[str]:
    """The variables of Tekton's that a text names, in one spelling: `params['x']` is `params.x`."""
    return [_plain(match[1]) for match in _VARIABLE.finditer(text)]


def text_of(text: str, layers: Layers) -> str:
    """The text with every variable of Tekton's replaced.

    Raises:
        RefusedError: there is no such variable, or it is no string.
    """
    _check(text, layers)
    for layer in layers:
        text = _text(text, layer)
    return text


def texts_of(texts: Sequence[str], layers: Layers) -> list[str]:
    """The list with variables replaced; an item that is `$(…[*])` and nothing else becomes its items."""
    for text in texts:
        _check(text, layers)
    found = list(texts)
    for layer in layers:
        found = _texts(found, layer)
    return found


def value_of(value: object, layers: Layers) -> Value:
    """A parameter's value with variables replaced; a text that is `$(…[*])` alone becomes the whole value."""
    found = checked(value)
    for text in _strings(found):
        _check(text, layers)
    for layer in layers:
        if isinstance(found, str):
            name = _whole(found)
            found = lookup(name, layer) if name and is_known(name, layer) else _text(found, layer)
        elif isinstance(found, list):
            found = _texts(found, layer)
        else:
            found = {key: _text(item, layer) for key, item in found.items()}
    return found


def checked(value: object) -> Value:
    """The value, where it is of one of the types of a parameter.

    Raises:
        RefusedError: it is of none of them; such as a number, which YAML makes of an unquoted 1.10.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    if isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values()):
        return dict(value)
    raise RefusedError(f"no string, no list of strings and no mapping of strings: {value!r}")


def lookup(name: str, layer: Mapping[str, Value]) -> Value:
    """What a variable stands for; `x[*]` is the whole of x, `x[i]` its i-th item, `x.key` a value of it.

    Raises:
        RefusedError: there is nothing of this name, or it has no such item.
    """
    indexed = _INDEXED.match(name)
    if indexed and indexed["name"] in layer:
        return _item(name, layer[indexed["name"]], indexed["index"])
    parent, _, key = name.rpartition(".")
    holder = layer.get(parent)
    if isinstance(holder, dict) and key in holder:
        return holder[key]
    if name not in layer:
        raise RefusedError(f"there is no $({name})")
    found = layer[name]
    if not isinstance(found, str):
        raise RefusedError(f"$({name}) is no string: write $({name}[*])")
    return found


def is_known(name: str, layer: Mapping[str, Value]) -> bool:
    """Whether `lookup` finds something of this name; not, whether an array has so many items."""
    indexed = _INDEXED.match(name)
    parent, _, key = name.rpartition(".")
    holder = layer.get(parent)
    return (
        name in layer
        or bool(indexed and indexed["name"] in layer)
        or (isinstance(holder, dict) and key in holder)
    )


def _check(text: str, layers: Layers) -> None:
    for name in references(text):
        if not any(is_known(name, layer) for layer in layers):
            raise RefusedError(f"there is no $({name}), which {text!r} names")


def _strings(value: Value) -> list[str]:
    if isinstance(value, str):
        return [value]
    return list(value.values()) if isinstance(value, dict) else value


def _whole(text: str) -> str | None:
    match = _VARIABLE.fullmatch(text)
    return _plain(match[1]) if match else None


def _text(text: str, layer: Mapping[str, Value]) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = _plain(match[1])
        if not is_known(name, layer):
            return match[0]
        found = lookup(name, layer)
        if not isinstance(found, str):
            raise RefusedError(f"{match[0]} is an array or an object, in the midst of a text: {text!r}")
        return found

    return _VARIABLE.sub(replacement, text)


def _texts(texts: Sequence[str], layer: Mapping[str, Value]) -> list[str]:
    replaced: list[str] = []
    for text in texts:
        name = _whole(text)
        found = lookup(name, layer) if name and is_known(name, layer) else _text(text, layer)
        replaced.extend(found if isinstance(found, list) else [_single(found, text)])
    return replaced


def _single(found: Value, text: str) -> str:
    if not isinstance(found, str):
        raise RefusedError(f"{text} is an object, in a list")
    return found


def _item(name: str, found: Value, index: str) -> Value:
    if isinstance(found, str):
        raise RefusedError(f"$({name}): a string has no items")
    if index == "*":
        return found
    if isinstance(found, dict) or int(index) >= len(found):
        raise RefusedError(f"$({name}) is beyond the end of the array")
    return found[int(index)]


def _plain(name: str) -> str:
    return _QUOTED.sub(lambda match: f".{match[1] if match[1] is not None else match[2]}", name)


def kubernetes(text: str, environment: Mapping[str, str]) -> str:
    """What the kubelet makes of a container's command, argument or env value.

    `$(NAME)` of the container's environment is replaced, `$$` is a `$`, and other names stay as they are.
    """

    def replacement(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return environment.get(match[1], match[0])

    return _KUBERNETES.sub(replacement, text)


def parsed(text: str, kind: str, complain: Callable[[str], Exception]) -> Value:
    """A result as a Task wrote it: an array and an object are JSON."""
    if kind == "string":
        return text
    try:
        found = json.loads(text)
    except ValueError as error:
        raise complain(f"is no JSON: {text!r}") from error
    if kind == "array" and isinstance(found, list) and all(isinstance(item, str) for item in found):
        return found
    if kind == "object" and isinstance(found, dict) and all(isinstance(v, str) for v in found.values()):
        return found
    raise complain(f"is no {kind} of strings: {text!r}")
