"""The two shapes of universal-image are one Pipeline: they differ in how files get from task to task."""

from tekton.semantic import Node
from tekton.sources import known

SUFFIX = "-oci-ta"
_NAMES = {
    "SOURCE_ARTIFACT",
    "CONTEXT_ARTIFACT",
    "PREFETCHED_ARTIFACT",
    "ociStorage",
    "ociArtifactExpiresAfter",
}


def _spec(name: str) -> Node:
    spec: Node = known().pipelines[name]["spec"]
    return spec


def _interface(spec: Node, kind: str) -> list[Node]:
    return [each for each in spec[kind] if each["name"] not in {"shared", "artifacts-expire-after"}]


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
