"""A floor for a package, as a command asks for it, and the range that a requirement gets from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.dockerfile.references import parse_requirement
from factory.errors import SpecError

Cap = Literal["minor", "major", "none"]
_LOWER = frozenset({">=", ">", "==", "===", "~="})
_UPPER = frozenset({"<", "<="})
_EXACT = frozenset({"==", "==="})


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The lowest version of a package (by its normalized name) that is acceptable, and what bounds it above.

    ``bounds`` are the further clauses that were asked for by hand, such as ``<13`` and ``!=12.3.1``;
    ``cap`` None is the default: the next minor version, or the requirement's own cap where that is
    tighter.
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
        SpecError: it is no requirement (PEP 508), has no floor or not this kind, or names more than a range.
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
    """The specifier that a requirement's line gets from a floor; None where the floor stands in it.

    What is locked is never capped away: the cap counts from the locked version where that is above
    the floor. Exclusions (``!=``) stay where they lie in the new range. A line whose own floor is higher
    keeps it, and gets the bounds, the exclusions and the cap that were asked for; the default cap is for
    lines that are raised.

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
    """The clauses, but for exclusions, of a line that keeps its own floor and gets what bounds it above."""
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
            solution="Give bounds above the floor that stands, or lower that in pyproject.toml first.",
        )
    return [*lower, *upper]


def _in_bounds(floor: Floor, version: Version) -> bool:
    return all(_admits(clause, version) for clause in floor.bounds)


def _is_exact(clause: Specifier) -> bool:
    return clause.operator in _EXACT and not clause.version.endswith(".*")


def _upper(line: Requirement, floor: Floor, base: Version) -> Iterator[str]:
    """The cap: the one asked for, or the tighter of the default and the line's own."""
    own = [str(clause) for clause in floor.bounds if clause.operator in _UPPER]
    if own:
        yield from own
        return
    cap = None if floor.cap == "none" else next_version(base, floor.cap or "minor")
    kept = [clause for clause in line.specifier if clause.operator in _UPPER and _admits(clause, base)]
    tighter = min(kept, key=lambda clause: Version(clause.version), default=None)
    if floor.cap is None and tighter is not None and cap is not None and Version(tighter.version) < cap:
        yield str(tighter)
    elif cap is not None:
        yield f"<{cap}"


def next_version(version: Version, step: Literal["minor", "major"]) -> Version:
    """The first release of the next minor or major version: 12.4 or 13 after 12.3.1."""
    major, minor, *_ = (*version.release, 0)
    release = f"{major}.{minor + 1}" if step == "minor" else f"{major + 1}"
    return Version(f"{version.epoch}!{release}")


def _admits(clause: Specifier, version: Version) -> bool:
    return clause.contains(version, prereleases=True)


def _lowest(clause: Specifier) -> tuple[Version, ...]:
    return _version(clause.version.removesuffix(".*")) if clause.operator in _LOWER else ()


def _lies_in(excluded: Specifier, chosen: SpecifierSet) -> bool:
    """Whether an exclusion still says something; one of a whole series (``!=12.3.*``) always may."""
    return excluded.version.endswith(".*") or chosen.contains(excluded.version, prereleases=True)


def _version(text: str | None) -> tuple[Version, ...]:
    """A version where the text is one: ``===`` and a lock may hold what is none."""
    try:
        return () if text is None else (Version(text),)
    except ValueError:
        return ()


def _refused(text: str, problem: str) -> SpecError:
    return SpecError(
        f"{text!r} {problem}",
        solution='Write the lowest acceptable version, such as "pillow>=12.3.0"; --cap bounds it above.',
    )
