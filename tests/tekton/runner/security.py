"""A securityContext as podman's options, with what a cluster of CRI-O (OpenShift) adds by default."""

from collections.abc import Mapping, Sequence
from typing import Any

from tekton.runner.errors import NotStartedError, UnknownFieldError
from tekton.runner.fields import known

# CRI-O's default_capabilities. Others (containerd) give more: what works here works there.
_DEFAULT = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL"}
)


def podman_options(context: Mapping[str, Any], *, user: int | None, image_user: str) -> list[str]:
    """Options of `podman run` for a step.

    Args:
        context: the step's securityContext, that of the stepTemplate merged in.
        user: whom the cluster runs a container as that names nobody, of group 0; None is the image's user.
        image_user: the USER of the image.

    Raises:
        NotStartedError: the container would run as root, which runAsNonRoot forbids.
        UnknownFieldError: something that the runner does not carry out.
    """
    known(context, "security", "securityContext")
    run_as = _user(context, user)
    root = _is_root(run_as or image_user)
    if context.get("runAsNonRoot") and root:
        raise NotStartedError("container has runAsNonRoot and image will run as root")
    if context.get("runAsNonRoot") and not run_as and not image_user.split(":", maxsplit=1)[0].isdigit():
        raise NotStartedError(f"container has runAsNonRoot and image has non-numeric user ({image_user})")
    options = [f"--user={run_as}"] if run_as else []
    options += _capabilities(context.get("capabilities") or {}, root=root)
    if context.get("allowPrivilegeEscalation") is False:
        options.append("--security-opt=no-new-privileges")
    if context.get("readOnlyRootFilesystem"):
        options += ["--read-only", "--read-only-tmpfs=false"]
    return options + _seccomp(context.get("seccompProfile") or {})


def _user(context: Mapping[str, Any], user: int | None) -> str:
    group = context.get("runAsGroup")
    if "runAsUser" in context:
        return f"{context['runAsUser']}" + (f":{group}" if group is not None else "")
    if group is not None and user is None:
        raise UnknownFieldError("securityContext: runAsGroup without runAsUser, with the image's user")
    return "" if user is None else f"{user}:{group or 0}"


def _is_root(user: str) -> bool:
    return user.split(":", maxsplit=1)[0] in {"", "0", "root"}


def _capabilities(wanted: Mapping[str, Any], *, root: bool) -> list[str]:
    """For a root user exactly these; another has none in effect, and its set is only a bound."""
    known(wanted, "capabilities", "capabilities")
    added, dropped = _names(wanted.get("add")), _names(wanted.get("drop"))
    if "ALL" in added:
        raise UnknownFieldError("capabilities: add ALL")
    kept = (frozenset() if "ALL" in dropped else _DEFAULT - dropped) | added
    options = ["--cap-drop=ALL"]
    # podman makes what it adds effective for any user, which Kubernetes does not.
    return options + ([f"--cap-add={','.join(sorted(kept))}"] if root and kept else [])


def _names(names: Sequence[str] | None) -> frozenset[str]:
    return frozenset(name.upper().removeprefix("CAP_") for name in names or ())


def _seccomp(profile: Mapping[str, Any]) -> list[str]:
    known(profile, "seccomp", "seccompProfile")
    # What Kubernetes does where nothing is said.
    kind = profile.get("type", "Unconfined")
    if kind not in {"Unconfined", "RuntimeDefault"}:
        raise UnknownFieldError(f"seccompProfile: {kind}")
    return ["--security-opt=seccomp=unconfined"] if kind == "Unconfined" else []
