"""The runner, with podman: how steps, TaskRuns and PipelineRuns end, by Tekton's documentation."""

import time

import pytest
from tekton.runner import Cluster, RefusedError, Run, run_pipeline, run_task
from tekton.tried import script, task

pytestmark = pytest.mark.tekton


def test_a_failing_step_stops_the_rest_and_results_written_before_it_stay(
    node: Cluster, factory_image: str
) -> None:
    tried = task(
        script("printf x >$(results.early.path); exit 3", name="breaks"),
        script("printf x >$(results.late.path)", name="after"),
        results=[{"name": "early"}, {"name": "late"}],
    )

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert (outcome.status, outcome.results) == ("Failed", {"early": "x"})
    assert [(step.status, step.exit_code) for step in outcome.steps.values()] == [
        ("Failed", 3),
        ("Skipped", None),
    ]


def test_a_step_that_may_fail_leaves_its_exit_code(node: Cluster, factory_image: str) -> None:
    tried = task(
        script("exit 7", name="breaks", onError="continue"),
        script("exit 0", name="works"),
        script(
            "cat $(steps.step-breaks.exitCode.path) $(steps.step-works.exitCode.path) >$(results.codes.path)",
            name="reads",
        ),
        results=[{"name": "codes"}],
    )

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert (outcome.status, outcome.results) == ("Succeeded", {"codes": "70"})


@pytest.mark.parametrize(
    ("ends", "code"),
    # The entrypointer's strconv.Itoa(ExitCode()): -1 is Go's word for a signal; a shell's 137 is a code.
    [
        ("kill -KILL $$", "-1"),
        ("kill -TERM $$", "-1"),
        ("bash -c 'kill -KILL $$'", "137"),
        ("exit 143", "143"),
    ],
)
def test_a_step_that_a_signal_ended_leaves_minus_one(
    node: Cluster, factory_image: str, ends: str, code: str
) -> None:
    tried = task(
        script(ends, name="ends", onError="continue"),
        script("cp $(steps.step-ends.exitCode.path) $(results.code.path)"),
        results=[{"name": "code"}],
    )

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert (outcome.status, outcome.results) == ("Succeeded", {"code": code}), outcome.log


def test_a_signal_that_ends_the_task_is_told_as_exit_code_255(node: Cluster, factory_image: str) -> None:
    tried = task(script("kill -KILL $$", name="ends"))

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert (outcome.status, outcome.steps["ends"].exit_code) == ("Failed", 255), outcome.log


def test_what_a_step_says_does_not_make_it_one_that_never_started(node: Cluster, factory_image: str) -> None:
    tried = task(
        script("echo 'Error: crun: executable file not found'; exit 127", name="says", onError="continue"),
        script("true", name="after"),
    )

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert outcome.succeeded, outcome.log
    assert outcome.steps["says"].exit_code == 127


def test_what_cannot_be_started_fails_the_task_whatever_on_error_says(
    node: Cluster, factory_image: str
) -> None:
    tried = task(
        {"name": "missing", "command": ["/no/such/program"], "onError": "continue"},
        script("true", name="after"),
    )

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert outcome.status == "Failed", outcome.log
    assert outcome.steps["after"].status == "Skipped"


def test_a_step_that_takes_too_long_fails_the_task(node: Cluster, factory_image: str) -> None:
    tried = task(script("sleep 60", name="slow", timeout="1s", onError="continue"))

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert (outcome.status, outcome.steps["slow"].reason) == ("Failed", "TimeoutExceeded")


def test_a_task_that_takes_too_long_fails(node: Cluster, factory_image: str) -> None:
    tried = task(script("sleep 60", name="slow"), script("true"))

    outcome = run_task(
        tried, params={"image": factory_image}, workspaces={}, cluster=node, run=Run(timeout=1.0)
    )

    assert (outcome.status, outcome.reason) == ("Failed", "TaskRunTimeout")


def test_an_image_that_is_not_to_be_had_fails_the_task(node: Cluster) -> None:
    tried = task(script("true"))

    outcome = run_task(
        tried, params={"image": "registry.example.com/none@sha256:00"}, workspaces={}, cluster=node
    )

    assert outcome.reason.startswith("step unnamed-0: ImagePullBackOff"), outcome.log


def test_what_runs_beside_a_refused_task_is_ended(node: Cluster, factory_image: str) -> None:
    slow = task(script("sleep 120", onError="continue"), script("sleep 120"))
    wrong = task(script("echo $(params.nowhere)"))
    image = [{"name": "image", "value": factory_image}]
    pipeline = {
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": "tried"},
        "spec": {
            "tasks": [
                {"name": "wrong", "taskSpec": wrong["spec"], "params": image, "runAfter": ["first"]},
                {
                    "name": "slow",
                    "taskSpec": slow["spec"],
                    "params": image,
                    "retries": 3,
                    "runAfter": ["first"],
                },
                {"name": "first", "taskSpec": task(script("true"))["spec"], "params": image},
            ]
        },
    }

    started = time.monotonic()

    with pytest.raises(RefusedError):
        run_pipeline(pipeline, params={}, workspaces={}, cluster=node)

    # Not a test of speed: two minutes is what a container that goes on would take.
    assert time.monotonic() - started < 120
