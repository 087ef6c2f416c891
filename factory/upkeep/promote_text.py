"""What became of a promotion, in lines for people."""

from collections.abc import Iterator
from dataclasses import replace

from factory.lock.changes import Changes
from factory.lock.report import change_lines
from factory.upkeep.promote import Promoted, PromoteReport

_STATES = {
    "changed": "promoted",
    "would-change": "would be promoted",
    "nothing-to-do": "nothing to do: it is there already",
    "failed": "cannot be promoted",
    "not-changed": "not promoted, since another flavor cannot be",
}


def describe(report: PromoteReport) -> tuple[str, ...]:
    """The report in lines: of each flavor what moves from where to where, and what that does to its lock."""
    lines = [line for flavor in report.flavors for line in _flavor(flavor)]
    if report.error:
        lines.append("nothing was written")
    return tuple(lines)


def _flavor(outcome: Promoted) -> Iterator[str]:
    kind = f" ({type(outcome.error).__name__})" if outcome.error else ""
    yield f"{outcome.flavor}: {_STATES[outcome.state]}{kind}"
    for moved in outcome.moved:
        yield f"  {moved.key}: {moved.before or 'the public index'} -> {moved.after}"
    if not outcome.error:
        yield from (f"  {move.package} does not stay: {why}" for move in outcome.moves for why in move.why)
    if outcome.changes is not None:
        yield from _changes(outcome, outcome.changes)
    yield from (f"  note: {note}" for note in outcome.notes)
    if outcome.files:
        yield f"  files: {', '.join(outcome.files)}"


def _changes(outcome: Promoted, changes: Changes) -> Iterator[str]:
    """Counts of what stayed, and lines for what did not: other hashes are what a new index has."""
    anew = len(changes.rehashed)
    yield f"  versions: {outcome.kept} kept, {anew} of them with new hashes; {len(changes.changed)} changed"
    if others := replace(changes, rehashed=()):
        new = not outcome.kept and not others.changed
        yield from change_lines(others, packages=len(others.added) if new else None)
