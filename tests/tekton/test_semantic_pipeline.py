"""Every check of a Pipeline and of a run finds what is broken, and only that."""

import pytest
from tekton.changing import DIGEST, GONE, PIPELINE, PIPELINE_RUN, TASK, TASK_RUN, Case, changed
from tekton.semantic import Interface, Known, Node, Parameter, problems
from tekton.semantic.matrix import combinations

ONE, TWO, EACH, NAMED, GATE = *(f"spec.tasks[{place}]" for place in range(4)), "spec.finally[0]"
BUNDLE = f"quay.io/konflux-ci/tekton-catalog/task-init:0.2@sha256:{'b' * 64}"
KNOWN = Known(
    tasks={"greet": TASK},
    pipelines={"greetings": PIPELINE},
    catalogue={
        "init": Interface(
            params={"image-url": Parameter(type="string", required=True)},
            results={"build": "string", "at": "object"},
        )
    },
)
WHO = {"name": "who", "value": "x"}


def _bundle(**params: str) -> Node:
    given = {"name": "init", "bundle": BUNDLE, "kind": "task", **params}
    return {
        "name": "init",
        "taskRef": {
            "resolver": "bundles",
            "params": [{"name": name, "value": value} for name, value in given.items() if value],
        },
        "params": [{"name": "image-url", "value": "x"}],
    }


