"""Hostile values in whole TaskRuns, as a cluster runs them: nothing runs, and the Task says what is wrong.

test_injection.py holds the long table; these few come through everything that Tekton substitutes.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.clean_flavor import NAME, make_flavor, make_repository
from tekton.runner import Cluster, TaskOutcome, run_task
from tekton.sources import known

pytestmark = pytest.mark.tekton

FLAVORS = (
    # Every way in at once; the mark is a file in a workspace, which is there on this machine as well.
    "'\"; touch /workspace/source/ran; $(touch /workspace/source/ran) `touch /workspace/source/ran`\n{{ x }}",
    "--help",
)


def _run(
    task: str, folder: Path, cluster: Cluster, factory_image: str, params: Mapping[str, object]
) -> TaskOutcome:
    spec = known().tasks[task]
    repository = make_repository(folder / "source")
    make_flavor(repository)
    workspaces = {
        each["name"]: folder / each["name"]
        for each in spec["spec"].get("workspaces", ())
        if not each.get("optional")
    }
    for path in workspaces.values():
        path.mkdir(exist_ok=True)
    outcome = run_task(
        spec, params={"factory-image": factory_image, **params}, workspaces=workspaces, cluster=cluster
    )
    assert not list(folder.rglob("ran"))
    assert "Traceback" not in outcome.log
    return outcome


@pytest.mark.parametrize("value", FLAVORS)
@pytest.mark.parametrize("task", ["factory-check", "factory-lock-verify"])
def test_a_check_of_a_hostile_flavor_reports_an_error(
    task: str, value: str, tmp_path: Path, cluster: Cluster, factory_image: str
) -> None:
    outcome = _run(task, tmp_path, cluster, factory_image, {"flavor": value})
    assert outcome.succeeded, outcome.log
    assert json.loads(str(outcome.results["TEST_OUTPUT"]))["result"] == "ERROR"


@pytest.mark.parametrize("value", FLAVORS[:1])
@pytest.mark.parametrize("task", ["factory-strip", "factory-prefetch"])
def test_a_hostile_flavor_fails_and_writes_nothing(
    task: str, value: str, tmp_path: Path, cluster: Cluster, factory_image: str
) -> None:
    outcome = _run(task, tmp_path, cluster, factory_image, {"flavor": value})
    assert not outcome.succeeded
    assert "error:" in outcome.log
    assert not outcome.results
    written = tmp_path / ("context" if task == "factory-strip" else "prefetched")
    assert not list(written.iterdir())


def test_a_flavor_that_is_not_hostile_is_checked(
    tmp_path: Path, cluster: Cluster, factory_image: str
) -> None:
    outcome = _run("factory-check", tmp_path, cluster, factory_image, {"flavor": NAME})
    assert outcome.succeeded, outcome.log
    assert json.loads(str(outcome.results["TEST_OUTPUT"]))["result"] != "ERROR"
