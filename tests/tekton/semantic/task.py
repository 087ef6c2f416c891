"""A Task, or the taskSpec of a Pipeline's task: what is declared, what is referred to, what is never used."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tekton.semantic.model import Interface, Node, Parameter, Problem, duplicates, interface, items
from tekton.semantic.names import label, variable
from tekton.semantic.references import WHOLE, Reference, alone, references, strings
from tekton.semantic.steps import environment_problems, image_problems, merged, step_problems

CONTEXT = frozenset(
    {
        ("taskRun", "name"),
        ("taskRun", "namespace"),
        ("taskRun", "uid"),
        ("task", "name"),
        ("task", "retry-count"),
    }
)
# The fields of a step in which Tekton substitutes; anywhere else `$(params.x)` stays as it is.
STEP_FIELDS = frozenset(
    {"image", "imagePullPolicy", "command", "args", "script", "workingDir", "onError", "env", "envFrom"}
    | {"volumeMounts", "when", "params"}
)
# The volumes that Kubernetes' pod security allows at its level "restricted".
VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
# In these an array may stand alone as an element, and becomes as many elements.
LISTS = frozenset({"command", "args"})


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the references of one TaskSpec can mean, and which of them were met."""

    interface: Interface
    steps: tuple[str, ...]
    step_results: Mapping[str, frozenset[str]]
    used: set[tuple[str, str]] = field(default_factory=set)


def task_problems(
    spec: Node, path: str = "spec", inherited: Mapping[str, Parameter] | None = None
) -> Iterator[Problem]:
    """Everything wrong with a TaskSpec.

    Args:
        spec: the TaskSpec.
        path: where it stands in its document.
        inherited: parameters that a run hands down to a spec embedded in it.
    """
    taken = interface(spec)
    taken = Interface(
        params={**(inherited or {}), **taken.params}, results=taken.results, workspaces=taken.workspaces
    )
    scope = Scope(
        interface=taken,
        steps=tuple(step.get("name", "") for step in items(spec, "steps")),
        step_results={
            step.get("name", ""): frozenset(result["name"] for result in items(step, "results"))
            for step in items(spec, "steps")
        },
    )
    yield from declarations(spec, path)
    yield from duplicates(items(spec, "steps"), f"{path}.steps", "step name")
    yield from duplicates(items(spec, "volumes"), f"{path}.volumes", "volume")
    template: Node = spec.get("stepTemplate") or {}
    yield from environment_problems(items(template, "env"), f"{path}.stepTemplate")
    for place, step in enumerate(items(spec, "steps")):
        yield from step_problems(step, template, taken.params, f"{path}.steps[{place}]")
    for place, sidecar in enumerate(items(spec, "sidecars")):
        yield from image_problems(sidecar.get("image", ""), taken.params, f"{path}.sidecars[{place}].image")
    yield from _seccomp(spec, path)
    yield from _references(spec, scope, path)
    yield from _volumes(spec, path)
    yield from _for_nothing(spec, scope, path)


def declarations(spec: Node, path: str) -> Iterator[Problem]:
    """Names and defaults of the parameters, results and workspaces of a TaskSpec or a PipelineSpec."""
    for kind, what in (("params", "parameter"), ("results", "result"), ("workspaces", "workspace")):
        yield from duplicates(items(spec, kind), f"{path}.{kind}", what)
    for kind, what in (("params", "parameter"), ("results", "result")):
        for place, declared in enumerate(items(spec, kind)):
            yield from variable(declared["name"], f"{path}.{kind}[{place}].name", what)
    for place, declared in enumerate(items(spec, "workspaces")):
        yield from label(declared["name"], f"{path}.workspaces[{place}].name", "workspace")
    declared_types = {each["name"]: each.get("type") for each in items(spec, "params")}
    for name, parameter in interface(spec).params.items():
        given = parameter.default
        where = f"{path}.params.{name}.default"
        if not declared_types[name]:
            yield Problem(path=f"{path}.params.{name}", message="the parameter has no type")
        actual = "array" if isinstance(given, list) else "object" if isinstance(given, Mapping) else "string"
        if given is not None and actual != parameter.type:
            yield Problem(path=where, message=f"the default is a {actual}, the parameter is {parameter.type}")
        for found in (found for _, text in strings(given, where) for found in references(text)):
            yield Problem(path=where, message=f"{found.text} in a default stays as it is")


