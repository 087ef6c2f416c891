"""What several flavors lack becomes one request, and its Markdown holds whatever stands in it."""

from dataclasses import replace

import pytest

from factory.errors import IndexAccessError
from factory.gaps.gaps import Gap
from factory.gaps.index_gaps import FlavorGaps, GapReport, RecordedMissing, merge
from factory.gaps.request import as_markdown, gaps_text

INDEX = "https://index.example.com/simple/"
GAP = Gap(
    package="flash-attn",
    requirement="flash-attn>=2.8",
    kind="sdist-only",
    index=INDEX,
    python="3.12",
    platforms=("linux/amd64",),
    found="the index has 2.8.3 as sdist only",
    would_do="2.8.3 built as a wheel, or a version >=2.8",
    needed_by=("pyproject.toml (flash-attn>=2.8)",),
)


def flavor(name: str, *gaps: Gap, recorded: tuple[RecordedMissing, ...] = ()) -> FlavorGaps:
    state = "gaps" if gaps else "complete"
    return FlavorGaps(flavor=name, index=INDEX, state=state, gaps=gaps, recorded=recorded)


def report(*flavors: FlavorGaps) -> GapReport:
    return GapReport(flavors=flavors, wanted=merge(flavors))


def test_the_same_gap_of_two_flavors_is_one_with_the_sum_of_what_is_wanted() -> None:
    other = replace(GAP, python="3.11", platforms=("linux/arm64",), needed_by=("aa (flash-attn)",))
    (row,) = merge([flavor("one", GAP), flavor("two", other)])
    assert row.flavors == ("one", "two")
    assert row.targets == (("3.12", "linux/amd64"), ("3.11", "linux/arm64"))
    assert row.needed_by == ("pyproject.toml (flash-attn>=2.8)", "aa (flash-attn)")


@pytest.mark.parametrize(
    "change",
    [
        {"requirement": "flash-attn>=2.9"},
        {"index": "https://other.example.com/simple/"},
        {"found": "the index has no such project", "kind": "no-project"},
    ],
)
def test_what_differs_stays_apart(change: dict[str, str]) -> None:
    other = replace(GAP, **change)  # type: ignore[arg-type]
    assert [row.flavors for row in merge([flavor("one", GAP), flavor("two", other)])] in (
        [("one",), ("two",)],
        [("two",), ("one",)],
    )


def test_a_recorded_gap_is_asked_for_with_the_reason() -> None:
    recorded = RecordedMissing(
        requirement="flash-attn>=2.8", package="flash-attn", reason="no build", gap=GAP
    )
    there = RecordedMissing(requirement="apex", package="apex", reason="no build", gap=None)
    told = report(flavor("one", recorded=(recorded, there)))
    assert [(row.package, row.reasons) for row in told.wanted] == [("flash-attn", ("no build",))]
    assert told.exit_code == 0
    assert "sdist only (known: no build)" in as_markdown(told)


def test_the_exit_code_is_that_of_errors_before_gaps() -> None:
    assert report(flavor("one")).exit_code == 0
    assert report(flavor("one"), flavor("two", GAP)).exit_code == 1
    error = IndexAccessError("it is down", solution="Wait.")
    assert replace(report(flavor("two", GAP)), error=error).exit_code == IndexAccessError.exit_code


def test_a_cell_is_one_line_whatever_stands_in_it() -> None:
    recorded = RecordedMissing(requirement="x", package="flash-attn", reason="a | b\nand more", gap=GAP)
    rows = [
        line
        for line in as_markdown(report(flavor("one", recorded=(recorded,)))).splitlines()
        if line.startswith("| `")
    ]
    assert len(rows) == 1
    assert "a \\| b and more" in rows[0]
    assert rows[0].replace("\\|", "").count("|") == 8


def test_nothing_missing_makes_no_table() -> None:
    assert "|" not in as_markdown(report(flavor("one")))
    assert gaps_text(report(flavor("one"), flavor("two"))) == (
        f"one: {INDEX} has all that it needs",
        f"two: {INDEX} has all that it needs",
        "nothing is missing",
    )


ERROR = IndexAccessError("it is down", solution="Wait.")


@pytest.mark.parametrize(
    "untold",
    [
        FlavorGaps(flavor="two", index="", state="failed", error=ERROR),
        FlavorGaps(flavor="two", index=INDEX, state="complete", conflict="aa<2 and aa>=2"),
    ],
)
@pytest.mark.parametrize("gaps", [(), (GAP,)])
def test_what_could_not_be_told_is_not_said_to_be_there(untold: FlavorGaps, gaps: tuple[Gap, ...]) -> None:
    request = as_markdown(report(flavor("one", *gaps), untold))
    assert "Nothing is missing" not in request
    assert "is missing is not known of these images: two." in request
    assert ("| `flash-attn>=2.8` |" in request) == bool(gaps)
