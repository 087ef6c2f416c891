"""Make the trusted-artifact shape of the Tekton tasks from their workspace shape: `make tekton`.

Konflux's policy passes no general-purpose workspaces: what a task hands on travels as an OCI artifact of
the registry, by its digest. From `tekton/tasks/NAME/NAME.yaml` this makes `NAME-oci-ta` by rule:

* a workspace that is read becomes the parameter `NAME_ARTIFACT` and a first step that unpacks it;
* one that is written becomes the result `NAME_ARTIFACT` and a last step that stores it, into `ociStorage`;
* both are folders of one emptyDir then; optional workspaces, which hold logins, stay.

Comments outside of scripts are not carried over: they stand in the workspace shape.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from factory.files import write_whole

TASKS = Path(__file__).parents[1] / "tekton" / "tasks"
WORKDIR = "/var/workdir"
# As public Konflux pipelines have it: konflux-ci/build-definitions, task/buildah-oci-ta/0.10, of commit
# 09536752945a3b34e5b1cfa30622dd57bf9f7e52.
TA_IMAGE = (
    "quay.io/konflux-ci/build-trusted-artifacts"
    "@sha256:9bd32f6bafb517b309e11a2d89365052b4ab3f1c9c23c4ffd45aff6f03960476"
)
# Its ENTRYPOINT. Named, since Tekton's controller asks the registry for the entry point of a step without a
# command: with the controller's own logins and certificates, which need not be those of the steps.
_TA_PROGRAM = "/usr/local/bin/entrypoint"
_EXAMPLE_DIGEST = "sha256:" + "0123456789abcdef" * 4
_EXAMPLES = {
    "factory-image": f"registry.example.com/team/factory@{_EXAMPLE_DIGEST}",
    "flavor": "th011-cpu-torch2130-py311",
    "image": "registry.example.com/team/universal:cpu",
    "ociStorage": "registry.example.com/team/artifacts:run-1",
    "url": "https://git.example.com/team/universal-images.git",
}
# `$(params.image).source` of an image without a tag would be another repository, and pushed to.
_CHECK_STORAGE = r"""#!/usr/bin/env bash
set -euo pipefail

reference='^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9_][[:alnum:]_.-]{0,127}$'
if [[ ! "$OCI_STORAGE" =~ $reference ]]; then
    echo "error: the parameter ociStorage is no image with its tag: '$OCI_STORAGE'" >&2
    echo "  what to do: give registry, repository and a tag (128 characters at most)" >&2
    exit 1
