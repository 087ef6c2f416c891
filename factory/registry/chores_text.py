"""What the chores of registries found, as tables for people."""

import datetime as dt
from collections.abc import Iterator

from factory.console import Table, human_size
from factory.registry.cleanup import Cleanup, Fate
from factory.registry.holdings import attached_to
from factory.registry.retention import short
from factory.registry.setup import SetupReport
from factory.registry.standing import Standing, StandingReport

_MOST_TAGS = 3
_RIGHT = frozenset({"REPOSITORIES", "IMAGES", "SIZE", "AGE"})


def setup_parts(report: SetupReport) -> list[str | Table]:
    """What was created and found, and what to do about what is wrong."""
    rows = tuple(
        (one.registry.name, finding.what, finding.state, finding.detail)
        for one in report.registries
        for finding in one.findings
    )
    wrong = [
        f"{one.registry.name}: {finding.what}: {finding.solution}"
        for one in report.registries
        for finding in one.findings
        if finding.state == "wrong"
    ]
    headings = ("REGISTRY", "WHAT", "STATE", "FOUND")
    parts: list[str | Table] = [Table(headings=headings, rows=rows)] if rows else []
    return [*parts, *(f"what to do: {line}" for line in wrong)]


def standing_parts(report: StandingReport, *, now: dt.datetime) -> list[str | Table]:
    """One row for each registry."""
    headings = ("REGISTRY", "CLASS", "DRIVER", "ANSWERS", "LOGIN", "REPOSITORIES", "IMAGES", "SIZE", "AGE")
    rows = tuple(_row(one, now) for one in report.registries)
    notes = [f"{one.name}: {one.note}" for one in report.registries if one.note]
    return [Table(headings=(*headings, "PRUNE WOULD TAKE"), rows=rows, right_aligned=_RIGHT), *notes]


def cleanup_parts(report: Cleanup, *, now: dt.datetime) -> list[str | Table]:
    """What goes and what stays, why, and what it comes to; after a teardown how the rest goes by hand."""
    kept = [fate for fate in report.fates if fate.state == "kept"]
    gone = [fate for fate in report.fates if fate.state != "kept"]
    headings = ("REGISTRY", "IMAGE", "TAGS", "SIZE", "AGE", "STATE", "WHY")
    rows = tuple(_fate(fate, now) for fate in (*gone, *kept))
    parts: list[str | Table] = [Table(headings=headings, rows=rows, right_aligned=_RIGHT)] if rows else []
    parts += [*_summary(report, gone, kept), *report.notes]
    parts += [f"deleted the empty repository {name}" for name in report.removed_repositories]
    if report.purpose == "teardown" and kept:
        parts += ["", "what stays is removed by hand with:", *(f"  {fate.by_hand}" for fate in kept)]
    return parts


def _summary(report: Cleanup, gone: list[Fate], kept: list[Fate]) -> Iterator[str]:
    if report.errors and not report.fates:
        yield "nothing is known of what would go and what would stay"
        return
    freed = human_size(report.freed_bytes)
    count = f"{len(gone)} to delete" if report.dry_run else f"{_done(gone)} of {len(gone)} deleted"
    yield f"{count}, {len(kept)} stay; {freed} {'would be' if report.dry_run else 'are'} freed"
    if report.dry_run and gone:
        yield "nothing was deleted: --yes deletes"
    if report.errors:
        yield "this is not all: what could not be read or deleted follows"


def _done(fates: list[Fate]) -> int:
    return sum(fate.state in {"deleted", "gone already"} for fate in fates)


def _fate(fate: Fate, now: dt.datetime) -> tuple[str, ...]:
    name, _, digest = fate.reference.partition("@")
    return (
        fate.registry,
        f"{name.partition('/')[2]}@{short(digest)}",
        _tags(fate.tags),
        human_size(fate.bytes),
        _age(fate.moment, now),
        fate.state,
        fate.reason,
    )


def _tags(tags: tuple[str, ...]) -> str:
    """The first tags; those that are named after an image with its digest cut short."""
    shown = [
        tag.replace(digest[19:].replace(":", "-"), "…") if (digest := attached_to(tag)) else tag
        for tag in tags
    ]
    more = f" and {len(shown) - _MOST_TAGS} more" if len(shown) > _MOST_TAGS else ""
    return (", ".join(shown[:_MOST_TAGS]) or "-") + more


def _row(one: Standing, now: dt.datetime) -> tuple[str, ...]:
    states = {finding.what: finding for finding in one.findings}
    login = states.get("login")
    ages = [_age(one.oldest, now), _age(one.newest, now)]
    prune = "-"
    if one.prunable:
        prune = f"{one.prunable} ({human_size(one.prunable_bytes or 0)})"
    elif one.kind == "persistent":
        prune = "nothing, ever"
    elif one.prunable == 0:
        prune = "nothing"
    return (
        one.name,
        one.kind,
        one.driver,
        "no" if one.error else "yes",
        "?" if login is None else login.detail.partition(":")[0].replace("one is there", "yes"),
        _number(one.repositories),
        _number(one.images),
        "?" if one.bytes is None else human_size(one.bytes),
        " to ".join(dict.fromkeys(ages)),
        prune,
    )


def _number(count: int | None) -> str:
    return "?" if count is None else str(count)


def _age(moment: dt.datetime | None, now: dt.datetime) -> str:
    """An age in whole days, or in hours on the first; ``?`` where it is not known."""
    if moment is None:
        return "?"
    seconds = max(0.0, (now - moment).total_seconds())
    return f"{seconds / 3600:.0f} h" if seconds < 86400 else f"{seconds / 86400:.0f} d"  # noqa: PLR2004
