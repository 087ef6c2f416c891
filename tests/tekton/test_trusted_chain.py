"""The tasks in the trusted-artifact shape, one after the other: every file goes through the registry."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pipeline_site import pipeline_site
from support.registry import Registry
from tekton.runner import Cluster, TaskOutcome, run_pipeline, run_task
from tekton.sources import known

pytestmark = [pytest.mark.tekton, pytest.mark.slow]


@pytest.fixture(scope="session")
def base_image(registry: Registry, workbench_base: str) -> str:
    """The stand-in for the vendor's base image, in the registry."""
    reference = registry.reference("vendor/workbench", "py311")
    # Not compressed: nobody waits for it to be unpacked again.
    command = ["podman", "push", "--quiet", "--tls-verify=false", workbench_base, reference]
    subprocess.run(command, check=True)
    return reference


def test_a_flavor_is_built_from_artifacts_of_the_registry_alone(
    tmp_path: Path,
    cluster: Cluster,
    factory_image: str,
    registry: Registry,
    base_image: str,
    git_server: Callable[[Path], str],
) -> None:
    with pipeline_site(tmp_path) as site:
        flavor = site.flavor()
        commit = site.commit()

        outcome = run_pipeline(
            known().pipelines["universal-image-oci-ta"],
            params={
                "git-url": git_server(site.root),
                "flavor": flavor.name,
                "image": registry.reference("trusted/universal", "chain"),
                "factory-image": factory_image,
                "base-image": base_image,
                "tls-verify": "false",
            },
            workspaces={},
            cluster=cluster,
        )

    assert outcome.succeeded, outcome.log
    assert outcome.results["CHAINS-GIT_COMMIT"] == commit
    built = outcome.results["IMAGE_REF"]
    assert built == f"{registry.host}/trusted/universal@{outcome.results['IMAGE_DIGEST']}"
    for task, artifact in {"clone": "SOURCE", "strip": "CONTEXT", "prefetch": "PREFETCHED"}.items():
        ran = outcome.tasks[task]
        assert isinstance(ran, TaskOutcome)
        assert str(ran.results[f"{artifact}_ARTIFACT"]).startswith(f"oci:{registry.host}/"), ran.log
    tested = outcome.tasks["image-test"]
    assert isinstance(tested, TaskOutcome)
    assert json.loads(str(tested.results["TEST_OUTPUT"]))["result"] == "SUCCESS", tested.log


def test_an_artifact_of_other_bytes_is_not_there(
    cluster: Cluster, factory_image: str, registry: Registry
) -> None:
    """The name of an artifact is its digest, so nothing can be put in its place."""
    outcome = run_task(
        known().tasks["factory-strip-oci-ta"],
        params={
            "factory-image": factory_image,
            "flavor": "th011-cpu-torch2130-py311",
            "SOURCE_ARTIFACT": f"oci:{registry.host}/trusted/universal@sha256:{'0' * 64}",
            "ociStorage": registry.reference("trusted/universal", "context"),
        },
        workspaces={},
        cluster=cluster,
    )

    assert outcome.status == "Failed"
    assert outcome.reason.startswith("step use-trusted-artifact"), outcome.log