fi
"""
_LONG = 70
_SAME = """\
The same as [{source}](../{source}/README.md), which tells more, with trusted artifacts in place of
workspaces: each is an OCI artifact in the registry, named by its digest, so that no other task can change it
in between. They are stored and fetched with the logins of the service account."""

Node = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Which of a task's workspaces it reads and which it writes; those that are neither stay."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


SHAPES = {
    "factory-clone": Shape(writes=("source",)),
    "factory-check": Shape(reads=("source",)),
    "factory-lock-verify": Shape(reads=("source",)),
    "factory-strip": Shape(reads=("source",), writes=("context",)),
    "factory-prefetch": Shape(reads=("source",), writes=("prefetched",)),
    "factory-build": Shape(reads=("source", "context", "prefetched")),
}


def trusted(task: Node, shape: Shape) -> Node:
    """The trusted-artifact shape of a task.

    Raises:
        ValueError: a workspace that is not optional is in neither list of the shape.
    """
    moved = {*shape.reads, *shape.writes}
    spec = task["spec"]
    for workspace in spec["workspaces"]:
        if not workspace.get("optional") and workspace["name"] not in moved:
            raise ValueError(f"{task['metadata']['name']}: is {workspace['name']} read or written?")
    described = {workspace["name"]: workspace["description"] for workspace in spec["workspaces"]}
    kept = [workspace for workspace in spec["workspaces"] if workspace["name"] not in moved]
    template = spec["stepTemplate"]
    made: Node = {
        "displayName": f"{spec['displayName']} (trusted artifacts)",
        "description": f"{spec['description']} Files come and go as trusted artifacts.",
        "params": [*spec["params"], *_parameters(shape, described)],
        "workspaces": kept,
        "results": [*spec["results"], *_results(shape)],
        "volumes": [*spec.get("volumes", []), {"name": "workdir", "emptyDir": {}}],
        "stepTemplate": template
        | {"volumeMounts": [*template.get("volumeMounts", []), {"name": "workdir", "mountPath": WORKDIR}]},
        "steps": [*_check(shape), *_use(shape), *map(_without_profile, spec["steps"]), *_create(shape)],
    }
    filled = _with_folders({key: value for key, value in made.items() if value}, moved)
    return {**task, "metadata": _metadata(task["metadata"]), "spec": filled}


def _metadata(metadata: Node) -> Node:
    annotations = dict(metadata["annotations"])
    annotations["tekton.dev/displayName"] += " (trusted artifacts)"
    annotations["tekton.dev/tags"] += ", konflux"
    return {**metadata, "name": f"{metadata['name']}-oci-ta", "annotations": annotations}


def _artifact(workspace: str) -> str:
    return f"{workspace.upper()}_ARTIFACT"


def _parameters(shape: Shape, described: dict[str, str]) -> list[Node]:
    parameters = [
        {
            "name": "ta-image",
            "type": "string",
            "default": TA_IMAGE,
            "description": "The image that unpacks and stores trusted artifacts, by digest.",
        },
        *(
            {
                "name": _artifact(name),
                "type": "string",
                "description": f"The trusted artifact with this content: {described[name]}",
            }
            for name in shape.reads
        ),
    ]
    if shape.writes:
        parameters += [
            {
                "name": "ociStorage",
                "type": "string",
                "description": "Where the trusted artifact is stored, an image with its tag.",
            },
            {
                "name": "ociArtifactExpiresAfter",
                "type": "string",
                "default": "",
                "description": "When the registry may remove it, such as 5d; empty for never.",
            },
        ]
    return parameters


def _results(shape: Shape) -> list[Node]:
    return [
        {
            "name": _artifact(name),
            "type": "string",
            "description": f"The trusted artifact with what the workspace {name} holds in the other shape.",
        }
        for name in shape.writes
    ]


def _check(shape: Shape) -> list[Node]:
    """The very first step: whether there is a place to store to, before anything is done for it."""
    if not shape.writes:
        return []
    return [
        {
            "name": "check-oci-storage",
            "image": "$(params.factory-image)",
            "env": [{"name": "OCI_STORAGE", "value": "$(params.ociStorage)"}],
            "script": _CHECK_STORAGE,
            "computeResources": {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"memory": "128Mi"},
            },
            "securityContext": {
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ]


def _use(shape: Shape) -> list[Node]:
    """The first step: unpack what is read."""
    if not shape.reads:
        return []
    folders = [f"$(params.{_artifact(name)})={WORKDIR}/{name}" for name in shape.reads]
    return [_step("use-trusted-artifact", args=["use", *folders])]


def _create(shape: Shape) -> list[Node]:
    """The last step: store what was written."""
    if not shape.writes:
        return []
    folders = [f"$(results.{_artifact(name)}.path)={WORKDIR}/{name}" for name in shape.writes]
    expiry = {"name": "IMAGE_EXPIRES_AFTER", "value": "$(params.ociArtifactExpiresAfter)"}
    args = ["create", "--store", "$(params.ociStorage)", *folders]
    return [_step("create-trusted-artifact", args=args, env=[expiry])]


def _step(name: str, **own: list[Any]) -> Node:
    """A step of the image that packs and unpacks.

    Not as the image's own user: `notroot` has the id 0 (konflux-ci/build-trusted-artifacts, Containerfile),
    and tar as root without capabilities cannot give files to their owners. As this one it does not try.
    """
    return {
        "name": name,
        "image": "$(params.ta-image)",
        "command": [_TA_PROGRAM],
        **own,
        "computeResources": {
            "requests": {"cpu": "100m", "memory": "512Mi"},
            "limits": {"memory": "3Gi"},
        },
        "securityContext": {
            "runAsUser": 1001,
            "runAsGroup": 0,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _without_profile(step: Node) -> Node:
    """The step without a seccomp profile of its own.

    OpenShift gives a pod in which a step fixes its user the SCC pipelines-scc, and that one refuses a pod
    in which a step names a profile.
    """
    context = {key: value for key, value in step["securityContext"].items() if key != "seccompProfile"}
    return {**step, "securityContext": context}


def _with_folders(value: Any, workspaces: set[str]) -> Any:  # noqa: ANN401 - what YAML holds
    """The same with the paths of these workspaces as folders of the volume."""
    if isinstance(value, dict):
        return {key: _with_folders(item, workspaces) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_folders(item, workspaces) for item in value]
    if isinstance(value, str):
        for name in workspaces:
            value = value.replace(f"$(workspaces.{name}.path)", f"{WORKDIR}/{name}")
    return value


class _Plain(str):
    """A key, which is never quoted."""

    __slots__ = ()


class _Writer(yaml.SafeDumper):
    """PyYAML's, with every string quoted or in a block, and lists indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, False)  # noqa: FBT003 - PyYAML's signature


