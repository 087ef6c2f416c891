"""Every check of a Pipeline finds what is broken, and only that: names, references, order, limits."""

import pytest
from tekton.changing import GONE, KNOWN, PIPELINE, TASK, Case, changed
from tekton.semantic import problems

ONE, TWO, EACH, NAMED, GATE = *(f"spec.tasks[{place}]" for place in range(4)), "spec.finally[0]"

CASES = (
    Case(
        name="no version",
        base=PIPELINE,
        bad={"metadata.labels": {}},
        says="app.kubernetes.io/version is missing",
    ),
    Case(
        name="a parameter declared twice",
        base=PIPELINE,
        bad={"spec.params[+]": {"name": "people", "description": "x", "type": "array", "default": []}},
        says="the parameter 'people' is there twice",
    ),
    Case(
        name="a kind that is not checked",
        base=PIPELINE,
        bad={"kind": "StepAction"},
        says="nothing here knows how to check a StepAction",
    ),
    Case(name="a task's name", base=PIPELINE, bad={f"{EACH}.name": "Each"}, says="the task 'Each'"),
    Case(name="a long task's name", base=PIPELINE, bad={f"{NAMED}.name": "n" * 64}, says="more than 63"),
    Case(name="a task twice", base=PIPELINE, bad={f"{NAMED}.name": "two"}, says="the task 'two' is there"),
    Case(
        name="a task in finally as well",
        base=PIPELINE,
        bad={f"{GATE}.name": "two"},
        says="the task 'two' is there",
    ),
    Case(
        name="an unknown task",
        base=PIPELINE,
        bad={f"{NAMED}.taskRef.name": "greets"},
        says="there is no task 'greets'",
    ),
    Case(
        name="neither taskRef nor taskSpec",
        base=PIPELINE,
        bad={f"{NAMED}.taskRef": GONE},
        says="either taskRef or taskSpec",
    ),
    Case(
        name="both taskRef and taskSpec",
        base=PIPELINE,
        bad={f"{NAMED}.taskSpec": TASK["spec"]},
        says="either taskRef or taskSpec",
        good={f"{NAMED}.taskSpec": TASK["spec"], f"{NAMED}.taskRef": GONE},
    ),
    Case(
        name="an embedded task that is broken",
        base=PIPELINE,
        bad={
            f"{NAMED}.taskRef": GONE,
            f"{NAMED}.taskSpec": changed(TASK, {"spec.steps[1].args": ["$(params.nobody)"]})["spec"],
        },
        says="no parameter 'nobody'",
    ),
    # references
    Case(
        name="an undeclared parameter",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(params.person)"},
        says="no parameter 'person'",
        good={f"{TWO}.params[1].value": "$(params.tool-image)"},
    ),
    Case(
        name="an undeclared parameter in when",
        base=PIPELINE,
        bad={f"{EACH}.when[0].values": ["$(params.person)"]},
        says="no parameter 'person'",
        good={f"{EACH}.when[0].values": ["$(params.people[*])"]},
    ),
    Case(
        name="an undeclared parameter in a matrix",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].value": ["$(params.person)"]},
        says="no parameter 'person'",
        good={f"{EACH}.matrix.params[0].value": ["$(params.people[0])"]},
    ),
    Case(
        name="an undeclared parameter in include",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[0].params[0].value": "$(params.person)"},
        says="no parameter 'person'",
    ),
    Case(
        name="a result of no task",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.first.results.GREETING)"},
        says="there is no task 'first'",
    ),
    Case(
        name="a result that the task does not give",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.one.results.GREETINGS)"},
        says="'one' gives no result 'GREETINGS'",
    ),
    Case(
        name="something else of a task",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.one.result.GREETING)"},
        says="of a task there are results",
    ),
    Case(
        name="a result of finally in finally",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(finally.gate.results.GREETING)"},
        says="no variable of a Pipeline",
    ),
    Case(
        name="a status before finally",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.one.status)"},
        says="known in finally only",
        good={f"{GATE}.params[1].value": "$(tasks.status)"},
    ),
    Case(
        name="a status of no task",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.first.status)"},
        says="there is no task 'first'",
    ),
    Case(
        name="no context of a Pipeline",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(context.taskRun.name)"},
        says="not in the context of a Pipeline",
        good={f"{TWO}.params[1].value": "$(context.pipelineRun.name)"},
    ),
    Case(
        name="a path of a workspace",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(workspaces.shared.path)"},
        says="there is only .bound",
        good={f"{TWO}.params[1].value": "$(workspaces.shared.bound)"},
    ),
    Case(
        name="a path of a Task's result",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(results.GREETING.path)"},
        says="no variable of a Pipeline",
    ),
    Case(
        name="a reference where Tekton does not substitute",
        base=PIPELINE,
        bad={f"{TWO}.timeout": "$(params.people[0])"},
        says="stays as it is",
        good={f"{TWO}.timeout": "1h"},
    ),
    # limits
    Case(
        name="a timeout without a unit",
        base=PIPELINE,
        bad={f"{TWO}.timeout": "15"},
        says="'15' is no duration",
        good={f"{TWO}.timeout": "15m"},
    ),
    Case(
        name="a timeout below zero",
        base=PIPELINE,
        bad={f"{GATE}.timeout": "-1h"},
        says="'-1h' is below zero",
        good={f"{GATE}.timeout": "0"},
    ),
    Case(
        name="retries below none",
        base=PIPELINE,
        bad={f"{TWO}.retries": -1},
        says="less than none",
        good={f"{TWO}.retries": 0},
    ),
    Case(
        name="a condition without values",
        base=PIPELINE,
        bad={f"{EACH}.when[0].values": []},
        says="the condition has no values",
        good={f"{EACH}.when[0]": {"cel": "'a' == 'a'"}},
    ),
    # order
    Case(
        name="after no task",
        base=PIPELINE,
        bad={f"{EACH}.runAfter": ["too"]},
        says="no task 'too' to wait for",
        good={f"{EACH}.runAfter": ["one", "two"]},
    ),
    Case(
        name="after a task of finally",
        base=PIPELINE,
        bad={f"{EACH}.runAfter": ["gate"]},
        says="no task 'gate' to wait for",
    ),
    Case(name="after itself", base=PIPELINE, bad={f"{ONE}.runAfter": ["one"]}, says="wait for each other"),
    Case(
        name="a cycle by runAfter and a result",
        base=PIPELINE,
        bad={f"{ONE}.runAfter": ["each"]},
        says="wait for each other",
        good={f"{NAMED}.runAfter": ["each"]},
    ),
    Case(
        name="a cycle by results alone",
        base=PIPELINE,
        bad={f"{ONE}.params[+]": {"name": "who", "value": "$(tasks.two.results.GREETING)"}},
        says="wait for each other",
    ),
    Case(
        name="a cycle by when",
        base=PIPELINE,
        bad={f"{ONE}.when": [{"input": "$(tasks.two.results.GREETING)", "operator": "in", "values": ["x"]}]},
        says="wait for each other",
    ),
    Case(
        name="runAfter in finally", base=PIPELINE, bad={f"{GATE}.runAfter": ["one"]}, says="have no runAfter"
    ),
    # results of the Pipeline
    Case(
        name="a Pipeline's result that no task gives",
        base=PIPELINE,
        bad={"spec.results[0].value": "$(tasks.one.results.GREETINGS)"},
        says="gives no result 'GREETINGS'",
        good={"spec.results[0].value": "$(finally.gate.results.GREETING)"},
    ),
    Case(
        name="a Pipeline's result that is none",
        base=PIPELINE,
        bad={"spec.results[0].value": "$(params.tool-image)"},
        says="no result of a task",
    ),
    Case(
        name="a Pipeline's result of another type",
        base=PIPELINE,
        bad={"spec.results[1].type": "string"},
        says="the value is a array, the result 'WORDS' a string",
    ),
    # for nothing
    Case(
        name="a parameter for nothing",
        base=PIPELINE,
        bad={"spec.params[+]": {"name": "more", "description": "x", "type": "string"}},
        says="the parameter 'more' is never used",
    ),
    Case(
        name="a workspace for nothing",
        base=PIPELINE,
        bad={"spec.workspaces[+]": {"name": "more", "description": "x"}},
        says="the workspace 'more' is never used",
    ),
)


def test_the_pipeline_that_is_broken_below_is_right() -> None:
    assert list(problems(PIPELINE, KNOWN)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found(case: Case) -> None:
    found = [str(problem) for problem in problems(changed(case.base, case.bad), KNOWN)]
    assert [problem for problem in found if case.says in problem], found


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=lambda case: case.name)
def test_what_only_looks_alike_is_not_found(case: Case) -> None:
    assert list(problems(changed(case.base, case.good), KNOWN)) == []
