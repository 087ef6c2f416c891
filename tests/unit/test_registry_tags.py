"""Which tags an image is pushed under, and which may be overwritten."""

import datetime as dt
import re

import pytest

from factory.errors import RegistryError, SpecError
from factory.registry.tags import Tag, TagFacts, Versions, check_unmoved, next_version, wanted_tags

_FACTS = TagFacts(
    identity="0123456789abcdef" * 4,
    moving_tag="current",
    commit="a1b2c3d4e5f6" + "0" * 28,
    moment=dt.datetime(2026, 11, 22, 20, 30, 5, tzinfo=dt.UTC),
    fields={"torch": "2.9.1", "accelerator": "cuda"},
)
_DIRTY = TagFacts(identity=None, commit=_FACTS.commit, dirty=True, moment=_FACTS.moment)
_BARE = TagFacts(identity=None, moment=_FACTS.moment)


def _names(*rules: str, facts: TagFacts = _FACTS, versions: Versions | None = None) -> list[tuple[str, bool]]:
    return [(tag.name, tag.moving) for tag in wanted_tags(rules, facts, versions or Versions())]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["auto"], [("0123456789abcdef", False), ("current", True)]),
        (["latest"], [("latest", True)]),
        (["git-sha"], [("a1b2c3d4e5f6", False)]),
        (["semver"], [("0.1.0", False)]),
        (["stable"], [("stable", False)]),
        (["current"], [("current", True)]),
        (["{identity}-{date}"], [("0123456789abcdef-20261122", False)]),
        (["{accelerator}-torch{torch}-{time}"], [("cuda-torch2.9.1-203005", False)]),
        (["v{semver}"], [("v0.1.0", False)]),
        (["{git-sha}"], [("a1b2c3d4e5f6", False)]),
        # The moving ones come last, whatever the order of the rules, and none comes twice.
        (
            ["latest", "auto", "auto", "git-sha"],
            [("0123456789abcdef", False), ("a1b2c3d4e5f6", False), ("latest", True), ("current", True)],
        ),
    ],
)
def test_a_rule_gives_its_tags(rules: list[str], expected: list[tuple[str, bool]]) -> None:
    assert _names(*rules) == expected


@pytest.mark.parametrize(
    ("rule", "facts", "message"),
    [
        ("{nothing}", _FACTS, r"no field \{nothing\}"),
        ("{}", _FACTS, r"no field \{\}"),
        ("{date", _FACTS, "is not a tag"),
        ("a b", _FACTS, "is not a tag"),
        ("-x", _FACTS, "is not a tag"),
        ("", _FACTS, "is not a tag"),
        ("x" * 129, _FACTS, "is not a tag"),
        ("{torch}+cu128", _FACTS, "is not a tag"),
        ("auto", _BARE, "no identity"),
        ("{identity}", _BARE, "no identity"),
        ("git-sha", _BARE, "no commit"),
        ("git-sha", _DIRTY, "in no commit"),
        ("{git-sha}", _DIRTY, "in no commit"),
        ("{semver}-cpu", _FACTS, "where it must be the whole tag"),
    ],
)
def test_what_gives_no_tag_is_an_error_that_names_it(rule: str, facts: TagFacts, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        wanted_tags([rule], facts, Versions())


def test_an_unknown_field_is_told_with_those_that_are_known() -> None:
    with pytest.raises(SpecError) as caught:
        wanted_tags(["{nothing}"], _FACTS, Versions())
    for name in ("identity", "git-sha", "semver", "date", "time", "torch", "accelerator"):
        assert f"{{{name}}}" in caught.value.solution


def test_changes_in_no_commit_are_pushed_where_allowed_under_a_tag_that_says_so_and_moves() -> None:
    (tag,) = wanted_tags(["git-sha"], _DIRTY, Versions(), allow_dirty=True)
    assert tag == Tag(name="a1b2c3d4e5f6-dirty", moving=True)


@pytest.mark.parametrize(
    ("existing", "raised", "expected"),
    [
        ([], "patch", "0.1.0"),
        (["latest", "0123456789abcdef", "1.2", "01.2.3", "1.2.3-rc1"], "major", "0.1.0"),
        (["0.1.0"], "patch", "0.1.1"),
        (["0.1.9", "0.1.10", "0.1.2"], "patch", "0.1.11"),
        (["1.9.9", "1.10.0"], "minor", "1.11.0"),
        (["1.9.9", "2.0.3-beta"], "major", "2.0.0"),
        (["v3.1.4", "2.9.9"], "patch", "v3.1.5"),
    ],
)
def test_the_newest_version_is_raised_by_number(existing: list[str], raised: str, expected: str) -> None:
    parts = {"major": "major", "minor": "minor", "patch": "patch"}
    assert next_version(Versions(existing=tuple(existing), raised=parts[raised])) == expected  # type: ignore[arg-type]


def test_an_image_keeps_the_version_that_it_has() -> None:
    versions = Versions(existing=("1.0.0", "1.0.1"), kept="1.0.1")
    assert _names("semver", versions=versions) == [("1.0.1", False)]


def test_only_a_moving_tag_is_taken_from_another_image() -> None:
    place, one, other = "quay.io/team/x", f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    check_unmoved(Tag(name="latest", moving=True), place=place, there=one, wanted=other)
    check_unmoved(Tag(name="1.0.0", moving=False), place=place, there=one, wanted=one)
    with pytest.raises(RegistryError, match=re.escape(f"{place}:1.0.0 exists already")) as caught:
        check_unmoved(Tag(name="1.0.0", moving=False), place=place, there=one, wanted=other)
    assert one in caught.value.reason


def test_a_version_with_a_letter_before_it_is_raised_from_the_one_that_is_there() -> None:
    assert _names("v{semver}", versions=Versions(existing=("v0.1.0",))) == [("v0.1.1", False)]
    kept = Versions(existing=("v0.1.0",), kept="v0.1.0")
    assert _names("v{semver}", versions=kept) == [("v0.1.0", False)]


def test_a_template_with_what_is_in_no_commit_gives_a_tag_that_moves() -> None:
    (tag,) = wanted_tags(["x-{git-sha}"], _DIRTY, Versions(), allow_dirty=True)
    assert tag.moving
