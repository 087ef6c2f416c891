"""The command that would be rid of a vulnerability."""

import shlex

import pytest
from support.clean_flavor import PROJECT

from factory.flavor.project import parse_project
from factory.upkeep.remedy import remedy

_SPEC = parse_project(PROJECT, where="pyproject.toml").spec


@pytest.mark.parametrize(
    ("fixed", "floor"),
    [
        (("12.2.1", "12.3.1"), "12.2.1"),
        (("12.3.0rc1", "12.3.0"), "12.3.0"),
        (("12.3.0rc1", "12.3.0rc2"), "12.3.0rc1"),
        (("1!2.0",), "1!2.0"),
    ],
)
def test_the_floor_is_the_lowest_fixed_version_that_is_final(fixed: tuple[str, ...], floor: str) -> None:
    (command,) = remedy("pillow", fixed, {"a": _SPEC, "b": _SPEC}, reason="CVE-1")
    words = ["factory", "bump", f"pillow>={floor}", "--flavor", "a", "--flavor", "b", "--reason", "CVE-1"]
    assert shlex.split(command) == words


def test_where_no_version_is_fixed_there_is_no_command() -> None:
    assert remedy("pillow", (), {"a": _SPEC}, reason="CVE-1") == ()
    assert remedy("torch", (), {"a": _SPEC}, reason="CVE-1") == ()


def test_what_the_spec_names_needs_another_flavor() -> None:
    commands = remedy("training-hub", ("0.10.0",), {"a": _SPEC, "b": _SPEC}, reason="CVE-1")
    assert commands == tuple(
        f"factory new-flavor --from {name} --accelerator cuda --accelerator-version 13.0 --torch 2.11.0 "
        "--python 3.12 --training-hub 0.10.0"
        for name in ("a", "b")
    )


def test_a_version_that_leaves_the_name_as_it_is_goes_into_the_same_flavor() -> None:
    (command,) = remedy("training-hub", ("0.9.3",), {_SPEC.derived_name: _SPEC}, reason="CVE-1")
    assert command == (
        f"factory sync {_SPEC.derived_name} && factory lock {_SPEC.derived_name}"
        "  # after setting training-hub to 0.9.3 in its pyproject.toml"
    )
