"""Every check of what a Task declares and refers to finds what is broken, and only that."""

import pytest
from tekton.changing import GONE, TASK, Case, changed
from tekton.semantic import problems

FIRST, SECOND = "spec.steps[0]", "spec.steps[1]"
START = "#!/usr/bin/env bash\nset -euo pipefail\n"
KEEP = 'cat "$(results.GREETING.path)" "$(workspaces.source.path)"\n'
OBJECT = {
    "name": "place",
    "description": "Where.",
    "type": "object",
    "properties": {"town": {"type": "string"}},
    "default": {"town": "x"},
}
PARAMETER = {"name": "more", "description": "More.", "type": "string", "default": ""}


def _script(line: str) -> str:
    return f"{START}{KEEP}{line}\n"


CASES = (
    # names
    Case(
        name="a label's value",
        base=TASK,
        bad={"metadata.labels.x": "a b"},
        says="no label's value",
        good={"metadata.labels.x": "a_b.c-1"},
    ),
    Case(
        name="no version",
        base=TASK,
        bad={"metadata.labels": {"x": "y"}},
        says="app.kubernetes.io/version is missing",
    ),
    Case(
        name="no tags",
        base=TASK,
        bad={"metadata.annotations": {"tekton.dev/pipelines.minVersion": "0.56.0"}},
        says="tags is missing",
    ),
    Case(name="no description", base=TASK, bad={"spec.description": ""}, says="no description"),
    Case(
        name="a parameter nobody describes",
        base=TASK,
        bad={"spec.params[1].description": GONE},
        says="'who' has no description",
    ),
    Case(name="a step's name", base=TASK, bad={f"{SECOND}.name": "Second"}, says="step name 'Second'"),
    Case(
        name="a parameter's name",
        base=TASK,
        bad={"spec.params[+]": {**PARAMETER, "name": "a.b"}, f"{SECOND}.args": ["$(params['a.b'])"]},
        says="the parameter 'a.b' is not letters",
        good={"spec.params[+]": PARAMETER, f"{SECOND}.args": ["$(params['more'])"]},
    ),
    # twice
    Case(name="a step twice", base=TASK, bad={f"{SECOND}.name": "first"}, says="'first'"),
    Case(
        name="a parameter twice",
        base=TASK,
        bad={"spec.params[+]": {**PARAMETER, "name": "who"}},
        says="the parameter 'who' is there twice",
    ),
    Case(
        name="a result twice",
        base=TASK,
        bad={"spec.results[+]": {"name": "WORDS", "description": "x", "type": "array"}},
        says="the result 'WORDS' is there twice",
    ),
    Case(
        name="a workspace twice",
        base=TASK,
        bad={"spec.workspaces[+]": {"name": "cache", "description": "x", "optional": True}},
        says="the workspace 'cache' is there twice",
    ),
    Case(
        name="a volume twice",
        base=TASK,
        bad={"spec.volumes[+]": {"name": "shared", "emptyDir": {}}},
        says="the volume 'shared' is there twice",
    ),
    Case(
        name="a variable twice",
        base=TASK,
        bad={f"{SECOND}.env[+]": {"name": "RUN", "value": "x"}},
        says="the variable 'RUN' is there twice",
        good={f"{SECOND}.env[+]": {"name": "WHO", "value": "another than the template's"}},
    ),
    # declarations
    Case(name="no type", base=TASK, bad={"spec.params[1].type": GONE}, says="has no type"),
    Case(
        name="a default of another type",
        base=TASK,
        bad={"spec.params[2].default": "x"},
        says="the default is a string, the parameter is array",
        good={"spec.params[2].default": ["x"]},
    ),
    Case(
        name="a reference in a default",
        base=TASK,
        bad={"spec.params[1].default": "$(params.tool-image)"},
        says="in a default stays as it is",
        good={"spec.params[1].default": "$HOME"},
    ),
    # references
    Case(
        name="an undeclared parameter",
        base=TASK,
        bad={"spec.stepTemplate.env[+]": {"name": "X", "value": "$(params.whom)"}},
        says="no parameter 'whom'",
        good={"spec.stepTemplate.env[+]": {"name": "X", "value": "$(params.who)"}},
    ),
    Case(
        name="an undeclared parameter in args",
        base=TASK,
        bad={f"{SECOND}.args": ["$(params.whom)"]},
        says="no parameter 'whom'",
        good={f"{SECOND}.args": ["$(params.who)"]},
    ),
    Case(
        name="an undeclared parameter as image",
        base=TASK,
        bad={f"{SECOND}.image": "$(params.image)"},
        says="no parameter 'image'",
        good={f"{SECOND}.image": "$(params.tool-image)"},
    ),
    Case(
        name="an undeclared result",
        base=TASK,
        bad={f"{SECOND}.script": _script('> "$(results.WORD.path)" > "$(results.WORDS.path)"')},
        says="no result 'WORD'",
        good={f"{SECOND}.script": _script('> "$(results.WORDS.path)"')},
    ),
    Case(
        name="an undeclared workspace",
        base=TASK,
        bad={f"{SECOND}.workingDir": "$(workspaces.sources.path)"},
        says="no workspace 'sources'",
        good={f"{SECOND}.workingDir": "$(workspaces.source.path)"},
    ),
    Case(
        name="something else of a workspace",
        base=TASK,
        bad={f"{SECOND}.workingDir": "$(workspaces.source.folder)"},
        says="has path, bound, claim and volume",
    ),
    Case(
        name="an undeclared volume",
        base=TASK,
        bad={f"{SECOND}.volumeMounts[0].name": "other"},
        says="no volume 'other'",
    ),
    Case(
        name="a misspelt root",
        base=TASK,
        bad={f"{SECOND}.workingDir": "$(workspace.source.path)"},
        says="no variable of a Task",
    ),
    Case(
        name="a misspelt root in a script",
        base=TASK,
        bad={f"{FIRST}.script": _script('cat "$(result.GREETING.path)"')},
        says="$(result.GREETING.path)",
        good={f"{FIRST}.script": _script('cat "$(basename -- "$PWD")" "$(pwd)"')},
    ),
    Case(
        name="another task's result",
        base=TASK,
        bad={f"{SECOND}.env[0].value": "$(tasks.a.results.B) $(workspaces.cache.bound)"},
        says="no variable of a Task",
    ),
    Case(
        name="a later step's exit code",
        base=TASK,
        bad={f"{FIRST}.script": _script('cat "$(steps.step-second.exitCode.path)"')},
        says="no step before this one",
        good={f"{FIRST}.script": _script("true")},
    ),
    Case(
        name="an exit code without step-",
        base=TASK,
        bad={f"{SECOND}.script": _script('cat "$(steps.first.exitCode.path)" "$(results.WORDS.path)"')},
        says="no step before this one",
        good={f"{SECOND}.script": _script('cat "$(steps.step-first.exitCode.path)" "$(results.WORDS.path)"')},
    ),
    Case(
        name="a step's result that is not declared",
        base=TASK,
        bad={f"{SECOND}.env[0].value": "$(steps.first.results.SAID) $(workspaces.cache.bound)"},
        says="no step before this one gives",
        good={
            f"{FIRST}.results": [{"name": "SAID"}],
            f"{FIRST}.script": _script('> "$(step.results.SAID.path)"'),
            f"{SECOND}.env[0].value": "$(steps.first.results.SAID) $(workspaces.cache.bound)",
        },
    ),
    Case(
        name="a result of its own that the step does not declare",
        base=TASK,
        bad={f"{FIRST}.script": _script('> "$(step.results.SAID.path)"')},
        says="the step declares no such result",
    ),
    Case(
        name="no context of a Task",
        base=TASK,
        bad={f"{SECOND}.env[1].value": "$(context.pipelineRun.name)"},
        says="not in the context of a Task",
        good={f"{SECOND}.env[1].value": "$(context.task.name)"},
    ),
    Case(
        name="a reference where Tekton does not substitute",
        base=TASK,
        bad={f"{SECOND}.timeout": "$(params.who)"},
        says="stays as it is",
        good={f"{SECOND}.timeout": "1h"},
    ),
    Case(
        name="a workspace's place from a caller",
        base=TASK,
        bad={"spec.workspaces[0].mountPath": "/a/$(params.who)"},
        says="stays as it is",
        good={"spec.workspaces[0].mountPath": "/a"},
    ),
    # lists
    Case(
        name="an array as text",
        base=TASK,
        bad={f"{SECOND}.args": ["$(params.others)"]},
        says="is an array",
        good={f"{SECOND}.args": ["$(params.others[*])"]},
    ),
    Case(
        name="an array within a text",
        base=TASK,
        bad={f"{SECOND}.args": ["--x=$(params.others[*])"]},
        says="stands alone",
        good={f"{SECOND}.args": ["--x=$(params.others[0])"]},
    ),
    Case(
        name="an array in the environment",
        base=TASK,
        bad={f"{SECOND}.env[1].value": "$(params.others[*])"},
        says="stands alone",
        good={f"{SECOND}.env[1].value": "$(params.others[0])"},
    ),
    Case(
        name="a string as a list",
        base=TASK,
        bad={f"{SECOND}.args": ["$(params.who[*])"]},
        says="'who' is a string",
    ),
    Case(
        name="an index into a string",
        base=TASK,
        bad={f"{SECOND}.args": ["$(params.who[0])"]},
        says="'who' is a string",
    ),
    Case(
        name="a key of a string",
        base=TASK,
        bad={f"{SECOND}.args": ["$(params.who.name)"]},
        says="'who' is a string",
    ),
    Case(
        name="an index that is none",
        base=TASK,
        bad={f"{SECOND}.args": ["$(params.others[x])"]},
        says="not a number",
    ),
    Case(
        name="an object as text",
        base=TASK,
        bad={"spec.params[+]": OBJECT, f"{SECOND}.args": ["$(params.place)"]},
        says="'place' is an object",
        good={"spec.params[+]": OBJECT, f"{SECOND}.args": ["$(params.place.town)"]},
    ),
    # for nothing
    Case(
        name="a parameter for nothing",
        base=TASK,
        bad={"spec.params[+]": PARAMETER},
        says="the parameter 'more' is never used",
        good={"spec.params[+]": PARAMETER, f"{SECOND}.args": ["$(params.more)"]},
    ),
    Case(
        name="a result that nobody writes",
        base=TASK,
        bad={"spec.results[+]": {"name": "MORE", "description": "x", "type": "string"}},
        says="the result 'MORE' is never used",
        good={
            "spec.results[+]": {
                "name": "MORE",
                "description": "x",
                "type": "string",
                "value": "$(steps.first.results.SAID)",
            },
            f"{FIRST}.results": [{"name": "SAID"}],
        },
    ),
    Case(
        name="a workspace for nothing",
        base=TASK,
        bad={"spec.workspaces[+]": {"name": "more", "description": "x"}},
        says="the workspace 'more' is never used",
        good={
            "spec.workspaces[+]": {"name": "more", "description": "x"},
            f"{FIRST}.workspaces": [{"name": "more"}],
        },
    ),
    Case(
        name="an undeclared workspace of a step",
        base=TASK,
        bad={f"{FIRST}.workspaces": [{"name": "more"}]},
        says="no workspace 'more'",
        good={f"{FIRST}.workspaces": [{"name": "cache"}]},
    ),
    Case(
        name="a volume for nothing",
        base=TASK,
        bad={"spec.volumes[+]": {"name": "more", "emptyDir": {}}},
        says="the volume 'more' is mounted nowhere",
    ),
)


def test_the_task_that_is_broken_below_is_right() -> None:
    assert list(problems(TASK)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found(case: Case) -> None:
    found = [str(problem) for problem in problems(changed(case.base, case.bad))]
    assert [problem for problem in found if case.says in problem], found


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=lambda case: case.name)
def test_what_only_looks_alike_is_not_found(case: Case) -> None:
    assert list(problems(changed(case.base, case.good))) == []