def _write_text(writer: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else ">" if len(text) > _LONG and " " in text else '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _write_key(writer: yaml.SafeDumper, text: _Plain) -> yaml.Node:
    return writer.represent_scalar("tag:yaml.org,2002:str", str(text))


_Writer.add_representer(str, _write_text)
_Writer.add_representer(_Plain, _write_key)


def to_yaml(value: Node) -> str:
    """YAML of which every string is quoted, folded, or, with its line ends, a literal block."""
    return yaml.dump(_plain_keys(value), Dumper=_Writer, sort_keys=False, width=110, allow_unicode=True)


def _plain_keys(value: Any) -> Any:  # noqa: ANN401 - what YAML holds
    if isinstance(value, dict):
        return {_Plain(key): _plain_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_keys(item) for item in value]
    return value


def readme(task: Node, source: str) -> str:
    """The README of a generated task: what it takes and gives, and a TaskRun."""
    spec, name = task["spec"], task["metadata"]["name"]
    parts = [
        f"# {name}",
        f"<!-- Generated by scripts/trusted_artifacts.py from ../{source}. Do not edit. -->",
        spec["description"],
        _SAME.format(source=source),
        "## Parameters",
        _table(
            ("parameter", "default", "what it is"),
            [(_code(item["name"]), _default(item), item["description"]) for item in spec["params"]],
        ),
    ]
    if spec.get("workspaces"):
        rows = [(_code(item["name"]), item["description"]) for item in spec["workspaces"]]
        parts += ["## Workspaces", "All optional.", _table(("workspace", "what it holds"), rows)]
    rows = [(_code(item["name"]), item["description"]) for item in spec["results"]]
    parts += ["## Results", _table(("result", "what it is"), rows), "## Example"]
    parts.append(f"```yaml\n{to_yaml(_task_run(task))}```")
    return "\n\n".join(parts) + "\n"


def _task_run(task: Node) -> Node:
    given = [
        {"name": item["name"], "value": _example(item["name"])}
        for item in task["spec"]["params"]
        if "default" not in item
    ]
    name = task["metadata"]["name"]
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {"generateName": f"{name}-"},
        "spec": {"taskRef": {"kind": "Task", "name": name}, "params": given},
    }


def _example(name: str) -> str:
    if name.endswith("_ARTIFACT"):
        return f"oci:registry.example.com/team/artifacts@{_EXAMPLE_DIGEST}"
    return _EXAMPLES[name]


def _code(text: str) -> str:
    return f"`{text}`"


def _default(parameter: Node) -> str:
    if "default" not in parameter:
        return "none: has to be given"
    return _code(parameter["default"]) if parameter["default"] else "empty"


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def generated() -> dict[Path, str]:
    """Every generated file, with what it has to hold."""
    files = {}
    for name, shape in SHAPES.items():
        task = trusted(yaml.safe_load((TASKS / name / f"{name}.yaml").read_text(encoding="utf-8")), shape)
        made = task["metadata"]["name"]
        mark = f"# Generated by scripts/trusted_artifacts.py from ../{name}/{name}.yaml. Do not edit.\n---\n"
        changes = (TASKS / name / "CHANGELOG.md").read_text(encoding="utf-8")
        files[TASKS / made / f"{made}.yaml"] = mark + to_yaml(task)
        files[TASKS / made / "README.md"] = readme(task, name)
        files[TASKS / made / "CHANGELOG.md"] = re.sub(rf"\b{name}\b(?!-)", made, changes, count=1)
    return files


def stale() -> list[Path]:
    """The generated files that do not hold what they have to."""
    return [
        path
        for path, text in generated().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Write the generated files that are not current."""
    files = generated()
    for path in stale():
        path.parent.mkdir(exist_ok=True)
        write_whole(path, files[path].encode())
        print(f"wrote {path.relative_to(TASKS.parents[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
