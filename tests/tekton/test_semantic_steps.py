"""Every check of a step finds what is broken, and only that: image, script, rights, resources."""

import pytest
from tekton.changing import DIGEST, GONE, TASK, Case, changed
from tekton.semantic import problems
from tekton.semantic.quantity import quantity

FIRST, SECOND = "spec.steps[0]", "spec.steps[1]"
START = "#!/usr/bin/env bash\nset -euo pipefail\n"
KEEP = 'cat "$(results.GREETING.path)" "$(workspaces.source.path)"\n'


BUILDER = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"add": ["SETFCAP"]}}


def _second(line: str) -> str:
    """The second step's script with another line."""
    return f"{TASK['spec']['steps'][1]['script']}{line}\n"


def _script(line: str) -> str:
    return f"{START}{KEEP}{line}\n"


CASES = (
    # images
    Case(
        name="an image by tag",
        base=TASK,
        bad={f"{SECOND}.image": "quay.io/example/tool:1"},
        says="has no digest",
        good={f"{SECOND}.image": DIGEST.replace("@", ":1@")},
    ),
    Case(
        name="an image with half a digest",
        base=TASK,
        bad={f"{SECOND}.image": DIGEST[:-1]},
        says="has no digest",
    ),
    Case(
        name="an image in which a parameter is a part",
        base=TASK,
        bad={f"{SECOND}.image": "quay.io/example/$(params.who)"},
        says="has no digest",
    ),
    Case(
        name="a default image by tag",
        base=TASK,
        bad={"spec.params[0].default": "quay.io/example/tool:1"},
        says="the default image",
        good={"spec.params[0].default": DIGEST},
    ),
    Case(name="no image", base=TASK, bad={f"{SECOND}.image": GONE}, says="no image"),
    Case(
        name="a sidecar's image by tag",
        base=TASK,
        bad={"spec.sidecars": [{"name": "side", "image": "x:1"}]},
        says="has no digest",
        good={"spec.sidecars": [{"name": "side", "image": DIGEST}]},
    ),
    Case(
        name="another pull policy",
        base=TASK,
        bad={f"{SECOND}.imagePullPolicy": "Always"},
        says="IfNotPresent",
    ),
    Case(
        name="arguments alone",
        base=TASK,
        bad={f"{FIRST}.script": GONE},
        says="neither script nor command",
        good={
            f"{FIRST}.script": GONE,
            f"{FIRST}.command": ["tool"],
            f"{FIRST}.args": ["$(params.others[*])", "$(results.GREETING.path)", "$(workspaces.source.path)"],
        },
    ),
    Case(name="a StepAction", base=TASK, bad={f"{FIRST}.ref": {"name": "x"}}, says="StepAction"),
    # environment and mounts
    Case(
        name="value and valueFrom",
        base=TASK,
        bad={f"{SECOND}.env[1].valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        says="both value and valueFrom",
        good={f"{SECOND}.env[1]": {"name": "RUN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}},
    ),
    Case(
        name="a variable's name",
        base=TASK,
        bad={f"{SECOND}.env[1].name": "a-b"},
        says="no name of an environment",
    ),
    Case(
        name="value and valueFrom in the template",
        base=TASK,
        bad={"spec.stepTemplate.env[0].valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        says="spec.stepTemplate.env[0]: WHO has both",
        good={"spec.stepTemplate.env[+]": {"name": "HOST", "value": "x"}},
    ),
    Case(
        name="a variable twice in the template",
        base=TASK,
        bad={"spec.stepTemplate.env[+]": {"name": "WHO", "value": "x"}},
        says="spec.stepTemplate.env[1]: the variable 'WHO' is there twice",
        good={f"{SECOND}.env[+]": {"name": "WHO", "value": "x"}},
    ),
    Case(
        name="a variable's name in the template",
        base=TASK,
        bad={"spec.stepTemplate.env[0].name": "a b"},
        says="spec.stepTemplate.env[0]: 'a b' is no name",
    ),
    Case(
        name="two mounts at one place",
        base=TASK,
        bad={f"{SECOND}.volumeMounts[+]": {"name": "shared", "mountPath": "/shared/"}},
        says="two volumes",
        good={f"{SECOND}.volumeMounts[+]": {"name": "shared", "mountPath": "/shared2"}},
    ),
    Case(
        name="a mount over Tekton's own",
        base=TASK,
        bad={f"{SECOND}.volumeMounts[0].mountPath": "/tekton/results"},
        says="Tekton's own",
        good={f"{SECOND}.volumeMounts[0].mountPath": "/tekton/home"},
    ),
    # resources
    Case(
        name="no resources",
        base=TASK,
        bad={f"{SECOND}.computeResources": {}},
        says="no cpu is requested",
    ),
    Case(
        name="no memory limit",
        base=TASK,
        bad={f"{SECOND}.computeResources.limits": {"cpu": "1"}},
        says="memory has no limit",
        good={f"{SECOND}.computeResources.limits": {"memory": "128Mi"}},
    ),
    Case(
        name="memory above its limit",
        base=TASK,
        bad={f"{SECOND}.computeResources.requests.memory": "135M"},
        says="135M requested, 128Mi the limit",
        good={f"{SECOND}.computeResources.requests.memory": "134M"},
    ),
    Case(
        name="processors above their limit",
        base=TASK,
        bad={f"{SECOND}.computeResources.requests.cpu": "1001m"},
        says="1001m requested",
        good={f"{SECOND}.computeResources.requests.cpu": "1000m"},
    ),
    Case(
        name="no quantity",
        base=TASK,
        bad={f"{SECOND}.computeResources.requests.memory": "64MB"},
        says="is no quantity",
    ),
    # security
    Case(
        name="maybe root",
        base=TASK,
        bad={f"{SECOND}.securityContext.runAsNonRoot": False},
        says="may be root",
        good={f"{SECOND}.securityContext.runAsUser": 1001},
    ),
    Case(
        name="may gain privileges",
        base=TASK,
        bad={f"{SECOND}.securityContext.allowPrivilegeEscalation": True},
        says="may gain privileges",
        good={f"{SECOND}.securityContext.allowPrivilegeEscalation": False},
    ),
    Case(
        name="nothing said of privileges",
        base=TASK,
        bad={"spec.stepTemplate.securityContext": {"runAsNonRoot": True}},
        says="may gain privileges",
        good={f"{FIRST}.securityContext": {}},
    ),
    Case(
        name="capabilities that stay",
        base=TASK,
        bad={f"{SECOND}.securityContext.capabilities": {"drop": ["CHOWN"]}},
        says="drop ALL",
        good={f"{SECOND}.securityContext.capabilities": {"drop": ["ALL"]}},
    ),
    Case(
        name="a capability for nobody special",
        base=TASK,
        bad={f"{SECOND}.securityContext.capabilities.add": ["SETFCAP"]},
        says="is not root and gets",
        good={f"{SECOND}.securityContext.capabilities.add": []},
    ),
    Case(
        name="root without buildah",
        base=TASK,
        bad={f"{SECOND}.securityContext": BUILDER, f"{SECOND}.script": _second("# buildah build")},
        says="does not run buildah",
        good={f"{SECOND}.securityContext": BUILDER, f"{SECOND}.script": _second("buildah build")},
    ),
    Case(
        name="root for nothing",
        base=TASK,
        bad={
            f"{SECOND}.securityContext": {"runAsUser": 0},
            f"{SECOND}.script": _second("buildah build"),
        },
        says="needs no capability",
    ),
    Case(
        name="another capability",
        base=TASK,
        bad={
            f"{SECOND}.securityContext": {"runAsUser": 0, "capabilities": {"add": ["SYS_ADMIN"]}},
            f"{SECOND}.script": _second("buildah build"),
        },
        says="the step gets SYS_ADMIN",
    ),
    Case(
        name="no seccomp",
        base=TASK,
        bad={f"{SECOND}.securityContext.seccompProfile": {"type": "Unconfined"}},
        says="seccomp is Unconfined",
        good={f"{SECOND}.securityContext.seccompProfile": {"type": "RuntimeDefault"}},
    ),
    Case(
        name="a folder of the node",
        base=TASK,
        bad={"spec.volumes[0]": {"name": "shared", "hostPath": {"path": "/"}}},
        says="hostPath is no volume for a step",
        good={"spec.volumes[0]": {"name": "shared", "secret": {"secretName": "x"}}},
    ),
    Case(
        name="privileged",
        base=TASK,
        bad={f"{SECOND}.securityContext": {"runAsNonRoot": True, "privileged": True}},
        says="privileged",
    ),
    Case(
        name="a fixed user and a seccomp profile",
        base=TASK,
        bad={
            f"{FIRST}.securityContext": {"runAsNonRoot": True, "runAsUser": 1001},
            f"{SECOND}.securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        },
        says="no SCC takes both",
        good={
            f"{FIRST}.securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        },
    ),
    Case(
        name="an added capability and a seccomp profile",
        base=TASK,
        bad={
            f"{SECOND}.securityContext": {
                "runAsUser": 0,
                "capabilities": {"add": ["SETFCAP"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
        },
        says="no SCC takes both",
        good={f"{SECOND}.securityContext": BUILDER, f"{SECOND}.script": _second("buildah push")},
    ),
    # limits
    Case(
        name="a step's timeout without a unit",
        base=TASK,
        bad={f"{SECOND}.timeout": "90"},
        says="'90' is no duration",
        good={f"{SECOND}.timeout": "1.5h"},
    ),
    Case(
        name="a step's condition without values",
        base=TASK,
        bad={f"{SECOND}.when": [{"input": "$(params.who)", "operator": "in", "values": []}]},
        says="the condition has no values",
        good={f"{SECOND}.when": [{"input": "$(params.who)", "operator": "in", "values": [""]}]},
    ),
    # scripts
    Case(
        name="another shell",
        base=TASK,
        bad={f"{FIRST}.script": f"#!/bin/sh\nset -euo pipefail\n{KEEP}"},
        says="does not begin with",
    ),
    Case(
        name="no strict mode",
        base=TASK,
        bad={f"{FIRST}.script": f"#!/usr/bin/env bash\nset -eu\n{KEEP}"},
        says="does not begin with",
    ),
    Case(
        name="something before the strict mode",
        base=TASK,
        bad={f"{FIRST}.script": f"#!/usr/bin/env bash\nls\nset -euo pipefail\n{KEEP}"},
        says="does not begin with",
        good={f"{FIRST}.script": f"#!/usr/bin/env bash\n# Why.\n\nset -euo pipefail\n{KEEP}"},
    ),
    Case(
        name="a parameter in a script",
        base=TASK,
        bad={f"{FIRST}.script": _script("echo '$(params.who)'")},
        says="$(params.who) becomes part of the program",
        good={f"{FIRST}.script": _script('echo "$WHO"')},
    ),
    Case(
        name="a parameter in a script, by brackets",
        base=TASK,
        bad={f"{FIRST}.script": _script("echo '$(params[\"who\"])'")},
        says="becomes part of the program",
    ),
    Case(
        name="a parameter in a script's comment",
        base=TASK,
        bad={f"{FIRST}.script": _script("# $(params.who)")},
        says="becomes part of the program",
    ),
    Case(
        name="a name of the run in a script",
        base=TASK,
        bad={f"{FIRST}.script": _script("echo $(context.taskRun.name)")},
        says="becomes part of the program",
    ),
    Case(
        name="a claim's name in a script",
        base=TASK,
        bad={f"{FIRST}.script": _script("echo $(workspaces.source.claim)")},
        says="becomes part of the program",
        good={f"{FIRST}.script": _script("echo $(workspaces.source.bound)")},
    ),
    Case(
        name="a step's result in a script",
        base=TASK,
        bad={
            f"{FIRST}.results": [{"name": "SAID"}],
            f"{SECOND}.script": _script("$(steps.first.results.SAID) $(results.WORDS.path)"),
        },
        says="becomes part of the program",
    ),
    Case(
        name="a program for a shell's -c",
        base=TASK,
        bad={f"{SECOND}.script": GONE, f"{SECOND}.command": ["bash", "-c", "ls"]},
        says="belongs into script",
        good={
            f"{SECOND}.script": GONE,
            f"{SECOND}.command": ["factory", "--version", "$(results.WORDS.path)"],
        },
    ),
    Case(
        name="a script and a command",
        base=TASK,
        bad={f"{FIRST}.command": ["factory"]},
        says="not both",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found(case: Case) -> None:
    found = [str(problem) for problem in problems(changed(case.base, case.bad))]
    assert [problem for problem in found if case.says in problem], found


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=lambda case: case.name)
def test_what_only_looks_alike_is_not_found(case: Case) -> None:
    assert list(problems(changed(case.base, case.good))) == []


@pytest.mark.parametrize(
    ("smaller", "greater"),
    [
        ("500m", "1"),
        ("1G", "1Gi"),
        ("1023Mi", "1Gi"),
        ("999", "1e3"),
        ("1E3", "1E"),
        ("0.1", "101m"),
        ("1n", "1u"),
        ("999999Ki", "1Gi"),
    ],
)
def test_quantities_are_compared_by_what_they_stand_for(smaller: str, greater: str) -> None:
    assert quantity(smaller) < quantity(greater)


@pytest.mark.parametrize(("one", "other"), [("1000m", "1"), ("1e3", "1k"), ("1.5Gi", "1536Mi"), ("2.", "2")])
def test_quantities_are_equal_by_what_they_stand_for(one: str, other: str) -> None:
    assert quantity(one) == quantity(other)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1KB", "1K", "e3", "one"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)
