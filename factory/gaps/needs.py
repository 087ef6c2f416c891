"""Read from uv's explanation of a failed resolution who requires what, and what is missing.

uv has no machine-readable form of it. The names found here are then looked up on the index, so a changed
wording of uv costs completeness, never correctness.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.dockerfile.references import parse_requirement
from factory.flavor.project import Asked, Project, marker_environment
from factory.index.metadata import Metadata
from factory.lock.package_finder import in_order
from factory.lock.resolution import Refused, package_of
from factory.lock.uv import NoSolution, Request, Required, requirers

# The project's name among the owners of requirements.
PROJECT = "pyproject.toml"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_CLAUSE = r"(?:===|==|~=|!=|<=|>=|<|>)[A-Za-z0-9.*+!_-]*[A-Za-z0-9*]"
_REQUIREMENT = rf"{_NAME}(?:\[[A-Za-z0-9,._-]+\])?(?:{_CLAUSE}(?:,{_CLAUSE})*)?"
_DEPENDS = re.compile(
    rf"(?:(?P<by>{_REQUIREMENT}) depends?|(?<!conclude that\s)you require|"
    rf"all versions of (?P<every>{_REQUIREMENT}) depend)"
    rf"(?: on)?(?: one of:\n(?P<choice>(?:[ \t]+{_REQUIREMENT}[ \t]*(?:\n|$))+)| (?P<one>{_REQUIREMENT}))"
)
_ABSENT = re.compile(
    rf"(?P<subject>{_REQUIREMENT}) (?:has no |was not found|was yanked|requires Python)"
    rf"|only (?P<only>{_REQUIREMENT}) is available"
    rf"|no versions? of (?P<version>{_REQUIREMENT})"
    rf"|versions of (?P<listed>{_NAME}) are available"
)
_NEEDS_PYTHON = re.compile(rf"(?P<subject>{_REQUIREMENT}) requires Python (?P<python>[<>=!~0-9.,*]*[0-9*])")


@dataclass(frozen=True, kw_only=True)
class Need:
    """A requirement and its owner; None is the project. Several requirements are a choice."""

    by: str | None
    requirements: tuple[Requirement, ...]

    @property
    def package(self) -> str:
        """Return the normalized name of the required package."""
        return canonicalize_name(self.requirements[0].name)


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The names that an explanation calls absent, and the requirements in it.

    ``pythons`` are versions that need another Python, and which: not every index's pages say it.
    """

    absent: frozenset[str]
    needs: tuple[Need, ...]
    pythons: tuple[tuple[Requirement, str], ...] = ()


def read_blame(explanation: str) -> Blame:
    """Read uv's explanation (the text under "No solution found when resolving dependencies")."""
    needs = []
    for match in _DEPENDS.finditer(explanation):
        found = _requirements((match["choice"] or match["one"]).split())
        if found:
            needs.append(Need(by=match["by"] or match["every"], requirements=found))
    absent = [word for match in _ABSENT.finditer(explanation) for word in match.groupdict().values() if word]
    names = frozenset(canonicalize_name(requirement.name) for requirement in _requirements(absent))
    pythons = tuple(
        (requirement, match["python"])
        for match in _NEEDS_PYTHON.finditer(explanation)
        for requirement in _requirements([match["subject"]])
    )
    return Blame(absent=names, needs=tuple(dict.fromkeys(needs)), pythons=pythons)


def _requirements(words: list[str]) -> tuple[Requirement, ...]:
    found = []
    for word in words:
        try:
            found.append(parse_requirement(word))
        except InvalidRequirement:
            continue
    return tuple(found)


CONSTRAINTS = f"the constraints in {PROJECT}"


def needs_of(project: Project, refused: Refused, blame: Blame) -> list[Need]:
    """Return every possible cause: direct requirements, constraints on them, uv's explanation.

    A name that the explanation only calls absent becomes a bare requirement without an owner (``by`` is "").
    """
    direct = _direct_needs(refused)
    constraints = _constraints(project, refused, blame)
    named = {need.package for need in direct}
    # uv merges constraints into the requirements that meet them, and shows only the existing part of a
    # project's range: neither is in the owners' own words.
    others = [
        need
        for need in blame.needs
        if not (need.by is None and need.package in named)
        and not any(_includes(need, part) for part in constraints)
    ]
    known = [*direct, *constraints, *others]
    bare = sorted(blame.absent - {need.package for need in known})
    return [*known, *(Need(by="", requirements=(Requirement(name),)) for name in bare)]


