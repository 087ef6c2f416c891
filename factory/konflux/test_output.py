"""``TEST_OUTPUT``: a check's outcome as one short line of JSON, and the gate that reads it.

The format is Konflux's (its ADR 30): a task that checks something succeeds, writes its outcome into this
result, and a later task decides. All results of a task share 4096 bytes, and a matrix hands all of its
lines to one task, so a line is short: what does not fit into its note is counted there.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from factory.clock import now
from factory.console import Failure, Report, Table, to_json
from factory.documents import parse_json
from factory.errors import DocumentError

MAX_LINE_BYTES = 1000
_MAX_PART_BYTES = 240
_ELLIPSIS = "..."
BY_SIGNAL = -1
"""The exit code that Tekton writes for a step whose program a signal ended: Go's `ProcessState.ExitCode`."""

_COUNTS = ("successes", "failures", "warnings")
_SHOWN = 80


class TaskResult(StrEnum):
    """How a check ended."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    WARNING = "WARNING"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


_BLOCKING = frozenset({TaskResult.FAILURE, TaskResult.ERROR})


@dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """The outcome of a check.

    ``subject`` is what was checked, ``summary`` the result in words, and ``details`` what was found, the
    most severe first: together they are the note.
    """

    result: TaskResult
    subject: str
    summary: str
    successes: int = 0
    failures: int = 0
    warnings: int = 0
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A named case of a test; ``exit_code``: None if it never ran, `BY_SIGNAL` after a signal."""

    name: str
    exit_code: int | None


def output_line(outcome: TaskOutcome, *, now: dt.datetime) -> str:
    """Return an outcome as one line of at most `MAX_LINE_BYTES` bytes, without its line end.

    The line is ASCII, so that it is the same in every locale; the time is ISO 8601, to the second.
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


def outcome_of_failure(failure: Failure, *, subject: str = "") -> TaskOutcome:
    """Return the outcome of a check that could not be made."""
    return TaskOutcome(result=TaskResult.ERROR, subject=subject, summary=f"{failure.kind}: {failure.reason}")


def failure_line(failure: Failure, *, subject: str = "") -> str:
    """Return the line of a check that could not be made, as of now."""
    return output_line(outcome_of_failure(failure, subject=subject), now=now())


def outcome_of_cases(cases: Sequence[Case], *, note: str = "") -> TaskOutcome:
    """Return the outcome of cases: another exit code than 0 fails, a missing one is an error."""
    wrong = [case for case in cases if case.exit_code != 0]
    missing = any(case.exit_code is None for case in wrong)
    result = TaskResult.ERROR if missing else TaskResult.FAILURE if wrong else TaskResult.SUCCESS
    return TaskOutcome(
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
    """Return cases from ``NAME=EXITCODE``; other text counts as no exit code."""
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


def _line(outcome: TaskOutcome, note: str, now: dt.datetime) -> str:
    content = asdict(outcome)
    timestamp = now.astimezone(dt.UTC).isoformat(timespec="seconds")
    document = {"result": outcome.result, "timestamp": timestamp, "note": note, "namespace": "default"}
    return to_json(document | {name: content[name] for name in _COUNTS}, indent=None, ascii_only=True)


def _cut(text: str) -> str:
    """Return a text on one line, cut at a character to its part of the line."""
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
    """Return a text's bytes in a line."""
    return len(to_json(text, indent=None, ascii_only=True)) - len('""')


@dataclass(frozen=True, kw_only=True)
class JudgedTask:
    """One ``TEST_OUTPUT`` with its task's name, or with the subject of the note if no name was given.

    What is not a ``TEST_OUTPUT`` is an error, and its note says so.
    """

    task: str
    result: TaskResult
    successes: int = 0
    failures: int = 0
    warnings: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class GateReport(Report):
    """Every ``TEST_OUTPUT``, and whether all of them let the pipeline go on."""

    passed: bool
    outcomes: tuple[JudgedTask, ...]

    def differs(self) -> bool:
        return not self.passed

    def describe(self) -> Iterator[str | Table]:
        rows = tuple(
            (item.task, item.result.value, str(item.failures), item.note or "-") for item in self.outcomes
        )
        yield Table(
            headings=("task", "result", "failures", "note"),
            rows=rows,
            right_aligned=frozenset({"failures"}),
            yielding=frozenset({"note"}),
        )
        blocking = [item.task for item in self.outcomes if item.result in _BLOCKING]
        failed = f"{len(blocking)} of {len(rows)} did not pass: {', '.join(blocking)}"
        yield failed if blocking else "it passed" if len(rows) == 1 else f"all {len(rows)} passed"


def judge(words: Sequence[str]) -> GateReport:
    """Judge ``TEST_OUTPUT`` lines, each with the name of its task before it, ``NAME=JSON``, or bare.

    FAILURE and ERROR block a pipeline. SUCCESS, WARNING and SKIPPED do not, unless the line counts failures
    and so contradicts itself. The format is that of Konflux's ADR 30.
    """
    outcomes = tuple(_judged(position, word) for position, word in enumerate(words, start=1))
    return GateReport(
        passed=not any(outcome.result in _BLOCKING for outcome in outcomes),
        outcomes=outcomes,
    )


def _judged(position: int, word: str) -> JudgedTask:
    bare = word.lstrip().startswith("{") or "=" not in word
    name, text = ("", word) if bare else word.split("=", maxsplit=1)
    task = _plain(name)
    content: dict[str, Any] = {}
    try:
        content = parse_json(text, dict[str, Any], source="the TEST_OUTPUT")
        problem = _problem(content)
    except DocumentError:
        problem = "not an object of JSON"
    if problem is not None:
        note = f"no TEST_OUTPUT: {problem}; it printed {_plain(text[:_SHOWN]) or 'nothing'}"
        return JudgedTask(task=task or f"#{position}", result=TaskResult.ERROR, note=note)
    note = _plain(str(content.get("note", "")))
    return JudgedTask(
        task=task or _subject(note) or f"#{position}",
        result=TaskResult(content["result"]),
        **{name: content[name] for name in _COUNTS},
        note=note,
    )


def _subject(note: str) -> str:
    """Return the beginning of a note, as `output_line` writes it: the flavor's name."""
    subject, colon, _ = note.partition(": ")
    return subject if colon and len(subject) <= _SHOWN else ""


def _problem(content: Mapping[str, object]) -> str | None:
    """Return why an object is not a ``TEST_OUTPUT``; None if it is one."""
    if content.get("result") not in list(TaskResult):
        return f"no result that is one of {', '.join(TaskResult)}"
    if not isinstance(content.get("timestamp"), str):
        return "no timestamp"
    wrong = [name for name in _COUNTS if not _is_count(content.get(name))]
    if wrong:
        return f"no number of {' and '.join(wrong)}"
    if content["failures"] and content["result"] not in _BLOCKING:
        return f"it contradicts itself, {content['result']} with failures"
    return None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _plain(text: str) -> str:
    """Return a text from outside on one line, without terminal controls."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
