"""The example of single tasks, run for real on the flavors that are shipped."""

import json

import pytest
import yaml
from support.pipeline_site import Site
from tekton.bench import Bench
from tekton.runner import run_task
from tekton.sources import ROOT, known

pytestmark = pytest.mark.tekton

EXAMPLE = ROOT / "tekton" / "examples" / "factory-check-run.yaml"


def test_a_clone_then_the_rules_on_one_flavor_of_it(bench: Bench, site: Site) -> None:
    site.copy_flavors(ROOT / "flavors")
    commit = site.commit()
    # What a reader replaces.
    own = {"url": bench.git_url, "factory-image": bench.factory_image}
    results = []
    for document in yaml.safe_load_all(EXAMPLE.read_text()):
        if document["kind"] != "TaskRun":
            continue
        spec = document["spec"]
        given = {each["name"]: own.get(each["name"], each["value"]) for each in spec["params"]}
        spaces = {each["name"]: bench.shared / each["subPath"] for each in spec["workspaces"]}
        task = known().tasks[spec["taskRef"]["name"]]
        outcome = run_task(task, params=given, workspaces=spaces, cluster=bench.cluster)
        assert outcome.succeeded, outcome.log
        results.append(outcome.results)
    cloned, checked = results
    assert cloned["COMMIT"] == commit
    # That flavor has a warning: its torch came from a folder and not from the index.
    told = json.loads(str(checked["TEST_OUTPUT"]))
    assert (told["result"], told["failures"]) == ("WARNING", 0)
    assert "FAC331" in told["note"]
