"""One step of a Task, with what the stepTemplate gives it: image, script, environment, mounts, resources."""

import re
from collections.abc import Iterator, Mapping, Sequence

from tekton.semantic.limits import limit_problems
from tekton.semantic.model import Node, Parameter, Problem, duplicates, items
from tekton.semantic.names import environment, label
from tekton.semantic.quantity import quantity
from tekton.semantic.references import Reference, alone, references

DIGEST = re.compile(r"[^\s@$]+@sha256:[0-9a-f]{64}")
SCRIPT_START = ("#!/usr/bin/env bash", "set -euo pipefail")
_SHELLS = re.compile(r"(?:.*/)?(?:ba|da|z|k)?sh")
# buildah needs it to keep the file capabilities of what it installs; nothing here needs more.
CAPABILITIES = frozenset({"SETFCAP"})
_BUILDAH = re.compile(r"^\s*(?!#).*\bbuildah (?:build|pull|push)\b", re.MULTILINE)
RESOURCES = ("cpu", "memory")


def merged(step: Node, template: Node) -> Node:
    """The step as Tekton runs it: its own fields before the template's; env, mounts, security of both."""
    own_env = {each["name"] for each in items(step, "env")}
    own_mounts = {each["mountPath"] for each in items(step, "volumeMounts")}
    ours, theirs = step.get("securityContext") or {}, template.get("securityContext") or {}
    capabilities = {**(theirs.get("capabilities") or {}), **(ours.get("capabilities") or {})}
    return {
        **template,
        **step,
        "securityContext": {**theirs, **ours, "capabilities": capabilities},
        "env": [each for each in items(template, "env") if each["name"] not in own_env]
        + list(items(step, "env")),
        "volumeMounts": [
            each for each in items(template, "volumeMounts") if each["mountPath"] not in own_mounts
        ]
        + list(items(step, "volumeMounts")),
    }


def step_problems(
    step: Node, template: Node, params: Mapping[str, Parameter], path: str
) -> Iterator[Problem]:
    """What is wrong with a step alone, whatever the rest of the Task is."""
    whole = merged(step, template)
    yield from label(step.get("name", ""), f"{path}.name", "step name")
    if "ref" in step:
        yield Problem(path=f"{path}.ref", message="what a StepAction runs cannot be checked here")
        return
    yield from _image(whole, params, path)
    yield from _program(whole, path)
    yield from environment_problems(items(step, "env"), path)
    yield from limit_problems(step, path)
    yield from _mounts(whole, path)
    yield from _resources(whole.get("computeResources") or {}, path)
    yield from _security(whole["securityContext"], str(whole.get("script", "")), path)
    if whole.get("imagePullPolicy") != "IfNotPresent":
        yield Problem(path=path, message="imagePullPolicy is not IfNotPresent")


def image_problems(image: str, params: Mapping[str, Parameter], path: str) -> Iterator[Problem]:
    """A problem where an image is neither pinned by a digest nor named by a parameter."""
    if DIGEST.fullmatch(image):
        return
    named = alone(image)
    if named is None or named.root != "params":
        yield Problem(path=path, message=f"the image {image!r} has no digest and is no parameter")
        return
    declared = params.get(named.parts[0])
    if declared is not None and declared.default is not None and not DIGEST.fullmatch(str(declared.default)):
        yield Problem(path=path, message=f"the default image {declared.default!r} has no digest")


def _image(step: Node, params: Mapping[str, Parameter], path: str) -> Iterator[Problem]:
    if not step.get("image"):
        yield Problem(path=path, message="the step has no image")
        return
    yield from image_problems(step["image"], params, f"{path}.image")


def _program(step: Node, path: str) -> Iterator[Problem]:
    command, script = items(step, "command"), step.get("script")
    if script is not None and command:
        yield Problem(path=f"{path}.command", message="a step has a script or a command, not both")
    if command and _SHELLS.fullmatch(str(command[0])) and any(str(word).startswith("-") for word in command):
        yield Problem(path=f"{path}.command", message="a shell's program belongs into script")
    if script is None:
        if not command:
            yield Problem(
                path=path,
                message="the step has neither script nor command: Tekton's controller would ask the registry",
            )
        return
    start = tuple(line for line in script.splitlines() if not line.startswith("# ") and line.strip())[:2]
    if not script.startswith(SCRIPT_START[0]) or start != SCRIPT_START:
        yield Problem(
            path=f"{path}.script", message=f"the script does not begin with {' and '.join(SCRIPT_START)}"
        )
    for reference in references(script):
        if not _harmless(reference):
            yield Problem(
                path=f"{path}.script",
                message=f"{reference.text} becomes part of the program: pass it through env",
            )


