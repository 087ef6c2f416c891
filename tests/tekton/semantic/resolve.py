"""What a taskRef or a pipelineRef refers to: one of ours, one of the catalogue, or one that nobody knows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tekton.semantic.model import Interface, Known, Node, Problem, interface, items
from tekton.semantic.steps import DIGEST

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Target:
    """The spec where it is ours, the interface where it is known; neither for somebody else's."""

    spec: Node | None = None
    interface: Interface | None = None


def target(user: Node, kind: str, known: Known) -> Target:
    """What the taskRef or taskSpec (kind ``task``), the pipelineRef or pipelineSpec (``pipeline``) names."""
    embedded = user.get(f"{kind}Spec")
    if embedded is not None:
        return Target(spec=embedded, interface=interface(embedded))
    reference: Node = user.get(f"{kind}Ref") or {}
    ours = known.tasks if kind == "task" else known.pipelines
    given = {each["name"]: each["value"] for each in items(reference, "params")}
    resolver = reference.get("resolver")
    if resolver == "bundles":
        return Target(interface=known.catalogue.get(str(given.get("name"))))
    name = reference.get("name")
    if resolver == "git":
        name = str(given.get("pathInRepo", "")).rpartition("/")[2].removesuffix(".yaml")
    elif resolver == "cluster":
        name = given.get("name")
    found = ours.get(str(name))
    return Target() if found is None else Target(spec=found["spec"], interface=interface(found["spec"]))


def reference_problems(user: Node, kind: str, known: Known, path: str) -> Iterator[Problem]:
    """Problems of the reference itself: nothing or two things named, ours that is not there, no pin."""
    reference: Node | None = user.get(f"{kind}Ref")
    embedded = f"{kind}Spec" in user
    if (reference is None) != embedded:
        yield Problem(path=path, message=f"give either {kind}Ref or {kind}Spec")
        return
    if reference is None:
        return
    where = f"{path}.{kind}Ref"
    resolver = reference.get("resolver")
    given = {each["name"]: each["value"] for each in items(reference, "params")}
    if resolver is None and target(user, kind, known).spec is None:
        yield Problem(
            path=f"{where}.name", message=f"there is no {kind} {reference.get('name')!r} in tekton/"
        )
    if resolver == "bundles":
        missing = {"name", "bundle", "kind"} - set(given)
        if missing:
            yield Problem(path=f"{where}.params", message=f"without {', '.join(sorted(missing))}")
        if not DIGEST.fullmatch(str(given.get("bundle", ""))):
            yield Problem(path=f"{where}.params", message=f"the bundle {given.get('bundle')!r} has no digest")
        if str(given.get("kind", kind)).lower() != kind:
            yield Problem(
                path=f"{where}.params", message=f"the bundle's kind is {given['kind']!r}, not {kind}"
            )
    if resolver == "git" and not _pinned(str(given.get("revision", ""))):
        yield Problem(path=f"{where}.params", message="the git revision is no commit")


def _pinned(revision: str) -> bool:
    # Pipelines as Code fills {{ revision }} with the commit of the event, and a parameter is the caller's.
    return bool(_COMMIT.fullmatch(revision)) or revision.startswith(("{{", "$(params."))
