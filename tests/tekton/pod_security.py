"""Pod Security Standards: what of a Pod made from a Task violates a level.

https://kubernetes.io/docs/concepts/security/pod-security-standards/, as far as a Task or a container
can decide it. Tekton's own containers are not looked at: they pass `restricted` where Tekton is set so.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from tekton.semantic import Node
from tekton.semantic.model import items
from tekton.semantic.steps import merged

Level = Literal["baseline", "restricted"]
_BASELINE = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
     "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)  # fmt: skip
_VOLUMES = frozenset(
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


def violations(spec: Node, level: Level, *, pod: Mapping[str, Any] | None = None) -> set[str]:
    """Return the fields by which a TaskSpec's Pod violates a level.

    Args:
        spec: the TaskSpec, or the spec of a Pod.
        level: the level of the namespace.
        pod: the securityContext of the Pod, as a run's podTemplate gives it.
    """
    template = spec.get("stepTemplate") or {}
    steps = [merged(step, template) for step in items(spec, "steps")]
    containers = [each["securityContext"] for each in steps]
    containers += [each.get("securityContext") or {} for each in items(spec, "containers")]
    found = {field for context in containers for field in _baseline(context)}
    found |= {"hostPath" for volume in items(spec, "volumes") if "hostPath" in volume}
    if level == "restricted":
        found |= {field for context in containers for field in _restricted({**(pod or {}), **context})}
        found |= {kind for volume in items(spec, "volumes") for kind in volume.keys() - {"name"} - _VOLUMES}
    return found


def _baseline(context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("privileged"):
        yield "privileged"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield "seccompProfile"
    if _capabilities(context, "add") - _BASELINE:
        yield "capabilities"


def _restricted(context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in _capabilities(context, "drop") or _capabilities(context, "add") - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if context.get("runAsUser") == 0:
        yield "runAsUser"
    if (context.get("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"


def _capabilities(context: Mapping[str, Any], what: str) -> set[str]:
    return set((context.get("capabilities") or {}).get(what) or ())
