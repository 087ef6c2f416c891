"""Every Task and Pipeline has its folder: its YAML, a README that tells all of it, a CHANGELOG."""

import re
from pathlib import Path

from tekton.kustomize import built
from tekton.semantic import Node
from tekton.semantic.model import items
from tekton.semantic.names import VERSION_LABEL
from tekton.sources import ROOT, documents

TEKTON = ROOT / "tekton"
_LINK = re.compile(r"\]\((\.\./[a-z-]+/README\.md)(?:#[a-z-]+)?\)")
FOLDERS = sorted(
    path for kind in ("tasks", "pipelines") for path in (TEKTON / kind).iterdir() if path.is_dir()
)


def _node(folder: Path) -> Node:
    node: Node
    (node,) = documents((folder / f"{folder.name}.yaml").read_text(encoding="utf-8"))
    return node


def test_a_folder_is_named_after_what_is_in_it() -> None:
    nodes = {folder: _node(folder) for folder in FOLDERS}
    assert [folder for folder, node in nodes.items() if node["metadata"]["name"] != folder.name] == []
    kinds = {folder: folder.parent.name.removesuffix("s").capitalize() for folder in FOLDERS}
    assert [folder for folder, node in nodes.items() if node["kind"] != kinds[folder]] == []
    files = {folder: {path.name for path in folder.iterdir()} for folder in FOLDERS}
    beside = {"README.md", "CHANGELOG.md"}
    assert [folder for folder in FOLDERS if files[folder] != {f"{folder.name}.yaml", *beside}] == []


def test_the_readme_names_everything_that_is_declared() -> None:
    assert {folder.name: names for folder in FOLDERS if (names := _unnamed(folder))} == {}


def _unnamed(folder: Path) -> list[str]:
    own = (folder / "README.md").read_text(encoding="utf-8")
    # One shape of a Pipeline sends its reader to the other for what both have.
    others = [(folder / link).read_text(encoding="utf-8") for link in _LINK.findall(own)]
    readme = "\n".join((own, *others))
    spec = _node(folder)["spec"]
    declared = [each["name"] for kind in ("params", "results", "workspaces") for each in items(spec, kind)]
    return [name for name in declared if f"`{name}`" not in readme]


def test_the_changelog_begins_with_the_version() -> None:
    assert [folder for folder in FOLDERS if not _changelog_is_current(folder)] == []


def _changelog_is_current(folder: Path) -> bool:
    version = _node(folder)["metadata"]["labels"][VERSION_LABEL]
    headings = [
        line
        for line in (folder / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    return bool(headings) and version in headings[0]


def test_kustomize_applies_every_task_and_pipeline_once() -> None:
    applied = [(each["kind"], each["metadata"]["name"]) for each in built(TEKTON)]
    assert len(applied) == len(set(applied))
    assert {name for _, name in applied} == {folder.name for folder in FOLDERS}
