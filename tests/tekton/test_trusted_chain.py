"""The tasks in the trusted-artifact shape, one after the other: every file goes through the registry."""

import datetime as dt
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.built import factory
from support.pipeline_site import pipeline_site
from support.registry import Registry
from tekton.bench import inspected
from tekton.runner import Cluster, PipelineOutcome, TaskOutcome, run_pipeline, run_task
from tekton.sources import known

pytestmark = pytest.mark.tekton


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A run of universal-image-oci-ta, and the commit that it built."""

    root: Path
    flavor: str
    commit: str
    outcome: PipelineOutcome


@pytest.fixture(scope="module")
def chain(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    factory_image: str,
    registry: Registry,
    base_in_registry: str,
    git_server: Callable[[Path], str],
) -> Iterator[Chain]:
    """The Pipeline, run once on a small flavor."""
    with pipeline_site(tmp_path_factory.mktemp("site")) as site:
        flavor = site.flavor()
        commit = site.commit()
        outcome = run_pipeline(
            known().pipelines["universal-image-oci-ta"],
            params={
                "git-url": git_server(site.root),
                "flavor": flavor.name,
                "image": registry.reference("trusted/universal", "chain"),
                "factory-image": factory_image,
                "base-image": base_in_registry,
                "tls-verify": "false",
            },
            workspaces={},
            cluster=cluster,
        )
        assert outcome.succeeded, outcome.log
        yield Chain(root=site.root, flavor=flavor.name, commit=commit, outcome=outcome)


def test_a_flavor_is_built_from_artifacts_of_the_registry_alone(chain: Chain, registry: Registry) -> None:
    outcome = chain.outcome
    assert outcome.results["CHAINS-GIT_COMMIT"] == chain.commit
    built = outcome.results["IMAGE_REF"]
    assert built == f"{registry.host}/trusted/universal@{outcome.results['IMAGE_DIGEST']}"
    for task, artifact in {"clone": "SOURCE", "strip": "CONTEXT", "prefetch": "PREFETCHED"}.items():
        ran = outcome.tasks[task]
        assert isinstance(ran, TaskOutcome)
        assert str(ran.results[f"{artifact}_ARTIFACT"]).startswith(f"oci:{registry.host}/"), ran.log
    tested = outcome.tasks["image-test"]
    assert isinstance(tested, TaskOutcome)
    assert json.loads(str(tested.results["TEST_OUTPUT"]))["result"] == "SUCCESS", tested.log


def test_a_second_build_of_the_commit_in_the_other_shape_pushes_the_same_digest(
    chain: Chain,
    volume: Path,
    cluster: Cluster,
    factory_image: str,
    registry: Registry,
    base_in_registry: str,
) -> None:
    """With the same time for all files: the one that `factory build --epoch` prints for this checkout."""
    source, context, prefetched = (volume / name for name in ("source", "context", "prefetched"))
    clone = ["git", "clone", "--quiet", "--depth=1", f"file://{chain.root}", str(source)]
    subprocess.run(clone, check=True)
    factory("--root", source, "strip", chain.flavor, "--output", context)
    factory("--root", source, "prefetch", chain.flavor, "--output", prefetched)
    again = run_task(
        known().tasks["factory-build"],
        params={
            "factory-image": factory_image,
            "flavor": chain.flavor,
            "image": registry.reference("trusted/again", "later"),
            "base-image": base_in_registry,
            "tls-verify": "false",
        },
        workspaces={"source": source, "context": context, "prefetched": prefetched},
        cluster=cluster,
    )
    assert again.succeeded, again.log
    assert again.results["IMAGE_DIGEST"] == chain.outcome.results["IMAGE_DIGEST"]
    epoch = int(factory("--root", source, "build", "--epoch", chain.flavor))
    created = inspected(str(again.results["IMAGE_REF"]))["Created"]
    assert dt.datetime.fromisoformat(created).timestamp() == epoch


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
