"""What became of a bump, in lines for people."""

from collections.abc import Iterator

from factory.lock.report import change_lines
from factory.upkeep.bump import BumpReport
from factory.upkeep.bump_plan import Bumped

_ARRAYS = {
    "dependencies": "[project] dependencies",
    "constraint-dependencies": "[tool.uv] constraint-dependencies",
    "override-dependencies": "[tool.uv] override-dependencies",
}
_STATES = {
    "changed": "changed",
    "would-change": "would change",
    "nothing-to-do": "nothing to do: the floor stands, and the lock is above it",
    "left-alone": "left alone",
    "failed": "cannot be changed",
    "not-changed": "not changed, since another flavor cannot be",
}
_OVERRIDE = "override-dependencies"


def describe(report: BumpReport) -> tuple[str, ...]:
    """The report in lines: of each flavor what changes in pyproject.toml, and in the lock."""
    lines = [line for flavor in report.flavors for line in _flavor(flavor)]
    if report.error and len(report.flavors) > 1:
        lines.append("nothing was written in any flavor")
    return tuple(lines)


def warnings(report: BumpReport) -> tuple[str, ...]:
    """What a person should act on, flavor by flavor."""
    return tuple(warning for flavor in report.flavors for warning in flavor.warnings)


def _flavor(outcome: Bumped) -> Iterator[str]:
    kind = f" ({type(outcome.error).__name__})" if outcome.error else ""
    yield f"{outcome.flavor}: {_STATES[outcome.state]}{kind}"
    yield from (f"  {package} is not in it" for package in outcome.absent)
    yield from (f"  {note}" for note in outcome.notes)
    for line in outcome.lines:
        if line.before == line.after:
            yield f"  {_ARRAYS[line.array]}: {line.after} stays, with the reason beside it"
            continue
        was = f"  (was {line.before})" if line.before is not None else ""
        wins = ", which wins over every other" if line.array == _OVERRIDE else ""
        yield f"  {_ARRAYS[line.array]}{wins}: {line.after}{was}"
    if not outcome.error:
        yield from (f"  {move.package} has to move: {why}" for move in outcome.moves for why in move.why)
    if outcome.changes is not None:
        yield from change_lines(outcome.changes)
