"""What does not fit between flavors and Training Hub in words: for the terminal, and in Markdown."""

from collections.abc import Iterator

from factory.upkeep.align import Alignment, AlignReport
from factory.upkeep.align_findings import KINDS
from factory.upkeep.align_wanted import TRAINING_HUB
from factory.upkeep.markdown import code, table

_HEADINGS = ("Flavor", "Training Hub", "Requirement", "What is wrong", "What there is", "What to do")


def as_text(report: AlignReport) -> tuple[str, ...]:
    """The report in lines, grouped by flavor."""
    lines = [line for flavor in report.flavors for line in _flavor(flavor)]
    if len(report.flavors) > 1:
        count = sum(len(flavor.findings) for flavor in report.flavors)
        wrong = sum(bool(flavor.findings) for flavor in report.flavors)
        lines.append(f"{_count(count, 'finding')} in {wrong} of {len(report.flavors)} flavors")
    return tuple(lines)


def errors_in(report: AlignReport) -> tuple[str, ...]:
    """Why flavors could not be looked at, each with what to do."""
    return tuple(
        f"error: {flavor.flavor}: {flavor.error.reason}\n  what to do: {flavor.error.solution}"
        for flavor in report.flavors
        if flavor.error is not None
    )


def as_markdown(report: AlignReport) -> str:
    """The findings as a table, one line for each."""
    lines = ["# Training Hub's requirements", ""]
    rows = [(flavor, finding) for flavor in report.flavors for finding in flavor.findings]
    if not rows:
        return "\n".join((*lines, "Every flavor meets what its Training Hub requires.", ""))
    cells = (
        (
            flavor.flavor,
            flavor.training_hub,
            code(finding.requirement),
            KINDS[finding.kind],
            finding.there,
            finding.to_do,
        )
        for flavor, finding in rows
    )
    return "\n".join((*lines, *table(_HEADINGS, cells), ""))


def _flavor(flavor: Alignment) -> Iterator[str]:
    if flavor.error is not None:
        yield f"{flavor.flavor}: cannot be told ({type(flavor.error).__name__})"
        return
    extras = f"[{','.join(flavor.extras)}]" if flavor.extras else ""
    hub = f"{TRAINING_HUB}{extras} {flavor.training_hub} on {flavor.index}"
    if flavor.findings:
        yield f"{flavor.flavor}: {hub}: {_count(len(flavor.findings), 'finding')}"
    else:
        against = "flavor, lock and index" if flavor.locked else "flavor and index"
        yield f"{flavor.flavor}: {hub}: {against} meet all {flavor.requirements} requirements"
    if not flavor.locked:
        yield "  it is not locked: there was no lock to compare with"
    if flavor.stale:
        yield (
            "  note: the lock was made from another pyproject.toml, and is compared as it stands: "
            f"factory lock {flavor.flavor}"
        )
    for finding in flavor.findings:
        yield f"  {finding.requirement}: {KINDS[finding.kind]}: {finding.there}"
        yield f"    what to do: {finding.to_do}"
    for item in flavor.excused:
        now = "; the index has it now: it can be taken off the list" if item.there_now else ""
        yield f"  excused: {item.requirement}: recorded as missing: {item.recorded} ({item.reason}){now}"
    if flavor.floating:
        yield (
            f"  note: {_count(len(flavor.floating), 'requirement')} float, since neither Training Hub nor "
            f"the flavor sets an upper bound: {', '.join(flavor.floating)}"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
