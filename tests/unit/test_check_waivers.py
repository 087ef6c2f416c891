"""Waivers: what they waive, for how long, and what is reported of those that waive nothing."""

import datetime as dt
from pathlib import Path

import pytest
from support.clean_flavor import PROJECT, make_flavor, make_repository

from factory.check.check import check_flavors
from factory.check.report import CheckReport, as_github, findings_text
from factory.check.rules import RULES
from factory.flavor.repository import Flavor

TODAY = dt.date(2026, 11, 22)
UNSAFE = PROJECT.replace("[tool.uv]\n", '[tool.uv]\nindex-strategy = "unsafe-best-match"\n')
OPEN = PROJECT.replace('"numpy>=2.0,<3"', '"numpy>=2.0,<3", "protobuf", "urllib3"').replace(
    ', "protobuf>=6"]', "]"
)


def _waiver(finding: str, *, package: str | None = None, expires: str = "2026-11-22") -> str:
    narrowed = f'package = "{package}"\n' if package else ""
    return (
        f'\n[[tool.factory.waivers]]\nfinding = "{finding}"\n{narrowed}reason = "until the index moves"\n'
        f"expires = {expires}\n"
    )


def _report(root: Path, project: str, *, today: dt.date = TODAY) -> CheckReport:
    flavor = make_flavor(make_repository(root), project=project)
    return check_flavors([Flavor(flavor.folder)], root=root, today=today)


def _codes(report: CheckReport, *, waived: bool) -> list[str]:
    return sorted(item.code for item in report.findings if (item.waiver is not None) == waived)


def test_a_waived_finding_is_reported_counted_apart_and_does_not_fail(tmp_path: Path) -> None:
    report = _report(tmp_path, UNSAFE + _waiver("FAC206"))
    assert (report.errors, report.warnings, report.waived) == (0, 1, 1)
    assert (_codes(report, waived=True), _codes(report, waived=False)) == (["FAC206"], ["FAC208"])
    (found,) = (item for item in report.findings if item.waiver is not None)
    assert found.severity == "error"
    assert found.waiver is not None
    assert (found.waiver.reason, found.waiver.expires) == ("until the index moves", TODAY)


def test_people_read_why_and_until_when(tmp_path: Path) -> None:
    text = findings_text(_report(tmp_path, UNSAFE + _waiver("FAC206")))
    assert "waived until 2026-11-22: FAC206 unsafe-index-strategy" in text
    assert "waived because: until the index moves" in text
    assert text.endswith("1 image checked, 0 errors, 1 warning, 1 waived")


def test_github_shows_a_waived_finding_as_a_notice(tmp_path: Path) -> None:
    lines = as_github(_report(tmp_path, UNSAFE + _waiver("FAC206"))).splitlines()
    (notice,) = (line for line in lines if "FAC206" in line)
    assert notice.startswith("::notice file=flavors/")
    assert "Waived until 2026-11-22%3A" not in notice  # a message needs no escape for a colon
    assert "Waived until 2026-11-22: until the index moves" in notice
    assert not any(line.startswith("::error") for line in lines)


def test_on_the_day_after_the_finding_counts_again_and_the_waiver_is_an_error_too(tmp_path: Path) -> None:
    report = _report(tmp_path, UNSAFE + _waiver("FAC206"), today=TODAY + dt.timedelta(days=1))
    assert (report.errors, report.waived) == (2, 0)
    assert _codes(report, waived=False) == ["FAC206", "FAC208", "FAC212"]


def test_a_waiver_for_one_package_covers_no_other(tmp_path: Path) -> None:
    report = _report(tmp_path, OPEN + _waiver("FAC217", package="Protobuf"))
    waived = {item.package: item.waiver is not None for item in report.findings if item.code == "FAC217"}
    assert waived == {"protobuf": True, "urllib3": False}


def test_a_waiver_without_a_package_covers_all(tmp_path: Path) -> None:
    report = _report(tmp_path, OPEN + _waiver("fac217"))
    assert [item.waiver is not None for item in report.findings if item.code == "FAC217"] == [True, True]
    assert report.waived == 2


