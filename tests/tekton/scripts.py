"""The scripts in our YAML: where they are, and one of them run as it stands, with bash and no container."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tekton.semantic import Node
from tekton.semantic.model import items, parameters
from tekton.semantic.steps import merged
from tekton.sources import tekton_objects

_VARIABLE = re.compile(r"\$\((?P<name>[a-z]+\.[A-Za-z0-9._-]+)\)")


def scripts() -> Iterator[tuple[str, str]]:
    """Every script of a step or a sidecar, with a name that says where it is."""
    for each in tekton_objects():
        for path, spec in _task_specs(each.node["spec"], "spec"):
            for kind in ("steps", "sidecars"):
                for step in items(spec, kind):
                    if "script" in step:
                        yield f"{each.name}:{path}.{step.get('name')}", step["script"]


def _task_specs(spec: Node, path: str) -> Iterator[tuple[str, Node]]:
    """A TaskSpec, or those that are embedded in a Pipeline or a run."""
    yield path, spec
    for key in ("taskSpec", "pipelineSpec"):
        if key in spec:
            yield from _task_specs(spec[key], f"{path}.{key}")
    for kind in ("tasks", "finally"):
        for task in items(spec, kind):
            yield from _task_specs(task, f"{path}.{kind}.{task['name']}")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a script did: its exit status, what it said, the results it wrote."""

    status: int
    stdout: str
    stderr: str
    results: Mapping[str, str]


def run_step(
    spec: Node,
    step: str,
    folder: Path,
    params: Mapping[str, str | list[str]],
    workspaces: Mapping[str, Path],
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run a step's script of one of our Tasks on this machine, with what a caller gives put in its place.

    This is not the runner that runs whole Tasks in containers: it is for the many values of a table.

    Args:
        spec: the TaskSpec.
        step: the step's name.
        folder: an empty folder for its home, its results and its current directory.
        params: what the caller gives.
        workspaces: folders of the workspaces; those that are not named are not bound.
        environment: what stands in place of the step's own variables of that name.
    """
    wanted = next(each for each in items(spec, "steps") if each["name"] == step)
    whole = merged(wanted, spec.get("stepTemplate") or {})
    home, results, current = folder / "home", folder / "results", folder / "current"
    for made in (home, results, current):
        made.mkdir(parents=True)
    given = {
        **{name: declared.default for name, declared in parameters(spec).items()},
        **params,
    }
    values = {
        **{f"params.{name}": value for name, value in given.items() if isinstance(value, str)},
        **{f"results.{each['name']}.path": str(results / each["name"]) for each in items(spec, "results")},
        **{
            f"workspaces.{each['name']}.{what}": value
            for each in items(spec, "workspaces")
            for what, value in _workspace(workspaces.get(each["name"]))
        },
        **{
            f"steps.step-{each['name']}.exitCode.path": str(folder / each["name"])
            for each in items(spec, "steps")
        },
    }
    script = folder / "script"
    script.write_text(_substituted(whole["script"], values))
    arguments = [
        word
        for argument in whole.get("args") or ()
        for word in given.get(str(argument)[len("$(params.") : -len("[*])")])
        or [_substituted(argument, values)]
    ]
    done = subprocess.run(
        ["bash", script, *arguments],
        cwd=current,
        env={
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            **{each["name"]: _substituted(each.get("value", ""), values) for each in whole["env"]},
            "HOME": str(home),
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    told = {path.name: path.read_text() for path in results.iterdir()}
    return Ran(status=done.returncode, stdout=done.stdout, stderr=done.stderr, results=told)


def _workspace(folder: Path | None) -> Iterator[tuple[str, str]]:
    yield "path", "" if folder is None else str(folder)
    yield "bound", "false" if folder is None else "true"


def _substituted(text: str, values: Mapping[str, str]) -> str:
    """The text as Tekton makes it; one pass, so that no value is looked into again."""
    return _VARIABLE.sub(lambda match: values.get(match["name"], match[0]), text)
