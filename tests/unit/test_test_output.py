"""``TEST_OUTPUT``: one short line of JSON for a pipeline, and the gate that judges such lines."""

import datetime as dt
import json
from typing import Any

import pytest

from factory.check.finding import Finding
from factory.check.report import CheckReport, outcome_of_report
from factory.check.rules import RULES, Severity
from factory.console import Failure, Table
from factory.flavor.spec import Waiver
from factory.konflux.test_output import (
    MAX_LINE_BYTES,
    TaskOutcome,
    TaskResult,
    judge,
    outcome_of_cases,
    outcome_of_failure,
    output_line,
    read_cases,
)
from factory.konflux.verified import outcome_of_verified
from factory.lock.report import ErrorBody
from factory.lock.verify import Verified, VerifyFinding, VerifyReport

NOW = dt.datetime(2026, 8, 20, 14, 5, 9, 120_000, tzinfo=dt.timezone(dt.timedelta(hours=2)))
FLAVOR = "th09-cuda130-torch2110-py312"


def _outcome(**changes: Any) -> TaskOutcome:  # noqa: ANN401
    given: dict[str, Any] = {"result": TaskResult.FAILURE, "subject": FLAVOR, "summary": "2 errors"}
    return TaskOutcome(**(given | changes))


def _told(outcome: TaskOutcome) -> dict[str, Any]:
    text = output_line(outcome, now=NOW)
    assert text.isascii()
    assert len(text.encode()) <= MAX_LINE_BYTES
    assert text.splitlines() == [text]
    content: dict[str, Any] = json.loads(text)
    return content


def _line(result: object = "SUCCESS", **changes: object) -> str:
    """A line as a task of Konflux's catalogue writes it, which need not have been written here."""
    content = {
        "result": result,
        "timestamp": "2026-08-20T12:05:09+00:00",
        "note": "For details, see the log.",
    }
    counts = {"namespace": "default", "successes": 3, "failures": 0, "warnings": 0}
    return json.dumps(
        {key: value for key, value in (content | counts | changes).items() if value is not None}
    )


def test_the_line_has_the_keys_and_the_types_of_konflux() -> None:
    assert _told(_outcome(successes=7, failures=2, warnings=1, details=("FAC101 x", "FAC102 y"))) == {
        "result": "FAILURE",
        "timestamp": "2026-08-20T12:05:09+00:00",
        "note": f"{FLAVOR}: 2 errors; FAC101 x; FAC102 y",
        "namespace": "default",
        "successes": 7,
        "failures": 2,
        "warnings": 1,
    }


@pytest.mark.parametrize(
    "detail",
    [
        "x",
        "a longer finding about a file " * 3,
        "ü" * 500,
        "\U0001f600" * 500,
        '"\\' * 400,
        "\udcff\n\t\x1b[31m" * 90,
    ],
    ids=["short", "usual", "umlauts", "emoji", "quotes", "what no terminal wants"],
)
@pytest.mark.parametrize("count", [1, 5, 40, 3000])
def test_a_line_is_short_whatever_was_found_and_counts_what_it_leaves_out(detail: str, count: int) -> None:
    note = _told(_outcome(details=(detail,) * count))["note"]
    assert note.startswith(f"{FLAVOR}: 2 errors; ")
    shown = note.count(detail[:1])
    last = note.rpartition("; ")[2]
    if last.endswith(" more"):
        assert 0 < int(last.split()[0]) < count
    else:
        assert shown >= count


def test_as_much_is_shown_as_there_is_room_for() -> None:
    details = tuple(f"finding {number:02}" for number in range(80))
    text = output_line(_outcome(details=details), now=NOW)
    assert MAX_LINE_BYTES - 2 * len("; finding 00") < len(text) <= MAX_LINE_BYTES
    whole = output_line(_outcome(details=details[:60]), now=NOW)
    assert "more" not in whole


def test_a_long_subject_and_a_long_reason_leave_room_for_each_other() -> None:
    note = _told(_outcome(subject="flavor " * 300, summary="reason " * 300, details=("a finding",)))["note"]
    assert (note.startswith("flavor flavor"), "reason reason" in note, note.endswith("a finding")) == (
        True, True, True,
    )  # fmt: skip


def test_an_error_names_its_kind_and_its_reason() -> None:
    failure = Failure(kind="NotFoundError", reason="no flavor 'x'\nhere", solution="", exit_code=13)
    told = _told(outcome_of_failure(failure, subject="x"))
    assert (told["result"], told["note"]) == ("ERROR", "x: NotFoundError: no flavor 'x' here")


