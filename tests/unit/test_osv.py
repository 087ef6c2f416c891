"""Advisories in the OSV format: which version has a vulnerability, and which is rid of it."""

import datetime as dt
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.advisories import Event, advisory, write_advisories

from factory.errors import AdvisoryError
from factory.upkeep.advisories import Evaluated, evaluate, parse_advisory, read_database

START = {"introduced": "0"}


def _evaluate(version: str, *records: dict[str, object], package: str = "lib") -> Evaluated:
    return evaluate(package, version, [parse_advisory(record, source="x.json") for record in records])


@pytest.mark.parametrize(
    ("events", "affected", "free"),
    [
        ([START, {"fixed": "1.2"}], ["0.dev1", "0", "1.0", "1.2rc1", "1.1.post9"], ["1.2", "1.2.0", "1.10"]),
        ([START], ["0.dev1", "99.0"], []),
        ([{"introduced": "1.0"}, {"fixed": "1.2"}], ["1.0", "1.1.9"], ["0.9", "1.0rc1", "1.2"]),
        ([START, {"last_affected": "1.2"}], ["1.0", "1.2", "1.2.0"], ["1.2.post1", "1.2.1"]),
        (
            [START, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.3"}],
            ["1.1", "2.0", "2.2"],
            ["1.2", "1.9", "2.3"],
        ),
        # The order in which events stand in the file means nothing.
        (
            [{"fixed": "2.3"}, {"introduced": "2.0"}, {"fixed": "1.2"}, START],
            ["1.1", "2.0", "2.2"],
            ["1.2", "1.9", "2.3"],
        ),
        ([{"introduced": "2.10"}, {"fixed": "10.0"}], ["2.10", "9.9"], ["2.9", "2.1", "10.0"]),
        ([{"introduced": "1!1.0"}, {"fixed": "1!1.1"}], ["1!1.0"], ["1.0", "2026.1", "1!1.1"]),
        ([START, {"limit": "1.5"}], ["1.4"], ["1.5", "2.0"]),
        ([START, {"limit": "*"}], ["1.4", "99"], []),
        ([START, {"limit": "1.5"}, {"limit": "1.7"}], ["1.6"], ["1.7"]),
        ([START, {"fixed": "1.0"}, {"introduced": "1.0"}, {"fixed": "1.1"}], ["0.9", "1.0"], ["1.1"]),
    ],
)
def test_events_are_evaluated_as_the_specification_says(
    events: Sequence[Event], affected: Sequence[str], free: Sequence[str]
) -> None:
    record = advisory("PYSEC-1", "lib", *events)
    for version in affected:
        assert _evaluate(version, record).vulnerabilities, version
    for version in free:
        assert not _evaluate(version, record).vulnerabilities, version


@pytest.mark.parametrize("kind", ["ECOSYSTEM", "SEMVER"])
def test_versions_are_those_of_pep_440_in_every_range_of_versions(kind: str) -> None:
    record = advisory("PYSEC-1", "lib", START, {"fixed": "1.0"}, kind=kind)
    assert _evaluate("1.0rc1", record).vulnerabilities
    assert not _evaluate("1.0", record).vulnerabilities


def test_a_list_of_versions_counts_beside_the_ranges() -> None:
    record = advisory("PYSEC-1", "lib", {"introduced": "2"}, {"fixed": "3"}, versions=["1.0", "1.1-legacy"])
    assert _evaluate("1.0.0", record).vulnerabilities
    assert _evaluate("2.5", record).vulnerabilities
    assert not _evaluate("1.1", record).vulnerabilities


@pytest.mark.parametrize("pinned", ["2.11.0+cpu", "2.11.0+rocm7.14", "2.11.0"])
def test_a_local_version_is_compared_by_its_public_part(pinned: str) -> None:
    assert _evaluate(pinned, advisory("A-1", "lib", versions=["2.11.0"])).vulnerabilities
    assert _evaluate(pinned, advisory("A-1", "lib", START, {"last_affected": "2.11.0"})).vulnerabilities
    assert not _evaluate(pinned, advisory("A-1", "lib", START, {"fixed": "2.11.0"})).vulnerabilities


@given(
    bounds=st.lists(st.tuples(*[st.integers(0, 9)] * 2), min_size=2, max_size=6, unique=True).filter(
        lambda bounds: len(bounds) % 2 == 0
    ),
    version=st.tuples(*[st.integers(0, 9)] * 2),
    shuffled=st.randoms(use_true_random=False),
)
def test_a_version_is_affected_where_it_lies_between_two_events(
    bounds: list[tuple[int, int]], version: tuple[int, int], shuffled: random.Random
) -> None:
    ordered = sorted(bounds)
    pairs = list(zip(ordered[::2], ordered[1::2], strict=True))
    events: list[Event] = [
        event
        for start, end in pairs
        for event in (
            {"introduced": f"{start[0]}.{start[1]}.0"},
            {"fixed": f"{end[0]}.{end[1]}"},
        )
    ]
    shuffled.shuffle(events)
    found = _evaluate(f"{version[0]}.{version[1]}", advisory("A-1", "lib", *events)).vulnerabilities
    assert bool(found) == any(start <= version < end for start, end in pairs)


@pytest.mark.parametrize(
    ("pinned", "events", "fixed"),
    [
        ("4.2.1", [START, {"fixed": "3.9.5"}, {"introduced": "4.0"}, {"fixed": "4.2.7"}], ("4.2.7",)),
        (
            "4.2.1",
            [{"introduced": "4.0"}, {"fixed": "4.2.7"}, {"introduced": "5.0"}, {"fixed": "5.0.1"}],
            ("4.2.7", "5.0.1"),
        ),
        ("1.0", [START], ()),
        ("1.0", [START, {"last_affected": "1.5"}], ()),
    ],
)
def test_the_fixed_versions_are_those_above_the_pin(
    pinned: str, events: Sequence[Event], fixed: tuple[str, ...]
) -> None:
    (found,) = _evaluate(pinned, advisory("PYSEC-1", "lib", *events)).vulnerabilities
    assert found.fixed == fixed


def test_aliases_are_one_vulnerability_also_through_a_third_that_does_not_apply() -> None:
    records = (
        advisory("GHSA-a", "lib", START, {"fixed": "2.0"}, aliases=["CVE-2026-1"], summary="Overflow"),
        advisory("PYSEC-2026-7", "lib", START, {"fixed": "1.9"}, aliases=["CVE-2026-2"]),
        advisory("OTHER-3", "lib", {"introduced": "8"}, aliases=["CVE-2026-2", "GHSA-a"]),
        advisory("PYSEC-2026-9", "lib", START, {"fixed": "1.9"}, aliases=["CVE-2026-9"]),
    )
    for order in (records, records[::-1]):
        first, second = _evaluate("1.0", *order).vulnerabilities
        assert first.ids == ("CVE-2026-1", "CVE-2026-2", "GHSA-a", "PYSEC-2026-7", "OTHER-3")
        assert first.summary == "Overflow"
        assert second.ids == ("CVE-2026-9", "PYSEC-2026-9")


def test_a_fix_that_an_alias_contradicts_is_none() -> None:
    records = (
        advisory("GHSA-a", "lib", START, {"fixed": "1.5"}, aliases=["CVE-2026-1"]),
        advisory("PYSEC-2026-7", "lib", START, {"fixed": "1.7"}, aliases=["CVE-2026-1"]),
    )
    (found,) = _evaluate("1.0", *records).vulnerabilities
    assert found.fixed == ("1.7",)


def test_commits_alone_cannot_be_compared_and_that_is_told() -> None:
    record = advisory("PYSEC-1", "lib", START, {"fixed": "0123abcd"}, kind="GIT")
    assert _evaluate("1.0", record) == Evaluated(vulnerabilities=(), undecided=("PYSEC-1",))


def test_an_event_that_is_no_version_is_refused_unless_a_list_decides() -> None:
    broken = advisory("PYSEC-1", "lib", START, {"fixed": "1.0-legacy-x"})
    with pytest.raises(AdvisoryError, match=r"x\.json is damaged: PYSEC-1 names '1.0-legacy-x'"):
        _evaluate("2.0", broken)
    listed = advisory("PYSEC-1", "lib", START, {"fixed": "1.0-legacy-x"}, versions=["0.9"])
    assert not _evaluate("2.0", listed).vulnerabilities


def test_the_severity_is_told_as_it_is_given() -> None:
    three, four = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H"
    vectors = [{"type": "CVSS_V3", "score": three}, {"type": "CVSS_V4", "score": four}]
    record = advisory(
        "GHSA-a", "lib", START, severity=vectors, database_specific={"severity": "HIGH", "reviewed": True}
    )
    (found,) = _evaluate("1.0", record).vulnerabilities
    assert (found.rating, found.severity) == ("HIGH", four)


def test_a_folder_is_read_whole_and_by_normalized_name(tmp_path: Path) -> None:
    write_advisories(
        tmp_path,
        advisory("PYSEC-1", "Flash_Attn", START, modified="2026-11-20T01:02:03.456Z"),
        advisory("GHSA-2", "flash-attn", START, withdrawn="2026-11-02T00:00:00Z"),
        advisory("GHSA-3", "left-pad", START, ecosystem="npm", modified="2026-11-21T00:00:00Z"),
        advisory("DSA-4", "flash-attn", START, ecosystem="Debian:12"),
        advisory("PYSEC-5", "flash-attn", START, ecosystem="PyPI:extra"),
    )
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "broken.json").write_text("{")
    (tmp_path / "README.md").write_text("not one")
    database = read_database(tmp_path)
    assert [one.id for one in database.by_package["flash-attn"]] == ["PYSEC-1", "PYSEC-5"]
    assert database.by_package.keys() == {"flash-attn"}
    assert database.count == 3
    assert database.modified == dt.datetime(2026, 11, 20, 1, 2, 3, 456000, tzinfo=dt.UTC)