def test_a_waiver_that_covers_nothing_is_a_warning_at_its_own_table(tmp_path: Path) -> None:
    project = UNSAFE + _waiver("FAC206") + _waiver("FAC407") + _waiver("FAC206", package="numpy")
    report = _report(tmp_path, project)
    unused = [item for item in report.findings if item.code == "FAC214"]
    headers = [n for n, line in enumerate(project.splitlines(), 1) if line == "[[tool.factory.waivers]]"]
    assert [item.line for item in unused] == headers[1:]
    assert "FAC407 waives nothing" in unused[0].message
    assert "FAC206 for numpy waives nothing" in unused[1].message
    assert report.errors == 0


@pytest.mark.parametrize("finding", ["drift", "CVE-2026-54058", "GHSA-abcd-1234-ef56", "PYSEC-2026-12"])
def test_what_other_commands_find_is_not_called_unused_here(tmp_path: Path, finding: str) -> None:
    report = _report(tmp_path, PROJECT + _waiver(finding, package="numpy"))
    assert _codes(report, waived=False) == ["FAC208"]


@pytest.mark.parametrize("code", sorted(code for code, rule in RULES.items() if not rule.waivable))
def test_what_cannot_be_waived_is_not(tmp_path: Path, code: str) -> None:
    report = _report(tmp_path, PROJECT + _waiver(code))
    assert _codes(report, waived=False) == ["FAC208", "FAC213"]
    assert report.errors == 1


def test_a_password_counts_whatever_is_waived(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path), project=PROJECT + _waiver("FAC410"))
    with (flavor.folder / "Dockerfile").open("a", encoding="utf-8") as file:
        file.write("ENV PIP_INDEX_URL=https://me:secret@x.example.com/\n")
    report = check_flavors([flavor], root=tmp_path, today=TODAY)
    assert {"FAC410", "FAC213"} <= set(_codes(report, waived=False))
    assert report.waived == 0


def test_waivers_of_a_flavor_excuse_nothing_in_another(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    first = make_flavor(repository, project=UNSAFE + _waiver("FAC206"))
    project = UNSAFE.replace(first.name, "second")
    project = project.replace("[tool.factory]\n", '[tool.factory]\nname = "second"\n')
    make_flavor(repository, name="second", project=project)
    report = check_flavors(repository.flavors(), root=tmp_path, today=TODAY)
    found = {item.flavor: item.waiver is not None for item in report.findings if item.code == "FAC206"}
    assert found == {first.name: True, "second": False}


def test_a_spec_that_cannot_be_read_has_no_waivers(tmp_path: Path) -> None:
    flavor = make_flavor(make_repository(tmp_path), project=PROJECT + _waiver("FAC201"))
    path = flavor.folder / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('torch = "2.11.0"', ""), encoding="utf-8")
    report = check_flavors([Flavor(flavor.folder)], root=tmp_path, today=TODAY)
    assert "FAC201" in _codes(report, waived=False)
    assert report.waived == 0


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("FAC402", "pip install 'trl @ git+https://git.example.com/x'"),
        ("FAC402", "pip install git+https://git.example.com/x#egg=trl"),
        ("FAC403", "pip install 'TRL[peft]>=1'"),
        ("FAC403", "pip install --no-index trl==1.0"),
    ],
)
@pytest.mark.parametrize("package", ["trl", "peft"])
def test_an_install_is_waived_for_the_package_that_it_names(
    tmp_path: Path, code: str, line: str, package: str
) -> None:
    flavor = make_flavor(make_repository(tmp_path), project=PROJECT + _waiver(code, package=package))
    path = flavor.folder / "Dockerfile"
    path.write_text(f"{path.read_text(encoding='utf-8')}\nRUN {line}\n", encoding="utf-8")
    report = check_flavors([Flavor(flavor.folder)], root=tmp_path, today=TODAY)
    assert _codes(report, waived=True) == ([code] if package == "trl" else [])


@pytest.mark.parametrize("line", ["pip install trl peft", "pip install trl -r more.txt", "pip install ./trl"])
def test_an_install_of_more_than_one_package_is_not_waived_for_one(tmp_path: Path, line: str) -> None:
    flavor = make_flavor(make_repository(tmp_path), project=PROJECT + _waiver("FAC403", package="trl"))
    path = flavor.folder / "Dockerfile"
    path.write_text(f"{path.read_text(encoding='utf-8')}\nRUN {line}\n", encoding="utf-8")
    report = check_flavors([Flavor(flavor.folder)], root=tmp_path, today=TODAY)
    assert _codes(report, waived=True) == []
