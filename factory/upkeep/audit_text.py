"""An audit in words."""

from collections.abc import Iterator

from factory.upkeep.audit import Audit, Finding, Source

_NOTHING = "no known vulnerabilities"


def describe(audit: Audit) -> tuple[str, ...]:
    """The audit in paragraphs: each finding, what is borne, and the count."""
    parts = [*(_finding(finding) for finding in audit.findings)]
    parts += [
        f"waived in {waived.flavor} until {waived.expires}: {waived.package} {waived.version}, "
        f"{_ids(waived.ids)}: {waived.reason}"
        for waived in audit.waived
    ]
    parts += [f"not locked, so not audited: {', '.join(audit.not_locked)}"] if audit.not_locked else []
    if audit.undecided:
        parts.append(
            f"not compared, since they name no versions: {', '.join(audit.undecided)}. Read them yourself"
        )
    return (*parts, _summary(audit))


def _finding(finding: Finding) -> str:
    return "\n  ".join(_lines(finding)) + "\n"


def _lines(finding: Finding) -> Iterator[str]:
    severity = " ".join(part for part in (finding.rating, finding.severity) if part)
    yield f"{finding.package} {finding.version}: {_ids(finding.ids)}" + (f", {severity}" if severity else "")
    if finding.summary:
        yield finding.summary
    yield f"in {', '.join(finding.flavors)}"
    for waiver in finding.lapsed:
        yield f"its waiver in {waiver.flavor} expired on {waiver.expires}: {waiver.reason}"
    yield f"fixed in {', '.join(finding.fixed)}" if finding.fixed else "no fixed version is known"
    yield from (f"fix: {command}" for command in finding.fix)


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
    age = "today" if source.age_days == 0 else f"{source.age_days} days ago"
    count = _count(source.advisories, "advisory", "advisories")
    return f"{count} in {source.name}, the newest of {source.modified} ({age})"
