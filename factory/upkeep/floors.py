"""Write floors into a flavor's requirement lines, each with its reason beside it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.dockerfile.references import parse_requirement
from factory.errors import SpecError
from factory.flavor.edit import add_item, replace_item
from factory.flavor.project import Project, applies, dropped, parse

Cap = Literal["minor", "major", "none"]
_LOWER = frozenset({">=", ">", "==", "===", "~="})
_UPPER = frozenset({"<", "<="})
_EXACT = frozenset({"==", "==="})


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The lowest acceptable version of a package (by normalized name), and its upper bounds.

    ``bounds`` are the further clauses that were asked for, such as ``<13`` and ``!=12.3.1``; ``cap`` None is
    the default: the next minor version, or the requirement's own cap if that is tighter.
    """

    package: str
    version: Version
    bounds: tuple[Specifier, ...] = ()
    cap: Cap | None = None

    def __str__(self) -> str:
        """As a requirement, without the cap that a line would get."""
        return f"{self.package}>={','.join((str(self.version), *map(str, self.bounds)))}"


def parse_floor(text: str, *, cap: Cap | None) -> Floor:
    """Read a floor such as ``pillow>=12.3.0``, or ``pillow>=12.3.0,<13`` with a cap of one's own.

    Raises:
        SpecError: it is not a requirement (PEP 508), has no floor or not this kind, or names more than a
            range.
    """
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement as error:
        raise _refused(text, f"is not a PEP 508 requirement ({str(error).splitlines()[0]})") from error
    if requirement.url or requirement.marker or requirement.extras:
        raise _refused(text, "names more than a range: extras and markers stay as each flavor has them")
    floors = [clause for clause in requirement.specifier if clause.operator in _LOWER]
    if not floors:
        raise _refused(text, "has no floor")
    if len(floors) > 1 or floors[0].operator != ">=":
        shown = ",".join(sorted(map(str, floors)))
        raise _refused(text, f"has {shown} where a floor belongs: an exact pin would block the next fix")
    bounds = tuple(sorted((clause for clause in requirement.specifier if clause not in floors), key=str))
    if cap is not None and any(clause.operator in _UPPER for clause in bounds):
        raise _refused(text, "has a cap of its own, and --cap was given as well")
    version = Version(floors[0].version)
    if not requirement.specifier.contains(version, prereleases=True):
        raise _refused(text, "rules out its own floor")
    return Floor(package=canonicalize_name(requirement.name), version=version, bounds=bounds, cap=cap)


def raised(line: Requirement, floor: Floor, *, locked: str | None) -> str | None:
    """Return a line's specifier raised to a floor; None if the line has it already.

    What is locked is never capped away: the cap counts from the locked version if that is above the floor.
    Exclusions (``!=``) stay if they are in the new range. A line whose own floor is higher keeps it, and gets
    the bounds, the exclusions and the cap that were asked for; the default cap is for lines that are raised.

    Raises:
        SpecError: the line's own floor is above what was asked for.
    """
    lowest = max((version for clause in line.specifier for version in _lowest(clause)), default=None)
    exact = any(_is_exact(clause) for clause in line.specifier)
    if lowest is None or lowest < floor.version or (lowest == floor.version and exact):
        base = max((floor.version, *_version(locked)))
        clauses = [f">={floor.version}", *_upper(line, floor, base)]
    elif (floor.cap is None and not floor.bounds) or (exact and _in_bounds(floor, lowest)):
        return None
    else:
        clauses = _bounded(line, floor, lowest, locked)
    chosen = SpecifierSet(",".join(clauses))
    excluded = {str(clause) for clause in (*line.specifier, *floor.bounds) if clause.operator == "!="}
    clauses += sorted(text for text in excluded if _lies_in(Specifier(text), chosen))
    written = ",".join(clauses)
    return None if SpecifierSet(written) == line.specifier else written


def _bounded(line: Requirement, floor: Floor, lowest: Version, locked: str | None) -> list[str]:
    """Return the clauses, without exclusions, of a line that keeps its floor and gets bounds."""
    asked = [clause for clause in floor.bounds if clause.operator in _UPPER]
    own = [clause for clause in line.specifier if clause.operator in _LOWER]
    if floor.cap is None and not asked and not any(map(_is_exact, own)):
        return sorted(str(clause) for clause in line.specifier if clause.operator != "!=")
    # What bounds the line above by itself (~=, ==1.*) would win over the bound that was asked for.
    plain = all(clause.operator in {">=", ">"} for clause in own)
    lower = sorted(map(str, own)) if plain else [f">={lowest}"]
    upper = list(_upper(line, floor, max((lowest, *_version(locked)))))
    if not SpecifierSet(",".join(upper)).contains(lowest, prereleases=True):
        raise SpecError(
            f"a line asks for {line} already, and {floor} leaves nothing of that",
            solution="Give bounds above the floor that is there, or lower that in pyproject.toml first.",
        )
    return [*lower, *upper]


def _in_bounds(floor: Floor, version: Version) -> bool:
    return all(_admits(clause, version) for clause in floor.bounds)


def _is_exact(clause: Specifier) -> bool:
    return clause.operator in _EXACT and not clause.version.endswith(".*")


