"""Who requires a package, and the way to it from what the project requires itself."""

import pytest
from packaging.requirements import Requirement

from factory.gaps.needs import PROJECT, Requirer, owner_text, path_to
from factory.lock.uv import Required

GRAPH = {
    "aa": Required(version="1", by=[PROJECT]),
    "bb": Required(version="1", by=["aa"]),
    "cc": Required(version="1", by=["bb", "dd"]),
    "dd": Required(version=None, by=["cc", "aa"]),
    "lost": Required(version="1", by=["nobody"]),
    "first": Required(version="1", by=["second"]),
    "second": Required(version="1", by=["first"]),
}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("aa", ("aa",)),
        ("bb", ("aa", "bb")),
        ("dd", ("aa", "dd")),
        ("cc", ("aa", "bb", "cc")),
        ("lost", ()),
        ("first", ()),
        ("not there", ()),
    ],
)
def test_the_shortest_way_from_the_project(name: str, path: tuple[str, ...]) -> None:
    assert path_to(name, GRAPH) == path


def test_an_owner_is_told_with_its_requirements_each_once() -> None:
    texts = ("xx[gpu]<3,>=2 ; sys_platform == 'linux'", "xx[gpu]>=2,<3", "xx!=2.5")
    owner = Requirer(name="aa", requirements=tuple(map(Requirement, texts)), path=("aa",))
    assert owner_text(owner) == "aa (xx[gpu]>=2,<3 and xx!=2.5)"
    assert owner_text(Requirer(name="aa", requirements=(), path=())) == "aa"
