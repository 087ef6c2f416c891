"""A repository on a git server, a registry with a base image in it, and our Pipelines run on them."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

from support.registry import Registry
from tekton.runner import Cluster, PipelineOutcome, Skipped, TaskOutcome, run_pipeline
from tekton.semantic import Node
from tekton.sources import known


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a run needs here; ``shared`` is its volume, ``repository`` its own place in the registry."""

    cluster: Cluster
    factory_image: str
    registry: Registry
    base_image: str
    git_url: str
    shared: Path
    repository: str = field(default_factory=lambda: f"team/{uuid4().hex[:12]}")

    def universal_image(self, flavor: str, **params: str) -> PipelineOutcome:
        """Run the Pipeline universal-image on a flavor."""
        own = {"flavor": flavor, "image": self.registry.reference(self.repository, "it"), **self._registry()}
        return self.run("universal-image", own | params)

    def flavors_check(self, flavors: Sequence[str], **params: str) -> PipelineOutcome:
        """Run the Pipeline flavors-check on flavors."""
        return self.run("flavors-check", {"flavors": list(flavors), **params})

    def example(self, run: Node, **params: str) -> PipelineOutcome:
        """Run a PipelineRun as it is, but for the names that a reader replaces."""
        given = {each["name"]: each["value"] for each in run["spec"]["params"]}
        if "image" in given:
            tag = given["image"].rpartition(":")[2]
            given |= {"image": self.registry.reference(self.repository, tag), **self._registry()}
        return self.run(run["spec"]["pipelineRef"]["name"], given | params)

    def run(self, name: str, params: Mapping[str, Any]) -> PipelineOutcome:
        """Run one of our Pipelines; the repository is the git server's, ``shared`` the volume."""
        common = {"git-url": self.git_url, "factory-image": self.factory_image}
        return run_pipeline(
            known().pipelines[name],
            params={**params, **common},
            workspaces={"shared": self.shared},
            cluster=self.cluster,
        )

    def with_task(self, task: Node) -> "Bench":
        """The same with another Task in place of the one of its name."""
        tasks = {**self.cluster.tasks, task["metadata"]["name"]: task}
        return replace(self, cluster=replace(self.cluster, tasks=tasks))

    def images(self) -> list[str]:
        """The tags of the image in the registry; none where nothing was ever pushed."""
        with urlopen(f"http://{self.registry.host}/v2/_catalog") as answer:
            if self.repository not in json.load(answer)["repositories"]:
                return []
        with urlopen(f"http://{self.registry.host}/v2/{self.repository}/tags/list") as answer:
            return list(json.load(answer)["tags"] or [])

    def _registry(self) -> dict[str, str]:
        # A registry of a test has no certificate, and the product's base image cannot be pulled here.
        return {"base-image": self.base_image, "tls-verify": "false"}


def ran(outcome: PipelineOutcome) -> set[str]:
    """The names of the tasks that ran, to whatever end."""
    return {name for name, task in outcome.tasks.items() if not isinstance(task, Skipped)}


def task_run(outcome: PipelineOutcome, name: str) -> TaskOutcome:
    """The one TaskRun of a task that ran."""
    found = outcome.tasks[name]
    assert isinstance(found, TaskOutcome), f"{name}: {found}"
    return found


def told(outcome: PipelineOutcome, name: str) -> list[dict[str, Any]]:
    """The TEST_OUTPUTs of a task; as many as its matrix gave."""
    found = outcome.tasks[name]
    assert not isinstance(found, Skipped), f"{name}: {found}"
    runs = found if isinstance(found, list) else [found]
    return [json.loads(str(run.results["TEST_OUTPUT"])) for run in runs if "TEST_OUTPUT" in run.results]


def inspected(reference: str) -> dict[str, Any]:
    """What skopeo says of an image in a registry without a certificate."""
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def blob(registry: Registry, reference: str) -> bytes:
    """The bytes of a blob, by ``HOST/REPOSITORY@sha256:…``."""
    repository, _, digest = reference.removeprefix(f"{registry.host}/").partition("@")
    with urlopen(f"http://{registry.host}/v2/{repository}/blobs/{digest}") as answer:
        found: bytes = answer.read()
    return found
