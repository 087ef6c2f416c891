"""flavors-check for more flavors than one matrix takes, as `factory konflux` writes it: none is left out."""

import pytest
import yaml
from tekton.semantic import Known, Node, problems
from tekton.semantic.matrix import LIMIT
from tekton.sources import known

from factory.konflux.flavors_check import flavors_check_files
from factory.konflux.settings import parse_settings

SETTINGS = parse_settings(
    f"""\
[konflux]
application = "universal-images"
output-image = "registry.example.com/team/universal-image"
factory-image = "registry.example.com/team/factory@sha256:{64 * "0"}"
"""
)
# One, a full matrix, one more, what the project promises, and where a third matrix begins.
COUNTS = (1, 256, 257, 300, 513)


def _written(count: int) -> tuple[Node, list[Node], list[str]]:
    names = [f"th{number}-cpu-torch2130-py311" for number in range(count)]
    assert SETTINGS is not None
    documents = [
        document
        for file in flavors_check_files(names, SETTINGS)
        for document in yaml.safe_load_all(file.content)
        if document is not None
    ]
    (pipeline,) = [document for document in documents if document["kind"] == "Pipeline"]
    return pipeline, [document for document in documents if document["kind"] == "PipelineRun"], names


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_written_is_a_pipeline_and_runs_that_tekton_takes(count: int) -> None:
    pipeline, runs, _ = _written(count)
    around = Known(
        tasks=known().tasks, pipelines={pipeline["metadata"]["name"]: pipeline}, catalogue=known().catalogue
    )
    assert runs
    for document in (pipeline, *runs):
        assert list(problems(document, around)) == []


@pytest.mark.parametrize("count", COUNTS)
def test_every_flavor_is_in_one_matrix_of_each_task_and_none_has_too_many(count: int) -> None:
    pipeline, runs, names = _written(count)
    fanned = [task for task in pipeline["spec"]["tasks"] if "matrix" in task]
    for run in runs:
        given = {each["name"]: each["value"] for each in run["spec"]["params"]}
        for task in {task["taskRef"]["name"] for task in fanned}:
            lists = [
                given[each["matrix"]["params"][0]["value"].removeprefix("$(params.").removesuffix("[*])")]
                for each in fanned
                if each["taskRef"]["name"] == task
            ]
            assert [name for part in lists for name in part] == names
            assert max(map(len, lists)) <= LIMIT
            assert len(lists) == -(-count // LIMIT)


@pytest.mark.parametrize("count", COUNTS)
def test_every_matrix_has_a_gate_of_its_own_in_finally(count: int) -> None:
    pipeline, _, _ = _written(count)
    fanned = [task["name"] for task in pipeline["spec"]["tasks"] if "matrix" in task]
    judged = [
        {each["name"]: each["value"] for each in gate["params"]}["test-outputs"]
        for gate in pipeline["spec"]["finally"]
    ]
    assert sorted(judged) == sorted(f"$(tasks.{name}.results.TEST_OUTPUT[*])" for name in fanned)