def _many(number: int) -> list[str]:
    return [f"p{place}" for place in range(number)]


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
    # what a task takes
    Case(
        name="a parameter that the task does not take",
        base=PIPELINE,
        bad={f"{TWO}.params[+]": {"name": "whom", "value": "x"}},
        says="no parameter 'whom' is taken",
    ),
    Case(
        name="a parameter that is not given",
        base=PIPELINE,
        bad={f"{TWO}.params[0]": GONE},
        says="the parameter 'tool-image' is not given",
        good={f"{TWO}.params[1]": GONE},
    ),
    Case(
        name="a parameter given twice",
        base=PIPELINE,
        bad={f"{TWO}.params[+]": WHO},
        says="the parameter 'who' is there twice",
    ),
    Case(
        name="a string to an array",
        base=PIPELINE,
        bad={f"{TWO}.params[2].value": "a b"},
        says="'others' is given string, the parameter is array",
        good={f"{TWO}.params[2].value": ["a b"]},
    ),
    Case(
        name="an array to a string",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(params.people[*])"},
        says="'who' is given array, the parameter is string",
        good={f"{TWO}.params[1].value": "$(params.people[0])"},
    ),
    Case(
        name="an array of results to a string",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.one.results.WORDS[*])"},
        says="'who' is given array, the parameter is string",
        good={f"{TWO}.params[1].value": "$(tasks.one.results.WORDS[0])"},
    ),
    Case(
        name="a string result to an array",
        base=PIPELINE,
        bad={f"{TWO}.params[2].value": "$(tasks.one.results.GREETING)"},
        says="'others' is given string, the parameter is array",
        good={f"{TWO}.params[2].value": "$(tasks.one.results.WORDS[*])"},
    ),
    Case(
        name="an array result without [*]",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.one.results.WORDS)"},
        says="the result 'WORDS' is an array",
    ),
    Case(
        name="a string result with [*]",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.one.results.GREETING[*])"},
        says="the result 'GREETING' is a string",
    ),
    Case(
        name="a key of a string result",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "$(tasks.one.results.GREETING.key)"},
        says="the result 'GREETING' is a string",
    ),
    Case(
        name="a list within a text",
        base=PIPELINE,
        bad={f"{TWO}.params[1].value": "to $(params.people[*])"},
        says="stands in a text",
        good={f"{TWO}.params[1].value": "to $(params.people[1])"},
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
    # workspaces
    Case(
        name="a workspace that is not bound",
        base=PIPELINE,
        bad={f"{TWO}.workspaces[0]": {"name": "cache", "workspace": "shared"}, f"{TWO}.workspaces[1]": GONE},
        says="the workspace 'source' is not bound",
    ),
    Case(
        name="a workspace that the task does not know",
        base=PIPELINE,
        bad={f"{TWO}.workspaces[1].name": "caches"},
        says="no workspace 'caches' to bind",
    ),
    Case(
        name="a workspace that the Pipeline does not have",
        base=PIPELINE,
        bad={f"{ONE}.workspaces[0].workspace": "share"},
        says="no workspace 'share'",
    ),
    Case(
        name="a workspace bound twice",
        base=PIPELINE,
        bad={f"{TWO}.workspaces[1].name": "source"},
        says="the workspace 'source' is there twice",
    ),
    Case(
        name="an optional workspace for one that is needed",
        base=PIPELINE,
        bad={f"{TWO}.workspaces[0].workspace": "fast"},
        says="the task needs 'source', which is optional",
        good={f"{TWO}.workspaces[1].workspace": "shared"},
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
    # matrix
    Case(
        name="a matrix that is too big",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].value": _many(257)},
        says="257 combinations",
        good={f"{EACH}.matrix.params[0].value": _many(256)},
    ),
    Case(
        name="a matrix that a default makes too big",
        base=PIPELINE,
        bad={"spec.params[1].default": _many(257)},
        says="257 combinations",
        good={"spec.params[1].default": _many(256)},
    ),
    Case(
        name="a product that is too big",
        base=PIPELINE,
        bad={
            f"{EACH}.matrix.params[0].value": _many(129),
            f"{EACH}.matrix.params[+]": {"name": "tool-image", "value": [DIGEST, DIGEST]},
            f"{EACH}.params": [],
        },
        says="258 combinations",
        good={
            f"{EACH}.matrix.params[0].value": _many(128),
            f"{EACH}.matrix.params[+]": {"name": "tool-image", "value": [DIGEST, DIGEST]},
            f"{EACH}.params": [],
        },
    ),
    Case(
        name="include on top of the limit",
        base=PIPELINE,
        bad={
            f"{EACH}.matrix.params[0].value": _many(256),
            f"{EACH}.matrix.include": [{"name": "more", "params": [{"name": "who", "value": "new"}]}],
        },
        says="257 combinations",
        good={
            f"{EACH}.matrix.params[0].value": _many(256),
            f"{EACH}.matrix.include": [{"name": "more", "params": [{"name": "who", "value": "p1"}]}],
        },
    ),
    Case(
        name="in params and in the matrix",
        base=PIPELINE,
        bad={f"{EACH}.params[+]": WHO},
        says="'who' is in params and in the matrix",
    ),
    Case(
        name="in params and in include",
        base=PIPELINE,
        bad={f"{NAMED}.params[+]": WHO},
        says="'who' is in params and in the matrix",
    ),
    Case(name="an empty matrix", base=PIPELINE, bad={f"{EACH}.matrix": {}}, says="the matrix is empty"),
    Case(
        name="a matrix over text",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].value": "$(params.people[0])"},
        says="'who' is fanned out and no array",
    ),
    Case(
        name="an array in include",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[0].params[0].value": ["x"]},
        says="'who' is no string",
    ),
    Case(
        name="a matrix over a parameter that the task does not take",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].name": "whom"},
        says="no parameter 'whom' is taken",
    ),
    Case(
        name="a matrix over an array parameter",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].name": "others"},
        says="'others' is given string, the parameter is array",
    ),
    Case(
        name="a parameter fanned out twice",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[+]": {"name": "who", "value": ["x"]}},
        says="the parameter 'who' is there twice",
    ),
    Case(
        name="a parameter twice in a combination",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[0].params[+]": WHO},
        says="the parameter 'who' is there twice",
    ),
    Case(
        name="a combination without a name",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[0].name": GONE},
        says="the combination has no name",
    ),
    Case(
        name="a combination twice",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[+]": {"name": "first", "params": [WHO]}},
        says="the combination 'first' is there twice",
        good={f"{NAMED}.matrix.include[+]": {"name": "second", "params": [WHO]}},
    ),
    Case(
        name="one result of a matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.each.results.GREETING)"},
        says="only [*] can be read",
    ),
    Case(
        name="one of the results of a matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.each.results.GREETING[0])"},
        says="only [*] can be read",
    ),
    Case(
        name="arrays of a matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[2].value": "$(tasks.each.results.WORDS[*])"},
        says="only strings are gathered",
        good={f"{GATE}.params[2].value": "$(tasks.each.results.GREETING[*])"},
    ),
    Case(
        name="results of a matrix to a string",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.each.results.GREETING[*])"},
        says="'who' is given array",
    ),
    Case(
        name="the length of no matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.one.matrix.length)"},
        says="'one' has no matrix",
        good={f"{GATE}.params[1].value": "$(tasks.each.matrix.length)"},
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
    # others' tasks
    Case(
        name="a bundle by tag",
        base=PIPELINE,
        bad={"spec.tasks[+]": _bundle(bundle="quay.io/konflux-ci/tekton-catalog/task-init:0.2")},
        says="has no digest",
        good={"spec.tasks[+]": _bundle()},
    ),
    Case(
        name="a bundle without a name",
        base=PIPELINE,
        bad={"spec.tasks[+]": _bundle(name="")},
        says="without name",
    ),
    Case(
        name="a bundle of a Pipeline",
        base=PIPELINE,
        bad={"spec.tasks[+]": _bundle(kind="pipeline")},
        says="kind is 'pipeline'",
    ),
    Case(
        name="a result that the catalogue's task does not give",
        base=PIPELINE,
        bad={
            "spec.tasks[+]": _bundle(),
            f"{ONE}.params[+]": {"name": "who", "value": "$(tasks.init.results.b)"},
        },
        says="'init' gives no result 'b'",
        good={
            "spec.tasks[+]": _bundle(),
            f"{ONE}.params[+]": {"name": "who", "value": "$(tasks.init.results.build)"},
        },
    ),
    Case(
        name="an object of the catalogue's task as text",
        base=PIPELINE,
        bad={
            "spec.tasks[+]": _bundle(),
            f"{ONE}.params[+]": {"name": "who", "value": "$(tasks.init.results.at)"},
        },
        says="the result 'at' is an object",
        good={
            "spec.tasks[+]": _bundle(),
            f"{ONE}.params[+]": {"name": "who", "value": "$(tasks.init.results.at.town)"},
        },
    ),
    Case(
        name="a parameter that the catalogue's task does not take",
        base=PIPELINE,
        bad={"spec.tasks[+]": {**_bundle(), "params": [{"name": "image", "value": "x"}]}},
        says="no parameter 'image' is taken",
    ),
    Case(
        name="a git revision that moves",
        base=PIPELINE,
        bad={
            f"{ONE}.taskRef": {
                "resolver": "git",
                "params": [
                    {"name": "pathInRepo", "value": "tekton/tasks/greet/greet.yaml"},
                    {"name": "revision", "value": "main"},
                ],
            }
        },
        says="the git revision is no commit",
        good={
            f"{ONE}.taskRef": {
                "resolver": "git",
                "params": [
                    {"name": "pathInRepo", "value": "tekton/tasks/greet/greet.yaml"},
                    {"name": "revision", "value": "c" * 40},
                ],
            }
        },
    ),
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
    Case(name="no name", base=TASK_RUN, bad={"metadata": {}}, says="neither a name nor"),
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


