"""factory drift-report: which packages differ across flavors, and which of that is meant."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest

from factory.console import Table
from factory.flavor.repository import Flavor
from factory.upkeep.drift_report import DriftReport, FlavorWaiver, drift_report

TODAY = dt.date(2026, 11, 22)
PROJECT = """\
[project]
dependencies = ["transformers>=5,<6", "torch=={torch}"]

[tool.factory]
accelerator = "cpu"
name = "{name}"
torch = "{torch}"
python = "3.12"
training-hub = "0.9.2"
base-image = "quay.io/x/b:1"
downstream-base-image = "quay.io/x/p:1"
"""
WAIVER = """
[[tool.factory.waivers]]
finding = "{finding}"
{package}reason = "the CPU image waits"
expires = {expires}
"""


def _flavor(
    root: Path, name: str, pins: Mapping[str, str] | None, *, torch: str = "2.11.0", waivers: str = ""
) -> Flavor:
    folder = root / "flavors" / name
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT.format(name=name, torch=torch) + waivers)
    if pins is not None:
        lines = (f"{package}=={version}\n" for package, version in pins.items())
        (folder / "requirements.txt").write_text("".join(lines))
    return Flavor(folder)


def _waiver(package: str | None = "transformers", expires: str = "2026-11-22", finding: str = "drift") -> str:
    line = f'package = "{package}"\n' if package else ""
    return WAIVER.format(finding=finding, package=line, expires=expires)


def _report(*flavors: Flavor, direct_only: bool = False, whole: bool = True) -> DriftReport:
    return drift_report(flavors, today=TODAY, direct_only=direct_only, whole=whole)


def _standings(report: DriftReport) -> dict[str, str]:
    return {drift.package: drift.standing for drift in report.drifts}


def _words(report: DriftReport) -> str:
    lines = []
    for part in report.describe():
        lines += [" ".join(row) for row in part.rows] if isinstance(part, Table) else [part]
    return "\n".join(lines)


def test_a_package_at_two_versions_drifts_and_names_who_has_which(tmp_path: Path) -> None:
    gpu = {"transformers": "5.5.0", "numpy": "2.4.1"}
    report = _report(
        _flavor(tmp_path, "cuda", gpu),
        _flavor(tmp_path, "rocm", gpu),
        _flavor(tmp_path, "cpu", gpu | {"transformers": "5.5.4"}),
    )
    (drift,) = report.drifts
    assert (drift.package, drift.standing, drift.direct, drift.step) == (
        "transformers",
        "drift",
        True,
        "patch",
    )
    assert [(use.version, use.flavors) for use in drift.uses] == [
        ("5.5.4", ("cpu",)),
        ("5.5.0", ("cuda", "rocm")),
    ]
    assert report.exit_code == 1
    assert report.compared == 2
    assert "transformers (direct) patch 5.5.4 cpu\n  5.5.0 cuda, rocm" in _words(report)
    assert 'factory bump "transformers>=5.5.4" --all' in _words(report)


def test_flavors_that_agree_do_not_drift(tmp_path: Path) -> None:
    pins = {"transformers": "5.5.0"}
    report = _report(_flavor(tmp_path, "a", pins), _flavor(tmp_path, "b", pins))
    assert (report.drifts, report.exit_code) == ((), 0)
    assert _words(report) == "2 images compared, 1 package in more than one: none drifts, 0 waived"


def test_builds_of_one_version_are_no_drift(tmp_path: Path) -> None:
    report = _report(
        _flavor(tmp_path, "a", {"torch": "2.11.0+cu130", "xformers": "1.0+cu130"}),
        _flavor(tmp_path, "b", {"torch": "2.11.0+cpu", "xformers": "1.0"}),
    )
    assert report.drifts == ()


def test_one_version_in_two_spellings_is_no_drift(tmp_path: Path) -> None:
    report = _report(
        _flavor(tmp_path, "a", {"transformers": "5.5"}), _flavor(tmp_path, "b", {"transformers": "5.5.0"})
    )
    assert report.drifts == ()


def test_what_the_specs_differ_in_is_told_and_no_drift(tmp_path: Path) -> None:
    report = _report(
        _flavor(tmp_path, "a", {"torch": "2.11.0+cu130"}),
        _flavor(tmp_path, "b", {"torch": "2.13.0"}, torch="2.13.0"),
    )
    assert (_standings(report), report.exit_code) == ({"torch": "spec"}, 0)
    assert "as the specs say: torch, 2.13.0 in b; 2.11.0 in a" in _words(report)


def test_a_torch_that_is_not_the_specs_drifts(tmp_path: Path) -> None:
    report = _report(_flavor(tmp_path, "a", {"torch": "2.11.0"}), _flavor(tmp_path, "b", {"torch": "2.12.0"}))
    assert _standings(report) == {"torch": "drift"}


def test_only_direct_dependencies_can_be_asked_for(tmp_path: Path) -> None:
    flavors = (
        _flavor(tmp_path, "a", {"transformers": "5.5.0", "numpy": "2.4.1"}),
        _flavor(tmp_path, "b", {"transformers": "5.5.4", "numpy": "2.4.2"}),
    )
    assert _standings(_report(*flavors, direct_only=True)) == {"transformers": "drift"}
    assert _standings(_report(*flavors)) == {"transformers": "drift", "numpy": "drift"}


def test_a_waiver_excuses_its_flavor_with_its_reason(tmp_path: Path) -> None:
    report = _report(
        _flavor(tmp_path, "cuda", {"transformers": "5.5.4"}),
        _flavor(tmp_path, "rocm", {"transformers": "5.5.4"}),
        _flavor(tmp_path, "cpu", {"transformers": "5.5.0"}, waivers=_waiver()),
    )
    assert (_standings(report), report.exit_code) == ({"transformers": "waived"}, 0)
    assert "cpu until 2026-11-22: the CPU image waits" in _words(report)


def test_the_others_have_to_agree_all_the_same(tmp_path: Path) -> None:
    report = _report(
        _flavor(tmp_path, "cuda", {"transformers": "5.5.4"}),
        _flavor(tmp_path, "rocm", {"transformers": "5.5.3"}),
        _flavor(tmp_path, "cpu", {"transformers": "5.5.0"}, waivers=_waiver()),
    )
    assert (_standings(report), report.exit_code) == ({"transformers": "drift"}, 1)
    assert "5.5.0 cpu (waived)" in _words(report)


def test_what_would_mend_it_leaves_alone_who_is_excused(tmp_path: Path) -> None:
    report = _report(
        _flavor(tmp_path, "cuda", {"transformers": "5.5.4"}),
        _flavor(tmp_path, "rocm", {"transformers": "5.5.3"}),
        _flavor(tmp_path, "vendor", {"transformers": "6.0"}, waivers=_waiver()),
        _flavor(tmp_path, "old", {"transformers": "5.1"}, waivers=_waiver()),
    )
    assert 'factory bump "transformers>=5.5.4" --image rocm\n' in _words(report)


def test_a_flavor_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    first, second = (_flavor(tmp_path, name, {"transformers": "5.5.0"}) for name in ("a", "b"))
    broken = _flavor(tmp_path, "broken", {"transformers": "5.5.4"}, waivers=_waiver(expires="never"))
    report = _report(
        first, broken, second, _flavor(tmp_path, "c", {"transformers": "5.5.0"}, waivers=_waiver())
    )
    assert (report.flavors, report.drifts, report.unused) == (("a", "b", "c"), (), ())
    assert [(item.flavor, item.error.exit_code) for item in report.unread] == [("broken", 11)]
    assert report.exit_code == 1
    assert "not compared: broken cannot be read" in _words(report)


@pytest.mark.parametrize(
    ("waiver", "standing"),
    [
        (_waiver("Transformers"), "waived"),
        (_waiver(None), "waived"),
        (_waiver("numpy"), "drift"),
        (_waiver(finding="FAC206"), "drift"),
        (_waiver(expires="2026-11-21"), "drift"),
    ],
    ids=["spelled-otherwise", "any-package", "other-package", "other-finding", "expired"],
)
def test_a_waiver_is_for_drift_for_its_package_and_for_a_while(
    tmp_path: Path, waiver: str, standing: str
) -> None:
    report = _report(
        _flavor(tmp_path, "cuda", {"transformers": "5.5.4"}),
        _flavor(tmp_path, "cpu", {"transformers": "5.5.0"}, waivers=waiver),
    )
    assert _standings(report) == {"transformers": standing}


def test_an_expired_waiver_is_a_finding_even_where_nothing_drifts(tmp_path: Path) -> None:
    pins = {"transformers": "5.5.4"}
    report = _report(
        _flavor(tmp_path, "cuda", pins), _flavor(tmp_path, "cpu", pins, waivers=_waiver(expires="2026-11-21"))
    )
    expected = FlavorWaiver(
        flavor="cpu", package="transformers", reason="the CPU image waits", expires=dt.date(2026, 11, 21)
    )
    assert (report.expired, report.exit_code) == ((expected,), 1)
    assert "error: the waiver of drift of transformers in cpu expired on 2026-11-21" in _words(report)


def test_a_waiver_that_excuses_nothing_is_told_where_all_flavors_were_compared(tmp_path: Path) -> None:
    flavors = (
        _flavor(tmp_path, "cuda", {"transformers": "5.5.4"}),
        _flavor(tmp_path, "cpu", {"transformers": "5.5.4"}, waivers=_waiver()),
    )
    report = _report(*flavors)
    assert [item.flavor for item in report.unused] == ["cpu"]
    assert report.exit_code == 0
    assert "warning: the waiver of drift of transformers in cpu excuses nothing" in _words(report)
    assert _report(*flavors, whole=False).unused == ()


def test_a_flavor_without_a_lock_is_named_and_left_out(tmp_path: Path) -> None:
    report = _report(_flavor(tmp_path, "a", {"transformers": "5.5.0"}), _flavor(tmp_path, "b", None))
    assert (report.flavors, report.not_locked, report.drifts) == (("a",), ("b",), ())
    assert "not compared: b is not locked" in _words(report)


def test_markdown_puts_direct_dependencies_first_and_long_tables_behind_a_click(tmp_path: Path) -> None:
    first = {"transformers": "5.5.0"} | {f"p{number}": "1.0" for number in range(11)}
    second = {"transformers": "5.5.4"} | {f"p{number}": "2.0" for number in range(11)}
    text = _report(_flavor(tmp_path, "a", first), _flavor(tmp_path, "b", second)).as_markdown()
    assert text.index("**Direct dependencies**") < text.index("<summary>What they bring with them</summary>")
    assert "| transformers (direct) | patch | `5.5.4` | `b` |" in text
    assert "|  |  | `5.5.0` | `a` |" in text
