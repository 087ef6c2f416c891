"""What became of a folder, for people."""

from collections.abc import Iterator

from factory.adopt.adopt import Adopted
from factory.adopt.placement import Placement
from factory.console import Table

_HEADINGS = {
    "spec": "Read into the spec",
    "hook": "Kept in the hooks",
    "template": "The template does this",
    "not kept": "Cannot be kept",
}
_ADDED = (
    "what to do: Nothing, where that is right. A variable gets another value in hooks.environment, and a "
    "system package another version in hooks.system-packages."
)


def describe(adopted: Adopted, *, place: str) -> Iterator[str | Table]:
    """The parts of the report; ``place`` is the flavor's folder as it is to be called."""
    verb = "Made" if adopted.written else "Would make"
    yield f"{verb} {place} from {adopted.source}:\n"
    rows = tuple((origin.key, origin.value or "-", origin.where) for origin in adopted.origins)
    yield Table(headings=("spec", "value", "says"), rows=rows)
    for kind, heading in _HEADINGS.items():
        found = [each for each in adopted.placed(kind) if not each.repeats]
        if found:
            yield "\n".join(("", f"{heading}:", *(_line(each) for each in found)))
    repeated = [each for each in adopted.placements if each.repeats]
    if repeated:
        one = repeated[0]
        yield f"\n{len(repeated)} more of {one.path} are also in {one.repeats}, and go the same way."
    if adopted.added:
        lines = (f"  {each.what}\n      {', '.join(each.items)}" for each in adopted.added)
        yield "\n".join(("", "The template adds, and the folder had not:", *lines, f"      {_ADDED}"))
    if adopted.notes:
        yield "\n".join(("", "To look at:", *(f"  {note}" for note in adopted.notes)))
    yield "\n" + _next(adopted, place)


def _line(placement: Placement) -> str:
    where = placement.path if placement.line is None else f"{placement.path}:{placement.line}"
    what = "" if placement.line is None else f"  {placement.what}"
    to = f"\n      {'; '.join(part for part in (placement.to, placement.why) if part)}"
    solution = f"\n      what to do: {placement.solution}" if placement.solution else ""
    return f"  {where}{what}{to if to.strip() else ''}{solution}"


def _next(adopted: Adopted, place: str) -> str:
    if not adopted.written:
        return "Nothing was written. Again with --write to make the flavor; the folder itself stays as it is."
    return (
        f"Next: look at {place}/pyproject.toml and at what cannot be kept; then\n"
        f"  factory lock {adopted.name}\n  factory check {adopted.name}\n"
        f"and remove {adopted.source} when the image is built and tested."
    )
