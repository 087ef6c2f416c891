"""The example universal-image-run.yaml: the shipped CPU flavor, from a clone to a tested image.

Once in the whole suite, since it moves gigabytes; what goes wrong is tried on small flavors.
"""

import json
import subprocess

import pytest
import yaml
from support.pipeline_site import Site
from support.registry import Registry
from tekton.bench import Bench, blob, inspected, ran, task_run, told
from tekton.sources import ROOT

from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.tekton

FLAVOR = "th011-cpu-torch2130-py311"
EXAMPLE = ROOT / "tekton" / "examples" / "universal-image-run.yaml"


@pytest.fixture(scope="session")
def base_in_registry(workbench_base: str, registry: Registry) -> str:
    """The whole workbench base, with JupyterLab; not compressed, so that it need not be unpacked again."""
    reference = registry.reference("base", "workbench")
    images = (f"containers-storage:{workbench_base}", f"docker://{reference}")
    words = ("--quiet", "--preserve-digests", "--dest-tls-verify=false")
    subprocess.run(["skopeo", "copy", *words, *images], check=True)
    return reference


def test_the_shipped_cpu_flavor_goes_from_a_clone_to_a_tested_image(bench: Bench, site: Site) -> None:
    site.copy_flavors(ROOT / "flavors")
    commit = site.commit()
    run = yaml.safe_load(EXAMPLE.read_text())
    outcome = bench.example(run)
    assert outcome.succeeded, outcome.log
    assert set(outcome.tasks) == ran(outcome)
    # Its torch came from a folder and not from the index, of which the rules warn.
    results_of = {task: told(outcome, task)[0] for task in ("check", "lock-verify", "image-test")}
    assert {each["failures"] for each in results_of.values()} == {0}, results_of
    assert results_of["image-test"]["result"] == "SUCCESS"
    assert results_of["check"]["result"] in {"SUCCESS", "WARNING"}

    results = {name: str(value) for name, value in outcome.results.items()}
    image = f"{bench.registry.host}/{bench.repository}"
    assert results["IMAGE_URL"] == f"{image}:{FLAVOR}"
    assert results["IMAGE_REF"] == f"{image}@{results['IMAGE_DIGEST']}"
    assert results["CHAINS-GIT_COMMIT"] == commit
    found = inspected(results["IMAGE_URL"])
    assert found["Digest"] == results["IMAGE_DIGEST"]
    assert found["Labels"]["org.opencontainers.image.revision"] == commit

    bill = blob(bench.registry, results["SBOM_BLOB_URL"])
    pins = require_lock(ROOT / "flavors" / FLAVOR).pins
    told_of = {(each["name"], each["version"]) for each in json.loads(bill)["components"]}
    assert told_of == {(pin.name, pin.version) for pin in pins}
    assert "the build sees no interface but lo" in task_run(outcome, "build").log
    assert task_run(outcome, "prefetch").results["ARTIFACTS"] == str(sum(len(pin.artifacts) for pin in pins))