def _harmless(reference: Reference) -> bool:
    """Whether the text is one that Tekton makes from declared names alone, so that no caller writes in it.

    These are the paths of results, of exit codes, of credentials and of workspaces (``mountPath`` takes no
    variable here), and whether a workspace is bound. Names that a caller chooses are not: a claim, a volume.
    """
    last = reference.parts[-1]
    if reference.root in {"results", "workspaces", "credentials"}:
        return last in {"path", "bound"}
    if reference.root == "steps":
        return reference.parts[1:] == ("exitCode", "path")
    return reference.root == "step" and last == "path"


def environment_problems(variables: Sequence[Node], path: str) -> Iterator[Problem]:
    """Problems of the ``env`` of a step or of a stepTemplate: one twice, no name, two values."""
    yield from duplicates(variables, f"{path}.env", "variable")
    for place, variable in enumerate(variables):
        where = f"{path}.env[{place}]"
        yield from environment(variable["name"], where)
        if "value" in variable and "valueFrom" in variable:
            yield Problem(path=where, message=f"{variable['name']} has both value and valueFrom")


def _mounts(step: Node, path: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for mount in items(step, "volumeMounts"):
        where = mount["mountPath"].rstrip("/")
        if where in seen:
            yield Problem(path=f"{path}.volumeMounts", message=f"two volumes are mounted at {where}")
        if where.startswith("/tekton") and not where.startswith("/tekton/home"):
            yield Problem(path=f"{path}.volumeMounts", message=f"{where} is Tekton's own")
        seen.add(where)


def _resources(resources: Node, path: str) -> Iterator[Problem]:
    where = f"{path}.computeResources"
    requests: Node = resources.get("requests") or {}
    limits: Node = resources.get("limits") or {}
    for name in RESOURCES:
        if name not in requests:
            yield Problem(path=where, message=f"no {name} is requested")
    if "memory" not in limits:
        yield Problem(path=where, message="memory has no limit")
    numbers = {}
    for kind, amounts in (("requests", requests), ("limits", limits)):
        for name, text in amounts.items():
            try:
                numbers[kind, name] = quantity(text)
            except ValueError as error:
                yield Problem(path=f"{where}.{kind}.{name}", message=str(error))
    for name in {**requests, **limits}:
        request, limit = numbers.get(("requests", name)), numbers.get(("limits", name))
        if request is not None and limit is not None and request > limit:
            yield Problem(path=where, message=f"{name}: {requests[name]} requested, {limits[name]} the limit")


def _security(context: Node, script: str, path: str) -> Iterator[Problem]:
    """Nobody special without any capability; or root, which buildah alone may be."""
    where = f"{path}.securityContext"
    added = set(context["capabilities"].get("add") or ())
    if context.get("privileged"):
        yield Problem(path=where, message="the step is privileged")
    if context.get("allowPrivilegeEscalation") is not False:
        yield Problem(path=where, message="the step may gain privileges: allowPrivilegeEscalation false")
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield Problem(path=where, message="seccomp is Unconfined, which pod security forbids")
    if added - CAPABILITIES:
        yield Problem(path=where, message=f"the step gets {', '.join(sorted(added - CAPABILITIES))}")
    yield from _user(context, added, script, where)


def _user(context: Node, added: set[str], script: str, where: str) -> Iterator[Problem]:
    if context.get("runAsUser") == 0:
        if not _BUILDAH.search(script):
            yield Problem(path=where, message="the step is root and does not run buildah")
        if not added:
            yield Problem(
                path=where, message="the step is root and needs no capability: let it be nobody special"
            )
        return
    if context.get("runAsNonRoot") is not True:
        yield Problem(
            path=where, message="the step may be root: say runAsNonRoot, or runAsUser 0 for buildah"
        )
    if added:
        yield Problem(path=where, message="the step is not root and gets a capability that has no effect")
    if context["capabilities"].get("drop") != ["ALL"]:
        yield Problem(path=where, message="the step keeps capabilities: drop ALL")
