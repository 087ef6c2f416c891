"""A release put into a spec, and the spec into the text of a pyproject.toml."""

from dataclasses import replace

import pytest

from factory.flavor.edit import respec
from factory.flavor.project import parse_project
from factory.upkeep.promote import moved_keys, read_release, with_release

TEXT = """\
# about
[project]
name = "x"   # kept
dependencies = []

[tool.factory]
accelerator = "cpu"
torch = "2.13.0"
python = "3.11"
training-hub = "0.11.2"
{index}
platforms = ["linux/amd64"]  # one
base-image = 'registry.example.com/base:1'  # today's
downstream-base-image = "registry.example.com/product-base:1"

[[tool.factory.indexes]]
name = "own"
url = "https://own.example.com/1/simple/"  # ours
packages = ["a"]

[[tool.factory.indexes]]
name = "other"
url = "https://other.example.com/1/simple/"
packages = ["b"]
"""
OLD, NEW = "https://packages.example.com/1/simple/", "https://packages.example.com/2/simple/"


def promoted(text: str, *, index_url: str | None = None, indexes: tuple[str, ...] = ()) -> str:
    release = read_release(
        index_url=index_url,
        indexes=indexes,
        base_image="registry.example.com/base:2",
        downstream_base_image=None,
    )
    spec = parse_project(text, where="pyproject.toml").spec
    return respec(text, with_release(spec, release, flavor="x"))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "index",
    [f'index-url = "{OLD}"', "# No index-url: locked against the public index."],
    ids=["another index", "none yet"],
)
def test_only_the_values_that_move_change(index: str, newline: str) -> None:
    text = TEXT.replace("{index}", index).replace("\n", newline)
    wanted = text.replace(index, f'index-url = "{NEW}"')
    wanted = wanted.replace("'registry.example.com/base:1'", '"registry.example.com/base:2"')
    wanted = wanted.replace("own.example.com/1", "own.example.com/2")
    assert promoted(text, index_url=NEW, indexes=("own=https://own.example.com/2/simple/",)) == wanted


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_index_is_added_where_nothing_tells_its_place(newline: str) -> None:
    text = TEXT.replace("{index}\n", "").replace("\n", newline)
    written = promoted(text, index_url=NEW)
    assert parse_project(written, where="x").spec.index_url == NEW
    lines, before = written.splitlines(keepends=True), text.splitlines(keepends=True)
    assert len(lines) == len(before) + 1
    assert all(line.endswith(newline) for line in lines)


def test_what_moves_is_told_from_where_to_where() -> None:
    old = parse_project(TEXT.replace("{index}", ""), where="x").spec
    new = replace(old, index_url=NEW, base_image="registry.example.com/base:2")
    assert [(moved.key, moved.before, moved.after) for moved in moved_keys(old, new)] == [
        ("index-url", None, NEW),
        ("base-image", "registry.example.com/base:1", "registry.example.com/base:2"),
    ]
    assert moved_keys(old, old) == ()


def test_the_layers_of_a_flavor_are_kept() -> None:
    text = TEXT.replace("{index}\n", "") + '\n[tool.factory.layers]\nstack = ["torch"]\nbig = ["pyarrow"]\n'
    layers = parse_project(promoted(text, index_url=NEW), where="x").spec.layers
    assert [layer.name for layer in layers] == ["stack", "big"]
