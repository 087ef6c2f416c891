"""Our YAML has durations and quantities in the words in which a server keeps them: no drift for GitOps."""

from fractions import Fraction

import pytest
from tekton.kept import differences, duration_text, quantity_text, timeouts
from tekton.semantic import Node
from tekton.semantic.model import items
from tekton.sources import documents, of_kind, sources

SOURCES = tuple(sources())


@pytest.mark.parametrize(
    ("seconds", "text"),
    # The examples of Go's own tests: time_test.go, durationTests.
    [
        (0, "0s"),
        (1, "1s"),
        (66, "1m6s"),
        (300, "5m0s"),
        (901, "15m1s"),
        (5 * 3600, "5h0m0s"),
        (9000, "2h30m0s"),
    ],
)
def test_a_duration_is_written_as_go_prints_it(seconds: int, text: str) -> None:
    assert duration_text(Fraction(seconds)) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    # The examples of apimachinery's documentation of Quantity, and what a Task may hold.
    [
        ("1.5", "1500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("30Gi", "30Gi"),
    ],
)
def test_a_quantity_is_written_in_its_canonical_form(text: str, kept: str) -> None:
    assert quantity_text(text) == kept


def test_a_server_gives_durations_and_quantities_back_as_they_are_written() -> None:
    found = {
        source.name: [each for document in documents(source.text) for each in differences(document)]
        for source in SOURCES
    }
    assert {name: changed for name, changed in found.items() if changed} == {}


def test_what_tekton_would_fill_in_is_written() -> None:
    """What its webhook sets in lists, which a GitOps tool compares whole: SetDefaults of its types."""
    ours = [*of_kind("Task"), *of_kind("Pipeline")]
    assert {each.name: missing for each in ours if (missing := _filled_in(each.node))} == {}


def _filled_in(node: Node) -> list[str]:
    spec, is_task = node["spec"], node["kind"] == "Task"
    typed = [*items(spec, "params"), *(items(spec, "results") if is_task else ())]
    called = [
        task for task in (*items(spec, "tasks"), *items(spec, "finally")) if "resolver" not in task["taskRef"]
    ]
    return [
        *(one["name"] for one in typed if "type" not in one),
        *(task["name"] for task in called if "kind" not in task["taskRef"]),
    ]


def test_every_line_with_a_timeout_is_looked_at() -> None:
    written = sum(
        line.strip().startswith("timeout:") for source in SOURCES for line in source.text.splitlines()
    )
    seen = [
        path for source in SOURCES for document in documents(source.text) for path, _ in timeouts(document)
    ]
    assert len([path for path in seen if path.endswith(".timeout")]) == written > 0
    assert [path for path in seen if ".timeouts." in path]


@pytest.mark.parametrize(
    "node",
    [
        {"spec": {"tasks": [{"name": "a", "timeout": "15m"}]}},
        {"spec": {"timeouts": {"pipeline": "2h"}}},
        {"timeout": "0"},
        {"requests": {"storage": "1024Mi"}},
    ],
)
def test_other_words_for_the_same_are_found(node: object) -> None:
    """Else the table of the sources could pass for no reason."""
    assert len(differences(node)) == 1
