"""What the checks speak of: a problem in a document, and what a Task or a Pipeline takes and gives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Node = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """What is wrong, and where in the document: ``spec.steps[0].image``."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A declared parameter: its type (string, array, object), and whether a caller must give it."""

    type: str
    required: bool
    default: str | Sequence[str] | Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What a Task or a Pipeline takes and gives, by name; of a workspace, whether it is optional."""

    params: Mapping[str, Parameter] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    workspaces: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a reference can find: our Tasks and Pipelines by name, and the interfaces of others' Tasks."""

    tasks: Mapping[str, Node] = field(default_factory=dict)
    pipelines: Mapping[str, Node] = field(default_factory=dict)
    catalogue: Mapping[str, Interface] = field(default_factory=dict)


def items(node: Node, key: str) -> Sequence[Node]:
    """The list under a key; nothing where the key is absent."""
    found: Sequence[Node] = node.get(key) or ()
    return found


def value_type(value: object) -> str:
    """string, array or object: the types of Tekton's parameters."""
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list) else "string"


def parameters(spec: Node) -> Mapping[str, Parameter]:
    """The declared parameters; without a ``type`` a parameter is what its default is."""
    return {
        declared["name"]: Parameter(
            type=declared.get("type") or value_type(declared.get("default")),
            required="default" not in declared,
            default=declared.get("default"),
        )
        for declared in items(spec, "params")
    }


def interface(spec: Node) -> Interface:
    """What a TaskSpec or a PipelineSpec takes and gives."""
    return Interface(
        params=parameters(spec),
        results={result["name"]: result.get("type", "string") for result in items(spec, "results")},
        workspaces={each["name"]: bool(each.get("optional")) for each in items(spec, "workspaces")},
    )


def duplicates(nodes: Sequence[Node], path: str, what: str) -> Iterator[Problem]:
    """A problem for each name that is given twice; Kubernetes would keep one of them, or refuse."""
    seen: set[str] = set()
    for place, node in enumerate(nodes):
        name = node.get("name", "")
        if name and name in seen:
            yield Problem(path=f"{path}[{place}]", message=f"the {what} {name!r} is there twice")
        seen.add(name)
