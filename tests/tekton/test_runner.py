"""The runner's own rules, without podman: order, results, security, what it refuses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tekton.runner import RefusedError, Skipped, TaskOutcome, UnknownFieldError
from tekton.runner.durations import seconds
from tekton.runner.errors import NotStartedError
from tekton.runner.fields import known, spec_of
from tekton.runner.graph import check as check_graph
from tekton.runner.graph import parents, results_wanted
from tekton.runner.outcome import Ran
from tekton.runner.pipeline_values import MissingError, results_layer, status_layer
from tekton.runner.results import room
from tekton.runner.security import podman_options
from tekton.runner.step import inside, merged


def test_a_task_waits_for_those_it_runs_after_and_those_whose_results_it_names() -> None:
    task = {
        "name": "t",
        "runAfter": ["a"],
        "params": [{"name": "p", "value": ["$(tasks.b.results.R[*])", "$(params.q)"]}],
        "when": [{"input": "$(tasks.c.results.S)", "operator": "in", "values": ["$(tasks.d.results.T)"]}],
        "matrix": {"params": [{"name": "m", "value": "$(tasks.e.results.U[*])"}]},
    }

    assert parents(task) == {"a", "b", "c", "d", "e"}
    assert results_wanted(task) == {("b", "R"), ("c", "S"), ("d", "T"), ("e", "U")}


@pytest.mark.parametrize(
    ("tasks", "final"),
    [
        ([{"name": "a", "runAfter": ["b"]}, {"name": "b", "runAfter": ["a"]}], []),
        ([{"name": "a", "runAfter": ["nowhere"]}], []),
        ([{"name": "a"}], [{"name": "a"}]),
        ([{"name": "a"}], [{"name": "b", "runAfter": ["a"]}]),
        ([{"name": "a"}], [{"name": "b", "params": [{"name": "x", "value": "$(tasks.c.results.R)"}]}]),
    ],
)
def test_an_order_that_cannot_be_is_refused(tasks: list[dict[str, Any]], final: list[dict[str, Any]]) -> None:
    with pytest.raises(RefusedError):
        check_graph(tasks, final)


def ended(status: str = "Succeeded", **results: str) -> TaskOutcome:
    return TaskOutcome(status=status, results=results)


def test_results_of_a_matrix_are_in_the_order_of_names_as_text_and_without_those_that_lack_it() -> None:
    runs: list[TaskOutcome] = [ended(R=f"r{number}") for number in range(11)]
    runs[3] = ended("Failed")

    layer = results_layer({("m", "R")}, {"m": runs})

    assert layer == {"tasks.m.results.R": ["r0", "r1", "r10", "r2", "r4", "r5", "r6", "r7", "r8", "r9"]}


@pytest.mark.parametrize(
    "ran",
    [ended(), [ended("Failed"), ended("Failed")], Skipped(reason="when")],
    ids=["task", "matrix", "skipped"],
)
def test_a_result_that_nobody_wrote_is_missing(ran: Ran) -> None:
    with pytest.raises(MissingError):
        results_layer({("t", "R")}, {"t": ran})


@pytest.mark.parametrize(
    ("ran", "status"),
    [
        ({"a": ended(), "b": ended()}, "Succeeded"),
        ({"a": ended(), "b": ended("Failed")}, "Failed"),
        ({"a": ended(), "b": Skipped(reason="when")}, "Completed"),
        ({"a": Skipped(reason="when")}, "None"),
        ({"a": [ended(), ended("Failed")]}, "Failed"),
    ],
)
def test_the_status_of_all_tasks(ran: Mapping[str, Ran], status: str) -> None:
    assert status_layer(ran)["tasks.status"] == status


@pytest.mark.parametrize(
    ("steps", "bytes_left"),
    # 12 KiB for all containers, at most 4096 each; Tekton adds up to three of its own.
    [
        ([{"image": "i"}], 4096),
        ([{"script": "s"}], 4096),
        ([{"script": "s", "workingDir": "/w"}], 3072),
        ([{"script": "s", "workingDir": "/w"}] * 3, 2048),
    ],
)
def test_more_containers_leave_less_room_for_results(steps: list[dict[str, Any]], bytes_left: int) -> None:
    assert room(steps) == bytes_left


def test_a_step_template_is_merged_by_name() -> None:
    step = {
        "name": "s",
        "image": "own",
        "env": [{"name": "B", "value": "own"}, {"name": "C", "value": "own"}],
        "securityContext": {"capabilities": {"drop": ["X"]}},
    }
    template = {
        "image": "template",
        "imagePullPolicy": "Always",
        "env": [{"name": "A", "value": "template"}, {"name": "B", "value": "template"}],
        "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
    }

    found = merged(step, template)

    assert found["image"] == "own"
    assert {item["name"]: item["value"] for item in found["env"]} == {"A": "template", "B": "own", "C": "own"}
    assert found["securityContext"] == {"runAsNonRoot": True, "capabilities": {"drop": ["X"]}}


@pytest.mark.parametrize(
    ("context", "options"),
    [
        ({"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}},
         ["--cap-drop=ALL", "--security-opt=no-new-privileges"]),
        ({"readOnlyRootFilesystem": True},
         ["--cap-drop=ALL", "--read-only", "--read-only-tmpfs=false", "--security-opt=seccomp=unconfined"]),
        ({"runAsUser": 5}, ["--user=5", "--cap-drop=ALL", "--security-opt=seccomp=unconfined"]),
    ],
)  # fmt: skip
def test_a_security_context_as_options(context: dict[str, Any], options: list[str]) -> None:
    assert podman_options(context, user=None, image_user="1001") == options


@pytest.mark.parametrize(
    ("context", "user", "image_user"),
    [
        ({"runAsNonRoot": True}, None, ""),
        ({"runAsNonRoot": True}, None, "0:0"),
        ({"runAsNonRoot": True}, None, "default"),
        ({"runAsNonRoot": True, "runAsUser": 0}, 1000, "1001"),
    ],
)
def test_a_user_that_may_be_root_is_not_started(
    context: dict[str, Any], user: int | None, image_user: str
) -> None:
    with pytest.raises(NotStartedError):
        podman_options(context, user=user, image_user=image_user)


@pytest.mark.parametrize(
    "context", [{"privileged": True}, {"seLinuxOptions": {}}, {"capabilities": {"add": ["ALL"]}}]
)
def test_what_the_runner_does_not_carry_out_is_an_error(context: dict[str, Any]) -> None:
    with pytest.raises(UnknownFieldError):
        podman_options(context, user=None, image_user="1001")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("0", None),
        ("0h0m0s", None),
        (None, None),
    ],
)
def test_durations(text: str | None, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "90", "1d", "1h 30m", "h", "-1h", ".h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        seconds(text)


@pytest.mark.parametrize("sub", ["/abs", "..", "a/../../b"])
def test_a_sub_path_stays_below_its_volume(sub: str) -> None:
    with pytest.raises(RefusedError):
        inside(Path("/volume"), sub)


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ({"name": "s", "image": "i", "ref": {"name": "action"}}, "step"),
        ({"steps": [], "sidecars": []}, "task"),
        ({"name": "e", "valueFrom": {}}, "env"),
        ({"name": "v", "configMap": {}}, "volume"),
        ({"resolver": "bundles"}, "task ref"),
    ],
)
def test_a_field_that_the_runner_does_not_know_is_an_error(node: dict[str, Any], kind: str) -> None:
    with pytest.raises(UnknownFieldError):
        known(node, kind, "here")


def test_another_object_is_refused() -> None:
    with pytest.raises(RefusedError):
        spec_of(
            {"apiVersion": "tekton.dev/v1beta1", "kind": "Task", "metadata": {"name": "t"}, "spec": {}},
            "Task",
        )
