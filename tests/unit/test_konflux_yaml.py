"""YAML that the factory writes: what is read back is what was written, and every string is quoted."""

import re

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from support.konflux_site import SETTINGS, settings_of

from factory.konflux.flavors_check import flavors_check_files, pipeline_file
from factory.konflux.pipeline_run import FLAVORS_CHECK, fold, quoted, render_run

TEXT = st.text(max_size=30) | st.text(st.sampled_from("ab \"'\\\n\t:#-{}[]&*!|>%@`,?"), max_size=200)
PLACES = ("{}\n", "key: {}\n", "- {}\n", "a:\n  - {}\n", "a:\n    - name: {}\n      value:\n        - {}\n")


@pytest.mark.parametrize("place", PLACES)
@given(text=TEXT)
@example(text="word " * 60)
@example(text="word " * 60 + "end")
@example(text=" word" * 60)
@example(text="two  spaces " * 20 + "end")
@example(text='quote " ' * 20 + "end")
@example(text="\x85\u2028\u2029\ufeff\x00\x7f\ud7ff😀")
def test_what_is_read_back_is_what_was_written(text: str, place: str) -> None:
    written = place.replace("{}", quoted(text))
    assert yaml.safe_load(written) == yaml.safe_load(fold(written))
    assert set(_texts(yaml.safe_load(written))) == {text}


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else [str(value)]


@pytest.mark.parametrize(
    "text",
    [
        *("y", "N", "on", "NO", "null", "~", "", "1.10", "0x10", "012", "1e3", "2026-01-01", "12:30:45"),
        *("<<", "=", "- a", "a: b", "# a", "{{ a }}", "$(params.a)", "a\nb", '"', "\\", "'", "*a", "&a"),
    ],
)
def test_a_text_that_yaml_would_take_for_something_else_stays_a_text(text: str) -> None:
    assert yaml.safe_load(f"key: {quoted(text)}\nlist:\n  - {quoted(text)}\n") == {
        "key": text,
        "list": [text],
    }
    assert quoted(text)[0] == quoted(text)[-1] == '"'


def test_a_long_text_is_broken_at_its_spaces_alone() -> None:
    words = " ".join(f"word{number}" for number in range(60))
    written = fold(f"a:\n  - key: {quoted(words)}\n")
    assert all(len(line) <= 110 for line in written.splitlines())
    assert re.sub(r"\n {6}(?=\S)", " ", written) == f'a:\n  - key: "{words}"\n'
    assert fold(f'key: "{"x" * 300}"\n').count("\n") == 1


@given(value=TEXT)
@example(value="<< settings >>{% if %}{# #}")
def test_every_value_of_a_pipeline_run_is_data(value: str) -> None:
    text = render_run(
        "th09",
        settings_of(SETTINGS),
        "push",
        pipeline=value,
        component=None,
        globs=[value],
        parameters={"text": value, "list": [value, value], "none": []},
        timeout=90,
        service_account=value,
    )
    run = yaml.safe_load(text)
    assert run["spec"]["pipelineRef"] == {"name": value}
    assert run["spec"]["taskRunTemplate"] == {"serviceAccountName": value}
    assert [parameter["value"] for parameter in run["spec"]["params"]] == [value, [value, value], []]
    assert run["spec"]["timeouts"] == {"pipeline": "1h30m0s", "tasks": "1h0m0s"}


def test_the_written_pipeline_is_the_shipped_one_with_its_strings_quoted() -> None:
    written = next(file.content for file in flavors_check_files(["th09"], settings_of(SETTINGS)))
    assert yaml.safe_load(written) == yaml.safe_load(pipeline_file(FLAVORS_CHECK))
    text = written.decode().partition("---\n")[2]
    values = [line.partition(": ")[2] for line in text.splitlines() if re.match(r" *(?:- )?[\w./-]+: ", line)]
    assert [value for value in values if not re.fullmatch(r'".*|true|false|[0-9]+|\[\]|\{\}', value)] == []
