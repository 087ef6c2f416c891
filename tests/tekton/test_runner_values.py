"""The runner on variables, parameters, `when` and a matrix: Tekton's documentation, in tables."""

from collections.abc import Mapping
from typing import Any

import pytest
from tekton.runner import RefusedError
from tekton.runner.matrix import combinations
from tekton.runner.params import bound
from tekton.runner.variables import Layers, kubernetes, references, text_of, texts_of, value_of
from tekton.runner.when import holds

LAYERS: Layers = (
    {
        "params.name": "a b",
        "params.many": ["x", "$(params.name)", "z"],
        "params.none": [],
        "params.thing": {"key": "value"},
        "params.dotted.name": "dots",
        "params.later": "$(workspaces.source.path)",
        "params.earlier": "$(params.name)",
    },
    {"workspaces.source.path": "/workspace/source", "results.R.path": "/tekton/results/R"},
)


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("$(params.name)!", "a b!"),
        ("$(params['name'])", "a b"),
        ('$(params["dotted.name"])', "dots"),
        ("$(params.many[2])", "z"),
        ("$(params.many[1])", "$(params.name)"),
        ("$(params.thing.key)", "value"),
        ("$(results.R.path)", "/tekton/results/R"),
        # What is no variable is the shell's, or the kubelet's.
        ("$(date) $(HOME) ${params.name} $params", "$(date) $(HOME) ${params.name} $params"),
        # In turns: a value is looked through again for what a later turn replaces, and for that alone.
        ("$(params.later)", "/workspace/source"),
        ("$(params.earlier)", "$(params.name)"),
    ],
)
def test_variables_in_a_text(text: str, replaced: str) -> None:
    assert text_of(text, LAYERS) == replaced


@pytest.mark.parametrize(
    "text",
    [
        "$(params.nowhere)",
        "$(workspaces.source.bound)",
        "$(tasks.x.results.R)",
        "$(params.many[3])",
        "$(params.many)",
        "and $(params.many[*])",
        "$(params.name[0])",
        "$(params.thing.other)",
    ],
)
def test_a_variable_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        text_of(text, LAYERS)


@pytest.mark.parametrize(
    ("texts", "replaced"),
    [
        (["-a", "$(params.many[*])", "-b"], ["-a", "x", "$(params.name)", "z", "-b"]),
        (["$(params.none[*])"], []),
        (["$(params.name)", "$(params.many[0])"], ["a b", "x"]),
    ],
)
def test_a_whole_array_in_a_list_becomes_its_items(texts: list[str], replaced: list[str]) -> None:
    assert texts_of(texts, LAYERS) == replaced


@pytest.mark.parametrize(
    ("value", "replaced"),
    [
        ("$(params.many[*])", ["x", "$(params.name)", "z"]),
        ("$(params.thing[*])", {"key": "value"}),
        ({"k": "$(params.name)"}, {"k": "a b"}),
        (["$(params.name)"], ["a b"]),
        ("$(params.name)", "a b"),
    ],
)
def test_the_value_of_a_parameter(value: object, replaced: object) -> None:
    assert value_of(value, LAYERS) == replaced


@pytest.mark.parametrize("value", [1.10, True, None, ["a", 1], {"k": False}])
def test_what_yaml_made_no_string_of_is_refused(value: object) -> None:
    with pytest.raises(RefusedError):
        value_of(value, LAYERS)


def test_references_are_found_in_one_spelling() -> None:
    found = references("$(params['a']) $(params.b[*]) $(tasks.c.results.D) $(run) $$(params.e)")

    assert found == ["params.a", "params.b[*]", "tasks.c.results.D", "params.e"]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "one"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$(NONE) $A ${A}", "$(NONE) $A ${A}"),
        ("a$$b", "a$b"),
        ("$", "$"),
        ("$(A", "$(A"),
    ],
)
def test_what_the_kubelet_expands(text: str, expanded: str) -> None:
    assert kubernetes(text, {"A": "one"}) == expanded


