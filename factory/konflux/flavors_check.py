"""The Pipeline that checks every flavor of a repository, however many, and the PipelineRuns that start it."""

from collections.abc import Mapping, Sequence
from typing import Any

from factory.konflux.bundles import bundles_digest
from factory.konflux.cel import Event
from factory.konflux.pipeline_run import (
    EVENTS,
    FLAVORS_CHECK,
    MARK,
    PIPELINE,
    RunFile,
    check_flavor_name,
    file_path,
    git_login,
    index_login,
    metadata,
    parameters,
    timeouts,
)
from factory.konflux.settings import Settings
from factory.konflux.tekton_files import pipeline_file, task_file
from factory.konflux.yaml_text import Value, to_yaml
from factory.settings import SETTINGS_FILE

MAX_COMBINATIONS = 256
"""What Tekton takes of one matrix, where nobody set default-max-matrix-combinations-count."""

_PARAMETER = "flavors"
# What every flavor is made from; nothing of a single flavor's.
_SHARED = ("templates/***", SETTINGS_FILE)


def split_matrix(names: Sequence[str], *, limit: int = MAX_COMBINATIONS) -> tuple[tuple[str, ...], ...]:
    """Names in their order, each once, in parts of at most ``limit``; no part at all for no name."""
    unique = tuple(dict.fromkeys(names))
    return tuple(unique[start : start + limit] for start in range(0, len(unique), limit))


def flavors_check_files(names: Sequence[str], settings: Settings) -> tuple[RunFile, ...]:
    """The Pipeline with as many matrices as the flavors need, the Tasks that it names, and its runs.

    Pipelines as Code puts the Tasks of a Pipeline into the run itself, and takes them from the folder that
    it reads. Without a flavor there is nothing to check, and no file.

    Raises:
        KonfluxError: a name is not that of a flavor, or the factory's Tekton files are not there.
    """
    for name in names:
        check_flavor_name(name, settings)
    parts = split_matrix(names)
    if not parts:
        return ()
    # Here, so that `factory check` of a repository that does not use Konflux starts without it.
    import yaml  # noqa: PLC0415

    pipeline = yaml.safe_load(pipeline_file(FLAVORS_CHECK))
    used = _tasks_of(pipeline)
    shared = (PIPELINE, FLAVORS_CHECK, *used)
    return (
        _file(f"{settings.out}/{FLAVORS_CHECK}.yaml", to_yaml(_split(pipeline, len(parts)))),
        *(_copy(name, task_file(name), settings) for name in used),
        *(
            _file(file_path(FLAVORS_CHECK, event, settings), to_yaml(_run(parts, shared, settings, event)))
            for event in EVENTS
        ),
    )


def shared_names() -> tuple[str, ...]:
    """The names of the Pipelines and Tasks that are copied into a repository.

    Raises:
        KonfluxError: the factory's Tekton files are not there.
    """
    # Late, as above.
    import yaml  # noqa: PLC0415

    return (PIPELINE, FLAVORS_CHECK, *_tasks_of(yaml.safe_load(pipeline_file(FLAVORS_CHECK))))


def copied_pipeline(name: str, settings: Settings) -> RunFile:
    """A Pipeline of the factory as it is, with the line that says that it is ours.

    Raises:
        KonfluxError: it is not installed.
    """
    return _copy(name, pipeline_file(name), settings)


def _tasks_of(pipeline: Mapping[str, Any]) -> list[str]:
    """The names of the Tasks that a Pipeline runs."""
    tasks = [*pipeline["spec"]["tasks"], *pipeline["spec"]["finally"]]
    return sorted({task["taskRef"]["name"] for task in tasks})


def _copy(name: str, content: bytes, settings: Settings) -> RunFile:
    bundles = bundles_digest(content)
    of = f" with the bundles {bundles}" if bundles else ""
    told = f"{MARK}, a copy{of}. Do not edit.\n".encode()
    return RunFile(path=f"{settings.out}/{name}.yaml", content=told + content)


def _file(path: str, text: str) -> RunFile:
    told = f"{MARK} from the flavors' folders and {SETTINGS_FILE}. Do not edit.\n---\n"
    return RunFile(path=path, content=(told + text).encode())


def _split(pipeline: Mapping[str, Any], parts: int) -> Mapping[str, Any]:
    """The Pipeline with each of its matrices repeated for every part, as its README.md says."""
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
    """A task once for every part, where it has a matrix or judges one; else the task itself."""
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
    """A value of YAML with words of its strings replaced."""
    if isinstance(value, str):
        for old, new in replaced.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(item, replaced) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, replaced) for item in value]
    return value


def _run(
    parts: Sequence[Sequence[str]], shared: Sequence[str], settings: Settings, event: Event
) -> dict[str, Value]:
    lists = (
        {_PARAMETER: parts[0]}
        if len(parts) == 1
        else {f"{_PARAMETER}-{number}": part for number, part in enumerate(parts, start=1)}
    )
    # The list of flavors is in the runs themselves. A pull request that adds one changes them, and is to run
    # that flavor's pipeline alone; after it is merged, all are looked at once.
    own = [file_path(FLAVORS_CHECK, event, settings)] if event == "push" else []
    # MintMaker's pull requests change the copies alone; without a run on them nothing would be seen of those.
    globs = (*_SHARED, *(f"{settings.out}/{name}.yaml" for name in shared), *own)
    values: dict[str, Value] = {
        "git-url": "{{source_url}}",
        "revision": "{{revision}}",
        **lists,
        "factory-image": settings.factory_image,
    }
    account = settings.service_account
    storage: Value = {"requests": {"storage": "1Gi"}}
    claim: Value = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": storage}}
    spec: dict[str, Value] = {
        "params": parameters(values),
        "pipelineRef": {"name": FLAVORS_CHECK},
        "timeouts": timeouts(settings.timeouts["check"]),
        **({} if account is None else {"taskRunTemplate": {"serviceAccountName": account}}),
        "workspaces": [
            {"name": "shared", "volumeClaimTemplate": claim},
            git_login(),
            *index_login(settings),
        ],
    }
    labels = {"pipelines.appstudio.openshift.io/type": "test"}
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": metadata(FLAVORS_CHECK, settings, event, globs=globs, labels=labels),
        "spec": spec,
    }
