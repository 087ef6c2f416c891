"""Every check of a TaskRun or a PipelineRun finds what is broken, and only that."""

import pytest
from tekton.changing import GONE, KNOWN, PIPELINE, PIPELINE_RUN, TASK, TASK_RUN, Case, changed
from tekton.semantic import Node, problems

EACH = "spec.tasks[2]"


def _many(number: int) -> list[str]:
    return [f"p{place}" for place in range(number)]


def _embedded(timeout: str) -> dict[str, object]:
    """The Pipeline in the run, its first task with a timeout."""
    spec = changed(PIPELINE, {"spec.tasks[0].timeout": timeout})["spec"]
    return {"spec.pipelineRef": GONE, "spec.pipelineSpec": spec}


def _claim(name: str, sub_path: str) -> Node:
    return {"name": name, "subPath": sub_path, "persistentVolumeClaim": {"claimName": "one"}}


CASES = (
    # runs
    Case(
        name="a TaskRun of no task",
        base=TASK_RUN,
        bad={"spec.taskRef.name": "greets"},
        says="no task 'greets'",
    ),
    Case(
        name="a TaskRun without a parameter",
        base=TASK_RUN,
        bad={"spec.params[0]": GONE},
        says="'tool-image' is not given",
        good={"spec.params[1]": GONE},
    ),
    Case(
        name="a TaskRun with a string for an array",
        base=TASK_RUN,
        bad={"spec.params[1].value": "x"},
        says="'others' is given string",
    ),
    Case(
        name="a TaskRun without a workspace",
        base=TASK_RUN,
        bad={"spec.workspaces": []},
        says="the workspace 'source' is not bound",
    ),
    Case(
        name="a TaskRun with a parameter twice",
        base=TASK_RUN,
        bad={"spec.params[+]": {"name": "others", "value": []}},
        says="the parameter 'others' is there twice",
    ),
    Case(
        name="a TaskRun with a workspace twice",
        base=TASK_RUN,
        bad={"spec.workspaces[+]": {"name": "source", "emptyDir": {}}},
        says="the workspace 'source' is there twice",
        good={"spec.workspaces[+]": {"name": "cache", "emptyDir": {}}},
    ),
    Case(
        name="a workspace without a volume",
        base=TASK_RUN,
        bad={"spec.workspaces[0]": {"name": "source"}},
        says="has not one volume",
    ),
    Case(
        name="a workspace with two volumes",
        base=TASK_RUN,
        bad={"spec.workspaces[0].secret": {"secretName": "x"}},
        says="has not one volume",
    ),
    Case(
        name="a prefix that makes too long a name",
        base=TASK_RUN,
        bad={"metadata.generateName": "g" * 59},
        says="makes no name of at most 63",
        good={"metadata.generateName": "g" * 57 + "-"},
    ),
    Case(
        name="a parameter in a run",
        base=PIPELINE_RUN,
        bad={"spec.workspaces[0].subPath": "$(params.people[0])"},
        says="nothing that a run knows",
        good={"spec.workspaces[0].subPath": "$(context.pipelineRun.uid)"},
    ),
    Case(
        name="a PipelineRun of no Pipeline",
        base=PIPELINE_RUN,
        bad={"spec.pipelineRef.name": "greeting"},
        says="no pipeline 'greeting'",
    ),
    Case(
        name="a PipelineRun with a parameter too many",
        base=PIPELINE_RUN,
        bad={"spec.params[+]": {"name": "persons", "value": []}},
        says="no parameter 'persons' is taken",
    ),
    Case(
        name="a PipelineRun with a workspace that the Pipeline does not have",
        base=PIPELINE_RUN,
        bad={"spec.workspaces[+]": {"name": "slow", "emptyDir": {}}},
        says="no workspace 'slow' to bind",
        good={"spec.workspaces[+]": {"name": "fast", "emptyDir": {}}},
    ),
    Case(
        name="a PipelineRun that makes a matrix too big",
        base=PIPELINE_RUN,
        bad={"spec.params[1].value": _many(257)},
        says="257 combinations",
        good={"spec.params[1].value": _many(256)},
    ),
    Case(
        name="a timeout of no task",
        base=PIPELINE_RUN,
        bad={"spec.taskRunSpecs": [{"pipelineTaskName": "three", "timeout": "1h"}]},
        says="no task 'three' in the Pipeline",
        good={"spec.taskRunSpecs": [{"pipelineTaskName": "gate", "timeout": "1h"}]},
    ),
    Case(
        name="parts that take longer than the whole",
        base=PIPELINE_RUN,
        bad={"spec.timeouts": {"pipeline": "2h0m0s", "tasks": "1h30m", "finally": "31m"}},
        says="tasks and finally take 7260 s",
        good={"spec.timeouts": {"pipeline": "2h0m0s", "tasks": "1h30m", "finally": "30m"}},
    ),
    Case(
        name="parts that take longer than Tekton's default",
        base=PIPELINE_RUN,
        bad={"spec.timeouts": {"tasks": "2h"}},
        says="the whole run 3600 s",
        good={"spec.timeouts": {"tasks": "2h", "pipeline": "0"}},
    ),
    Case(
        name="a part without an end in a run with one",
        base=PIPELINE_RUN,
        bad={"spec.timeouts": {"pipeline": "2h", "tasks": "0"}},
        says="0 is without an end",
        good={"spec.timeouts": {"pipeline": "0", "tasks": "0"}},
    ),
    Case(
        name="a run's timeout without a unit",
        base=PIPELINE_RUN,
        bad={"spec.timeouts": {"pipeline": "2h", "tasks": "30"}},
        says="spec.timeouts.tasks: '30' is no duration",
        good={"spec.timeouts": {"pipeline": "2h", "tasks": "1ms"}},
    ),
    Case(
        name="a task's timeout without a unit",
        base=PIPELINE_RUN,
        bad={"spec.taskRunSpecs": [{"pipelineTaskName": "one", "timeout": "1"}]},
        says="spec.taskRunSpecs[0].timeout: '1' is no duration",
    ),
    Case(
        name="a TaskRun's timeout without a unit",
        base=TASK_RUN,
        bad={"spec.timeout": "1"},
        says="spec.timeout: '1' is no duration",
        good={"spec.timeout": "90m"},
    ),
    Case(
        name="a task that takes longer than Tekton's default for a run",
        base=PIPELINE_RUN,
        bad=_embedded("2h"),
        says="the task 'one' may take 2h, the run gives tasks 3600 s",
        good=_embedded("1h"),
    ),
    Case(
        name="a task that takes longer than its run",
        base=PIPELINE_RUN,
        bad={**_embedded("6h"), "spec.timeouts": {"pipeline": "5h"}},
        says="the run gives tasks 18000 s",
        good={**_embedded("6h"), "spec.timeouts": {"pipeline": "6h"}},
    ),
    Case(
        name="a task that takes longer than what finally leaves",
        base=PIPELINE_RUN,
        bad={**_embedded("6h"), "spec.timeouts": {"pipeline": "6h", "finally": "30m"}},
        says="the run gives tasks 19800 s",
        good={**_embedded("6h"), "spec.timeouts": {"pipeline": "0", "finally": "30m"}},
    ),
    Case(
        name="a task that the run lets take longer than itself",
        base=PIPELINE_RUN,
        bad={"spec.taskRunSpecs": [{"pipelineTaskName": "gate", "timeout": "2h"}]},
        says="the task 'gate' may take 2h, the run gives finally 3600 s",
        good={
            **_embedded("6h"),
            "spec.taskRunSpecs": [{"pipelineTaskName": "one", "timeout": "30m"}],
        },
    ),
    Case(
        name="two workspaces in one folder of a claim",
        base=PIPELINE_RUN,
        bad={"spec.workspaces": [_claim("shared", "a"), _claim("fast", "a/")]},
        says="the workspaces 'shared' and 'fast' are one folder",
        good={"spec.workspaces": [_claim("shared", "a"), _claim("fast", "b")]},
    ),
    Case(
        name="an embedded Pipeline that is broken",
        base=PIPELINE_RUN,
        bad={
            "spec.pipelineRef": GONE,
            "spec.pipelineSpec": changed(PIPELINE, {f"{EACH}.runAfter": ["too"]})["spec"],
        },
        says="no task 'too'",
        good={"spec.pipelineRef": GONE, "spec.pipelineSpec": PIPELINE["spec"]},
    ),
    Case(
        name="an embedded Task that is broken",
        base=TASK_RUN,
        bad={"spec.taskRef": GONE, "spec.taskSpec": changed(TASK, {"spec.steps[1].image": "x:1"})["spec"]},
        says="has no digest",
        good={"spec.taskRef": GONE, "spec.taskSpec": TASK["spec"]},
    ),
)


@pytest.mark.parametrize("document", [TASK_RUN, PIPELINE_RUN], ids=lambda each: each["kind"])
def test_what_is_broken_below_is_right(document: Node) -> None:
    assert list(problems(document, KNOWN)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found(case: Case) -> None:
    found = [str(problem) for problem in problems(changed(case.base, case.bad), KNOWN)]
    assert [problem for problem in found if case.says in problem], found


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=lambda case: case.name)
def test_what_only_looks_alike_is_not_found(case: Case) -> None:
    assert list(problems(changed(case.base, case.good), KNOWN)) == []
