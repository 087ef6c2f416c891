"""Describe what an index lacks: for the terminal, and as a Markdown request to its owners."""

from collections.abc import Iterable, Iterator

from factory.console import plural
from factory.flavor.repository import NO_IMAGES
from factory.gaps.gaps import Gap
from factory.gaps.index_gaps import FlavorGaps, GapReport, RecordedMissing, RequestedPackage
from factory.gaps.needs import PROJECT
from factory.gaps.stub_wheels import assumption_texts
from factory.lock.package_finder import KINDS
from factory.markdown import code, plain, table

_HEADINGS = (
    "Requirement",
    "What is missing",
    "Wanted for",
    "What the index has",
    "What would do",
    "Needed by",
    "Images",
)
_REQUEST = (
    "these images cannot be built as they are meant to be until the index has the packages below. We would "
    "be grateful for wheels of them, since the images are built from wheels alone, without a network. Each "
    "line is one requirement; where one is met already, please pass over it."
)


def gaps_text(report: GapReport) -> tuple[str, ...]:
    """Return the report in lines: each flavor's gaps, who requires them, and what would satisfy."""
    if not report.flavors:
        return (NO_IMAGES,)
    lines = [line for flavor in report.flavors for line in _flavor(flavor)]
    missing = {wanted.package for wanted in report.wanted if not wanted.reasons}
    if len(report.flavors) > 1:
        lacking = sum(bool(flavor.gaps) for flavor in report.flavors)
        what = f"{plural(len(missing), 'package is', 'packages are')} missing"
        lines.append(
            f"{what}, in {lacking} of {plural(len(report.flavors), 'image')}"
            if missing
            else "nothing is missing"
        )
    return tuple(lines)


def errors_in(report: GapReport) -> tuple[str, ...]:
    """Return why flavors could not be examined, each with a solution."""
    return tuple(
        f"error: {flavor.flavor}: {flavor.error.reason}\n  what to do: {flavor.error.solution}"
        for flavor in report.flavors
        if flavor.error is not None
    )


def as_markdown(report: GapReport) -> str:
    """Return a request ready to send: a table per index, a line per requirement."""
    unexamined = [flavor.flavor for flavor in report.flavors if flavor.error is not None or flavor.conflict]
    doubt = f"What else is missing is not known of these images: {plain(', '.join(unexamined))}."
    if not report.wanted and unexamined:
        return f"{doubt.replace('else ', '')}\n"
    if not report.wanted:
        return "Nothing is missing from the package index of these images.\n"
    parts = ["# Packages that the index lacks", "", "Dear owners of the index,", "", _REQUEST]
    for index in dict.fromkeys(wanted.index for wanted in report.wanted):
        rows = [wanted for wanted in report.wanted if wanted.index == index]
        parts += ["", f"## {plain(index)}", "", *table(_HEADINGS, map(_cells, rows))]
    known = {item.package: item for flavor in report.flavors for item in flavor.assumed}
    unknown = sorted(name for name, item in known.items() if item.version is None)
    if unknown:
        named = code(*unknown)
        parts += [
            "",
            f"What these require themselves is not known to us and may be missing as well: {named}.",
        ]
    if unexamined:
        parts += ["", doubt]
    return "\n".join((*parts, ""))


def _flavor(flavor: FlavorGaps) -> Iterator[str]:
    if flavor.error is not None:
        yield f"{flavor.flavor}: not known ({type(flavor.error).__name__})"
        return
    if flavor.nothing_there:
        yield f"{flavor.flavor}: look first whether {flavor.index} is an index: it has nothing of all this"
    count = len(flavor.gaps)
    has = f"{flavor.index} has all that it needs"
    if any(gap.index != flavor.index for gap in flavor.gaps):
        has = f"its indexes lack {_count(count)}"
    elif count:
        has = f"{flavor.index} lacks {_count(count)}"
    but = ", but for what is recorded as missing" if not count and _still(flavor.recorded) else ""
    yield f"{flavor.flavor}: {has}{but}"
    for gap in flavor.gaps:
        yield from _gap(gap, flavor.index)
    if flavor.behind:
        yield "  and, for the sake of what is recorded as missing,"
        for gap in flavor.behind:
            yield from _gap(gap, flavor.index)
    yield from _recorded(flavor.recorded)
    words = assumption_texts(flavor.assumed)
    if words:
        yield "  what is missing has requirements of its own:"
        yield from (f"    {package}: {text}" for package, text in words.items())
    if flavor.conflict is not None:
        yield "  and, all that aside,"
        yield from (f"    {line}" for line in flavor.conflict.splitlines())


def _gap(gap: Gap, main: str) -> Iterator[str]:
    where = "" if gap.index == main else f", from {gap.index}"
    platforms = ", ".join(gap.platforms)
    yield f"  {gap.requirement} for Python {gap.python} on {platforms}{where}: {gap.found}"
    yield f"    what would do: {gap.would_do}"
    paths = {path[-1]: path for path in gap.paths}
    for who in gap.needed_by:
        path = next((path for name, path in paths.items() if who.partition(" ")[0] == name), ())
        way = f", by way of {' -> '.join(path)}" if len(path) > 1 else ""
        yield f"    needed by {who}{way}"


def _recorded(recorded: Iterable[RecordedMissing]) -> Iterator[str]:
    for item in recorded:
        if item.gap is not None:
            yield f"  {item.requirement}: recorded as missing ({item.reason}): {item.gap.found}"
            yield from (f"    needed by {who}" for who in item.gap.needed_by)
        elif item.hindrance is None:
            yield (
                f"  {item.requirement}: recorded as missing, and the index has it now: it can be taken off "
                "[[tool.factory.missing]]"
            )
        else:
            yield f"  {item.requirement}: recorded as missing; the index has it now, and with it:"
            yield from (f"    {line}" for line in item.hindrance.splitlines())


def _count(number: int) -> str:
    return plural(number, "requirement")


def _still(recorded: Iterable[RecordedMissing]) -> bool:
    return any(item.gap is not None for item in recorded)


def _cells(row: RequestedPackage) -> tuple[str, ...]:
    return (
        code(row.requirement),
        KINDS[row.kind] + (f" (known: {'; '.join(row.reasons)})" if row.reasons else ""),
        _targets(row.targets),
        row.found.removeprefix("the index has "),
        row.would_do,
        code(*(who.replace(PROJECT, "the image") for who in row.needed_by)) or "the image",
        ", ".join(row.flavors),
    )


def _targets(targets: Iterable[tuple[str, str]]) -> str:
    """Describe Pythons and platforms: each Python once, with its platforms."""
    by_python: dict[str, list[str]] = {}
    for python, platform in targets:
        by_python.setdefault(python, []).append(platform)
    return "; ".join(f"Python {python} on {' and '.join(found)}" for python, found in by_python.items())
