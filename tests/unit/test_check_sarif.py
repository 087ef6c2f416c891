"""SARIF 2.1.0: the parts of the standard that code scanning services rely on."""

import datetime as dt
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from support.clean_flavor import PROJECT, make_flavor, make_repository

from factory.check.check import check_flavors
from factory.check.report import as_sarif
from factory.check.rules import RULES
from factory.flavor.repository import Flavor

TODAY = dt.date(2026, 11, 22)
UNSAFE = PROJECT.replace("[tool.uv]\n", '[tool.uv]\nindex-strategy = "unsafe-best-match"\n')
WAIVED = UNSAFE + (
    '\n[[tool.factory.waivers]]\nfinding = "FAC206"\nreason = "until the index moves"\nexpires = 2026-12-01\n'
)


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path), project=UNSAFE)


def _run(flavor: Flavor) -> dict[str, Any]:
    report = check_flavors([Flavor(flavor.folder)], root=flavor.folder.parents[1], today=TODAY)
    document = json.loads(as_sarif(report))
    assert document["version"] == "2.1.0"
    assert "sarif-schema-2.1.0" in document["$schema"]
    (run,) = document["runs"]
    assert isinstance(run, dict)
    return run


def _results(flavor: Flavor) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for result in _run(flavor)["results"]:
        found.setdefault(result["ruleId"], []).append(result)
    return found


def _append(flavor: Flavor, name: str, text: str) -> None:
    path = flavor.folder / name
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_the_driver_describes_every_rule(flavor: Flavor) -> None:
    driver = _run(flavor)["tool"]["driver"]
    assert driver["name"] == "factory check"
    assert [rule["id"] for rule in driver["rules"]] == list(RULES)
    for rule in driver["rules"]:
        known = RULES[rule["id"]]
        assert rule["shortDescription"] == {"text": known.why}
        assert rule["defaultConfiguration"] == {"level": known.severity}
        assert rule["name"].isalnum()
        assert f"`factory docs {rule['id']}`" in rule["help"]["text"]
        # An absolute URI (SARIF 3.49.12), even if the pages are on no site.
        assert rule["helpUri"].startswith(("file:///", "https://"))
        assert rule["helpUri"].endswith(f"#{rule['id'].lower()}-{known.name}")


def test_a_result_points_to_its_rule_and_its_line(flavor: Flavor) -> None:
    run = _run(flavor)
    assert {result["ruleId"] for result in run["results"]} == {"FAC206", "FAC208"}
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning"}
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
        path = flavor.folder.parents[1] / unquote(place["artifactLocation"]["uri"])
        line = path.read_text(encoding="utf-8").splitlines()[place["region"]["startLine"] - 1]
        assert ("index-strategy" if result["ruleId"] == "FAC206" else "flash-attn") in line


def test_a_finding_about_a_whole_file_has_no_region(flavor: Flavor) -> None:
    (flavor.folder / "Dockerfile").unlink()
    (result,) = _results(flavor)["FAC101"]
    assert "region" not in result["locations"][0]["physicalLocation"]


def test_a_path_is_a_uri(flavor: Flavor) -> None:
    (flavor.folder / "50% off#1.txt").touch()
    (result,) = _results(flavor)["FAC104"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith(
        "/50%25%20off%231.txt"
    )


def test_a_waived_finding_is_suppressed_and_no_other_is(flavor: Flavor) -> None:
    (flavor.folder / "pyproject.toml").write_text(WAIVED, encoding="utf-8")
    results = _results(flavor)
    (suppression,) = results["FAC206"][0]["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert suppression["justification"] == "until the index moves (until 2026-12-01)"
    assert "suppressions" not in results["FAC208"][0]


def _fingerprints(flavor: Flavor) -> list[str]:
    return [result["partialFingerprints"]["factoryFinding/v1"] for result in _run(flavor)["results"]]


def test_a_fingerprint_stays_when_lines_move_and_no_two_are_the_same(flavor: Flavor) -> None:
    # Twice the same finding on two lines, and one whose message names a line.
    again = "RUN dnf install -y gcc\nRUN dnf install -y gcc\n"
    _append(flavor, "Dockerfile", again)
    _append(flavor, "requirements.txt", f"NumPy==2.4.1 --hash=sha256:{'a' * 64}\n")
    before = _fingerprints(flavor)
    assert len(set(before)) == len(before)
    for name in ("Dockerfile", "pyproject.toml", "requirements.txt"):
        path = flavor.folder / name
        path.write_text("# one more\n# and another\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert sorted(_fingerprints(flavor)) == sorted(before)


def test_a_file_outside_of_the_repository_is_a_file_uri_without_a_base(
    flavor: Flavor, tmp_path: Path
) -> None:
    report = check_flavors([Flavor(flavor.folder)], root=tmp_path / "elsewhere", today=TODAY)
    (run,) = json.loads(as_sarif(report))["runs"]
    places = [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in run["results"]]
    assert places == [{"uri": (flavor.folder / "pyproject.toml").as_uri()}] * 2


def test_a_run_that_ended_well_says_so(flavor: Flavor) -> None:
    assert _run(flavor)["invocations"] == [{"executionSuccessful": True}]
