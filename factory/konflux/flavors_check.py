"""The Pipeline that checks every flavor of a repository, however many, and the PipelineRuns that start it."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import factory
from factory.errors import KonfluxError
from factory.konflux.bundles import bundles_digest
from factory.konflux.pipeline_run import (
    EVENTS,
    FLAVORS_CHECK,
    MARK,
    PIPELINE,
    Event,
    RunFile,
    check_flavor_name,
    file_path,
    fold,
    render_run,
)
from factory.konflux.settings import Settings
from factory.settings import SETTINGS_FILE

MAX_COMBINATIONS = 256
"""What Tekton takes of one matrix, unless default-max-matrix-combinations-count is set."""

_PARAMETER = "flavors"
# What every flavor is made from; nothing of a single flavor's.
_SHARED = ("templates/***", SETTINGS_FILE)


def flavors_check_files(names: Sequence[str], settings: Settings) -> tuple[RunFile, ...]:
    """Return the Pipeline with as many matrices as the flavors need, its Tasks, and its runs.

    Pipelines as Code puts the Tasks of a Pipeline into the run itself, and takes them from the folder that
    it reads. Without a flavor there is nothing to check, and no file.

    Raises:
        KonfluxError: a name is not that of a flavor, or the factory's Tekton files are missing.
    """
    for name in names:
        check_flavor_name(name, settings)
    parts = split_matrix(names)
    if not parts:
        return ()
    pipeline = _pipeline()
    used = _tasks_of(pipeline)
    shared = (PIPELINE, FLAVORS_CHECK, *used)
    return (
        _file(f"{settings.out}/{FLAVORS_CHECK}.yaml", _to_yaml(_split(pipeline, len(parts)))),
        *(_copy(name, task_file(name), settings) for name in used),
        *(
            _file(file_path(FLAVORS_CHECK, event, settings), _run(parts, shared, settings, event))
            for event in EVENTS
        ),
    )


def split_matrix(names: Sequence[str], *, limit: int = MAX_COMBINATIONS) -> tuple[tuple[str, ...], ...]:
    """Return names in their order, each once, in parts of at most ``limit``."""
    unique = tuple(dict.fromkeys(names))
    return tuple(unique[start : start + limit] for start in range(0, len(unique), limit))


def shared_names() -> tuple[str, ...]:
    """Return the names of the Pipelines and Tasks that are copied into a repository.

    Raises:
        KonfluxError: the factory's Tekton files are missing.
    """
    return (PIPELINE, FLAVORS_CHECK, *_tasks_of(_pipeline()))


def copied_pipeline(name: str, settings: Settings) -> RunFile:
    """Return a Pipeline of the factory as it is, below the line that marks it as generated.

    Raises:
        KonfluxError: it is not installed.
    """
    return _copy(name, pipeline_file(name), settings)


@cache
def _pipeline() -> Mapping[str, Any]:
    # Here, so that `factory check` of a repository that does not use Konflux starts without it.
    import yaml  # noqa: PLC0415

    pipeline: Mapping[str, Any] = yaml.safe_load(pipeline_file(FLAVORS_CHECK))
    return pipeline


def _tasks_of(pipeline: Mapping[str, Any]) -> list[str]:
    tasks = [*pipeline["spec"]["tasks"], *pipeline["spec"]["finally"]]
    return sorted({task["taskRef"]["name"] for task in tasks})


def _copy(name: str, content: bytes, settings: Settings) -> RunFile:
    bundles = bundles_digest(content)
    of = f" with the bundles {bundles}" if bundles else ""
    header = f"{MARK}, a copy{of}. Do not edit.\n".encode()
    return RunFile(path=f"{settings.out}/{name}.yaml", content=header + content)


def _file(path: str, text: str) -> RunFile:
    header = f"{MARK} from the flavors' folders and {SETTINGS_FILE}. Do not edit.\n---\n"
    return RunFile(path=path, content=(header + text).encode())


def _to_yaml(document: Mapping[str, Any]) -> str:
    """Return YAML in block style with every string but keys quoted, as in the files of PipelineRuns."""
    import yaml  # noqa: PLC0415 - as above

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
            super().increase_indent(flow, indentless=False)

        def represent_mapping(self, *arguments: Any, **options: Any) -> yaml.MappingNode:  # noqa: ANN401
            node = super().represent_mapping(*arguments, **options)
            for key, _ in node.value:
                key.style = None
            return node

    Dumper.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    )
    text: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, width=math.inf, allow_unicode=True)
    return fold(text)


def _split(pipeline: Mapping[str, Any], parts: int) -> Mapping[str, Any]:
    """Return the Pipeline with each of its matrices repeated for every part, as its README.md says."""
    if parts == 1:
        return pipeline
    spec = pipeline["spec"]
    fanned = [task["name"] for task in spec["tasks"] if "matrix" in task]
    numbers = range(1, parts + 1)
    return {
        **pipeline,
        "spec": {
            **spec,
            "params": [item for param in spec["params"] for item in _split_parameter(param, numbers)],
            "tasks": [item for task in spec["tasks"] for item in _split_task(task, fanned, numbers)],
            "finally": [item for task in spec["finally"] for item in _split_task(task, fanned, numbers)],
        },
    }


def _split_parameter(parameter: Mapping[str, Any], numbers: range) -> list[Mapping[str, Any]]:
    if parameter["name"] != _PARAMETER:
        return [parameter]
    return [{**parameter, "name": f"{_PARAMETER}-{number}"} for number in numbers]


def _split_task(task: Mapping[str, Any], fanned: Sequence[str], numbers: range) -> list[Mapping[str, Any]]:
    """Return a task once per part if it has or judges a matrix, else the task itself."""
    judged = [name for name in fanned if f"$(tasks.{name}.results." in str(task)]
    if task["name"] not in fanned and not judged:
        return [task]
    return [_renamed(task, judged, number) for number in numbers]


def _renamed(task: Mapping[str, Any], judged: Sequence[str], number: int) -> Mapping[str, Any]:
    replaced = {f"$(params.{_PARAMETER}[": f"$(params.{_PARAMETER}-{number}["}
    replaced |= {f"$(tasks.{name}.results.": f"$(tasks.{name}-{number}.results." for name in judged}
    renamed: Mapping[str, Any] = _replaced(task, replaced)
    return {**renamed, "name": f"{task['name']}-{number}"}


def _replaced(value: Any, replaced: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Return a value of YAML with parts of its strings replaced."""
    if isinstance(value, str):
        for old, new in replaced.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(item, replaced) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, replaced) for item in value]
    return value


