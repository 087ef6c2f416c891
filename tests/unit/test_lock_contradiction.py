"""Which requirements exclude each other, whatever an index has."""

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from factory.gaps.needs import Need, contradicted, disjoint


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("<1", ">=1", True),
        ("<1", ">=2", True),
        ("<=1", ">=1", False),
        ("<1", "", False),
        ("", "", False),
        (">1.0", "<1.1", False),
        (">=1.0", "!=1.0", False),
        ("==1.0.*", "!=1.0", False),
        ("==1.0.*", "!=1.0.*", True),
        (">1.0", "!=1.0.*", False),
        ("~=1.4", "<1.4", True),
        ("~=1.4", "<1.5", False),
        ("<2", "!=1.9", False),
        ("==1.0", "==2.0", True),
        ("==2.11.0+cpu", "==2.11.0", False),
        ("==2.11.0+cpu", "==2.11.0+cu130", True),
        ("<1!1", ">=2", False),
        ("===odd", "<1", False),
        (">=1.0a1", "<1.0rc1", False),
    ],
)
def test_ranges_without_a_common_version(first: str, second: str, expected: bool) -> None:  # noqa: FBT001
    assert disjoint(SpecifierSet(first), SpecifierSet(second)) is expected
    assert disjoint(SpecifierSet(second), SpecifierSet(first)) is expected


def _need(by: str | None, *requirements: str) -> Need:
    return Need(by=by, requirements=tuple(map(Requirement, requirements)))


_LOW = _need("ca==1.0", "pre<1")


@pytest.mark.parametrize(
    ("others", "excluded"),
    [
        pytest.param([_need(None, "pre>=1")], 1, id="the project"),
        pytest.param([_need("the constraints in pyproject.toml", "pre>=1")], 1, id="its constraints"),
        pytest.param([_need("cb", "pre>=1")], 1, id="another package"),
        pytest.param([_need("cb<2", "pre>=1"), _need("cb>=2", "pre<1")], 0, id="one version of another"),
        pytest.param([_need("ca==2.0", "pre>=1")], 0, id="another version of the same"),
        pytest.param([_need(None, "other>=1")], 0, id="another package's versions"),
        pytest.param([_need(None, "pre>=1", "pre<0.5")], 0, id="a choice that fits"),
        pytest.param([_need(None, "pre>=1", "pre>=2")], 1, id="a choice of which nothing fits"),
    ],
)
def test_only_what_holds_in_any_case_contradicts(others: list[Need], excluded: int) -> None:
    assert len(contradicted(_LOW, [_LOW, *others])) == excluded
