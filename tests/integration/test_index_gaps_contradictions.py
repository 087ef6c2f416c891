"""``factory index-gaps`` where requirements contradict each other: told as that, and hiding no gap."""

import pytest
from support.index_gaps import flavors_in, gaps_in, look
from support.wheels import make_wheel
from support.workshop import CONFLICT, Workshop

pytestmark = pytest.mark.integration


def test_a_contradiction_is_told_beside_gaps_and_is_an_error_alone(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb<2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    make_wheel(workshop.pushed, "bb", "2.0")
    run = look(workshop, workshop.flavor("aa", "bb>=2", "absent").name)
    assert run.status == 1
    assert "and, all that aside," in run.out
    assert "all versions of aa depend on bb<2" in run.out
    run = look(workshop, workshop.flavor("aa", "bb>=2").name)
    assert run.status == CONFLICT
    assert "all versions of aa depend on bb<2" in run.err


@pytest.mark.parametrize("own", [["bb>=2"], ["bb>=2", "bb<2"], ["bb[fast]>=2", "cc"]])
def test_a_contradiction_hides_no_gap(workshop: Workshop, own: list[str]) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb<2"])
    for version in ("1.0", "2.0"):
        make_wheel(workshop.pushed, "bb", version, requires=["deep"], extras={"fast": ["turbo"]})
    make_wheel(workshop.pushed, "cc", "1.0", requires=["bb<1.5", "absent"])
    run = look(workshop, workshop.flavor("aa", "absent", *own).name, "--json")
    assert run.status == 1
    assert set(gaps_in(run)) == {"absent", "deep"} | ({"turbo"} if "cc" in own else set())
    conflict = flavors_in(run)[0]["conflict"]
    assert conflict.count(f"{own[0]}: wanted by pyproject.toml") == 1


def test_two_contradictions_are_both_told_and_nobody_is_told_to_lock(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb<2", "dd<2"])
    for version in ("1.0", "2.0"):
        make_wheel(workshop.pushed, "bb", version)
        make_wheel(workshop.pushed, "dd", version)
    run = look(workshop, workshop.flavor("aa", "bb>=2", "dd>=2").name)
    assert run.status == CONFLICT
    for line in ("  bb>=2: wanted by", "  bb<2: wanted by aa", "  dd>=2: wanted by", "  dd<2: wanted by aa"):
        assert run.err.count(line) == 1
    assert "what to do: Change what contradicts in pyproject.toml.\n" in run.err


@pytest.mark.parametrize(("there", "gaps"), [(False, {"bb"}), (True, set())])
def test_nobody_is_asked_for_a_version_that_cannot_be(
    workshop: Workshop, *, there: bool, gaps: set[str]
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=1.5"])
    make_wheel(workshop.pushed, "cc", "1.0", requires=["dd"])
    make_wheel(workshop.pushed, "dd", "1.0", requires=["bb<1.5"])
    if there:
        make_wheel(workshop.pushed, "bb", "1.2")
    folder = workshop.flavor("aa", "cc")
    run = look(workshop, folder.name)
    told = run.out + run.err
    assert "<1.5,>=1.5" not in told
    assert ">=1.5,<1.5" not in told
    assert "no version could meet all of these" in told or "no version of bb could meet" in told
    assert ("bb for Python" in run.out) == bool(gaps)


def test_the_lines_that_set_the_range_are_among_those_who_need_it(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=1.5", "cc>=2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    folder = workshop.flavor("aa", constraints=["bb<1.7"], overrides=["cc>=3"])
    gaps = gaps_in(look(workshop, folder.name, "--json"))
    assert {name: gap["requirement"] for name, gap in gaps.items()} == {"bb": "bb>=1.5,<1.7", "cc": "cc>=3"}
    assert set(gaps["bb"]["needed_by"]) == {"aa (bb>=1.5)", "the constraints in pyproject.toml (bb<1.7)"}
    assert set(gaps["cc"]["needed_by"]) == {"aa (cc>=2)", "the overrides in pyproject.toml (cc>=3)"}