def _references(spec: Node, scope: Scope, path: str) -> Iterator[Problem]:
    containers = [
        *(("steps", place, step) for place, step in enumerate(items(spec, "steps"))),
        *(("sidecars", place, each) for place, each in enumerate(items(spec, "sidecars"))),
        ("stepTemplate", None, spec.get("stepTemplate") or {}),
    ]
    for kind, place, container in containers:
        where = f"{path}.{kind}" if place is None else f"{path}.{kind}[{place}]"
        for key, value in container.items():
            for inner, text in strings(value, f"{where}.{key}"):
                if key in STEP_FIELDS:
                    before = place if kind == "steps" else None
                    yield from _text(text, inner, scope, in_list=key in LISTS, before=before)
                else:
                    yield from _stays(text, inner)
    for inner, text in strings(spec.get("volumes"), f"{path}.volumes"):
        yield from _text(text, inner, scope, in_list=False, before=None)
    for place, result in enumerate(items(spec, "results")):
        for inner, text in strings(result.get("value"), f"{path}.results[{place}].value"):
            scope.used.add(("results", result["name"]))
            yield from _text(text, inner, scope, in_list=False, before=None)
    for inner, text in strings(spec.get("workspaces"), f"{path}.workspaces"):
        yield from _stays(text, inner)


def _stays(text: str, path: str) -> Iterator[Problem]:
    for found in references(text):
        yield Problem(path=path, message=f"{found.text} stays as it is: Tekton does not substitute here")


def _text(text: str, path: str, scope: Scope, *, in_list: bool, before: int | None) -> Iterator[Problem]:
    for found in references(text):
        check = _CHECKS.get(found.root)
        if check is None:
            yield Problem(path=path, message=f"{found.text} is no variable of a Task")
            continue
        yield from check(found, scope, path, before)
        if found.index == WHOLE and not (in_list and alone(text)):
            yield Problem(path=path, message=f"{found.text} is a list: it stands alone as one of args")


def parameter_problems(found: Reference, params: Mapping[str, Parameter], path: str) -> Iterator[Problem]:
    """Problems of a ``$(params.…)``: undeclared, a list used as text, an index into text."""
    name, *keys = found.parts
    declared = params.get(name)
    if declared is None:
        yield Problem(path=path, message=f"{found.text}: no parameter {name!r} is declared")
    elif declared.type == "string" and (found.index is not None or keys):
        yield Problem(path=path, message=f"{found.text}: the parameter {name!r} is a string")
    elif declared.type == "array" and (found.index is None or keys):
        yield Problem(
            path=path, message=f"{found.text}: the parameter {name!r} is an array; [*] or [i] is missing"
        )
    elif declared.type == "object" and found.index != WHOLE and not keys:
        yield Problem(
            path=path, message=f"{found.text}: the parameter {name!r} is an object; a key is missing"
        )
    elif declared.type == "array" and found.index != WHOLE and not str(found.index).isdigit():
        yield Problem(path=path, message=f"{found.text}: the index is not a number")


def _parameter(found: Reference, scope: Scope, path: str, _: int | None) -> Iterator[Problem]:
    scope.used.add(("params", found.parts[0]))
    yield from parameter_problems(found, scope.interface.params, path)


def _result(found: Reference, scope: Scope, path: str, _: int | None) -> Iterator[Problem]:
    scope.used.add(("results", found.parts[0]))
    if found.parts[0] not in scope.interface.results:
        yield Problem(path=path, message=f"{found.text}: no result {found.parts[0]!r} is declared")
    if found.parts[1:] != ("path",) or found.index is not None:
        yield Problem(path=path, message=f"{found.text}: of a Task's own result there is only .path")


def _workspace(found: Reference, scope: Scope, path: str, _: int | None) -> Iterator[Problem]:
    scope.used.add(("workspaces", found.parts[0]))
    if found.parts[0] not in scope.interface.workspaces:
        yield Problem(path=path, message=f"{found.text}: no workspace {found.parts[0]!r} is declared")
    if found.parts[1:] not in {("path",), ("bound",), ("claim",), ("volume",)} or found.index is not None:
        yield Problem(path=path, message=f"{found.text}: a workspace has path, bound, claim and volume")