_GOOD = advisory("PYSEC-2", "lib", START, {"fixed": "1.0"})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**_GOOD, "id": None}).encode(),
        json.dumps({**_GOOD, "id": "PYSEC\x1b[2J"}).encode(),
        json.dumps({**_GOOD, "modified": "yesterday"}).encode(),
        json.dumps({**_GOOD, "affected": {}} | {"affected": "all of them"}).encode(),
        json.dumps({**_GOOD, "aliases": [7]}).encode(),
        json.dumps(advisory("P-1", "lib", {"fixed": "1.0"})).encode(),
        json.dumps(advisory("P-1", "lib", {"introduced": "0", "fixed": "1.0"})).encode(),
        json.dumps(advisory("P-1", "lib", {"repaired": "1.0"})).encode(),
        json.dumps(_GOOD).encode()[:-20],
    ],
)
def test_a_damaged_advisory_is_named_and_not_passed_over(tmp_path: Path, content: bytes) -> None:
    write_advisories(tmp_path, _GOOD)
    (tmp_path / "damaged.json").write_bytes(content)
    with pytest.raises(AdvisoryError, match=r"damaged\.json is damaged"):
        read_database(tmp_path)


def test_a_folder_without_advisories_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AdvisoryError, match="no advisories found"):
        read_database(tmp_path)
    write_advisories(tmp_path, advisory("GHSA-3", "left-pad", START, ecosystem="npm"))
    with pytest.raises(AdvisoryError, match="no advisories found"):
        read_database(tmp_path)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AdvisoryError, match="cannot be read"):
        read_database(tmp_path / "nowhere")


