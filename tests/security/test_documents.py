"""JSON and TOML from outside: what is too large, too deep or of another shape is an error of the family."""

from typing import Any, TypedDict

import pytest

from factory.documents import MAX_DEPTH, parse_json, parse_toml, parse_toml_for_edit
from factory.errors import DocumentError, RegistryError


class _Layer(TypedDict):
    digest: str
    size: int


class _Manifest(TypedDict):
    layers: list[_Layer]


HOSTILE_JSON = {
    "nested arrays": b"[" * 100_000,
    "nested objects, closed": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deeper than the limit": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "a number of 5,000 digits": b"[1" + b"0" * 5_000 + b"]",
    "a float out of range": b"[1e999]",
    "not a number": b"[NaN]",
    "half a character": b'["\xff"]',
    "a lone surrogate": b'["\\ud800"]',
    "cut short": b'{"layers": [',
    "nothing": b"",
}
HOSTILE_TOML = {
    "50,000 brackets": "a = " + "[" * 50_000,
    "nested arrays, closed": "a = " + "[" * 500 + "]" * 500,
    "a number of 5,000 digits": "a = 1" + "0" * 5_000,
    "a key of 100,000 parts": ".".join("a" * 100_000) + " = 1",
    "a table's name of 100,000 parts": "[" + ".".join(["'a'"] * 100_000) + "]",
    "the year 0": "a = 0000-01-01",
    "cut short": "[a",
}


@pytest.mark.parametrize("content", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
@pytest.mark.parametrize("shape", [object, _Manifest, dict[str, Any], list[Any]], ids=str)
def test_hostile_json_is_an_error_of_the_family(content: bytes, shape: type[object]) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_json(content, shape, source="the manifest", error=RegistryError)
    assert caught.value.reason.startswith("the manifest is ")


@pytest.mark.parametrize("text", HOSTILE_TOML.values(), ids=HOSTILE_TOML)
def test_hostile_toml_is_an_error_of_the_family(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_toml(text, dict[str, Any], source="pyproject.toml")
    with pytest.raises(DocumentError):
        parse_toml_for_edit(text, source="pyproject.toml")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'{"layers": [{"digest": "a", "size": "5"}]}', "layers[0].size"),
        (b'{"layers": [{"digest": "a", "size": null}]}', "layers[0].size"),
        (b'{"layers": [{"digest": "a", "size": 5.5}]}', "layers[0].size"),
        (b'{"layers": [{"digest": "a", "size": true}]}', "layers[0].size"),
        (b'{"layers": [{"digest": ["a"], "size": 5}]}', "layers[0].digest"),
        (b'{"layers": {}}', "layers"),
        (b'{"layers": [[]]}', "layers[0]"),
        (b'{"layers": [{"digest": "a"}]}', "layers[0]"),
        (b'[{"layers": []}]', "object"),
    ],
)
def test_another_shape_is_refused_and_its_place_named(content: bytes, place: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_json(content, _Manifest, source="the manifest")
    assert place in caught.value.reason


def test_a_document_larger_than_its_limit_is_not_parsed() -> None:
    with pytest.raises(DocumentError, match="has 11 bytes, more than the 10"):
        parse_json(b'["aaaaaaa"]', list[str], source="a page", max_bytes=10)
    with pytest.raises(DocumentError, match="has 7 bytes, more than the 6"):
        parse_toml("a = 'b'", dict[str, str], source="a file", max_bytes=6)


def test_what_is_within_the_limits_comes_back_as_it_is() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse_json(deep, list[Any], source="") == eval(deep)
    manifest = parse_json(b'{"layers": [{"digest": "a", "size": 5}]}', _Manifest, source="")
    assert manifest["layers"][0]["size"] == 5
    assert parse_toml("a = [1, 2]", dict[str, list[int]], source="") == {"a": [1, 2]}
    assert parse_toml_for_edit("a = 1 # why\n", source="").as_string() == "a = 1 # why\n"
