"""The readers of JSON and TOML: only errors of the family come out, and what is read is what is written."""

import json
import tomllib
from contextlib import suppress
from typing import Any

from fuzz.searching import searched
from hypothesis import strategies as st

from factory.documents import MAX_DEPTH, parse_json, parse_toml, parse_toml_for_edit
from factory.errors import DocumentError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=30,
)
_SIGNS = [*"[]{}\"\\,:=.'#-a\n\x00", '"""', "[[", "1e999", "9" * 40, "NaN", "true", "\ud800"]
PIECES = st.sampled_from(_SIGNS)
BROKEN = st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=60).map("".join)
DEEP = st.integers(1, 3 * MAX_DEPTH).map(lambda depth: "[" * depth + "]" * depth)


@searched(VALUES)
def test_json_that_python_writes_is_read_as_it_is(value: object) -> None:
    """A document within the limits comes back as the standard library reads it."""
    text = json.dumps(value)
    assert parse_json(text, object, source="x") == json.loads(text)


@searched(st.one_of(BROKEN, DEEP, st.binary(max_size=60)))
def test_only_errors_of_the_family_come_out_of_json(content: str | bytes) -> None:
    """Whatever the bytes: a value that Python's strict reader reads too, or a DocumentError."""
    raw = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    with suppress(DocumentError):
        found = parse_json(raw, object, source="x")
        assert found == json.loads(raw)


@searched(VALUES, st.sampled_from([dict[str, int], list[str], dict[str, list[int]], str, int]))
def test_another_shape_is_never_let_through(value: object, shape: Any) -> None:  # noqa: ANN401 - a type
    """What comes out has the shape that was asked for."""
    with suppress(DocumentError):
        found = parse_json(json.dumps(value), shape, source="x")
        assert found == value
        assert isinstance(found, getattr(shape, "__origin__", shape))
        assert not isinstance(found, bool) or shape is bool


@searched(st.one_of(BROKEN, DEEP.map(lambda text: f"a = {text}")))
def test_only_errors_of_the_family_come_out_of_toml(text: str) -> None:
    """Whatever the text: what tomllib reads, or a DocumentError; edited without a change it is the same."""
    with suppress(DocumentError):
        found = parse_toml(text, dict[str, Any], source="x")
        assert found == tomllib.loads(text)
        assert tomllib.loads(parse_toml_for_edit(text, source="x").as_string()) == found