def test_a_summary_is_one_line_that_no_terminal_obeys() -> None:
    record = advisory("PYSEC-1", "lib", START, details="\n\x1b[31mRed\x07  alert\nmore")
    assert _evaluate("1.0", record).vulnerabilities[0].summary == "[31mRed alert"


def test_a_pin_that_is_no_version_is_refused() -> None:
    with pytest.raises(AdvisoryError, match="pinned to 'latest'"):
        _evaluate("latest", _GOOD)


def test_folders_behind_links_are_read_once_and_circles_end(tmp_path: Path) -> None:
    elsewhere = write_advisories(tmp_path / "elsewhere", _GOOD)
    folder = tmp_path / "advisories"
    folder.mkdir()
    (folder / "PyPI").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    assert read_database(folder).count == 1


@pytest.mark.parametrize("target", ["nowhere", "PyPI"], ids=["nowhere", "itself"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, target: str) -> None:
    folder = write_advisories(tmp_path, _GOOD)
    (folder / "PyPI").symlink_to(folder / target)
    with pytest.raises(AdvisoryError, match="PyPI cannot be read"):
        read_database(folder)


def test_an_advisory_that_names_a_local_version_is_read_by_its_public_part() -> None:
    ranged = advisory("PYSEC-1", "lib", START, {"fixed": "13.0.0+x"})
    (found,) = _evaluate("12.0", ranged).vulnerabilities
    assert found.fixed == ("13.0.0",)
    assert not _evaluate("13.0.0", ranged).vulnerabilities
    assert _evaluate("1.0+cpu", advisory("PYSEC-1", "lib", versions=["1.0+cpu"])).vulnerabilities


def test_what_another_vulnerability_is_fixed_in_is_a_cure_where_it_does_not_have_this_one() -> None:
    twice = advisory("PYSEC-1", "lib", START, {"fixed": "1.2"}, {"introduced": "1.3"}, {"fixed": "1.5"})
    others = [advisory(f"PYSEC-{fix}", "lib", START, {"fixed": fix}) for fix in ("1.3", "1.4.9", "1.6")]
    found = {one.ids[0]: one for one in _evaluate("1.0", twice, *others).vulnerabilities}
    assert found["PYSEC-1"].fixed == ("1.2", "1.5")
    assert found["PYSEC-1"].cures == ("1.2", "1.5", "1.6")
    assert found["PYSEC-1.6"].cures == ("1.6",)
