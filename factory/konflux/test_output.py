"""``TEST_OUTPUT``: what a check tells a pipeline, in one short line of JSON.

The format is Konflux's (its ADR 30): a task that checks something succeeds, tells its outcome in this
result, and something later decides. All results of a task share 4096 bytes, and a matrix hands all of its
lines to one task, so a line is short: what does not fit into its note is counted there.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from factory.clock import now
from factory.console import Failure, to_json

MAX_LINE_BYTES = 1000
_MAX_PART_BYTES = 240
_ELLIPSIS = "..."
BY_SIGNAL = -1
"""The exit code that Tekton writes for a step whose program a signal ended: Go's `ProcessState.ExitCode`."""


class Result(StrEnum):
    """How a check ended."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    WARNING = "WARNING"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a check has to tell.

    ``subject`` is what was checked, ``summary`` what came of it, and ``details`` what was found, the
    weightiest first: together they are the note.
    """

    result: Result
    subject: str
    summary: str
    successes: int = 0
    failures: int = 0
    warnings: int = 0
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A named case of a test.

    ``exit_code`` is None where it never came to have one, and `BY_SIGNAL` where a signal ended it.
    """

    name: str
    exit_code: int | None


def line(outcome: Outcome, *, now: dt.datetime) -> str:
    """An outcome as one line of at most `MAX_LINE_BYTES` bytes of ASCII, without its line end.

    ASCII, so that it is the same line in every locale. ``now`` is told in ISO 8601, to the second.
    """
    head = ": ".join(_cut(part) for part in (outcome.subject, outcome.summary) if part)
    details = tuple(_cut(detail) for detail in outcome.details)
    whole = _line(outcome, _note(head, details, len(details)), now)
    if len(whole) <= MAX_LINE_BYTES:
        return whole
    fitting = _line(outcome, _note(head, details, 0), now)
    for shown in range(1, len(details)):
        longer = _line(outcome, _note(head, details, shown), now)
        if len(longer) > MAX_LINE_BYTES:
            break
        fitting = longer
    return fitting


def outcome_of_failure(failure: Failure, *, subject: str = "") -> Outcome:
    """The outcome of a check that could not be made."""
    return Outcome(result=Result.ERROR, subject=subject, summary=f"{failure.kind}: {failure.reason}")


def failure_line(failure: Failure, *, subject: str = "") -> str:
    """The line of a check that could not be made, as it is told in the place of an outcome."""
    return line(outcome_of_failure(failure, subject=subject), now=now())


def outcome_of_cases(cases: Sequence[Case], *, note: str = "") -> Outcome:
    """The outcome of cases by their exit codes: 0 has passed; one that has none makes it an error."""
    wrong = [case for case in cases if case.exit_code != 0]
    missing = any(case.exit_code is None for case in wrong)
    result = Result.ERROR if missing else Result.FAILURE if wrong else Result.SUCCESS
    return Outcome(
        result=result,
        subject=note,
        summary=f"{len(cases) - len(wrong)} of {len(cases)} passed",
        successes=len(cases) - len(wrong),
        failures=len(wrong),
        details=tuple(f"{case.name} {_ending(case.exit_code)}" for case in wrong),
    )


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "has no exit code"
    return "was ended by a signal" if exit_code == BY_SIGNAL else f"ended with {exit_code}"


def read_cases(texts: Sequence[str]) -> tuple[Case, ...]:
    """Cases from ``NAME=EXITCODE``.

    What is no number, as in the file of a step that never ran, is no exit code; neither is a word
    without a name.
    """
    return tuple(_read_case(text) for text in texts)


def _read_case(text: str) -> Case:
    name, _, code = text.rpartition("=")
    code = code.strip()
    if not name.strip():
        return Case(name=text.strip() or "a case without a name", exit_code=None)
    return Case(name=name.strip(), exit_code=int(code) if re.fullmatch("[0-9]{1,9}|-1", code) else None)


def _note(head: str, details: Sequence[str], shown: int) -> str:
    rest = len(details) - shown
    parts = [head, *details[:shown], *([f"{rest} more"] if rest else [])]
    return "; ".join(part for part in parts if part)


def _line(outcome: Outcome, note: str, now: dt.datetime) -> str:
    content = asdict(outcome)
    counts = {name: content[name] for name in ("successes", "failures", "warnings")}
    timestamp = now.astimezone(dt.UTC).isoformat(timespec="seconds")
    document = {"result": outcome.result, "timestamp": timestamp, "note": note, "namespace": "default"}
    return to_json(document | counts, indent=None, ascii_only=True)


def _cut(text: str) -> str:
    """A text on one line, cut at a character where it is longer than its part of the line."""
    text = " ".join(text.split())
    if _size(text) <= _MAX_PART_BYTES:
        return text
    kept: list[str] = []
    size = len(_ELLIPSIS)
    for character in text:
        size += _size(character)
        if size > _MAX_PART_BYTES:
            break
        kept.append(character)
    return "".join(kept) + _ELLIPSIS


def _size(text: str) -> int:
    """How many bytes a text takes in a line."""
    return len(to_json(text, indent=None, ascii_only=True)) - len('""')
