"""All our YAML against the strict schema of Tekton's objects, made from its CRDs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tekton.changing import GONE, PIPELINE, PIPELINE_RUN, TASK, TASK_RUN, changed
from tekton.semantic import Node
from tekton.sources import SCHEMA, SCHEMA_VARIABLE, schema_path, tekton_objects

Errors = Callable[[Node], list[str]]


@pytest.fixture(scope="module")
def errors() -> Errors:
    path = schema_path()
    if path is None:
        pytest.skip(f"there is no shared/{SCHEMA} beside the checkout, and {SCHEMA_VARIABLE} names none")
    validator = Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    return lambda node: [f"{error.json_path}: {error.message}" for error in validator.iter_errors(node)]


def test_every_object_of_ours_keeps_to_the_schema(errors: Errors) -> None:
    assert {each.name: found for each in tekton_objects() if (found := errors(each.node))} == {}


@pytest.mark.parametrize("node", [TASK, PIPELINE, TASK_RUN, PIPELINE_RUN], ids=lambda node: node["kind"])
def test_the_objects_that_tests_break_keep_to_the_schema(node: Node, errors: Errors) -> None:
    assert errors(node) == []


@pytest.mark.parametrize(
    ("node", "changes"),
    [
        (TASK, {"spec.steps[0].imgae": "x"}),
        (TASK, {"spec.params[0].default": 1.10}),
        (TASK, {"spec.params[1].default": True}),
        (TASK, {"spec.params[1].name": GONE}),
        (TASK, {"spec.steps[0].onError": "ignore", "spec.steps[0].env": [{"value": "x"}]}),
        (PIPELINE, {"spec.tasks[0].run_after": ["x"]}),
        (PIPELINE, {"spec.tasks[2].when[0].operator": "is"}),
        (PIPELINE_RUN, {"spec.params[0].value": 1}),
        (PIPELINE_RUN, {"spec.timeout": "1h"}),
        (TASK_RUN, {"spec.params[1].value": [1]}),
        (TASK_RUN, {"metadata": {}}),
        (TASK, {"metadata.name": "Greet"}),
        (TASK, {"metadata.name": "g" * 64}),
    ],
)
def test_the_schema_sees_what_is_misspelt_or_no_string(
    node: Node, changes: dict[str, object], errors: Errors
) -> None:
    assert errors(changed(node, changes))


def test_the_schema_is_found_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "schema.json"
    monkeypatch.setenv(SCHEMA_VARIABLE, str(named))
    assert schema_path() is None
    named.write_text("{}")
    assert schema_path() == named
