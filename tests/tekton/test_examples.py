"""The examples: what they name is there, and what one file says of another is true."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tekton.semantic import Node
from tekton.sources import ROOT

from factory.flavor.repository import Repository

EXAMPLES = ROOT / "tekton" / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))
NIGHTLY = EXAMPLES / "nightly"
# What a reader replaces, with one command for all files.
FACTORY_IMAGE = "registry.example.com/team/factory@sha256:" + 64 * "0"


def _documents(path: Path) -> list[Node]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def _document(path: Path, kind: str) -> Node:
    (found,) = [document for document in _documents(path) if document["kind"] == kind]
    return found


def _runs() -> list[tuple[Path, Node]]:
    return [
        (path, document)
        for path in FILES
        for document in _documents(path)
        if document["kind"] in {"PipelineRun", "TaskRun"}
    ]


def _given(document: Node) -> dict[str, Any]:
    return {each["name"]: each["value"] for each in document["spec"]["params"]}


def _pulls(path: Path) -> list[Node]:
    pulls: list[Node] = _document(path, "ServiceAccount")["imagePullSecrets"]
    return pulls


def _secrets(document: Node) -> set[str]:
    return {
        each["secret"]["secretName"] for each in document["spec"].get("workspaces", []) if "secret" in each
    }


def test_every_flavor_of_an_example_is_one_that_is_shipped() -> None:
    shipped = {flavor.name for flavor in Repository(ROOT).flavors()}
    named = {
        name
        for _, document in _runs()
        for key, value in _given(document).items()
        if key in {"flavor", "flavors"}
        for name in ([value] if isinstance(value, str) else value)
    }
    assert named
    assert named <= shipped


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_the_factory_s_image_is_named_in_one_way_so_that_one_command_replaces_it(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "team/factory" in line:
            assert FACTORY_IMAGE in line, line


def test_runs_are_in_the_namespace_and_of_the_account_that_setup_makes() -> None:
    setup = EXAMPLES / "setup.yaml"
    namespace = _document(setup, "Namespace")["metadata"]["name"]
    account = _document(setup, "ServiceAccount")["metadata"]
    assert account["namespace"] == namespace
    for path, document in _runs():
        spec = document["spec"]
        of_run = spec["taskRunTemplate"] if document["kind"] == "PipelineRun" else spec
        # What is no resource of a kustomization keeps the namespace that it names.
        named = None if path.parent == NIGHTLY else namespace
        assert document["metadata"].get("namespace") == named, path
        assert of_run["serviceAccountName"] == account["name"], path


def test_every_secret_of_an_example_is_made_by_a_command_of_its_readme() -> None:
    made = set(
        re.findall(r"create secret (?:docker-registry|generic) (\S+)", (EXAMPLES / "README.md").read_text())
    )
    used = {name for _, document in _runs() for name in _secrets(document)} | {
        each["name"] for each in _pulls(EXAMPLES / "setup.yaml")
    }
    assert used == made


def test_every_claim_of_an_example_is_in_its_file() -> None:
    found = 0
    for path, document in _runs():
        for workspace in document["spec"].get("workspaces", []):
            if claim := workspace.get("persistentVolumeClaim"):
                made = {
                    each["metadata"]["name"] for each in _documents(path) if each["kind"].endswith("Claim")
                }
                assert claim["claimName"] in made, path
                found += 1
    assert found


def test_the_readme_tells_of_every_file() -> None:
    text = (EXAMPLES / "README.md").read_text()
    told = set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
    folders = {f"{path.name}/" for path in EXAMPLES.iterdir() if path.is_dir()}
    assert told == folders | {path.name for path in EXAMPLES.glob("*.yaml")}


def test_the_nightly_job_creates_the_run_that_its_kustomization_puts_into_its_volume() -> None:
    kustomization = yaml.safe_load((NIGHTLY / "kustomization.yaml").read_text())
    (made,) = kustomization["configMapGenerator"]
    assert sorted([*kustomization["resources"], *made["files"], "kustomization.yaml"]) == sorted(
        path.name for path in NIGHTLY.iterdir()
    )
    job = _document(NIGHTLY / "cronjob.yaml", "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (volume,) = job["volumes"]
    (container,) = job["containers"]
    (mount,) = container["volumeMounts"]
    assert volume["configMap"]["name"] == made["name"]
    assert mount["name"] == volume["name"]
    assert f"{mount['mountPath']}/{made['files'][0]}" in container["command"][-1]
    role = _document(NIGHTLY / "account.yaml", "Role")
    account = _document(NIGHTLY / "account.yaml", "ServiceAccount")["metadata"]["name"]
    binding = _document(NIGHTLY / "account.yaml", "RoleBinding")
    assert role["rules"] == [
        {"apiGroups": ["tekton.dev"], "resources": ["pipelineruns"], "verbs": ["create"]}
    ]
    assert _pulls(NIGHTLY / "account.yaml") == _pulls(EXAMPLES / "setup.yaml") != []
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [account] == [job["serviceAccountName"]]
