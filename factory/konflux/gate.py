"""Whether the outcomes that a pipeline's checks told let it go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.console import Table
from factory.documents import parse_json
from factory.errors import DocumentError
from factory.konflux.test_output import Result

_HINDERING = frozenset({Result.FAILURE, Result.ERROR})
_SHOWN = 80
_COUNTS = ("successes", "failures", "warnings")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One ``TEST_OUTPUT``, with the task that told it; where none was named, with what the note is about.

    What is no ``TEST_OUTPUT`` is an error, and its note says so: a task that told nothing proved nothing.
    """

    task: str
    result: Result
    successes: int = 0
    failures: int = 0
    warnings: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Every ``TEST_OUTPUT``, and whether all of them let the pipeline go on."""

    passed: bool
    outcomes: tuple[Judged, ...]


def judge(words: Sequence[str]) -> Verdict:
    """Judge ``TEST_OUTPUT`` lines, each with the name of its task before it, ``NAME=JSON``, or bare.

    FAILURE and ERROR hinder; SUCCESS, WARNING and SKIPPED do not, unless failures are counted: such a line
    contradicts itself, and proves nothing. The format is that of Konflux's ADR 30.
    """
    outcomes = tuple(_judged(position, word) for position, word in enumerate(words, start=1))
    return Verdict(
        passed=not any(outcome.result in _HINDERING for outcome in outcomes),
        outcomes=outcomes,
    )


def describe_verdict(verdict: Verdict) -> tuple[str | Table, ...]:
    """The verdict for people: a row for each check, and a line that says what hinders."""
    rows = tuple(
        (item.task, item.result.value, str(item.failures), item.note or "-") for item in verdict.outcomes
    )
    table = Table(
        headings=("task", "result", "failures", "note"), rows=rows, right_aligned=frozenset({"failures"})
    )
    hindering = [item.task for item in verdict.outcomes if item.result in _HINDERING]
    said = f"{len(hindering)} of {len(rows)} did not pass: {', '.join(hindering)}"
    return table, said if hindering else f"all {len(rows)} passed"


def _judged(position: int, word: str) -> Judged:
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
        told = _plain(text[:_SHOWN]) or "nothing"
        note = f"no TEST_OUTPUT: {problem}; it told {told}"
        return Judged(task=task or f"#{position}", result=Result.ERROR, note=note)
    note = _plain(str(content.get("note", "")))
    return Judged(
        task=task or _subject(note) or f"#{position}",
        result=Result(content["result"]),
        **{name: content[name] for name in _COUNTS},
        note=note,
    )


def _subject(note: str) -> str:
    """What a note begins with, as `factory.konflux.test_output` writes it: the flavor's name."""
    subject, colon, _ = note.partition(": ")
    return subject if colon and len(subject) <= _SHOWN else ""


def _problem(content: Mapping[str, object]) -> str | None:
    """Why an object is no ``TEST_OUTPUT``; None where it is one."""
    if content.get("result") not in list(Result):
        return f"no result that is one of {', '.join(Result)}"
    if not isinstance(content.get("timestamp"), str):
        return "no timestamp"
    wrong = [name for name in _COUNTS if not _is_count(content.get(name))]
    if wrong:
        return f"no number of {' and '.join(wrong)}"
    if content["failures"] and content["result"] not in _HINDERING:
        return f"it contradicts itself, {content['result']} with failures"
    return None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _plain(text: str) -> str:
    """A text from outside on one line, without what a terminal would obey."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
