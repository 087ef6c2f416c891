"""Apply waivers to findings, and check the waivers themselves."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator

from factory.check.finding import Problem
from factory.check.rules import RULES
from factory.check.subject import Subject
from factory.flavor.project import PROJECT_FILE
from factory.flavor.spec import Waiver, waiver_for

DRIFT = "drift"
_HEADER = re.compile(r"\s*\[\[\s*tool\s*\.\s*factory\s*\.\s*waivers\s*\]\]")
_CODE = re.compile(r"FAC.*", re.IGNORECASE)
# The id of an advisory, of whichever database: CVE-2026-1, GHSA-…, PYSEC-…, OSV-….
_ADVISORY = re.compile(r"[A-Z]{2,10}-[0-9]+[0-9:-]*|GHSA(?:-[0-9a-z]{4}){3}", re.IGNORECASE)

Waived = tuple[Problem, Waiver | None]


def apply_waivers(subject: Subject, problems: Iterable[Problem], *, today: dt.date) -> tuple[Waived, ...]:
    """Return each problem with the waiver that covers it today, and then FAC212 to FAC214."""
    waivers = subject.project.spec.waivers if subject.project else ()
    found: list[Waived] = [(problem, _waiver_of(problem, waivers, today=today)) for problem in problems]
    used = frozenset(id(waiver) for _, waiver in found if waiver is not None)
    found += [(problem, None) for problem in _waiver_problems(subject, waivers, used=used, today=today)]
    return tuple(found)


def _waiver_of(problem: Problem, waivers: tuple[Waiver, ...], *, today: dt.date) -> Waiver | None:
    if not waivers or not RULES[problem.code].waivable:
        return None
    return waiver_for(waivers, problem.code, package=problem.package, today=today)


def _waiver_problems(
    subject: Subject, waivers: tuple[Waiver, ...], *, used: frozenset[int], today: dt.date
) -> Iterator[Problem]:
    lines = _lines(subject)
    for number, waiver in enumerate(waivers):
        line = lines[number] if number < len(lines) else subject.project_line("finding", waiver.finding)
        found = _unknown(waiver) or _expired(waiver, today) or _unused(waiver, used)
        if found is not None:
            code, message, solution = found
            yield Problem(
                code=code,
                path=PROJECT_FILE,
                line=line,
                package=waiver.package,
                message=message,
                solution=solution,
            )


def _lines(subject: Subject) -> tuple[int, ...]:
    """Return the line of each waiver's table, in order; empty if they are written as one array."""
    numbered = enumerate(subject.project_lines, start=1)
    return tuple(number for number, line in numbered if _HEADER.match(line))


def _unknown(waiver: Waiver) -> tuple[str, str, str] | None:
    finding = waiver.finding
    rule = RULES.get(finding.upper())
    if rule is not None and not rule.waivable:
        return (
            "FAC213",
            f"{finding} {rule.name} cannot be waived",
            "Fix what it finds, and remove the waiver.",
        )
    is_known = rule is not None or finding.lower() == DRIFT
    if is_known or (_ADVISORY.fullmatch(finding) and not _CODE.fullmatch(finding)):
        return None
    return (
        "FAC213",
        f"{finding!r} is not a finding that can be waived",
        'Write the code of a rule (FAC206), "drift", or the id of an advisory (CVE-2026-54058).',
    )


def _expired(waiver: Waiver, today: dt.date) -> tuple[str, str, str] | None:
    if not waiver.has_expired(today):
        return None
    return (
        "FAC212",
        f"the waiver of {waiver_text(waiver)} expired on {waiver.expires}: {waiver.reason}",
        "Fix what it waived and remove it; or, if the reason still holds, give it a new last day.",
    )


def _unused(waiver: Waiver, used: frozenset[int]) -> tuple[str, str, str] | None:
    # `factory drift-report` sees drift, `factory audit` advisories.
    if waiver.finding.upper() not in RULES or id(waiver) in used:
        return None
    return (
        "FAC214",
        f"the waiver of {waiver_text(waiver)} waives nothing that is found today",
        "Remove it.",
    )


def waiver_text(waiver: Waiver) -> str:
    """Describe a waiver: its finding, and its package if it has one."""
    return waiver.finding + (f" for {waiver.package}" if waiver.package else "")
