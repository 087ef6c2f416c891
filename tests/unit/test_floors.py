"""Floors: what a command asks for, the range that a line gets, and the lines of a pyproject.toml."""

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from factory.errors import SpecError
from factory.flavor.project import parse_project
from factory.upkeep.floors import Cap, LineEdit, is_in, parse_floor, put_floors, raised, version_after

FACTORY = """\
[tool.factory]
accelerator = "cpu"
torch = "2.13.0"
python = "3.11"
training-hub = "0.11.2"
base-image = "registry.example.com/base:1"
downstream-base-image = "registry.example.com/product-base:1"
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pillow", "has no floor"),
        ("pillow<13", "has no floor"),
        ("pillow==12.3.0", "has ==12.3.0 where a floor belongs"),
        ("pillow~=12.3", "has ~=12.3 where a floor belongs"),
        ("pillow>12.3", "has >12.3 where a floor belongs"),
        ("pillow>=12,>=12.3", "has >=12,>=12.3 where a floor belongs"),
        ("pillow[xmp]>=12.3", "extras and markers stay"),
        ("pillow>=12.3; sys_platform == 'linux'", "extras and markers stay"),
        ("pillow @ https://packages.example.com/pillow.whl", "extras and markers stay"),
        ("pillow>=12.3,<12", "rules out its own floor"),
        ("pillow>=12.3,!=12.3", "rules out its own floor"),
        ("pillow>=twelve", "is not a PEP 508 requirement"),
        ("pillow >= 12.3 or so", "is not a PEP 508 requirement"),
        (">=12.3", "is not a PEP 508 requirement"),
        ("", "is not a PEP 508 requirement"),
    ],
)
def test_what_is_no_floor_is_refused(text: str, told: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_floor(text, cap=None)
    assert told in refused.value.reason
    assert "pillow>=12.3.0" in refused.value.solution


def test_a_cap_is_given_once() -> None:
    with pytest.raises(SpecError, match="--cap was given as well"):
        parse_floor("pillow>=12.3,<13", cap="major")


def test_a_floor_has_the_normalized_name_and_its_clauses() -> None:
    floor = parse_floor("Ruamel_YAML>=0.18.3,<1,!=0.18.4", cap=None)
    assert (floor.package, str(floor.version)) == ("ruamel-yaml", "0.18.3")
    assert str(floor) == "ruamel-yaml>=0.18.3,!=0.18.4,<1"


@pytest.mark.parametrize(
    ("version", "minor", "major"),
    [
        ("12.3.0", "12.4", "13"),
        ("12.3.0rc1", "12.4", "13"),
        ("12.3.0.post2", "12.4", "13"),
        ("12", "12.1", "13"),
        ("0.7.2", "0.8", "1"),
        ("2026.1.4", "2026.2", "2027"),
        ("1!2.3", "1!2.4", "1!3"),
    ],
)
def test_the_next_minor_and_the_next_major(version: str, minor: str, major: str) -> None:
    assert version_after(Version(version), "minor") == Version(minor)
    assert version_after(Version(version), "major") == Version(major)


@pytest.mark.parametrize(
    ("line", "floor", "cap", "locked", "expected"),
    [
        # a floor is put
        ("lib", "lib>=1.3", None, None, ">=1.3,<1.4"),
        ("lib", "lib>=1.3", "minor", None, ">=1.3,<1.4"),
        ("lib", "lib>=1.3", "major", None, ">=1.3,<2"),
        ("lib", "lib>=1.3", "none", None, ">=1.3"),
        ("lib", "lib>=1.3,<5", None, None, ">=1.3,<5"),
        ("lib>=1,<2", "lib>=1.3", None, None, ">=1.3,<1.4"),
        ("lib>1", "lib>=1.3", None, None, ">=1.3,<1.4"),
        # a cap of the line's own: kept where it is tighter than the default, and admits the floor
        ("lib<1.3.5", "lib>=1.3", None, None, ">=1.3,<1.3.5"),
        ("lib<=1.3.5", "lib>=1.3", None, None, ">=1.3,<=1.3.5"),
        ("lib<1.3", "lib>=1.3", None, None, ">=1.3,<1.4"),
        ("lib<1.3.5", "lib>=1.3", "minor", None, ">=1.3,<1.4"),
        ("lib<1.3.5", "lib>=1.3", "none", None, ">=1.3"),
        # exact pins and compatible releases below the floor become ranges
        ("lib==0.7.0", "lib>=0.7.1", None, "0.7.0", ">=0.7.1,<0.8"),
        ("lib===0.7.0", "lib>=0.7.1", None, "0.7.0", ">=0.7.1,<0.8"),
        ("lib==0.7.*", "lib>=0.8", None, "0.7.3", ">=0.8,<0.9"),
        ("lib~=0.7.0", "lib>=0.8", None, "0.7.3", ">=0.8,<0.9"),
        ("lib==0.7.0", "lib>=0.7.0", None, "0.7.0", ">=0.7.0,<0.8"),
        # exclusions stay where they lie in the range
        ("lib>=1,!=1.2,!=1.3.1,!=2", "lib>=1.3", None, None, ">=1.3,<1.4,!=1.3.1"),
        ("lib!=1.3.*", "lib>=1.3,!=1.3.2", "none", None, ">=1.3,!=1.3.*,!=1.3.2"),
        # a floor that stands, or is higher
        ("lib>=1.3", "lib>=1.3", None, "1.3", None),
        ("lib>=1.3,<9", "lib>=1.3", None, "1.3", None),
        ("lib~=1.3.0", "lib>=1.3", None, "1.3", None),
        ("lib>=1.4", "lib>=1.3", None, "1.4", None),
        ("lib==1.5", "lib>=1.3", None, "1.5", None),
        # and one that is higher, and gets the bounds that were asked for
        ("lib>=1.4", "lib>=1.3", "major", "1.4", ">=1.4,<2"),
        ("lib>=1.4", "lib>=1.3", "minor", "1.5.2", ">=1.4,<1.6"),
        ("lib>1.4,<3", "lib>=1.3", "none", "1.5", ">1.4"),
        ("lib>=1.4", "lib>=1.3,<1.6", None, "1.4", ">=1.4,<1.6"),
        ("lib>=1.4,<1.5", "lib>=1.3,!=1.4.5", None, "1.4.5", "<1.5,>=1.4,!=1.4.5"),
        ("lib>=1.4", "lib>=1.4,!=1.4.5", None, "1.4.5", ">=1.4,!=1.4.5"),
        ("lib>=1.4", "lib>=1.3,!=1.3.5", None, "1.4.5", None),
        ("lib~=1.4.0", "lib>=1.3,<2", None, "1.4.5", ">=1.4.0,<2"),
        ("lib~=1.4.0", "lib>=1.3,!=1.4.5", None, "1.4.5", "~=1.4.0,!=1.4.5"),
        ("lib==1.5", "lib>=1.3,!=1.4", "major", "1.5", None),
        ("lib==1.5", "lib>=1.3,!=1.5", None, "1.5", ">=1.5,<1.6,!=1.5"),
        # and one that stands, and gets another cap
        ("lib>=1.3,<1.4", "lib>=1.3", "major", "1.3", ">=1.3,<2"),
        ("lib>=1.3,<1.4", "lib>=1.3", "minor", "1.3", None),
        # what is locked is not capped away
        ("lib", "lib>=1.3", None, "3.5.1", ">=1.3,<3.6"),
        ("lib", "lib>=1.3", "major", "3.5.1", ">=1.3,<4"),
        ("lib<3.5", "lib>=1.3", None, "3.5.1", ">=1.3,<3.6"),
    ],
)
def test_the_range_of_a_line(
    line: str, floor: str, cap: Cap | None, locked: str | None, expected: str | None
) -> None:
    assert raised(Requirement(line), parse_floor(floor, cap=cap), locked=locked) == expected


def test_bounds_that_leave_nothing_above_a_higher_floor_are_refused() -> None:
    with pytest.raises(SpecError, match=r"lib>=2 already, and lib>=1.1,<1.3 leaves nothing"):
        raised(Requirement("lib>=2"), parse_floor("lib>=1.1,<1.3", cap=None), locked="2.1")


def put(
    head: str, *floors: str, reason: str | None = None, locked: dict[str, str] | None = None
) -> tuple[str, tuple[LineEdit, ...]]:
    text = head + FACTORY
    done = put_floors(
        text,
        parse_project(text, where="pyproject.toml"),
        [parse_floor(floor, cap=None) for floor in floors],
        locked=locked or {},
        reason=reason,
    )
    assert done.text.endswith(FACTORY.replace("\n", "\r\n") if "\r\n" in head else FACTORY)
    return done.text[: -len(FACTORY)] if "\r\n" not in head else done.text, done.edits


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"Pillow"', '"Pillow>=12.3,<12.4"'),
        ('"pillow >=11 , <13"', '"pillow>=12.3,<12.4"'),
        ('"pillow (>=11)"', '"pillow>=12.3,<12.4"'),
        ('"PILLOW[xmp, Fpx]>=11"', '"PILLOW[xmp, Fpx]>=12.3,<12.4"'),
        (
            "\"pillow>=11 ; python_version < '3.14'\"",
            "\"pillow>=12.3,<12.4 ; python_version < '3.14'\"",
        ),
        (
            "'pillow>=11; python_version < \"3.14\"'",
            "'pillow>=12.3,<12.4; python_version < \"3.14\"'",
        ),
    ],
)
def test_a_line_keeps_its_name_its_extras_and_its_marker(before: str, after: str) -> None:
    head = '[project]\n# why\ndependencies = [\n    {},  # kept\n    "torch",\n]\n'
    text, edits = put(head.replace("{}", before), "pillow>=12.3")
    assert text == head.replace("{}", after)
    assert [edit.array for edit in edits] == ["dependencies"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "  # pillow>=12.3: CVE-2"),
        ("  # for thumbnails", "  # for thumbnails; pillow>=12.3: CVE-2"),
        ("  # pillow>=11.1: CVE-1", "  # pillow>=12.3: CVE-2"),
        ("  # for thumbnails; pillow>=11.1: CVE-1; and more", "  # for thumbnails; pillow>=12.3: CVE-2"),
        ("  # torch>=2: slow; pillow>=11.1: CVE-1", "  # torch>=2: slow; pillow>=12.3: CVE-2"),
        ("  # pillow>=11.1: CVE-1; torch>=2: slow", "  # torch>=2: slow; pillow>=12.3: CVE-2"),
        ("  # pillow-simd>=9: other", "  # pillow-simd>=9: other; pillow>=12.3: CVE-2"),
    ],
)
def test_a_reason_takes_the_place_of_an_earlier_one_and_of_nothing_else(before: str, after: str) -> None:
    head = '[project]\ndependencies = [\n    # above\n    "pillow{}",{}\n]\n'
    text, _ = put(head.format(">=11", before), "pillow>=12.3", reason="CVE-2")
    assert text == head.format(">=12.3,<12.4", after)
    again, edits = put(text, "pillow>=12.3", reason="CVE-2")
    assert (again, edits) == (text, ())


@pytest.mark.parametrize(
    ("before", "floor", "reason", "after"),
    [
        ("", "pillow>=12.3", "CVE-2", "  # pillow>=12.3: CVE-2"),
        ("  # pillow>=12.3: CVE-1", "pillow>=12.3.0", "CVE-2", "  # pillow>=12.3.0: CVE-1, CVE-2"),
        ("  # pillow>=12.3: CVE-1, CVE-2", "pillow>=12.3", "CVE-2", "  # pillow>=12.3: CVE-1, CVE-2"),
        ("  # pillow>=12.3: CVE-10", "pillow>=12.3", "CVE-1", "  # pillow>=12.3: CVE-10, CVE-1"),
        ("  # pillow>=12.3: CVE-2", "pillow>=12.1", "CVE-1", "  # pillow>=12.3: CVE-2; pillow>=12.1: CVE-1"),
    ],
)
def test_the_reason_of_a_floor_that_stands_is_noted_beside_it(
    before: str, floor: str, reason: str, after: str
) -> None:
    head = "[project]\ndependencies = [\n    'pillow>=12.3',{}\n]\n"
    text, edits = put(head.format(before), floor, reason=reason)
    assert text == head.format(after)
    assert all(edit.before == edit.after == "pillow>=12.3" for edit in edits)
    assert bool(edits) == (before != after)
    assert put(text, floor, reason=reason) == (text, ())


def test_without_a_reason_the_comment_stays() -> None:
    head = '[project]\ndependencies = ["pillow{}"]  # pillow>=11: CVE-1\n'
    assert put(head.format(">=11"), "pillow>=12.3")[0] == head.format(">=12.3,<12.4")


def test_a_package_that_comes_with_others_gets_a_constraint() -> None:
    head = '[project]\ndependencies = ["torch"]\n[tool.uv]\nconstraint-dependencies = []\n'
    text, edits = put(head, "Pillow>=12.3", reason="CVE-2", locked={"pillow": "12.1"})
    assert text == head.replace("[]", '[\n    "pillow>=12.3,<12.4",  # pillow>=12.3: CVE-2\n]')
    assert edits == (LineEdit(array="constraint-dependencies", before=None, after="pillow>=12.3,<12.4"),)


def test_a_line_whose_marker_never_holds_is_left_as_it_is() -> None:
    head = (
        "[project]\ndependencies = [\"pillow>=9; sys_platform == 'win32'\"]\n"
        '[tool.uv]\nconstraint-dependencies = ["pillow{}"]\n'
    )
    assert put(head.format("<12"), "pillow>=12.3")[0] == head.format(">=12.3,<12.4")


def test_every_line_that_names_the_package_gets_the_floor() -> None:
    head = (
        '[project]\ndependencies = ["pillow{0}", "x"]\n'
        '[tool.uv]\nconstraint-dependencies = ["pillow{0}"]\noverride-dependencies = ["pillow{0}"]\n'
    )
    text, edits = put(head.format("<12"), "pillow>=12.3")
    assert text == head.format(">=12.3,<12.4")
    assert [edit.array for edit in edits] == [
        "dependencies",
        "constraint-dependencies",
        "override-dependencies",
    ]


def test_windows_line_endings_stay() -> None:
    head = '[project]\r\ndependencies = ["torch"]\r\n[tool.uv]\r\nconstraint-dependencies = []\r\n'
    text = head + FACTORY.replace("\n", "\r\n")
    done = put_floors(
        text,
        parse_project(text, where="pyproject.toml"),
        [parse_floor("pillow>=12.3", cap=None)],
        locked={"pillow": "12.1"},
        reason="CVE-2",
    )
    added = '[\r\n    "pillow>=12.3,<12.4",  # pillow>=12.3: CVE-2\r\n]'
    assert done.text == text.replace("constraint-dependencies = []", f"constraint-dependencies = {added}")


def test_a_requirement_from_a_url_has_no_range() -> None:
    with pytest.raises(SpecError, match="is required from a URL"):
        put('[project]\ndependencies = ["pillow @ https://x.example.com/p.whl"]\n', "pillow>=12.3")


@pytest.mark.parametrize(
    ("head", "locked", "expected"),
    [
        ('dependencies = ["Lib"]', {}, True),
        ("dependencies = []", {"lib": "1"}, True),
        ("dependencies = [\"lib; sys_platform == 'win32'\"]", {}, False),
        ("dependencies = []\n[tool.uv]\nconstraint-dependencies = ['lib']", {}, False),
        (
            "dependencies = ['lib']\n[tool.uv]\noverride-dependencies = ['lib; sys_platform == \"never\"']",
            {},
            False,
        ),
        ("dependencies = []\n[tool.uv]\noverride-dependencies = ['lib>=1']", {"lib": "1"}, True),
    ],
)
def test_whether_a_flavor_has_a_package(head: str, locked: dict[str, str], *, expected: bool) -> None:
    project = parse_project(f"[project]\n{head}\n{FACTORY}", where="pyproject.toml")
    assert is_in("lib", project, locked) is expected


def test_what_is_recorded_as_missing_is_not_in_the_flavor() -> None:
    missing = '[[tool.factory.missing]]\nrequirement = "lib"\nreason = "not built"\n'
    project = parse_project(f"[project]\ndependencies = []\n{FACTORY}{missing}", where="pyproject.toml")
    assert not is_in("lib", project, {"lib": "1.0"})