DECLARED: list[dict[str, Any]] = [
    {"name": "text", "type": "string"},
    {"name": "list", "type": "array", "default": ["d"]},
    {"name": "thing", "type": "object", "properties": {"a": {}, "b": {}}, "default": {"a": "1", "b": "2"}},
    {"name": "untyped", "default": ["an", "array"]},
    {"name": "one", "default": "x", "enum": ["x", "y"]},
]


def test_parameters_get_their_defaults() -> None:
    values = bound(DECLARED, {"text": "$(params.list)", "thing": {"b": "3"}}, "t")

    assert values == {
        "text": "$(params.list)",
        "list": ["d"],
        "thing": {"a": "1", "b": "3"},
        "untyped": ["an", "array"],
        "one": "x",
    }


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "text is missing"),
        ({"text": "x", "more": "y"}, "no parameter of the name more"),
        ({"text": ["x"]}, "text is of type string"),
        ({"text": "x", "list": "y"}, "list is of type array"),
        ({"text": "x", "untyped": "y"}, "untyped is of type array"),
        ({"text": "x", "one": "z"}, "none of"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(given: Mapping[str, object], complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint):
        bound(DECLARED, given, "t")


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ([], True),
        ([{"input": "$(params.name)", "operator": "in", "values": ["a b"]}], True),
        ([{"input": "y", "operator": "in", "values": ["$(params.many[*])"]}], False),
        ([{"input": "x", "operator": "notin", "values": ["$(params.many[*])"]}], False),
        (
            [
                {"input": "x", "operator": "in", "values": ["x"]},
                {"input": "x", "operator": "notin", "values": ["x"]},
            ],
            False,
        ),
    ],
)
def test_when(expressions: list[dict[str, Any]], expected: object) -> None:
    assert holds(expressions, LAYERS) == expected


LINUX_MAC = [{"name": "platform", "value": ["linux", "mac"]}, {"name": "browser", "value": ["s", "c"]}]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    # The cases of Tekton's page on matrices.
    [
        (
            {"params": LINUX_MAC},
            ["linux s", "linux c", "mac s", "mac c"],
        ),
        (
            {
                "params": LINUX_MAC,
                "include": [
                    {
                        "name": "a",
                        "params": [{"name": "platform", "value": "linux"}, {"name": "url", "value": "u"}],
                    }
                ],
            },
            ["linux s u", "linux c u", "mac s", "mac c"],
        ),
        (
            {
                "params": LINUX_MAC,
                "include": [{"name": "a", "params": [{"name": "browser", "value": "none"}]}],
            },
            ["linux s", "linux c", "mac s", "mac c", "none"],
        ),
        (
            {"params": LINUX_MAC, "include": [{"name": "a", "params": [{"name": "url", "value": "u"}]}]},
            ["linux s u", "linux c u", "mac s u", "mac c u"],
        ),
        (
            {
                "include": [
                    {"name": "a", "params": [{"name": "image", "value": "1"}]},
                    {"name": "b", "params": [{"name": "image", "value": "2"}]},
                ]
            },
            ["1", "2"],
        ),
        ({"params": [{"name": "x", "value": "$(params.none[*])"}]}, []),
        ({"params": [{"name": "x", "value": "$(params.many[*])"}]}, ["x", "$(params.name)", "z"]),
    ],
)
def test_the_combinations_of_a_matrix(matrix: dict[str, Any], expected: list[str]) -> None:
    assert [" ".join(one.values()) for one in combinations(matrix, LAYERS, "t")] == expected


def test_a_matrix_has_256_combinations_at_most() -> None:
    def matrix(size: int) -> dict[str, Any]:
        return {"params": [{"name": "x", "value": [str(number) for number in range(size)]}]}

    assert len(combinations(matrix(256), (), "t")) == 256
    with pytest.raises(RefusedError, match="257 combinations"):
        combinations(matrix(257), (), "t")