@pytest.mark.parametrize(
    ("cases", "result", "counts", "says"),
    [
        (["a=0", "b=0"], "SUCCESS", (2, 0), "2 of 2 passed"),
        (["a=0", "b=3"], "FAILURE", (1, 1), "1 of 2 passed; b ended with 3"),
        (["a=", "b=1"], "ERROR", (0, 2), "0 of 2 passed; a has no exit code; b ended with 1"),
        (["a"], "ERROR", (0, 1), "a has no exit code"),
        (["=0"], "ERROR", (0, 1), "=0 has no exit code"),
        ([""], "ERROR", (0, 1), "a case without a name has no exit code"),
        # What Tekton has for a step that a signal ended.
        (["a=-1"], "FAILURE", (0, 1), "0 of 1 passed; a was ended by a signal"),
        (["a=-2"], "ERROR", (0, 1), "a has no exit code"),
        (["a=٣"], "ERROR", (0, 1), "a has no exit code"),
        (["a=" + "9" * 5000], "ERROR", (0, 1), "a has no exit code"),
        (["a=b=0\n"], "SUCCESS", (1, 0), "1 of 1 passed"),
    ],
)
def test_cases_pass_by_their_exit_codes(
    cases: list[str], result: str, counts: tuple[int, int], says: str
) -> None:
    told = _told(outcome_of_cases(read_cases(cases), note="what was tested"))
    assert (told["result"], (told["successes"], told["failures"])) == (result, counts)
    assert told["note"].startswith("what was tested: ")
    assert says in told["note"]


def _finding(code: str, severity: Severity, *, waived: bool = False, flavor: str = FLAVOR) -> Finding:
    waiver = Waiver(finding=code, package=None, reason="known", expires=dt.date(2027, 1, 1))
    return Finding(
        code=code, rule=RULES[code].name, severity=severity, flavor=flavor, path="flavors/x/file", line=3,
        package=None, message="it is wrong", why="", solution="", waiver=waiver if waived else None,
    )  # fmt: skip


def _report(*findings: Finding, flavors: tuple[str, ...] = (FLAVOR,)) -> CheckReport:
    borne = [item for item in findings if item.waiver is None]
    return CheckReport(
        flavors=flavors,
        errors=sum(item.severity == "error" for item in borne),
        warnings=sum(item.severity == "warning" for item in borne),
        waived=len(findings) - len(borne),
        findings=findings,
    )


@pytest.mark.parametrize(
    ("report", "result", "counts", "note"),
    [
        (_report(), "SUCCESS", (len(RULES), 0, 0), f"{FLAVOR}: 0 errors, 0 warnings"),
        (
            _report(_finding("FAC208", "warning"), _finding("FAC101", "error")),
            "FAILURE",
            (len(RULES) - 2, 1, 1),
            (
                f"{FLAVOR}: 1 error, 1 warning; FAC101 missing-file flavors/x/file:3: it is wrong; "
                "FAC208 missing-from-index flavors/x/file:3: it is wrong"
            ),
        ),
        (
            _report(_finding("FAC208", "warning")),
            "WARNING",
            (len(RULES) - 1, 0, 1),
            f"{FLAVOR}: 0 errors, 1 ",
        ),
        (
            _report(_finding("FAC208", "warning", waived=True)),
            "SUCCESS",
            (len(RULES) - 1, 0, 0),
            f"{FLAVOR}: 0 errors, 0 warnings, 1 waived",
        ),
        (
            _report(_finding("FAC101", "error", flavor="b"), flavors=("a", "b")),
            "FAILURE",
            (2 * len(RULES) - 1, 1, 0),
            "a, b: 1 error, 0 warnings; FAC101",
        ),
        (_report(flavors=()), "SKIPPED", (0, 0, 0), "there is no flavor to check"),
    ],
)
def test_a_check_tells_its_errors_before_its_warnings(
    report: CheckReport, result: str, counts: tuple[int, int, int], note: str
) -> None:
    told = _told(outcome_of_report(report))
    assert (told["result"], (told["successes"], told["failures"], told["warnings"])) == (result, counts)
    assert told["note"].startswith(note)


def _verified(*kinds: str, unverified: tuple[str, ...] = ()) -> Verified:
    findings = tuple(
        VerifyFinding(
            kind=kind,  # type: ignore[arg-type]
            lock_file="requirements.txt", package="numpy", version="2.4.1", index="the index",
            file_name="numpy.whl", locked="0" * 64, warning=kind == "yanked",
        )
        for kind in kinds
    )  # fmt: skip
    return Verified(
        flavor=FLAVOR, packages=4, artifacts=5, verified=5 - len(findings), findings=findings,
        unverified=unverified,
    )  # fmt: skip


LESS = ErrorBody(kind="LockFileError", reason="th10 is not locked", solution="lock it", exit_code=16)
ERROR = ErrorBody(kind="IndexAccessError", reason="503 from the index", solution="wait", exit_code=19)


