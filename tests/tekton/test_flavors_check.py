"""The Pipeline flavors-check: one flavor that is not well is told, and hides none of the others."""

import copy

import pytest
import yaml
from support.index_server import Fault
from support.pipeline_site import HUBS, Site
from tekton.bench import Bench, ran, task_run, told
from tekton.runner import PipelineOutcome, RefusedError
from tekton.sources import ROOT, known

pytestmark = pytest.mark.tekton

WELL, BROKEN, LAST = THREE = tuple(f"{hub}-cpu-torch2130-py311" for hub in HUBS)


@pytest.fixture
def three(site: Site) -> Site:
    for hub in HUBS:
        site.flavor(hub)
    return site


def _results(outcome: PipelineOutcome, task: str) -> dict[str, str]:
    """What came of each flavor, by the name that its note begins with."""
    return {each["note"].partition(":")[0]: each["result"] for each in told(outcome, task)}


def test_one_broken_flavor_is_named_by_its_gate_and_the_others_pass(bench: Bench, three: Site) -> None:
    (three.root / "flavors" / BROKEN / "Dockerfile").write_text("FROM scratch\n")
    commit = three.commit()
    outcome = bench.flavors_check(THREE)
    assert _results(outcome, "check") == {WELL: "SUCCESS", BROKEN: "FAILURE", LAST: "SUCCESS"}
    assert _results(outcome, "lock-verify") == dict.fromkeys(THREE, "SUCCESS")
    assert (outcome.status, outcome.failed_task) == ("Failed", "gate-check"), outcome.log
    table = task_run(outcome, "gate-check").log
    assert f"1 of 3 did not pass: {BROKEN}" in table
    for name in THREE:
        assert name in table
    assert "all 3 passed" in task_run(outcome, "gate-lock-verify").log
    assert outcome.results == {"COMMIT": commit}


def test_what_an_index_has_lost_is_told_of_each_flavor_after_the_rules_passed(
    bench: Bench, three: Site
) -> None:
    three.commit()
    three.index.fault("/simple/small/", Fault(status=404))
    outcome = bench.flavors_check(THREE)
    assert _results(outcome, "check") == dict.fromkeys(THREE, "SUCCESS")
    assert _results(outcome, "lock-verify") == dict.fromkeys(THREE, "FAILURE")
    assert outcome.failed_task == "gate-lock-verify", outcome.log


def test_without_the_locks_no_index_is_asked_and_the_run_succeeds(bench: Bench, three: Site) -> None:
    three.commit()
    three.index.requests.clear()
    outcome = bench.flavors_check(THREE, **{"verify-locks": "false"})
    assert outcome.succeeded, outcome.log
    assert ran(outcome) == {"clone", "check", "gate-check"}
    assert three.index.requests == []


def test_a_flavor_that_is_not_there_is_an_error_of_its_own(bench: Bench, three: Site) -> None:
    three.commit()
    outcome = bench.flavors_check([WELL, "th012-cpu-torch2130-py311"], **{"verify-locks": "false"})
    assert [each["result"] for each in told(outcome, "check")] == ["SUCCESS", "ERROR"]
    assert outcome.failed_task == "gate-check", outcome.log


def test_a_pod_that_is_lost_hides_no_other_flavor(bench: Bench, three: Site) -> None:
    three.commit()
    task = copy.deepcopy(known().tasks["factory-check"])
    (step,) = task["spec"]["steps"]
    # As one that is killed for memory: it ends with no result written.
    step["script"] = step["script"].replace(
        "set -euo pipefail\n", f'set -euo pipefail\n[ "$FLAVOR" != {BROKEN} ] || exit 137\n', 1
    )
    outcome = bench.with_task(task).flavors_check(THREE)
    assert outcome.failed_task == "check", outcome.log
    assert _results(outcome, "check") == {WELL: "SUCCESS", LAST: "SUCCESS"}
    assert "all 2 passed" in task_run(outcome, "gate-check").log
    assert "all 3 passed" in task_run(outcome, "gate-lock-verify").log


def test_a_run_of_no_flavor_at_all_is_refused(bench: Bench, three: Site) -> None:
    three.commit()
    with pytest.raises(RefusedError, match="flavors"):
        bench.flavors_check([])


@pytest.mark.parametrize("path", ["flavors-check-run.yaml", "nightly/run.yaml"])
def test_the_examples_run_on_the_flavors_that_are_shipped(bench: Bench, site: Site, path: str) -> None:
    site.copy_flavors(ROOT / "flavors")
    site.commit()
    run = yaml.safe_load((ROOT / "tekton" / "examples" / path).read_text())
    # Their locks are another test's: those of two flavors are on an index that is not here.
    outcome = bench.example(run, **{"verify-locks": "false", "revision": "main"})
    assert outcome.succeeded, outcome.log
    assert len(told(outcome, "check")) == len(list((ROOT / "flavors").iterdir()))