def _upper(line: Requirement, floor: Floor, base: Version) -> Iterator[str]:
    """Yield the cap: the one asked for, or the tighter of the default and the line's own."""
    own = [str(clause) for clause in floor.bounds if clause.operator in _UPPER]
    if own:
        yield from own
        return
    cap = None if floor.cap == "none" else version_after(base, floor.cap or "minor")
    kept = [clause for clause in line.specifier if clause.operator in _UPPER and _admits(clause, base)]
    tighter = min(kept, key=lambda clause: Version(clause.version), default=None)
    if floor.cap is None and tighter is not None and cap is not None and Version(tighter.version) < cap:
        yield str(tighter)
    elif cap is not None:
        yield f"<{cap}"


def version_after(version: Version, step: Literal["minor", "major"]) -> Version:
    """Return the first release of the next minor or major version: 12.4 or 13 after 12.3.1."""
    major, minor, *_ = (*version.release, 0)
    release = f"{major}.{minor + 1}" if step == "minor" else f"{major + 1}"
    return Version(f"{version.epoch}!{release}")


def _admits(clause: Specifier, version: Version) -> bool:
    return clause.contains(version, prereleases=True)


def _lowest(clause: Specifier) -> tuple[Version, ...]:
    return _version(clause.version.removesuffix(".*")) if clause.operator in _LOWER else ()


def _lies_in(excluded: Specifier, chosen: SpecifierSet) -> bool:
    """Return whether an exclusion still matters; one of a whole series (``!=12.3.*``) always may."""
    return excluded.version.endswith(".*") or chosen.contains(excluded.version, prereleases=True)


def _version(text: str | None) -> tuple[Version, ...]:
    """Return a version if the text is one: ``===`` and a lock may hold others."""
    try:
        return () if text is None else (Version(text),)
    except ValueError:
        return ()


def _refused(text: str, problem: str) -> SpecError:
    return SpecError(
        f"{text!r} {problem}",
        solution='Write the lowest acceptable version, such as "pillow>=12.3.0"; --cap bounds it above.',
    )


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
    """A line that a floor changes: its array, and its text before (None: it is new) and after.

    If both are the same, only the comment beside it changes: it gets one more reason.
    """

    array: str
    before: str | None
    after: str


@dataclass(frozen=True, kw_only=True)
class Floored:
    """A project's text with floors in it, and the lines that changed.

    ``ranges`` is, by package, the range that all lines on it allow together.
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
    """Write floors into the lines where a flavor decides about packages, changing nothing else.

    That is every line in force that names the package: of [project] dependencies, of the constraints and of
    the overrides. If there is none, because the package only comes with others, it is a new constraint.
    Extras, markers and exclusions stay, and so does a floor that is higher already.

    Args:
        text: the ``pyproject.toml``.
        project: the same, read.
        floors: packages that the flavor has.
        locked: normalized name to locked version.
        reason: why, for the comment at the line, even if the floor is there already. It replaces the reasons
            of lower floors, and is added to those of the same floor.

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
    """Return whether a flavor has a package, in its lock or as an unlocked direct dependency."""
    if package in dropped(project):
        return False
    return package in locked or any(array == "dependencies" for array, _, _ in _lines_on(package, project))


def _lines_on(package: str, project: Project) -> Iterator[tuple[str, int, str]]:
    """Yield the lines on a package whose markers hold: array, place in it, requirement."""
    arrays = (project.dependencies, project.constraints, project.overrides)
    for array, lines in zip(_PLACES, arrays, strict=True):
        for position, line in enumerate(lines):
            requirement = parse(line)
            if canonicalize_name(requirement.name) == package and applies(requirement, project.spec):
                yield array, position, line


def _with_specifier(line: str, specifier: str) -> str:
    """Return a requirement with another specifier; its name, extras and marker as they were written."""
    parts = _PARTS.fullmatch(line)
    if parts is None or parse(line).url is not None:
        raise SpecError(
            f"{line!r} is required from a URL, which has no range",
            solution="Put the package on the index, and require it by name and version.",
        )
    return f"{parts[1].rstrip()}{specifier}{parts[2]}"


def reads_as_another(reason: str) -> bool:
    """Return whether part of a reason, in a comment, would read as a floor's reason."""
    return _READS_AS_ANOTHER.search(reason) is not None


def _reason_of(floor: Floor, reason: str | None) -> Callable[[str], str]:
    """Return a changed comment: it keeps other words, and reasons of this and higher floors."""
    pattern = re.compile(_REASON.format(name=re.escape(floor.package)))

    def renew(comment: str) -> str:
        if reason is None:
            return comment
        reasons = [(_reason_version(match["floor"]), match["text"]) for match in pattern.finditer(comment)]
        same = [text for version, text in reasons if version == floor.version]
        if any(reason == text or reason in text.split(", ") for text in same):
            return comment
        kept = [
            f"{floor.package}>={version}: {text}"
            for version, text in reasons
            if version is not None and version > floor.version
        ]
        written = f"{floor.package}>={floor.version}: {', '.join((*same, reason))}"
        others = pattern.sub("", comment).removeprefix("; ").strip()
        return "; ".join(filter(None, (others, *kept, written)))

    return renew


def _reason_version(text: str) -> Version | None:
    try:
        return Version(text)
    except ValueError:
        return None
