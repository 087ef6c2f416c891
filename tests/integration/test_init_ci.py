"""The CI files of ``factory init``: their schemas, their linters, and their steps in a real shell."""

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml
from support.workflows import CiMachine, ci_machine, github_steps, gitlab_scripts

from factory.init.ci import CI_SYSTEMS
from factory.init.repository import InitRequest, init_repository

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
WORKFLOW, PIPELINE = ".github/workflows/images.yml", ".gitlab-ci.yml"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> CiMachine:
    return ci_machine(tmp_path_factory.mktemp("ci machine"))


@pytest.fixture(scope="module")
def installed(machine: CiMachine, tmp_path_factory: pytest.TempPathFactory) -> CiMachine:
    """The machine with the factory's wheel."""
    script = 'python -m pip install --quiet "$FACTORY_PACKAGE"'
    machine.run(script, folder=tmp_path_factory.mktemp("nothing"), environment={})
    return machine


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with an example and the files of every CI system."""
    root = tmp_path_factory.mktemp("new") / "team images"
    init_repository(
        root, InitRequest(ci=CI_SYSTEMS, example=True, pre_commit=True, output_image="quay.io/team/")
    )
    return root


def _check(*words: str | Path) -> None:
    programs = Path(sys.executable).parent
    done = subprocess.run(
        [programs / words[0], *words[1:]],
        # actionlint looks for shellcheck, and this environment has one.
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("schema", ["github-workflows", "gitlab-ci", "github-actions"])
def test_a_file_is_as_the_schema_of_its_system_wants_it(written: Path, schema: str) -> None:
    path = {
        "github-workflows": written / WORKFLOW,
        "gitlab-ci": written / PIPELINE,
        "github-actions": ROOT / "action.yml",
    }[schema]
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    wanted = json.loads((folder / f"{schema}.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(wanted)(wanted)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [error.message for error in validator.iter_errors(document)] == []
    assert not validator.is_valid({"jobs": 1, "runs": 1, "stages": 1})


def test_actionlint_and_shellcheck_find_nothing_in_the_workflow(written: Path) -> None:
    _check("actionlint", "-no-color", written / WORKFLOW)


def test_yamllint_finds_nothing_in_what_init_writes(written: Path) -> None:
    files = [written / WORKFLOW, written / PIPELINE, written / ".pre-commit-config.yaml"]
    _check("yamllint", "--strict", "--config-file", ROOT / ".yamllint.yaml", *files)


def test_the_workflow_calls_what_it_is_for(written: Path) -> None:
    text = (written / WORKFLOW).read_text(encoding="utf-8")
    for wanted in ("actions/cache@", "upload-sarif@", "factory plan", "factory build", "factory test --all"):
        assert wanted in text
    assert "factory push --all" in text
    pipeline = yaml.safe_load((written / PIPELINE).read_text(encoding="utf-8"))
    assert pipeline["images"]["artifacts"]["reports"] == {"junit": "reports/junit.xml"}
    assert pipeline["check"]["artifacts"]["paths"] == ["factory.sarif"]


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_every_step_runs_in_a_repository_without_images(
    tmp_path: Path, machine: CiMachine, system: str
) -> None:
    """As a new team pushes it: green, with a report of findings and one of tests."""
    root = tmp_path / "team images"
    init_repository(root, InitRequest(ci=(system,)))
    if system == "github":
        values = dict.fromkeys(("vars.FACTORY_PUSH_TO", "secrets.REGISTRY_USER"), "localhost:1/team")
        values |= {"secrets.REGISTRY_USER": "", "secrets.REGISTRY_PASSWORD": ""}
        for _, script, environment in github_steps(root / WORKFLOW, values):
            machine.run(script, folder=root, environment=environment)
    else:
        given = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main", "CI_REGISTRY_PASSWORD": ""}
        for script, _ in gitlab_scripts(root / PIPELINE):
            machine.run(script, folder=root, environment={**given, "FACTORY_PUSH_TO": "localhost:1/team"})
    assert json.loads((root / "factory.sarif").read_text(encoding="utf-8"))["runs"][0]["results"] == []
    assert "<testsuites" in (root / "reports" / "junit.xml").read_text(encoding="utf-8")


def test_findings_fail_the_check_and_are_reported_as_sarif(tmp_path: Path, installed: CiMachine) -> None:
    root = tmp_path / "team"
    init_repository(root, InitRequest(ci=("github",), example=True))
    dockerfile = root / "flavors" / "th011-cpu-torch2130-py311" / "Dockerfile"
    dockerfile.write_bytes(dockerfile.read_bytes() + b"RUN true\n")
    nothing = dict.fromkeys(
        ("vars.FACTORY_PUSH_TO", "secrets.REGISTRY_USER", "secrets.REGISTRY_PASSWORD"), ""
    )
    steps = {name: script for name, script, _ in github_steps(root / WORKFLOW, nothing)}
    with pytest.raises(AssertionError, match=r"::error file=flavors/th011"):
        installed.run(steps["Check every image"], folder=root, environment={})
    installed.run(steps["Write the findings as SARIF"], folder=root, environment={})
    results = json.loads((root / "factory.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert "FAC102" in {result["ruleId"] for result in results}


def test_an_installed_wheel_starts_a_repository_and_shows_its_pages(
    tmp_path: Path, installed: CiMachine
) -> None:
    script = "factory init 'a b' --example --ci tekton && factory docs FAC101"
    run = installed.run(script, folder=tmp_path, environment={})
    assert "Started a repository in" in run
    assert "### FAC101 missing-file" in run
    listed = installed.run("factory --root 'a b' list", folder=tmp_path, environment={})
    assert "th011-cpu-torch2130-py311" in listed
    assert (tmp_path / "a b" / "tekton" / "kustomization.yaml").is_file()


def test_the_action_runs_the_command_that_it_is_given(tmp_path: Path, installed: CiMachine) -> None:
    init_repository(tmp_path / "a b", InitRequest())
    steps = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("name") == "Run the factory")
    environment = {"ARGUMENTS": "--root 'a b' check --format github"}
    assert "no images yet" in installed.run(script, folder=tmp_path, environment=environment)
    # What a workflow passes on is words, and no program.
    environment = {"ARGUMENTS": "docs $(touch harm) ; touch harm"}
    with pytest.raises(AssertionError):
        installed.run(script, folder=tmp_path, environment=environment)
    assert not (tmp_path / "harm").exists()


def test_the_hooks_of_this_repository_and_of_a_new_one_are_as_pre_commit_wants_them(written: Path) -> None:
    _check("pre-commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml")
    _check("pre-commit", "validate-config", written / ".pre-commit-config.yaml")


def test_a_commit_in_a_new_repository_is_checked(tmp_path: Path, installed: CiMachine) -> None:
    root = tmp_path / "team"
    init_repository(root, InitRequest(pre_commit=True, example=True, agents=("claude",)))
    environment = {"PRE_COMMIT_HOME": str(tmp_path / "home"), "GIT_CONFIG_GLOBAL": os.devnull}
    run = f"{Path(sys.executable).with_name('pre-commit')} run --all-files"
    script = f"git init --quiet && git add --all && {run}"
    assert "Passed" in installed.run(script, folder=root, environment=environment)
    command = root / ".claude" / "commands" / "images-push.md"
    command.write_bytes(command.read_bytes() + b"Push everything.\n")
    with pytest.raises(AssertionError, match="FAC511"):
        installed.run(f"git add --all && {run}", folder=root, environment=environment)
