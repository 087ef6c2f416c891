"""Every Task and Pipeline has its folder: its YAML, a README that tells all of it, a CHANGELOG."""

import re
from pathlib import Path

import pytest
import yaml
from tekton.kustomize import built
from tekton.semantic import Node
from tekton.semantic.model import items
from tekton.semantic.names import VERSION_LABEL
from tekton.sources import ROOT

TEKTON = ROOT / "tekton"
_LINK = re.compile(r"\]\((\.\./[a-z-]+/README\.md)(?:#[a-z-]+)?\)")
FOLDERS = sorted(
    path for kind in ("tasks", "pipelines") for path in (TEKTON / kind).iterdir() if path.is_dir()
)


def _node(folder: Path) -> Node:
    node: Node = yaml.safe_load((folder / f"{folder.name}.yaml").read_text(encoding="utf-8"))
    return node


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_is_named_after_what_is_in_it(folder: Path) -> None:
    node = _node(folder)
    assert node["metadata"]["name"] == folder.name
    assert node["kind"] == folder.parent.name.removesuffix("s").capitalize()
    assert {path.name for path in folder.iterdir()} == {f"{folder.name}.yaml", "README.md", "CHANGELOG.md"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_readme_tells_of_everything_that_is_declared(folder: Path) -> None:
    own = (folder / "README.md").read_text(encoding="utf-8")
    # One shape of a Pipeline sends its reader to the other for what both have.
    others = [(folder / link).read_text(encoding="utf-8") for link in _LINK.findall(own)]
    readme = "\n".join((own, *others))
    spec = _node(folder)["spec"]
    declared = [each["name"] for kind in ("params", "results", "workspaces") for each in items(spec, kind)]
    assert [name for name in declared if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_changelog_tells_of_the_version(folder: Path) -> None:
    version = _node(folder)["metadata"]["labels"][VERSION_LABEL]
    headings = [
        line
        for line in (folder / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    assert headings
    assert version in headings[0]


def test_kustomize_applies_every_task_and_pipeline_once() -> None:
    applied = [(each["kind"], each["metadata"]["name"]) for each in built(TEKTON)]
    assert len(applied) == len(set(applied))
    assert {name for _, name in applied} == {folder.name for folder in FOLDERS}
