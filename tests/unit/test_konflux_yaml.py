"""YAML that the factory writes: what is read back is what was written, and every string is quoted."""

import re

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from factory.konflux.yaml_text import Value, quoted, to_yaml

TEXT = st.text(max_size=30) | st.text(st.sampled_from("ab \"'\\\n\t:#-{}[]&*!|>%@`,?"), max_size=200)
VALUES = st.recursive(
    TEXT | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(data=st.dictionaries(TEXT, VALUES, max_size=4))
@example(data={"a": "word " * 60})
@example(data={"a": ["word " * 60 + "end", {"b": " word" * 60}]})
@example(data={f"{'key ' * 40}end": f"{'word ' * 40}end"})
@example(data={"a": "\x85\u2028\u2029\ufeff\x00\x7f\ud7ff😀"})
def test_what_is_read_back_is_what_was_written(data: dict[str, Value]) -> None:
    assert yaml.safe_load(to_yaml(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        *("y", "N", "on", "NO", "null", "~", "", "1.10", "0x10", "012", "1e3", "2026-01-01", "12:30:45"),
        *("<<", "=", "- a", "a: b", "# a", "{{ a }}", "$(params.a)", "a\nb", '"', "\\", "'", "*a", "&a"),
    ],
)
def test_a_text_that_yaml_would_take_for_something_else_stays_a_text(text: str) -> None:
    written = to_yaml({"key": text, "list": [text]})
    assert yaml.safe_load(written) == {"key": text, "list": [text]}
    assert written == f"key: {quoted(text)}\nlist:\n  - {quoted(text)}\n"
    assert quoted(text)[0] == quoted(text)[-1] == '"'


@pytest.mark.parametrize("key", ["y", "No", "true", "null", "1", "linux/amd64", "a b", "", "-", "{{a}}"])
def test_a_key_stays_a_text(key: str) -> None:
    assert yaml.safe_load(to_yaml({key: "value"})) == {key: "value"}


def test_what_is_no_text_is_not_quoted() -> None:
    assert to_yaml({"a": True, "b": False, "c": 3, "d": [], "e": {}}) == (
        "a: true\nb: false\nc: 3\nd: []\ne: {}\n"
    )


def test_a_list_of_tables_stands_under_its_key() -> None:
    assert to_yaml({"params": [{"name": "a", "value": ["x", "y"]}, {"name": "b"}]}) == (
        'params:\n  - name: "a"\n    value:\n      - "x"\n      - "y"\n  - name: "b"\n'
    )


def test_a_long_text_is_broken_at_its_spaces_alone() -> None:
    words = " ".join(f"word{number}" for number in range(60))
    written = to_yaml({"key": words})
    assert all(len(line) <= 110 for line in written.splitlines())
    assert re.sub(r"\n +", " ", written) == f'key: "{words}"\n'
    assert yaml.safe_load(written) == {"key": words}
    assert to_yaml({"key": "x" * 300}).count("\n") == 1
