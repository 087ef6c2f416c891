"""The Pipelines pass on what their tasks take; the two shapes of universal-image are one Pipeline."""

from collections.abc import Iterator

import pytest
from tekton.semantic import Node
from tekton.semantic.model import interface, items
from tekton.sources import known

SUFFIX = "-oci-ta"
_NAMES = {
    "SOURCE_ARTIFACT",
    "CONTEXT_ARTIFACT",
    "PREFETCHED_ARTIFACT",
    "ociStorage",
    "ociArtifactExpiresAfter",
    "ta-image",
}
# What a Pipeline leaves to the default of its tasks, by the Task and its parameter.
_LEFT = {
    ("factory-clone", "depth"): "one commit is all that a run needs",
    ("factory-clone-oci-ta", "depth"): "one commit is all that a run needs",
    ("factory-gate", "image"): "only the gate before the build looks at the place to push",
}


def _spec(name: str) -> Node:
    spec: Node = known().pipelines[name]["spec"]
    return spec


def _interface(spec: Node, kind: str) -> list[Node]:
    return [
        each for each in spec[kind] if each["name"] not in {"shared", "artifacts-expire-after", "ta-image"}
    ]


def _task(task: Node) -> Node:
    """A task without what hands on files; runAfter is compared as what comes before it."""
    return {
        **{key: value for key, value in task.items() if key not in {"runAfter", "workspaces"}},
        "taskRef": {**task["taskRef"], "name": task["taskRef"]["name"].removesuffix(SUFFIX)},
        "params": [each for each in task["params"] if each["name"] not in _NAMES],
        "logins": [each for each in task.get("workspaces", []) if each["workspace"] != "shared"],
    }


def _before(spec: Node) -> dict[str, set[str]]:
    """The tasks that have to be done before each, by order or by result, all the way back."""
    found: dict[str, set[str]] = {}
    names = [task["name"] for task in spec["tasks"]]
    for task in spec["tasks"]:
        text = str(task["params"])
        direct = {*task.get("runAfter", []), *(name for name in names if f"$(tasks.{name}." in text)}
        found[task["name"]] = direct.union(*(found[name] for name in direct))
    return found


def test_both_have_the_same_tasks_in_the_same_order() -> None:
    plain, trusted = _spec("universal-image"), _spec(f"universal-image{SUFFIX}")
    assert [_task(task) for task in plain["tasks"]] == [_task(task) for task in trusted["tasks"]]
    assert _before(plain) == _before(trusted)


def test_both_take_and_give_the_same() -> None:
    plain, trusted = _spec("universal-image"), _spec(f"universal-image{SUFFIX}")
    assert _interface(plain, "params") == _interface(trusted, "params")
    assert plain["results"] == trusted["results"]
    assert [each["name"] for each in _interface(plain, "workspaces")] == [
        each["name"] for each in trusted["workspaces"]
    ]


def test_nothing_costly_starts_before_the_first_gate() -> None:
    before = _before(_spec("universal-image"))
    for costly in ("strip", "prefetch", "build", "image-test", "gate"):
        assert "gate-source" in before[costly]
    assert before["gate-source"] == {"clone", "check", "lock-verify"}


def _calls(pipeline: str) -> Iterator[tuple[Node, str]]:
    """The tasks of a Pipeline that are Tasks of ours or of the catalogue, each with the Task's name."""
    spec = _spec(pipeline)
    for task in (*items(spec, "tasks"), *items(spec, "finally")):
        reference = task["taskRef"]
        yield (
            task,
            reference.get("name")
            or next(each["value"] for each in reference["params"] if each["name"] == "name"),
        )


def _passed(task: Node) -> set[str]:
    return {each["name"] for each in (*items(task, "params"), *items(task.get("matrix") or {}, "params"))}


def _one_spelling(name: str) -> str:
    return name.lower().replace("_", "-")


@pytest.mark.parametrize("pipeline", sorted(known().pipelines))
def test_a_parameter_that_a_pipeline_and_its_task_have_is_passed_on(pipeline: str) -> None:
    own = {_one_spelling(each["name"]) for each in _spec(pipeline)["params"]}
    missing = []
    for task, name in _calls(pipeline):
        takes = (
            interface(known().tasks[name]["spec"]) if name in known().tasks else known().catalogue[name]
        ).params
        missing += [
            (task["name"], parameter)
            for parameter in takes
            if _one_spelling(parameter) in own and (name, parameter) not in _LEFT
            if parameter not in _passed(task)
        ]
    assert missing == []


@pytest.mark.parametrize("pipeline", sorted(known().pipelines))
def test_a_pipeline_offers_every_parameter_and_login_of_our_tasks(pipeline: str) -> None:
    """What only a Task takes can be set by nobody who runs the Pipeline."""
    missing = []
    for task, name in _calls(pipeline):
        if name not in known().tasks:
            continue
        takes = interface(known().tasks[name]["spec"])
        bound = {each["name"] for each in items(task, "workspaces")}
        missing += [
            (task["name"], each)
            for each in takes.params
            if (name, each) not in _LEFT and each not in _passed(task)
        ]
        missing += [(task["name"], each) for each in takes.workspaces if each not in bound]
    assert missing == []


def test_every_parameter_that_is_left_out_is_there_to_be_left_out() -> None:
    for task, parameter in _LEFT:
        assert parameter in interface(known().tasks[task]["spec"]).params


@pytest.mark.parametrize("pipeline", sorted(known().pipelines))
def test_a_pipeline_and_its_tasks_have_the_same_defaults(pipeline: str) -> None:
    own = {each["name"]: each.get("default") for each in _spec(pipeline)["params"]}
    other = []
    for task, name in _calls(pipeline):
        if name in known().tasks:
            passed = {each["name"]: each["value"] for each in items(task, "params")}
            other += [
                (task["name"], each["name"])
                for each in known().tasks[name]["spec"]["params"]
                if "default" in each and own.get(each["name"]) is not None
                if passed.get(each["name"]) == f"$(params.{each['name']})"
                and own[each["name"]] != each["default"]
            ]
    assert other == []