@pytest.mark.parametrize("document", [PIPELINE, TASK_RUN, PIPELINE_RUN], ids=lambda each: each["kind"])
def test_what_is_broken_below_is_right(document: Node) -> None:
    assert list(problems(document, KNOWN)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found(case: Case) -> None:
    found = [str(problem) for problem in problems(changed(case.base, case.bad), KNOWN)]
    assert [problem for problem in found if case.says in problem], found


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=lambda case: case.name)
def test_what_only_looks_alike_is_not_found(case: Case) -> None:
    assert list(problems(changed(case.base, case.good), KNOWN)) == []


@pytest.mark.parametrize(
    ("matrix", "count"),
    [
        ({"params": [{"name": "a", "value": ["1", "2"]}, {"name": "b", "value": ["1", "2", "3"]}]}, 6),
        ({"include": [{"name": "x", "params": []}, {"name": "y", "params": []}]}, 2),
        (
            {
                "params": [{"name": "a", "value": ["1", "2"]}],
                "include": [{"params": [{"name": "b", "value": "x"}]}],
            },
            2,
        ),
        (
            {
                "params": [{"name": "a", "value": ["1", "2"]}],
                "include": [{"params": [{"name": "a", "value": "2"}]}],
            },
            2,
        ),
        (
            {
                "params": [{"name": "a", "value": ["1", "2"]}],
                "include": [{"params": [{"name": "a", "value": "3"}]}],
            },
            3,
        ),
        ({"params": [{"name": "a", "value": "$(params.known[*])"}]}, 3),
        ({"params": [{"name": "a", "value": ["1", "$(params.known[*])"]}]}, 4),
        ({"params": [{"name": "a", "value": "$(params.unknown[*])"}]}, 1),
    ],
)
def test_a_matrix_makes_as_many_runs_as_tekton_says(matrix: Node, count: int) -> None:
    assert combinations(matrix, {"known": ["x", "y", "z"]}) == count
