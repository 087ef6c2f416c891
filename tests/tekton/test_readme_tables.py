"""The tables of each README say of parameters, workspaces and results what the YAML declares, and no more."""

import json
import re

import pytest
from tekton.semantic import Node
from tekton.semantic.model import items
from tekton.sources import ROOT, Object, of_kind

TASKS = tuple(each for each in of_kind("Task") if each.name.startswith("tekton/"))
PIPELINES = tuple(each for each in of_kind("Pipeline") if each.name.startswith("tekton/"))
_NAMES = re.compile(r"`([^`]+)`")


def _name(each: Object) -> str:
    return str(each.node["metadata"]["name"])


def _section(each: Object, head: str) -> str:
    page = (ROOT / each.name).with_name("README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {head}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def _rows(text: str) -> dict[str, list[str]]:
    """The cells beside each name; a row of several names has as many values in its second cell, or one."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        names = _NAMES.findall(cells[0]) if cells else []
        for place, name in enumerate(names):
            assert name not in found, f"{name} is there twice"
            values = cells[1].split(", ")
            own = values[place] if len(values) == len(names) > 1 else cells[1]
            found[name] = [own, *cells[2:]]
    return found


def _described(node: Node) -> str:
    return " ".join(node["description"].split())


def _default(node: Node) -> str:
    if "default" not in node:
        return "none: has to be given"
    return f"`{node['default']}`" if node["default"] != "" else "empty"


@pytest.mark.parametrize("each", TASKS, ids=_name)
def test_the_tables_of_a_task_are_its_declarations(each: Object) -> None:
    spec = each.node["spec"]
    assert _rows(_section(each, "Parameters")) == {
        one["name"]: [_default(one), _described(one)] for one in items(spec, "params")
    }
    spaces = _rows(_section(each, "Workspaces"))
    declared = {one["name"]: one for one in items(spec, "workspaces")}
    assert {name: cells[-1] for name, cells in spaces.items()} == {
        name: _described(one) for name, one in declared.items()
    }
    for name, (optional, *more) in spaces.items():
        # The page of a trusted-artifact shape has no such column.
        assert not more or optional == ("yes" if declared[name].get("optional") else "no")
    assert _rows(_section(each, "Results")) == {
        one["name"]: [_described(one)] for one in items(spec, "results")
    }


def _told(node: Node) -> str:
    if "default" not in node:
        return ""
    return f"`{json.dumps(node['default'])}`"


@pytest.mark.parametrize("each", PIPELINES, ids=_name)
def test_the_tables_of_a_pipeline_have_its_names_and_defaults(each: Object) -> None:
    spec = each.node["spec"]
    text = _section(each, "Parameters")
    params = {one["name"]: _told(one) for one in items(spec, "params")}
    if same := re.search(r"^Those of `([\w-]+)`, and:$", text, re.MULTILINE):
        (other,) = (one for one in PIPELINES if _name(one) == same[1])
        shared = {one["name"]: _told(one) for one in items(other.node["spec"], "params")}
        assert shared.items() <= params.items()
        params = {name: told for name, told in params.items() if name not in shared}
    assert {name: cells[0] for name, cells in _rows(text).items()} == params
    spaces = _rows(_section(each, "Workspaces"))
    assert {name: cells[-1].startswith("optional") for name, cells in spaces.items()} == {
        one["name"]: bool(one.get("optional")) for one in items(spec, "workspaces")
    }


@pytest.mark.parametrize("each", PIPELINES, ids=_name)
def test_the_results_of_a_pipeline_are_named(each: Object) -> None:
    text = _section(each, "Results")
    if not text:
        assert "and so are the results" in " ".join(
            (ROOT / each.name).with_name("README.md").read_text(encoding="utf-8").split()
        )
        return
    told = {name for name in _NAMES.findall(text) if re.fullmatch(r"[A-Z][A-Z_-]*", name)} - {"TEST_OUTPUT"}
    assert told == {one["name"] for one in items(each.node["spec"], "results")}
