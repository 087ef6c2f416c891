"""``factory lock`` where the index lacks something, or the requirements contradict each other."""

import re

import pytest
from support.wheels import make_sdist, make_wheel
from support.workshop import CONFLICT, GAP, Workshop, gaps_of

pytestmark = pytest.mark.integration


def test_every_gap_is_in_one_report_with_who_needs_it_and_nothing_is_written(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["deep", "old>=2"])
    make_wheel(workshop.pushed, "bb", "1.0", requires=["old>=1.5", "sourceonly>=2"])
    make_wheel(workshop.pushed, "deep", "1.0", requires=["nowhere[x]>=3", "newpython"])
    make_wheel(workshop.pushed, "old", "1.0")
    make_sdist(workshop.pushed, "sourceonly", "2.1")
    make_wheel(workshop.pushed, "newpython", "1.0", requires_python=">=3.13")
    make_wheel(workshop.pushed, "otherabi", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    folder = workshop.flavor("aa", "bb", "otherabi", "absent>=1", "win; sys_platform == 'win32'")
    (folder / "requirements.txt").write_bytes(b"what was there before")
    run = workshop.lock(folder.name, "--json")
    assert run.status == GAP
    gaps = gaps_of(run)
    assert set(gaps) == {"absent", "nowhere", "old", "sourceonly", "newpython", "otherabi"}
    assert gaps["absent"]["found"] == "the index has no such project"
    assert gaps["absent"]["needed_by"] == ["pyproject.toml (absent>=1)"]
    assert gaps["sourceonly"]["found"] == "the index has 2.1 as sdist only"
    who = {name: " ".join(map(str, gap["needed_by"])) for name, gap in gaps.items()}  # type: ignore[call-overload]
    assert "deep" in who["nowhere"]
    assert "deep" in who["newpython"]
    assert "aa" in who["old"]
    assert "bb" in who["old"]
    assert "bb" in who["sourceonly"]
    assert (folder / "requirements.txt").read_bytes() == b"what was there before"
    assert not [path for path in folder.iterdir() if path.name not in {"requirements.txt", "pyproject.toml"}]


def test_words_of_an_explanation_are_never_looked_up_on_the_index(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    workshop.lock(workshop.flavor("aa", "absent").name)
    asked = {request.path.split("/")[2] for request in workshop.index.requests if "/simple/" in request.path}
    assert asked == {"aa", "bb", "absent"}


def test_a_floor_in_the_constraints_that_the_index_lacks_is_a_gap(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    run = workshop.lock(workshop.flavor("aa", constraints=["aa>=1.0.1"]).name)
    assert run.status == GAP
    assert "aa>=1.0.1 for linux/amd64: the index has 1.0" in run.err


def test_what_the_spec_records_as_missing_is_left_out(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["flash-attn>=2.8"])
    make_sdist(workshop.pushed, "flash-attn", "2.8")
    folder = workshop.flavor("aa", missing=["flash_attn>=2.8"])
    assert workshop.locked(folder).versions() == {"aa": "1.0"}


def test_a_conflict_is_told_in_uvs_words_and_is_no_gap(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb<2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    make_wheel(workshop.pushed, "bb", "2.0")
    run = workshop.lock(workshop.flavor("aa", "bb>=2").name)
    assert run.status == CONFLICT
    assert "all versions of aa depend on bb<2" in run.err


def test_gaps_and_a_conflict_are_told_together(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb<2"])
    make_wheel(workshop.pushed, "bb", "1.0")
    make_wheel(workshop.pushed, "bb", "2.0")
    run = workshop.lock(workshop.flavor("aa", "bb>=2", "absent").name)
    assert run.status == GAP
    assert "absent for linux/amd64" in run.err
    assert "all versions of aa depend on bb<2" in run.err


def test_a_constraint_on_what_others_need_is_told_as_the_constraint(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=1"])
    make_wheel(workshop.pushed, "bb", "1.0")
    run = workshop.lock(workshop.flavor("aa", constraints=["bb>=1.0.1", "unused>=9"]).name, "--json")
    assert run.status == GAP
    gaps = gaps_of(run)
    assert set(gaps) == {"bb"}
    assert gaps["bb"]["needed_by"] == ["the constraints in pyproject.toml (bb>=1.0.1)", "aa (bb>=1)"]


def test_everybody_who_needs_a_gap_is_named_with_the_range_where_the_index_tells(workshop: Workshop) -> None:
    workshop.index.metadata = True
    make_wheel(workshop.pushed, "aa", "1.0", requires=["absent>=2.8"])
    make_wheel(workshop.pushed, "bb", "1.0", extras={"gpu": ["absent[fast]>=2.8.2"]})
    make_wheel(workshop.pushed, "cc", "1.0", requires=["absent"])
    run = workshop.lock(workshop.flavor("aa", "bb[gpu]", "cc").name, "--json")
    gap = gaps_of(run)["absent"]
    needed_by = gap["needed_by"]
    assert isinstance(needed_by, list)
    assert sorted(re.sub(r"[\[=>].*? \(", " (", str(who)) for who in needed_by) == [
        "aa (absent>=2.8)",
        "bb (absent[fast]>=2.8.2)",
        "cc (absent)",
    ]
    assert gap["requirement"] == "absent>=2.8.2"


def test_a_url_that_is_no_index_is_doubted_before_its_owners_are_asked(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    wrong = f"{workshop.index.root}/elsewhere/simple/"
    run = workshop.lock(workshop.flavor("aa", "bb", index_url=wrong).name)
    assert run.status == GAP
    assert f"{wrong} lacks 2 requirements" in run.err
    assert "Look first whether this is an index" in run.err
    run = workshop.lock(workshop.flavor("aa", "bb").name)
    assert "Look first" not in run.err


def test_a_contradiction_that_the_index_could_not_cure_is_no_gap(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "ca", "1.0", requires=["pre<1"])
    make_wheel(workshop.pushed, "pre", "1.0")
    run = workshop.lock(workshop.flavor("ca", "pre>=1").name)
    assert run.status == CONFLICT
    assert "all versions of ca depend on pre<1" in run.err
    assert "pre<1: wanted by ca" in run.err
    assert "pre>=1: wanted by pyproject.toml" in run.err
    make_wheel(workshop.pushed, "cb", "1.0", requires=["pre>=2"])
    run = workshop.lock(workshop.flavor("ca", "cb").name)
    assert run.status == CONFLICT
    assert "all versions of cb depend on pre>=2" in run.err


def test_a_contradiction_beside_a_gap_is_told_beside_it(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "ca", "1.0", requires=["pre<1"])
    make_wheel(workshop.pushed, "pre", "1.0")
    run = workshop.lock(workshop.flavor("ca", "pre>=1", "absent").name, "--json")
    assert run.status == GAP
    assert set(gaps_of(run)) == {"absent"}
    assert "all versions of ca depend on pre<1" in run.err


def test_a_need_that_another_version_of_its_owner_does_not_have_contradicts_nothing(
    workshop: Workshop,
) -> None:
    make_wheel(workshop.pushed, "ca", "1.0", requires=["pre<1"])
    make_wheel(workshop.pushed, "ca", "2.0", requires=["pre>=2"])
    make_wheel(workshop.pushed, "pre", "1.0")
    run = workshop.lock(workshop.flavor("ca").name, "--json")
    assert run.status == GAP
    assert set(gaps_of(run)) == {"pre"}
