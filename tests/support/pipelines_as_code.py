"""Which PipelineRuns Pipelines as Code starts for an event, evaluated as its controller does."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy.celtypes import BoolType, StringType

_EXPRESSION = "pipelinesascode.tekton.dev/on-cel-expression"
_ENVIRONMENT = celpy.Environment()


def started(folder: Path, *, event: str, branch: str = "main", changed: Iterable[str]) -> set[str]:
    """The names of the PipelineRuns in a folder that an event starts.

    Args:
        folder: such as ``.tekton``.
        event: ``pull_request`` or ``push``.
        branch: the branch that is pushed to, or that the pull request is for.
        changed: paths added, modified, deleted or renamed (by the new name).
    """
    documents = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml")))
    runs = [document for document in documents if document["kind"] == "PipelineRun"]
    files = tuple(changed)
    return {
        run["metadata"]["name"]
        for run in runs
        if starts(run["metadata"]["annotations"][_EXPRESSION], event=event, branch=branch, changed=files)
    }


def starts(expression: str, *, event: str, branch: str, changed: Iterable[str]) -> bool:
    """Whether an expression holds. ``pathChanged`` is the one function of their own that we use."""
    program = _ENVIRONMENT.program(
        _ENVIRONMENT.compile(expression), functions={"pathChanged": partial(_path_changed, tuple(changed))}
    )
    activation: Mapping[str, Any] = {"event": StringType(event), "target_branch": StringType(branch)}
    return bool(program.evaluate(dict(activation)))


def _path_changed(changed: tuple[str, ...], glob: StringType) -> BoolType:
    pattern = re.compile(_regex(str(glob)), re.DOTALL)
    return BoolType(any(pattern.fullmatch(path) is not None for path in changed))


def _regex(glob: str) -> str:
    """A glob of github.com/gobwas/glob that is compiled without separators: a star matches a slash too.

    Its other special characters are refused here: nothing of ours may have them.
    """
    parts = re.split(r"(\*+)", glob)
    for plain in parts[::2]:
        assert not set(plain) & set("?[]{}\\"), glob
    return "".join(".*" if place % 2 else re.escape(part) for place, part in enumerate(parts))
