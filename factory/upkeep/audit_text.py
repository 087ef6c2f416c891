"""An audit in words."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from factory.upkeep.audit import Affected, Audit, Finding, Source

_NOTHING = "no known vulnerabilities"


def describe(audit: Audit) -> tuple[str, ...]:
    """The audit in paragraphs: each finding, what is borne, and the count."""
    parts = [*_findings(audit.findings)]
    parts += [
        f"waived in {waived.flavor} until {waived.expires}: {waived.package} {waived.version}, "
        f"{_ids(waived.ids)}: {waived.reason}"
        for waived in audit.waived
    ]
    parts += [
        f"the waiver of {unused.finding}{f' of {unused.package}' if unused.package else ''} in "
        f"{unused.flavor} covers nothing: no pin there is known to have it. Remove it, or look at its id "
        f"({unused.reason})"
        for unused in audit.unused
    ]
    parts += [f"not locked, so not audited: {', '.join(audit.not_locked)}"] if audit.not_locked else []
    if audit.undecided:
        parts.append(
            f"not compared, since they name no versions: {', '.join(audit.undecided)}. Read them yourself"
        )
    return (*parts, _summary(audit))


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    """Each finding, and below the last of a package the commands that are rid of what can be."""
    for _, group in groupby(findings, key=lambda finding: finding.package):
        of_package = list(group)
        commands = dict.fromkeys(command for finding in of_package for command in finding.fix)
        for finding in of_package[:-1]:
            yield "\n  ".join(_lines(finding))
        last = (*_lines(of_package[-1]), *(f"fix: {command}" for command in commands))
        yield "\n  ".join(last) + "\n"


def _lines(finding: Finding) -> Iterator[str]:
    severity = " ".join(part for part in (finding.rating, finding.severity) if part)
    versions = ", ".join(affected.version for affected in finding.affected)
    yield f"{finding.package} {versions}: {_ids(finding.ids)}" + (f", {severity}" if severity else "")
    if finding.summary:
        yield finding.summary
    several = len(finding.affected) > 1
    for affected in finding.affected:
        yield f"{f'{affected.version} ' if several else ''}in {', '.join(affected.flavors)}"
        if several:
            yield f"  {_fixed(affected)}"
    for waiver in finding.lapsed:
        yield f"its waiver in {waiver.flavor} expired on {waiver.expires}: {waiver.reason}"
    if not several:
        yield _fixed(finding.affected[0])


def _fixed(affected: Affected) -> str:
    return f"fixed in {', '.join(affected.fixed)}" if affected.fixed else "no fixed version is known"


def _ids(ids: tuple[str, ...]) -> str:
    return f"{ids[0]} ({', '.join(ids[1:])})" if len(ids) > 1 else ids[0]


def _summary(audit: Audit) -> str:
    found, borne = len(audit.findings), len(audit.waived)
    what = _count(found, "known vulnerability", "known vulnerabilities") if found else _NOTHING
    waived = f", {borne} waived" if borne else ""
    pins, flavors = _count(audit.packages, "pin", "pins"), _count(len(audit.flavors), "flavor", "flavors")
    return f"{what}{waived} in {pins} of {flavors}, by {_source(audit.source)}"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _source(source: Source) -> str:
    if source.advisories is None:
        return source.name
    days = source.age_days
    age = "today" if days == 0 else f"{days} day{'' if days == 1 else 's'} ago"
    count = _count(source.advisories, "advisory", "advisories")
    return f"{count} in {source.name}, the newest of {source.modified} ({age})"