@pytest.mark.parametrize(
    ("report", "result", "counts", "says"),
    [
        (VerifyReport(flavors=(_verified(),), errors={}), "SUCCESS", (5, 0, 0), "5 of 5 artifacts are as"),
        (
            VerifyReport(flavors=(_verified("re-pushed"),), errors={}),
            "FAILURE",
            (4, 1, 0),
            "re-pushed: numpy.whl",
        ),
        (VerifyReport(flavors=(_verified("yanked"),), errors={}), "WARNING", (4, 0, 1), "yanked: numpy.whl"),
        (VerifyReport(flavors=(_verified(unverified=("torch",)),), errors={}), "WARNING", (5, 0, 1), "torch"),
        (VerifyReport(flavors=(), errors={FLAVOR: ERROR}), "ERROR", (0, 0, 0), "IndexAccessError: 503 from"),
        (
            VerifyReport(flavors=(_verified("re-pushed"),), errors={"other": ERROR}),
            "ERROR",
            (4, 1, 0),
            "re-pushed: numpy.whl",
        ),
        (
            VerifyReport(flavors=(), errors={FLAVOR: LESS}, not_locked=(FLAVOR,)),
            "SKIPPED",
            (0, 0, 0),
            "not verified; th10 is not locked",
        ),
        (
            VerifyReport(flavors=(_verified(),), errors={"other": LESS}, not_locked=("other",)),
            "SUCCESS",
            (5, 0, 0),
            "th10 is not locked",
        ),
        (
            VerifyReport(flavors=(), errors={FLAVOR: LESS, "other": ERROR}, not_locked=(FLAVOR,)),
            "ERROR",
            (0, 0, 0),
            "IndexAccessError: 503 from",
        ),
        (VerifyReport(flavors=(), errors={FLAVOR: LESS}), "ERROR", (0, 0, 0), "LockFileError: th10"),
    ],
)
def test_a_verification_is_an_error_where_an_index_could_not_be_asked(
    report: VerifyReport, result: str, counts: tuple[int, int, int], says: str
) -> None:
    told = _told(outcome_of_verified(report))
    assert (told["result"], (told["successes"], told["failures"], told["warnings"])) == (result, counts)
    assert says in told["note"]
    assert told["note"].startswith((FLAVOR, "other"))


@pytest.mark.parametrize("result", list(TaskResult))
def test_failures_and_errors_hinder_and_nothing_else(result: TaskResult) -> None:
    verdict = judge([_line(), f"check={_line(result)}"])
    assert verdict.passed == (result not in {"FAILURE", "ERROR"})
    assert verdict.outcomes[1].task == "check"


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", "{}", '"SUCCESS"', "SUCCESS", "$(tasks.check.results.TEST_OUTPUT)",
        "{" * 100_000,
        '{"a":' * 50_000,
        _line("PASSED"), _line("success"), _line(result=None), _line(result=["SUCCESS"]),
        _line(timestamp=None),
        _line(failures=5), _line("WARNING", failures=1), _line("SKIPPED", failures=1),
        _line(failures=None), _line(failures="0"), _line(successes=-1), _line(warnings=True),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
@pytest.mark.parametrize("name", ["", "check="])
def test_what_is_no_test_output_hinders(name: str, text: str) -> None:
    verdict = judge([_line(), name + text])
    (entry,) = verdict.outcomes[1:]
    assert (verdict.passed, entry.result) == (False, "ERROR")
    assert entry.task == ("check" if name else "#2")
    assert entry.note.startswith("no TEST_OUTPUT: ")
    assert len(entry.note) < 250


def test_a_line_without_a_name_is_shown_under_what_its_note_begins_with() -> None:
    ours = output_line(_outcome(), now=NOW)
    verdict = judge([ours, _line(), _line(note=None), f"lock-verify={ours}", " " + ours])
    assert [item.task for item in verdict.outcomes] == [FLAVOR, "#2", "#3", "lock-verify", FLAVOR]


def test_an_equals_sign_in_a_bare_line_is_no_name() -> None:
    verdict = judge([_line(note="bump a=b")])
    assert (verdict.passed, verdict.outcomes[0].task) == (True, "#1")


def test_the_table_has_every_check_and_the_last_line_those_that_hinder() -> None:
    bad = _line("FAILURE", failures=4, note="th09: a note\nwith \x1b[31mcolour")
    table, last = judge([f"check={_line()}", f"lock={bad}", "image-test="]).describe()
    assert isinstance(table, Table)
    assert table.rows[:2] == (
        ("check", "SUCCESS", "0", "For details, see the log."),
        ("lock", "FAILURE", "4", "th09: a note with [31mcolour"),
    )
    assert last == "2 of 3 did not pass: lock, image-test"
    assert list(judge([_line()]).describe())[1] == "it passed"
