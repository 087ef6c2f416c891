"""How far versions are apart."""

import pytest

from factory.upkeep.diff import VersionStep, is_older, version_rank, version_step, without_local


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("5.4.0", "5.5.0", "minor"),
        ("5.5.0", "5.5.4", "patch"),
        ("5.5.4", "5.5.0", "patch"),
        ("4.9", "5.0", "major"),
        ("2.0", "2.0.1", "patch"),
        ("1.2.3.4", "1.2.3.5", "patch"),
        ("2026.2.0", "2026.9.0", "minor"),
        ("1.0rc1", "1.0", "patch"),
        ("1.0", "1.0.post1", "patch"),
        ("2.11.0+cpu", "2.11.0+cu130", "build"),
        ("1!1.0", "2.0", "other"),
        ("old", "1.0", "other"),
    ],
)
def test_the_first_part_that_differs_is_the_step(before: str, after: str, expected: VersionStep) -> None:
    assert version_step(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("1.10", "1.9", True), ("1.9", "1.10", False), ("1.0", "1.0", False), ("x", "1.0", False)],
)
def test_older_is_as_versions_are_ordered(before: str, after: str, *, expected: bool) -> None:
    assert is_older(before, after) is expected


def test_the_public_version_has_no_local_part() -> None:
    assert [without_local(text) for text in ("2.13.0+cpu", "1.0.post1", "odd")] == [
        "2.13.0",
        "1.0.post1",
        "odd",
    ]


def test_the_newest_come_first_and_what_is_no_version_last() -> None:
    versions = ["1.9", "odd", "1.10", "1.10rc1"]
    assert sorted(versions, key=version_rank, reverse=True) == ["1.10", "1.10rc1", "1.9", "odd"]
