"""The base of what commands report: its exit code, and that it is printed as data or for people."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from factory.console import Console, Report, Table
from factory.errors import IndexAccessError, SpecError


@dataclass(frozen=True)
class _Wheels(Report):
    names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    errors: tuple[SpecError | IndexAccessError, ...] = ()

    def failures(self) -> Iterable[SpecError | IndexAccessError]:
        return self.errors

    def differs(self) -> bool:
        return bool(self.missing)

    def describe(self) -> Iterable[str | Table]:
        return self.names


def test_the_first_failure_decides_the_exit_code_before_what_was_found() -> None:
    spec, integrity = SpecError("a", solution="b"), IndexAccessError("c", solution="d")
    assert spec.exit_code != integrity.exit_code
    assert _Wheels(missing=("x",), errors=(integrity, spec)).exit_code == integrity.exit_code
    assert _Wheels(errors=(spec, integrity)).exit_code == spec.exit_code


def test_something_found_is_1_and_nothing_is_0() -> None:
    assert _Wheels(missing=("x",)).exit_code == 1
    assert _Wheels(names=("x",)).exit_code == 0
    assert Report().exit_code == 0


def test_a_report_is_shown_as_its_fields_or_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    report = _Wheels(names=("one", "two"), missing=("x",))
    assert Console(json_output=True).show(report) == 1
    assert json.loads(capsys.readouterr().out) == {"names": ["one", "two"], "missing": ["x"], "errors": []}
    assert Console().show(report) == 1
    assert capsys.readouterr().out == "one\ntwo\n"
