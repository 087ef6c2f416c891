"""The commands that would be rid of vulnerabilities."""

import shlex
from collections.abc import Sequence

import pytest
from support.clean_flavor import PROJECT

from factory.flavor.project import parse_project
from factory.upkeep.advisories import Vulnerability
from factory.upkeep.audit import remedies

_SPEC = parse_project(PROJECT, where="pyproject.toml").spec


Need = tuple[str, Vulnerability]


def _need(flavor: str, vulnerability: str, *cures: str) -> Need:
    found = Vulnerability(
        ids=(vulnerability,), summary="", rating=None, severity=None, fixed=cures, cures=cures
    )
    return flavor, found


def _commands(package: str, *needs: Need) -> list[str]:
    specs = {need[0]: _SPEC for need in needs}
    return [command for remedy in remedies(package, needs, specs) for command in remedy.commands]


def _bump(floor: str, *flavors: str, reason: str = "CVE-1") -> list[str]:
    named = [word for name in flavors for word in ("--image", name)]
    return ["factory", "bump", f"pillow>={floor}", *named, "--reason", reason]


@pytest.mark.parametrize(
    ("cures", "floor"),
    [
        (("12.2.1", "12.3.1"), "12.2.1"),
        (("12.3.0rc1", "12.3.0"), "12.3.0"),
        (("12.3.0rc1", "12.3.0rc2"), "12.3.0rc1"),
        (("1!2.0",), "1!2.0"),
    ],
)
def test_the_floor_is_the_lowest_fixed_version_that_is_final(cures: tuple[str, ...], floor: str) -> None:
    (command,) = _commands("pillow", _need("a", "CVE-1", *cures), _need("b", "CVE-1", *cures))
    assert shlex.split(command) == _bump(floor, "a", "b")


@pytest.mark.parametrize(
    ("needs", "bumps"),
    [
        (
            [_need("a", "CVE-1", "2", "3"), _need("a", "CVE-2", "3")],
            [_bump("3", "a", reason="CVE-1, CVE-2")],
        ),
        (
            [_need("a", "CVE-1", "1.5.3", "2.1"), _need("b", "CVE-1", "2.1")],
            [_bump("1.5.3", "a"), _bump("2.1", "b")],
        ),
        (
            [_need("a", "CVE-1", "2"), _need("a", "CVE-2", "3")],
            [_bump("2", "a"), _bump("3", "a", reason="CVE-2")],
        ),
        ([_need("a", "CVE-1", "2"), _need("a", "CVE-2")], [_bump("2", "a")]),
        (
            [_need("a", "CVE-1", "2"), _need("b", "CVE-2", "2.0")],
            [_bump("2", "a", "b", reason="CVE-1, CVE-2")],
        ),
    ],
    ids=["one for both", "by series", "none is rid of both", "one cannot be cured", "two flavors"],
)
def test_one_command_is_rid_of_what_one_version_is_rid_of(
    needs: Sequence[Need], bumps: list[list[str]]
) -> None:
    assert [shlex.split(command) for command in _commands("pillow", *needs)] == bumps


def test_where_no_version_is_fixed_there_is_no_command() -> None:
    assert _commands("pillow", _need("a", "CVE-1")) == []
    assert _commands("torch", _need("a", "CVE-1")) == []


def test_what_the_spec_names_needs_another_flavor() -> None:
    needs = (_need("a", "CVE-1", "0.10.0"), _need("b", "CVE-1", "0.10.0"))
    assert _commands("training-hub", *needs) == [
        f"factory new-flavor --from {name} --accelerator cuda --accelerator-version 13.0 --torch 2.11.0 "
        "--python 3.12 --training-hub 0.10.0"
        for name in ("a", "b")
    ]


def test_a_version_that_leaves_the_name_as_it_is_goes_into_the_same_flavor() -> None:
    (command,) = _commands("training-hub", _need(_SPEC.derived_name, "CVE-1", "0.9.3"))
    assert command == (
        f"factory sync {_SPEC.derived_name} && factory lock {_SPEC.derived_name}"
        "  # after setting training-hub to 0.9.3 in its pyproject.toml"
    )
