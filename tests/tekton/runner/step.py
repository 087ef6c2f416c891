"""A step as a container: the options of `podman run` that it comes to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tekton.runner.cluster import Cluster, mount_option
from tekton.runner.errors import RefusedError, UnknownFieldError
from tekton.runner.fields import Node, known, listed
from tekton.runner.security import podman_options
from tekton.runner.variables import Layers, kubernetes, text_of, texts_of

SCRIPTS, RESULTS, STEPS = "/tekton/scripts", "/tekton/results", "/tekton/steps"
# What Tekton puts before each step's command, and the folder of the file in which it tells how that ended.
ENTRYPOINT, RUN = "/tekton/bin/entrypoint", "/tekton/run"
# What Tekton puts before a script that names no interpreter.
_DEFAULT_SHEBANG = "#!/bin/sh\nset -e\n"
_MERGED_LISTS = {"env": "name", "volumeMounts": "mountPath"}


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where a TaskRun's folders lie; ``mounts``: by path in containers, each with whether it is read-only."""

    room: Path
    mounts: Mapping[str, tuple[Path, bool]] = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)


def merged(step: Node, template: Node) -> Node:
    """The step with what the stepTemplate adds: lists of named things are merged, mappings too."""
    known(step, "step", f"step {step.get('name', '')}")
    known(template, "template", "stepTemplate")
    found = {**template, **step}
    for key, name in _MERGED_LISTS.items():
        by_name = {item[name]: item for item in [*(template.get(key) or ()), *(step.get(key) or ())]}
        if by_name:
            found[key] = list(by_name.values())
    if "securityContext" in template and "securityContext" in step:
        found["securityContext"] = _deep(template["securityContext"], step["securityContext"])
    if "script" in step and "command" not in step:
        found.pop("command", None)
    return found


def _deep(under: Node, over: Node) -> Node:
    return {
        key: _deep(under[key], over[key])
        if isinstance(under.get(key), Mapping) and isinstance(over.get(key), Mapping)
        else over.get(key, under.get(key))
        for key in {**under, **over}
    }


def step_name(step: Node, index: int) -> str:
    """The name of the step's folder in /tekton/steps."""
    return f"step-{step.get('name') or f'unnamed-{index}'}"


def check(step: Node, where: str) -> None:
    """See that the step does not contradict itself.

    Raises:
        RefusedError: it does.
    """
    if "script" in step and "command" in step:
        raise RefusedError(f"{where}: script and command exclude each other")
    if step.get("onError", "stopAndFail") not in {"continue", "stopAndFail"}:
        raise RefusedError(f"{where}: onError {step['onError']!r}")
    if not step.get("image"):
        raise RefusedError(f"{where}: there is no image")
    for item in step.get("env") or ():
        if not isinstance(known(item, "env", f"{where}: env").get("value", ""), str):
            raise RefusedError(f"{where}: env {item['name']} is no string: {item['value']!r}")


def write_script(step: Node, index: int, folder: Path, layers: Layers) -> None:
    """Write the step's script, as a file that its first line says how to run."""
    text = text_of(step["script"], layers)
    path = folder / f"script-{index}"
    path.write_text(text if text.startswith("#!") else _DEFAULT_SHEBANG + text, encoding="utf-8")
    path.chmod(0o755)


def container(step: Node, index: int, folders: Folders, layers: Layers, cluster: Cluster) -> list[str]:
    """The arguments of `podman run` for a step."""
    image = cluster.image(text_of(step["image"], layers))
    environment = _environment(step, layers)
    options = [f"--group-add={cluster.fs_group}"]
    configuration = cluster.configurations[image]
    options += podman_options(
        step.get("securityContext") or {}, user=cluster.user, image_user=configuration.user
    )
    options += [f"--env={name}={value}" for name, value in {**cluster.env, **environment}.items()]
    options += _mounts(step, index, folders, layers, cluster)
    if working := text_of(step.get("workingDir", ""), layers):
        options.append(f"--workdir={working}")
    command = [kubernetes(word, environment) for word in texts_of(step.get("command") or (), layers)]
    arguments = [kubernetes(word, environment) for word in texts_of(step.get("args") or (), layers)]
    if "script" in step:
        command = [f"{SCRIPTS}/script-{index}"]
    if not command:
        # The image's own, whose CMD stands for arguments where there are none.
        command, arguments = [*configuration.entrypoint], arguments or [*configuration.command]
    first = ["python3", "-I", "-S", ENTRYPOINT, f"{RUN}/ended"]
    options.append(f"--entrypoint={json.dumps([*first, *command])}")
    return [*options, image, *arguments]


def ended_file(folders: Folders, index: int) -> Path:
    """The file in which the step's first process tells how the step ended."""
    return folders.room / "run" / str(index) / "ended"


def _environment(step: Node, layers: Layers) -> dict[str, str]:
    """The step's own environment, each value with those before it, as the kubelet makes it."""
    found: dict[str, str] = {}
    for item in step.get("env") or ():
        found[item["name"]] = kubernetes(text_of(item.get("value", ""), layers), found)
    return found


def _mounts(step: Node, index: int, folders: Folders, layers: Layers, cluster: Cluster) -> list[str]:
    found = {mount.target: (mount.source, mount.read_only) for mount in cluster.mounts}
    found[ENTRYPOINT] = (Path(__file__).with_name("entrypoint.py"), True)
    found[RUN] = (cluster.volume(ended_file(folders, index).parent, mode=0o2777), False)
    found |= folders.mounts
    for mount in listed(step, "volumeMounts", "mount", "step"):
        name = text_of(mount["name"], layers)
        if name not in folders.volumes:
            raise RefusedError(f"volumeMounts: there is no volume {name}")
        source = folders.volumes[name]
        if sub := text_of(mount.get("subPath", ""), layers):
            source = cluster.volume(inside(source, sub), mode=0o2777)
        found[text_of(mount["mountPath"], layers)] = (source, bool(mount.get("readOnly")))
    # An outer one before one inside of it.
    return [
        mount_option(source, target, read_only=read_only)
        for target, (source, read_only) in sorted(found.items())
    ]


def inside(folder: Path, sub: str) -> Path:
    """The folder below another.

    Raises:
        RefusedError: the path is absolute or leaves it, as Kubernetes does not allow.
    """
    if sub.startswith("/") or ".." in Path(sub).parts:
        raise RefusedError(f"subPath: {sub!r} is not below the volume")
    return folder / sub


def volume_names(volumes: Sequence[Node]) -> list[str]:
    """The names of a Task's volumes, all of which are emptyDir.

    Raises:
        UnknownFieldError: another kind.
    """
    for volume in volumes:
        if "emptyDir" not in volume:
            raise UnknownFieldError(f"volume {volume['name']}: no emptyDir")
        known(volume["emptyDir"] or {}, "emptyDir", f"volume {volume['name']}")
    return [volume["name"] for volume in volumes]
