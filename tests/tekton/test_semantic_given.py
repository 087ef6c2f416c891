"""Every check of what a Pipeline gives its tasks, ours and others', finds what is broken, and only that."""

import pytest
from tekton.changing import GONE, KNOWN, PIPELINE, Case, changed
from tekton.semantic import Node, problems

ONE, TWO, EACH, NAMED, GATE = *(f"spec.tasks[{place}]" for place in range(4)), "spec.finally[0]"
BUNDLE = f"quay.io/konflux-ci/tekton-catalog/task-init:0.2@sha256:{'b' * 64}"
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


CASES = (
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
        good={f"{TWO}.workspaces[1]": {"name": "cache", "workspace": "shared", "subPath": "cache"}},
    ),
    Case(
        name="two workspaces in one folder",
        base=PIPELINE,
        bad={
            f"{TWO}.workspaces[0].subPath": "a",
            f"{TWO}.workspaces[1]": {"name": "cache", "workspace": "shared", "subPath": "./a/"},
        },
        says="the workspaces 'source' and 'cache' are one folder",
        good={
            f"{TWO}.workspaces[0].subPath": "a",
            f"{TWO}.workspaces[1]": {"name": "cache", "workspace": "shared", "subPath": "b"},
        },
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
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found(case: Case) -> None:
    found = [str(problem) for problem in problems(changed(case.base, case.bad), KNOWN)]
    assert [problem for problem in found if case.says in problem], found


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=lambda case: case.name)
def test_what_only_looks_alike_is_not_found(case: Case) -> None:
    assert list(problems(changed(case.base, case.good), KNOWN)) == []
