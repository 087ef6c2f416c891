"""Names, labels and annotations: what Kubernetes and Tekton take, and what our own Tasks have to carry."""

import re
from collections.abc import Iterator

from tekton.semantic.model import Node, Problem, items

MAX_NAME = 63  # RFC 1123 label; a label's value holds no more either
GENERATED_SUFFIX = 5  # what the API server appends to generateName
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_GENERATE = re.compile(r"[a-z0-9][a-z0-9-]*")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?")
# Dots are legal in Tekton, but then `$(params.a.b)` reads like the key of an object.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VERSION_LABEL = "app.kubernetes.io/version"
OWN_ANNOTATIONS = ("tekton.dev/pipelines.minVersion", "tekton.dev/tags")
# Pipelines as Code fills `{{ revision }}` before the cluster sees the object.
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")


def label(name: str, path: str, what: str) -> Iterator[Problem]:
    """A problem where a name is no RFC 1123 label of at most 63 characters."""
    if len(name) > MAX_NAME:
        yield Problem(path=path, message=f"the {what} {name!r} has more than {MAX_NAME} characters")
    if not _LABEL.fullmatch(name):
        yield Problem(path=path, message=f"the {what} {name!r} is not lower-case letters, digits and hyphens")


def variable(name: str, path: str, what: str) -> Iterator[Problem]:
    """A problem where a parameter or a result cannot be referred to by its name."""
    if not _VARIABLE.fullmatch(name):
        yield Problem(path=path, message=f"the {what} {name!r} is not letters, digits, hyphens, underscores")


def environment(name: str, path: str) -> Iterator[Problem]:
    """A problem where a shell could not read a variable of that name."""
    if not _ENVIRONMENT.fullmatch(name):
        yield Problem(path=path, message=f"{name!r} is no name of an environment variable")


def metadata(document: Node) -> Iterator[Problem]:
    """Problems of an object's generateName and labels; the schema sees those of its name."""
    found: Node = document.get("metadata") or {}
    prefix = found.get("generateName")
    if prefix is not None and (not _GENERATE.fullmatch(prefix) or len(prefix) + GENERATED_SUFFIX > MAX_NAME):
        yield Problem(path="metadata.generateName", message=f"{prefix!r} makes no name of at most {MAX_NAME}")
    for key, value in (found.get("labels") or {}).items():
        if not _LABEL_VALUE.fullmatch(_TEMPLATE.sub("x", value)) or len(value) > MAX_NAME:
            yield Problem(path=f"metadata.labels.{key}", message=f"{value!r} is no label's value")


def own(document: Node) -> Iterator[Problem]:
    """What every Task and Pipeline of ours says of itself: version, Tekton's version, tags, a description."""
    found: Node = document.get("metadata") or {}
    if VERSION_LABEL not in (found.get("labels") or {}):
        yield Problem(path="metadata.labels", message=f"the label {VERSION_LABEL} is missing")
    for annotation in OWN_ANNOTATIONS:
        if annotation not in (found.get("annotations") or {}):
            yield Problem(path="metadata.annotations", message=f"the annotation {annotation} is missing")
    spec: Node = document["spec"]
    if not spec.get("description"):
        yield Problem(path="spec", message="there is no description")
    for kind in ("params", "results", "workspaces"):
        for place, declared in enumerate(items(spec, kind)):
            if not declared.get("description"):
                yield Problem(
                    path=f"spec.{kind}[{place}]", message=f"{declared['name']!r} has no description"
                )
