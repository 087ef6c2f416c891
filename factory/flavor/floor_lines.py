"""Floors put into the requirement lines of a flavor's ``pyproject.toml``, each with its reason beside it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.errors import SpecError
from factory.flavor.floor import Floor, raised
from factory.flavor.project import Project
from factory.flavor.requirements import applies, dropped, parse
from factory.flavor.string_array import add_item, replace_item

_PLACES = {
    "dependencies": ("project", "dependencies"),
    "constraint-dependencies": ("tool", "uv", "constraint-dependencies"),
    "override-dependencies": ("tool", "uv", "override-dependencies"),
}
_CONSTRAINTS = "constraint-dependencies"
# What a reason looks like in a comment: the package, the floor that it was given for, and the text.
_REASON = r"(?:^|; ){name}>=(?P<floor>[^\s:]+): (?P<text>.*?)(?=; [a-z0-9][a-z0-9-]*>=[^\s:]+: |$)"
_READS_AS_ANOTHER = re.compile(r"(?:^|; )[a-z0-9][a-z0-9-]*>=[^\s:]+: ")
# A requirement as written: up to its extras, what it says about versions, and its marker.
_PARTS = re.compile(r"(\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?)\s*[^;]*?(\s*(?:;.*)?)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class LineEdit:
    """A line that a floor changes: its array, and what it said (None: it is new) and says now.

    Where both are the same, only the comment beside it is another: it tells one more reason.
    """

    array: str
    before: str | None
    after: str


@dataclass(frozen=True, kw_only=True)
class Floored:
    """A project's text with floors in it, and the lines that changed.

    ``ranges`` is, by package, what all lines on it ask for together.
    """

    text: str
    edits: tuple[LineEdit, ...]
    ranges: Mapping[str, SpecifierSet]


def put_floors(
    text: str,
    project: Project,
    floors: Sequence[Floor],
    *,
    locked: Mapping[str, str],
    reason: str | None,
) -> Floored:
    """Put floors where a flavor decides about the packages, and nothing else.

    That is every line in force that names the package: of [project] dependencies, of the constraints
    and of the overrides. Where there is none, because the package only comes with others, it is a new
    constraint. Extras, markers and exclusions stay, and so does a floor that is higher already.

    Args:
        text: the ``pyproject.toml``.
        project: the same, read.
        floors: packages that the flavor has.
        locked: normalized name to locked version.
        reason: why, for the comment at the line, also where the floor stands. It takes the place of the
            reasons of lower floors, and stands beside those of the same floor.

    Raises:
        SpecError: a line requires the package from a URL, or has a higher floor than was asked for at
            most, or the text cannot be edited.
    """
    edits: list[LineEdit] = []
    ranges = {}
    for floor in floors:
        comment = _reason_of(floor, reason)
        asked = SpecifierSet()
        lines = list(_lines_on(floor.package, project))
        for array, position, line in lines:
            specifier = raised(parse(line), floor, locked=locked.get(floor.package))
            after = line if specifier is None else _with_specifier(line, specifier)
            if after == line and reason is None:
                edited = text
            else:
                edited = replace_item(text, _PLACES[array], position, after, comment)
            if edited != text:
                edits.append(LineEdit(array=array, before=line, after=after))
            text = edited
            asked &= parse(line).specifier if specifier is None else SpecifierSet(specifier)
        if not lines:
            specifier = raised(Requirement(floor.package), floor, locked=locked.get(floor.package)) or ""
            text = add_item(text, _PLACES[_CONSTRAINTS], floor.package + specifier, comment)
            edits.append(LineEdit(array=_CONSTRAINTS, before=None, after=floor.package + specifier))
            asked &= SpecifierSet(specifier)
        ranges[floor.package] = asked
    return Floored(text=text, edits=tuple(edits), ranges=ranges)


def is_in(package: str, project: Project, locked: Mapping[str, str]) -> bool:
    """Whether a flavor has a package: by its lock, or as a direct dependency that is not locked yet."""
    if package in dropped(project):
        return False
    return package in locked or any(array == "dependencies" for array, _, _ in _lines_on(package, project))


def _lines_on(package: str, project: Project) -> Iterator[tuple[str, int, str]]:
    """The lines on a package whose markers hold: the array, the place in it, and the requirement."""
    arrays = (project.dependencies, project.constraints, project.overrides)
    for array, lines in zip(_PLACES, arrays, strict=True):
        for position, line in enumerate(lines):
            requirement = parse(line)
            if canonicalize_name(requirement.name) == package and applies(requirement, project.spec):
                yield array, position, line


def _with_specifier(line: str, specifier: str) -> str:
    """A requirement with another specifier; its name, extras and marker as they were written."""
    parts = _PARTS.fullmatch(line)
    if parts is None or parse(line).url is not None:
        raise SpecError(
            f"{line!r} is required from a URL, which has no range",
            solution="Put the package on the index, and require it by name and version.",
        )
    return f"{parts[1].rstrip()}{specifier}{parts[2]}"


def reads_as_another(reason: str) -> bool:
    """Whether a part of a reason, in a comment, would be taken for the reason of a floor."""
    return _READS_AS_ANOTHER.search(reason) is not None


def _reason_of(floor: Floor, reason: str | None) -> Callable[[str], str]:
    """What a line's comment becomes: other words stay, and the reasons of this floor and of higher ones."""
    pattern = re.compile(_REASON.format(name=re.escape(floor.package)))

    def renew(comment: str) -> str:
        if reason is None:
            return comment
        told = [(_version(match["floor"]), match["text"]) for match in pattern.finditer(comment)]
        same = [text for version, text in told if version == floor.version]
        if any(reason == text or reason in text.split(", ") for text in same):
            return comment
        kept = [
            f"{floor.package}>={version}: {text}"
            for version, text in told
            if version is not None and version > floor.version
        ]
        written = f"{floor.package}>={floor.version}: {', '.join((*same, reason))}"
        others = pattern.sub("", comment).removeprefix("; ").strip()
        return "; ".join(filter(None, (others, *kept, written)))

    return renew


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except ValueError:
        return None