def _direct_needs(refused: Refused) -> list[Need]:
    """Return the requirements given to uv whose markers hold, with its overrides applied."""
    environment = marker_environment(refused.request.python, refused.request.platform)
    overrides = [Requirement(line) for line in refused.request.overrides]
    overridden = {canonicalize_name(requirement.name) for requirement in overrides}
    direct = [Requirement(line) for line in refused.request.requirements]
    direct_names = {canonicalize_name(requirement.name) for requirement in direct}
    wanted = [item for item in direct if canonicalize_name(item.name) not in overridden]
    wanted += [item for item in overrides if canonicalize_name(item.name) in direct_names]
    return [
        Need(by=None, requirements=(item,))
        for item in wanted
        if item.marker is None or item.marker.evaluate(environment)
    ]


def _constraints(project: Project, refused: Refused, blame: Blame) -> list[Need]:
    """Return constraints on the requirements: their floors may be missing, as for a CVE's fix."""
    named = {package_of(line) for line in refused.request.requirements}
    named |= blame.absent | {need.package for need in blame.needs}
    constraints = [Requirement(line) for line in project.constraints if package_of(line) in named]
    environment = marker_environment(refused.request.python, refused.request.platform)
    return [
        Need(by=CONSTRAINTS, requirements=(item,))
        for item in constraints
        if item.marker is None or item.marker.evaluate(environment)
    ]


def _includes(need: Need, constraint: Need) -> bool:
    clauses = set(constraint.requirements[0].specifier)
    return need.package == constraint.package and all(
        clauses <= set(item.specifier) for item in need.requirements
    )


# Returns a package's metadata by name and version; a version of None is that of a stub wheel.
MetadataReader = Callable[[str, str | None], Metadata | None]


@dataclass(frozen=True, kw_only=True)
class Requirer:
    """Who requires a package: its requirements on it, empty if unknown, and the path to it.

    ``path`` begins with the project's own requirement and ends with the owner; it is empty for the project.
    """

    name: str
    requirements: tuple[Requirement, ...]
    path: tuple[str, ...]


def requirers_of(
    packages: Iterable[str], request: Request, platforms: Iterable[str], read_metadata: MetadataReader
) -> dict[str, tuple[Requirer, ...]] | NoSolution:
    """Return who requires packages in a resolution that succeeds, on any of the platforms.

    Returns:
        The owners of each required package, or why the resolution failed.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    wanted = set(packages)
    found: dict[str, dict[str, Requirer]] = {}
    for platform in platforms:
        graph = requirers(replace(request, platform=platform))
        if isinstance(graph, NoSolution):
            return graph
        environment = marker_environment(request.python, platform)
        for package in sorted(wanted & graph.keys()):
            for name in graph[package].by:
                metadata = read_metadata(name, graph[name].version) if name in graph else None
                owner = Requirer(
                    name=name,
                    requirements=() if metadata is None else _on(package, metadata, environment),
                    path=path_to(name, graph),
                )
                known = found.setdefault(package, {})
                if not (name in known and known[name].requirements):
                    known[name] = owner
    return {package: tuple(owners.values()) for package, owners in found.items()}


def path_to(name: str, graph: Mapping[str, Required]) -> tuple[str, ...]:
    """Return the shortest path to a package, beginning with the project's requirement."""
    waiting: deque[tuple[str, ...]] = deque([(name,)] if name in graph else [])
    seen = {name}
    while waiting:
        path = waiting.popleft()
        by = graph[path[0]].by
        if PROJECT in by:
            return path
        for owner in by:
            if owner in graph and owner not in seen:
                seen.add(owner)
                waiting.append((owner, *path))
    return ()


def owner_text(owner: Requirer) -> str:
    """Describe an owner with its requirements, without markers."""
    if not owner.requirements:
        return owner.name
    return (
        f"{owner.name} ({' and '.join(dict.fromkeys(without_marker(item) for item in owner.requirements))})"
    )


def without_marker(requirement: Requirement) -> str:
    """Return a requirement without its marker."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{in_order(requirement.specifier)}"


def _on(package: str, metadata: Metadata, environment: Mapping[str, str]) -> tuple[Requirement, ...]:
    """Return a package's requirements on another, with those of all its extras."""
    return tuple(
        item
        for item in metadata.requires
        if canonicalize_name(item.name) == package
        and (
            item.marker is None
            or any(item.marker.evaluate({**environment, "extra": extra}) for extra in ("", *metadata.extras))
        )
    )


_PACKAGE_IN_WORDS = re.compile(r"[^A-Za-z0-9._-]")
# Greater than any component that a range is likely to have.
_MUCH = 999_999