def _run(parts: Sequence[Sequence[str]], shared: Sequence[str], settings: Settings, event: Event) -> str:
    lists = (
        {_PARAMETER: parts[0]}
        if len(parts) == 1
        else {f"{_PARAMETER}-{number}": part for number, part in enumerate(parts, start=1)}
    )
    # The list of flavors is in the runs themselves. A pull request that adds one changes them, and is to run
    # that flavor's pipeline alone; after it is merged, all are checked once.
    own = [file_path(FLAVORS_CHECK, event, settings)] if event == "push" else []
    return render_run(
        FLAVORS_CHECK,
        settings,
        event,
        pipeline=FLAVORS_CHECK,
        component=None,
        # MintMaker's pull requests change the copies alone; without these, nothing would run on them.
        globs=(*_SHARED, *(f"{settings.out}/{name}.yaml" for name in shared), *own),
        parameters={
            "git-url": "{{source_url}}",
            "revision": "{{revision}}",
            **lists,
            "factory-image": settings.factory_image,
        },
        timeout=settings.timeouts["check"],
        service_account=settings.service_account,
    )


def pipeline_file(name: str) -> bytes:
    """Return the file of a Pipeline that the factory ships, by its name.

    Raises:
        KonfluxError: it is not installed.
    """
    return _read("pipelines", name)


def task_file(name: str) -> bytes:
    """Return the file of a Task that the factory ships, by its name.

    Raises:
        KonfluxError: it is not installed.
    """
    return _read("tasks", name)


@cache
def _read(kind: str, name: str) -> bytes:
    package = Path(factory.__file__).parent
    # Inside the package in a wheel, beside it in the repository.
    folder = package / "tekton" if (package / "tekton").is_dir() else package.parent / "tekton"
    try:
        return (folder / kind / name / f"{name}.yaml").read_bytes()
    except OSError as error:
        raise KonfluxError(
            f"tekton/{kind}/{name}/{name}.yaml is not beside the factory: {error.strerror or error}",
            solution="Install the factory again: the wheel carries its Tekton files.",
        ) from error