def _step(found: Reference, scope: Scope, path: str, before: int | None) -> Iterator[Problem]:
    """``$(steps.step-NAME.exitCode.path)``, or ``$(steps.NAME.results.R)`` of a step."""
    earlier = scope.steps if before is None else scope.steps[:before]
    name, *rest = found.parts
    if rest == ["exitCode", "path"]:
        if not name.startswith("step-") or name.removeprefix("step-") not in earlier:
            yield Problem(path=path, message=f"{found.text}: no step before this one is {name!r}")
    elif len(rest) == 2 and rest[0] == "results":
        if name not in earlier or rest[1] not in scope.step_results[name]:
            yield Problem(path=path, message=f"{found.text}: no step before this one gives that result")
    else:
        yield Problem(path=path, message=f"{found.text}: of a step there are exitCode.path and results")


def _own_step(found: Reference, scope: Scope, path: str, before: int | None) -> Iterator[Problem]:
    """``$(step.results.R.path)`` in the step that declares R."""
    declared = scope.step_results[scope.steps[before]] if before is not None else frozenset()
    kind, name, last = (*found.parts, "", "", "")[:3]
    if (kind, last) != ("results", "path") or name not in declared:
        yield Problem(path=path, message=f"{found.text}: the step declares no such result")


def _context(found: Reference, _: Scope, path: str, __: int | None) -> Iterator[Problem]:
    if found.parts not in CONTEXT:
        yield Problem(path=path, message=f"{found.text} is not in the context of a Task")


def _credentials(found: Reference, _: Scope, path: str, __: int | None) -> Iterator[Problem]:
    if found.parts != ("path",):
        yield Problem(path=path, message=f"{found.text}: of the credentials there is only .path")


_CHECKS: Mapping[str, Callable[[Reference, Scope, str, int | None], Iterator[Problem]]] = {
    "params": _parameter,
    "results": _result,
    "workspaces": _workspace,
    "steps": _step,
    "step": _own_step,
    "context": _context,
    "credentials": _credentials,
}


def _seccomp(spec: Node, path: str) -> Iterator[Problem]:
    """A seccomp profile in a pod that OpenShift's `pipelines-scc` has to take.

    `restricted-v2` takes no fixed user and no added capability, and `pipelines-scc`, which takes both,
    lists no profiles: it refuses a pod in which a container names one.
    """
    template: Node = spec.get("stepTemplate") or {}
    contexts: list[Node] = [
        merged(step, template).get("securityContext") or {} for step in items(spec, "steps")
    ]
    fixed = any(
        "runAsUser" in context or (context.get("capabilities") or {}).get("add") for context in contexts
    )
    for place, context in enumerate(contexts):
        if fixed and "seccompProfile" in context:
            yield Problem(
                path=f"{path}.steps[{place}].securityContext",
                message="a seccomp profile, and a step with a fixed user or a capability: no SCC takes both",
            )


def _volumes(spec: Node, path: str) -> Iterator[Problem]:
    declared = {volume["name"] for volume in items(spec, "volumes")}
    mounted = {
        (mount["name"], where)
        for where, container in (
            *((f"{path}.steps[{place}]", step) for place, step in enumerate(items(spec, "steps"))),
            *((f"{path}.sidecars[{place}]", each) for place, each in enumerate(items(spec, "sidecars"))),
            (f"{path}.stepTemplate", spec.get("stepTemplate") or {}),
        )
        for mount in items(container, "volumeMounts")
    }
    for place, volume in enumerate(items(spec, "volumes")):
        for kind in sorted(set(volume) - VOLUMES - {"name"}):
            yield Problem(path=f"{path}.volumes[{place}]", message=f"{kind} is no volume for a step")
    for name, where in sorted(mounted):
        if name not in declared:
            yield Problem(path=f"{where}.volumeMounts", message=f"no volume {name!r} is declared")
    for name in sorted(declared - {name for name, _ in mounted}):
        yield Problem(path=f"{path}.volumes", message=f"the volume {name!r} is mounted nowhere")


def _for_nothing(spec: Node, scope: Scope, path: str) -> Iterator[Problem]:
    """What is declared and not used: mostly a reference that is misspelt somewhere else."""
    usages = {
        ("workspaces", used["name"])
        for step in (*items(spec, "steps"), *items(spec, "sidecars"))
        for used in items(step, "workspaces")
    }
    for name in usages:
        if name[1] not in scope.interface.workspaces:
            yield Problem(path=f"{path}.steps", message=f"no workspace {name[1]!r} is declared")
    for kind, what in (("params", "parameter"), ("results", "result"), ("workspaces", "workspace")):
        for declared in items(spec, kind):
            if (kind, declared["name"]) not in scope.used | usages:
                yield Problem(path=f"{path}.{kind}", message=f"the {what} {declared['name']!r} is never used")
