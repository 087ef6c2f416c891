"""A report of drift in words: for the terminal, and in Markdown."""

from collections.abc import Iterable, Iterator

from factory.console import Table
from factory.upkeep.drift_report import Drift, DriftReport, FlavorWaiver
from factory.upkeep.markdown import code, folded, plain, table

_HEADINGS = ("package", "apart by", "version", "flavors")


def as_text(report: DriftReport) -> tuple[str | Table, ...]:
    """What drifts, direct dependencies first; what is meant, with its reason; what to do."""
    parts: list[str | Table] = []
    if report.unwaived:
        parts += [Table(headings=_HEADINGS, rows=tuple(_rows(report.unwaived))), ""]
    meant = [*_meant(report), *_about_waivers(report)]
    if meant:
        parts += ["\n".join(meant), ""]
    parts += [_count(report)]
    if report.unwaived:
        parts += ["", _remedy(report)]
    return tuple(parts)


def as_markdown(report: DriftReport) -> str:
    """The same as tables."""
    lines = ["### Drift across flavors", "", f"{_count(report)}.", ""]
    for title, direct in (("Direct dependencies", True), ("What they bring with them", False)):
        rows = [_marked(row) for row in _rows(item for item in report.unwaived if item.direct == direct)]
        if rows:
            lines += folded(title, list(table(_HEADINGS, rows)), rows=len(rows))
    lines += [f"- {plain(line)}" for line in (*_meant(report), *_about_waivers(report))]
    return "\n".join(lines).rstrip("\n")


def _rows(drifts: Iterable[Drift]) -> Iterator[tuple[str, str, str, str]]:
    """A row for each version; the package stands in its first."""
    for drift in sorted(drifts, key=lambda item: (not item.direct, item.package)):
        name = f"{drift.package} (direct)" if drift.direct else drift.package
        for number, use in enumerate(drift.uses):
            head = (name, drift.step) if number == 0 else ("", "")
            excused = {item.flavor for item in drift.excused}
            flavors = (f"{flavor} (waived)" if flavor in excused else flavor for flavor in use.flavors)
            yield (*head, use.version, ", ".join(flavors))


def _marked(row: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    package, apart, version, flavors = row
    return package, apart, code(version), code(*flavors.split(", "))


def _meant(report: DriftReport) -> Iterator[str]:
    for drift in report.drifts:
        versions = "; ".join(f"{use.version} in {', '.join(use.flavors)}" for use in drift.uses)
        if drift.standing == "waived":
            reasons = "; ".join(
                f"{item.flavor} until {item.expires}: {item.reason}" for item in drift.excused
            )
            yield f"waived: {drift.package}, {versions} ({reasons})"
        elif drift.standing == "spec":
            yield f"as the specs say: {drift.package}, {versions}"


def _about_waivers(report: DriftReport) -> Iterator[str]:
    for item in report.expired:
        yield f"error: the waiver of {_waiver(item)} expired on {item.expires}: {item.reason}"
    for item in report.unused:
        yield f"warning: the waiver of {_waiver(item)} excuses nothing; remove it"
    for unread in report.unread:
        yield f"not compared: {unread.flavor} cannot be read"
    for name in report.not_locked:
        yield f"not compared: {name} is not locked"


def _waiver(item: FlavorWaiver) -> str:
    return f"drift{f' of {item.package}' if item.package else ''} in {item.flavor}"


def _count(report: DriftReport) -> str:
    found = report.unwaived
    direct = sum(item.direct for item in found)
    waived = sum(item.standing == "waived" for item in report.drifts)
    return (
        f"{len(report.flavors)} flavors compared, {report.compared} packages in more than one: "
        f"{len(found)} drift ({direct} direct), {waived} waived"
    )


def _remedy(report: DriftReport) -> str:
    first = min(report.unwaived, key=lambda item: (not item.direct, item.package))
    return (
        f"To bring one together: {_bump(first)}\n"
        'To leave it for a while: [[tool.factory.waivers]] with finding = "drift" in the flavor\'s '
        "pyproject.toml (docs/rules.md)"
    )


def _bump(drift: Drift) -> str:
    """The command that brings the flavors together that nobody has excused."""
    if not drift.excused:
        return f'factory bump "{drift.package}>={drift.uses[0].version}" --all'
    excused = {item.flavor for item in drift.excused}
    left = [(use.version, [name for name in use.flavors if name not in excused]) for use in drift.uses]
    (newest, _), *older = [(version, names) for version, names in left if names]
    named = (f"--flavor {name}" for _, names in older for name in names)
    return " ".join((f'factory bump "{drift.package}>={newest}"', *named))
