"""Edits of arrays of strings in TOML: the array changes, its comments stay, and no other byte does."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import SpecError
from factory.flavor.edit import add_item, replace_item

PATH = ("tool", "uv", "constraint-dependencies")
HEAD = "# one\n[project]\nname = 'x'  # two\n\n[tool.uv]  # three\nconstraint-dependencies = "
TAIL = '\noverride-dependencies = []\n\n# four\n[tool.factory]\na = "[#]"\n'


def keep(comment: str) -> str:
    return comment


def append(comment: str) -> str:
    return f"{comment}; new" if comment else "new"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ("[]", '[\n    "b>=1",  # new\n]'),
        ("[ ]", '[\n    "b>=1",  # new\n]'),
        ("[\n]", '[\n    "b>=1",  # new\n]'),
        ("[  # why\n]", '[  # why\n    "b>=1",  # new\n]'),
        ("[\n  # none yet\n]", '[\n  # none yet\n    "b>=1",  # new\n]'),
        ('["a"]', '["a", "b>=1"]  # new'),
        ('[ "a", ]', '[ "a", "b>=1" ]  # new'),
        ('["a"] # old', '["a", "b>=1"] # old; new'),
        ('[\n  "a"\n]', '[\n  "a",\n  "b>=1",  # new\n]'),
        ('[\n\t"a", # old\n]', '[\n\t"a", # old\n\t"b>=1",  # new\n]'),
        ('[\n  "a" # old\n]', '[\n  "a", # old\n  "b>=1",  # new\n]'),
        ('[\n  "a",\n  # last words\n]', '[\n  "a",\n  # last words\n  "b>=1",  # new\n]'),
        ('["a",\n "c"]', '["a",\n "c", "b>=1"]  # new'),
        ("['#', \"]\"]", '[\'#\', "]", "b>=1"]  # new'),
        ('["""a""",\n]', '["""a""",\n    "b>=1",  # new\n]'),
    ],
)
def test_an_item_is_added_as_the_array_is_laid_out(array: str, expected: str, newline: str) -> None:
    text = f"{HEAD}{array}{TAIL}".replace("\n", newline)
    assert add_item(text, PATH, "b>=1", append) == f"{HEAD}{expected}{TAIL}".replace("\n", newline)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ('["a"]', '["b>=1"]  # new'),
        ("['a'] # old", "['b>=1'] # old; new"),
        ('["a", "c"]', '["b>=1", "c"]  # new'),
        ('[\n  "a",  # old\n  "c",\n]', '[\n  "b>=1",  # old; new\n  "c",\n]'),
        ('[\n  "a"\n  # below\n]', '[\n  "b>=1"  # new\n  # below\n]'),
        ("[\n  \"a\", '#', # old\n]", "[\n  \"b>=1\", '#', # old; new\n]"),
        ('[\n  # above\n  "a",\t\n]', '[\n  # above\n  "b>=1",  # new\n]'),
    ],
)
def test_an_item_is_replaced_where_it_stands(array: str, expected: str, newline: str) -> None:
    text = f"{HEAD}{array}{TAIL}".replace("\n", newline)
    assert replace_item(text, PATH, 0, "b>=1", append) == f"{HEAD}{expected}{TAIL}".replace("\n", newline)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\n", 'a = 1\n\n[tool.uv]\nconstraint-dependencies = [\n    "b>=1",\n]\n'),
        ("a = 1", 'a = 1\n\n[tool.uv]\nconstraint-dependencies = [\n    "b>=1",\n]\n'),
        ("a = 1\r\n", 'a = 1\r\n\r\n[tool.uv]\r\nconstraint-dependencies = [\r\n    "b>=1",\r\n]\r\n'),
        (
            "[tool.uv] # of uv\nx = 1\n\n# next\n[y]\n",
            '[tool.uv] # of uv\nconstraint-dependencies = [\n    "b>=1",\n]\nx = 1\n\n# next\n[y]\n',
        ),
        ("[ tool . uv ]", '[ tool . uv ]\nconstraint-dependencies = [\n    "b>=1",\n]\n'),
    ],
)
def test_an_array_that_is_not_there_is_added(text: str, expected: str) -> None:
    assert add_item(text, PATH, "b>=1", keep) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a = 1\r\n[tool.uv]\nconstraint-dependencies = []\n",
            'a = 1\r\n[tool.uv]\nconstraint-dependencies = [\n    "b>=1",\n]\n',
        ),
        (
            "a = 1\n[tool.uv]\r\nx = 1\n",
            'a = 1\n[tool.uv]\r\nconstraint-dependencies = [\r\n    "b>=1",\r\n]\r\nx = 1\n',
        ),
        ("a = 1\r\nb = 1\n", 'a = 1\r\nb = 1\n\n[tool.uv]\nconstraint-dependencies = [\n    "b>=1",\n]\n'),
    ],
)
def test_a_line_that_is_added_ends_as_the_one_beside_it(text: str, expected: str) -> None:
    assert add_item(text, PATH, "b>=1", keep) == expected


@pytest.mark.parametrize(
    "text",
    [
        "tool.uv.x = 1\n",
        "[tool]\nuv = {x = 1}\n",
        "[tool.uv]\nconstraint-dependencies = 'no array'\n",
        "x = '''\n[tool.uv]\n'''\n[tool]\nuv.x = 1\n",
    ],
)
def test_what_cannot_be_edited_without_changing_more_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"constraint-dependencies of \[tool.uv\]"):
        add_item(text, PATH, "b>=1", keep)


def test_the_array_is_found_by_its_table_and_not_by_its_looks() -> None:
    text = "[a]\nx = []\n[b]\nx = []\n[c]\nx = []\n"
    assert add_item(text, ("b", "x"), "v", keep) == '[a]\nx = []\n[b]\nx = [\n    "v",\n]\n[c]\nx = []\n'


WORDS = st.text(alphabet="ab#,'[]\" \t", max_size=6)


@given(
    items=st.lists(WORDS, min_size=1, max_size=4),
    layout=st.sampled_from(["{}", "\n  {}", "\n  {}  # c'\"]"]),
    last_comma=st.sampled_from(["", ","]),
    position=st.integers(min_value=0, max_value=3),
)
def test_whatever_the_array_holds_only_the_one_item_changes(
    items: list[str], layout: str, last_comma: str, position: int
) -> None:
    commas = [","] * (len(items) - 1) + [last_comma]
    body = "".join(
        layout.replace("{}", json.dumps(item) + comma) for item, comma in zip(items, commas, strict=True)
    )
    text = f"{HEAD}[{body}\n]{TAIL}"
    where = min(position, len(items) - 1)
    replaced = tomllib.loads(replace_item(text, PATH, where, "b>=1", append))
    added = tomllib.loads(add_item(text, PATH, "b>=1", append))
    assert replaced["tool"]["uv"]["constraint-dependencies"] == [
        *items[:where],
        "b>=1",
        *items[where + 1 :],
    ]
    assert added["tool"]["uv"]["constraint-dependencies"] == [*items, "b>=1"]
    assert replaced["tool"]["factory"] == added["tool"]["factory"] == {"a": "[#]"}
