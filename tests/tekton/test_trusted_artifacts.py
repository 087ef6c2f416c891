"""Trusted-artifact shapes are what scripts/trusted_artifacts.py makes; kustomize and the pages name all."""

from pathlib import Path
from typing import Any

import pytest
import trusted_artifacts
import yaml
from tekton.scripts import run_step
from trusted_artifacts import SHAPES, TASKS, WORKDIR, generated, to_yaml, trusted

TEKTON = TASKS.parent
EVERY = sorted(folder.name for folder in TASKS.iterdir() if folder.is_dir())
GENERATED = generated()


def task(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((TASKS / name / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def names(parts: list[dict[str, Any]]) -> list[str]:
    return [part["name"] for part in parts]


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.relative_to(TASKS).as_posix())
def test_what_is_committed_is_what_is_generated(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path], "make tekton"


def test_no_generated_folder_is_left_over() -> None:
    made = {path.parent for path in GENERATED}
    assert {TASKS / name for name in EVERY if name.endswith("-oci-ta")} == made
    assert {path for folder in made for path in folder.iterdir()} == set(GENERATED)


def test_nothing_is_stale() -> None:
    assert trusted_artifacts.stale() == []


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_no_file_comes_or_goes_by_a_workspace(name: str, shape: trusted_artifacts.Shape) -> None:
    before, after = task(name), task(f"{name}-oci-ta")
    moved = {*shape.reads, *shape.writes}
    assert moved == {each["name"] for each in before["spec"]["workspaces"] if not each.get("optional")}
    assert all(each.get("optional") for each in after["spec"].get("workspaces", []))
    text = to_yaml(after)
    for workspace in moved:
        assert f"workspaces.{workspace}." not in text
        assert f"{WORKDIR}/{workspace}" in text


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_artifacts_are_parameters_and_results(name: str, shape: trusted_artifacts.Shape) -> None:
    spec = task(f"{name}-oci-ta")["spec"]
    given = {each["name"] for each in spec["params"] if each["name"].endswith("_ARTIFACT")}
    assert given == {f"{workspace.upper()}_ARTIFACT" for workspace in shape.reads}
    told = {each for each in names(spec["results"]) if each.endswith("_ARTIFACT")}
    assert told == {f"{workspace.upper()}_ARTIFACT" for workspace in shape.writes}
    assert ("ociStorage" in names(spec["params"])) == bool(shape.writes)


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_unpacking_is_the_first_step_and_storing_the_last(name: str, shape: trusted_artifacts.Shape) -> None:
    steps = names(task(f"{name}-oci-ta")["spec"]["steps"])
    between = names(task(name)["spec"]["steps"])
    # But for a look at where it is going to be stored.
    check = ["check-oci-storage"] if shape.writes else []
    first = ["use-trusted-artifact"] if shape.reads else []
    last = ["create-trusted-artifact"] if shape.writes else []
    assert steps == [*check, *first, *between, *last]


@pytest.mark.parametrize("name", SHAPES)
def test_scripts_are_the_same_and_stand_in_blocks(name: str) -> None:
    before = {each["name"]: each.get("script") for each in task(name)["spec"]["steps"]}
    after = {each["name"]: each.get("script") for each in task(f"{name}-oci-ta")["spec"]["steps"]}
    assert before.items() <= after.items()
    text = (TASKS / f"{name}-oci-ta" / f"{name}-oci-ta.yaml").read_text(encoding="utf-8")
    assert text.count("script: |\n") == len([script for script in after.values() if script])


def test_a_workspace_of_neither_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="is context read or written"):
        trusted(task("factory-strip"), trusted_artifacts.Shape(reads=("source",)))


@pytest.mark.parametrize("name", ["factory-clone", "factory-strip", "factory-prefetch"])
@pytest.mark.parametrize(
    ("storage", "status"),
    [
        ("registry.example.com:5000/team/image:cpu.source", 0),
        ("localhost/image:" + "t" * 128, 0),
        ("localhost/image:" + "t" * 129, 1),
        # An image without a tag, and what the Pipeline puts behind it.
        ("registry.example.com/team/image.source", 1),
        ("registry.example.com/team/image:.source", 1),
        ("--store=x", 1),
        ("", 1),
    ],
)
def test_what_is_no_place_to_store_to_is_refused_first(
    name: str, storage: str, status: int, tmp_path: Path
) -> None:
    spec = task(f"{name}-oci-ta")["spec"]
    assert spec["steps"][0]["name"] == "check-oci-storage"
    ran = run_step(spec, "check-oci-storage", tmp_path / "run", {"ociStorage": storage}, {})
    assert ran.status == status
    assert ("the parameter ociStorage is no image" in ran.stderr) == (status == 1)


@pytest.mark.parametrize(
    "value", ["y", "N", "on", "1.10", "", "a: b", "# no", "two\nlines\n", "x" * 200, "w " * 99]
)
def test_a_string_stays_a_string(value: str) -> None:
    assert yaml.safe_load(to_yaml({"key": value, "list": [value]})) == {"key": value, "list": [value]}


@pytest.mark.parametrize("name", EVERY)
def test_every_task_has_its_three_files(name: str) -> None:
    assert {path.name for path in (TASKS / name).iterdir()} == {f"{name}.yaml", "README.md", "CHANGELOG.md"}
    metadata = task(name)["metadata"]
    assert metadata["name"] == name
    version = metadata["labels"]["app.kubernetes.io/version"]
    assert f"\n## {version}\n" in (TASKS / name / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EVERY)
def test_a_readme_tells_every_parameter_workspace_and_result(name: str) -> None:
    page, spec = (TASKS / name / "README.md").read_text(encoding="utf-8"), task(name)["spec"]
    for part in [*spec["params"], *spec.get("workspaces", []), *spec.get("results", [])]:
        assert f"| `{part['name']}` |" in page
        assert part["description"].strip() in page
    assert "\n## Example\n" in page


@pytest.mark.parametrize("folder", ["tasks", "pipelines"])
def test_kustomize_applies_every_file_and_nothing_else(folder: str) -> None:
    listed = yaml.safe_load((TEKTON / folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    there = [path.relative_to(TEKTON / folder).as_posix() for path in (TEKTON / folder).glob("*/*.yaml")]
    assert sorted(listed) == sorted(there)
    assert len(listed) == len(set(listed))


def test_kustomize_of_the_whole_takes_both_folders() -> None:
    whole = yaml.safe_load((TEKTON / "kustomization.yaml").read_text(encoding="utf-8"))
    assert whole["resources"] == ["tasks", "pipelines"]


@pytest.mark.parametrize("folder", ["tasks", "pipelines"])
def test_the_page_of_the_folder_tells_of_all(folder: str) -> None:
    page = (TEKTON / "README.md").read_text(encoding="utf-8")
    for path in (TEKTON / folder).iterdir():
        if path.is_dir():
            assert f"({folder}/{path.name}/README.md)" in page
