"""The fields of Tekton's objects that the runner carries out; any other one is an error."""

from collections.abc import Mapping
from typing import Any

from tekton.runner.errors import RefusedError, UnknownFieldError

Node = Mapping[str, Any]

# Of those marked inert nothing is carried out, since they change nothing that a test can see here.
_KNOWN: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "object": "apiVersion kind metadata spec",
        # inert: description, displayName
        "task": "params results steps stepTemplate volumes workspaces description displayName",
        # inert: computeResources, imagePullPolicy
        "step": "name image script command args env workingDir onError timeout when results securityContext "
        "volumeMounts computeResources imagePullPolicy",
        "template": "image command args env workingDir securityContext volumeMounts computeResources "
        "imagePullPolicy",
        "security": "runAsUser runAsGroup runAsNonRoot allowPrivilegeEscalation readOnlyRootFilesystem "
        "capabilities seccompProfile",
        "capabilities": "add drop",
        "seccomp": "type",
        "env": "name value",
        "mount": "name mountPath subPath readOnly",
        "volume": "name emptyDir",
        "emptyDir": "sizeLimit medium",
        "declared workspace": "name description mountPath optional readOnly",
        "param": "name type description default properties enum",
        "result": "name type description properties value",
        "when": "input operator values",
        "pipeline": "params workspaces tasks finally results description displayName",
        "pipeline workspace": "name description optional",
        "pipeline task": "name taskRef taskSpec params workspaces runAfter when matrix retries timeout "
        "onError description displayName",
        "task ref": "name kind apiVersion",
        "workspace": "name workspace subPath",
        "value": "name value",
        "matrix": "params include",
        "include": "name params",
    }.items()
}


def known(node: object, kind: str, where: str) -> Node:
    """The mapping, all fields of which the runner knows.

    Raises:
        UnknownFieldError: a field that it does not know.
        RefusedError: no mapping at all.
    """
    if not isinstance(node, Mapping):
        raise RefusedError(f"{where} is no mapping")
    if unknown := sorted(set(node) - _KNOWN[kind]):
        raise UnknownFieldError(f"{where}: {', '.join(unknown)}")
    return node


def listed(node: Node, key: str, kind: str, where: str) -> tuple[Node, ...]:
    """The mappings of a list that may be absent, with known fields and no name twice."""
    found = tuple(known(item, kind, f"{where}.{key}") for item in node.get(key) or ())
    names = [item["name"] for item in found if "name" in item]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise RefusedError(f"{where}.{key}: {', '.join(repeated)} stands there twice")
    return found


def spec_of(node: Node, kind: str) -> Node:
    """The spec of a Task or a Pipeline.

    Raises:
        RefusedError: it is another object.
    """
    known(node, "object", kind)
    if (node.get("apiVersion"), node.get("kind")) != ("tekton.dev/v1", kind):
        raise RefusedError(f"no {kind} of tekton.dev/v1: {node.get('apiVersion')} {node.get('kind')}")
    return known(node.get("spec"), kind.lower(), f"{kind} {node['metadata']['name']}")