def contradicted(need: Need, needs: Sequence[Need]) -> tuple[Need, ...]:
    """Return the needs that certainly hold and exclude this one.

    If an owner has several needs on a package, it is unknown which holds: they are of different versions.
    """
    return tuple(
        other
        for other in needs
        if other.package == need.package and _holds(other, need, needs) and _exclude_each_other(need, other)
    )


def disjoint(first: SpecifierSet, second: SpecifierSet) -> bool:
    """Return whether two ranges exclude each other (PEP 440), tested around their bounds."""
    both = first & second
    if not both or any(clause.operator == "===" for clause in both):
        return False
    return not any(both.contains(version, prereleases=True) for version in _beside_bounds(both))


def _holds(other: Need, need: Need, needs: Iterable[Need]) -> bool:
    if other.by is None or PROJECT in other.by:
        return True
    return _owner(other) != _owner(need) and _is_only_one(other, needs)


def _is_only_one(need: Need, needs: Iterable[Need]) -> bool:
    return sum(other.package == need.package and _owner(other) == _owner(need) for other in needs) == 1


def _owner(need: Need) -> str | None:
    return None if need.by is None else canonicalize_name(_PACKAGE_IN_WORDS.split(need.by, maxsplit=1)[0])


def _exclude_each_other(first: Need, second: Need) -> bool:
    return all(
        disjoint(one.specifier, other.specifier)
        for one in first.requirements
        for other in second.requirements
    )


def _beside_bounds(specifier: SpecifierSet) -> Iterator[Version]:
    for clause in specifier:
        try:
            bound = Version(clause.version.removesuffix(".*"))
        except ValueError:
            continue
        yield bound
        release = bound.release
        yield _version(bound.epoch, (*release, 0, 1))
        yield _version(bound.epoch, (*release[:-1], release[-1] + 1))
        last = max((place for place, part in enumerate(release) if part), default=None)
        if last is not None:
            yield _version(bound.epoch, (*release[:last], release[last] - 1, _MUCH))


def _version(epoch: int, release: tuple[int, ...]) -> Version:
    return Version(f"{epoch}!{'.'.join(map(str, release))}")


_OWNER_NAME = re.compile(r"[^A-Za-z0-9._-]")
_OVERRIDES = "override-dependencies"
# How the project's lines change what others require, by the key of the line.
_PLACES = {"constraint-dependencies": CONSTRAINTS, _OVERRIDES: f"the overrides in {PROJECT}"}


def who_wants(explained: Sequence[str], owners: Sequence[Requirer], own: Sequence[Asked]) -> tuple[str, ...]:
    """Return everyone who requires a package, each with the requirement if it is known.

    Args:
        explained: those in uv's explanation, in its words.
        owners: those who require it in a resolution.
        own: the project's lines on it; constraints and overrides set the range of what others require.
    """
    known: dict[str, Requirer] = {canonicalize_name(owner.name): owner for owner in owners}
    by_name = {owner_name(text): text for text in explained}
    words = [
        owner_text(known[name]) if name in known and known[name].requirements else text
        for name, text in by_name.items()
    ]
    words += [owner_text(owner) for name, owner in known.items() if name not in by_name]
    for item in own:
        line = without_marker(item.requirement)
        if item.key in _PLACES and f"{PROJECT} ({line})" not in words:
            words.append(f"{_PLACES[item.key]} ({line})")
    return tuple(dict.fromkeys(words))


def wanted_in_all(
    requirement: Requirement, explained: Collection[str], owners: Sequence[Requirer], own: Sequence[Asked]
) -> SpecifierSet:
    """Return the range that meets everyone; an override replaces what others require.

    ``requirement`` is the one in uv's explanation; the others are as for `who_wants`.
    """
    specifier = SpecifierSet()
    for line in own:
        specifier &= line.requirement.specifier
    if any(line.key == _OVERRIDES for line in own):
        return specifier
    # uv shows only the existing part of a range, so its words count only if nothing better is known.
    exact = {canonicalize_name(owner.name) for owner in owners if owner.requirements}
    project = {owner_name(PROJECT), owner_name(CONSTRAINTS)}
    if not {owner_name(text) for text in explained} <= exact | project:
        specifier &= requirement.specifier
    for owner in owners:
        for item in owner.requirements:
            specifier &= item.specifier
    return specifier


def owner_name(text: str) -> str:
    """Return the normalized package name at the start of an owner's text."""
    return canonicalize_name(_OWNER_NAME.split(text, maxsplit=1)[0])
