"""Find which packages of its parents an image would install in another version, and who asks for that."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from factory.console import plural
from factory.errors import ReplacesParentError
from factory.flavor.project import Project
from factory.lock.find_links import WheelFolder
from factory.lock.given import GivenPackages, project_on
from factory.lock.resolution import Disagreement, Refused, request_for, resolve_project
from factory.lock.uv import NoSolution, requirers, resolve


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """A package of a parent in another version.

    ``owner`` is the image that has it in ``given_version``; ``wanted_by`` are the packages that ask for
    another, or ``pyproject.toml``. ``unavailable``: the child's index has no such version any more.
    """

    package: str
    owner: str
    given_version: str
    version: str
    wanted_by: tuple[str, ...]
    unavailable: bool = False

    def __str__(self) -> str:
        asked = f", for {' and '.join(self.wanted_by)}" if self.wanted_by else ""
        gone = "; its index has no such version for this image" if self.unavailable else ""
        return f"{self.package}: {self.owner} has {self.given_version}{gone}, wanted is {self.version}{asked}"


def conflicts_of(
    project: Project,
    given: GivenPackages,
    replacing: Collection[str],
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
) -> tuple[Replaced, ...]:
    """Return which packages would have to be replaced for a project; empty if that would not help.

    Raises:
        IndexAccessError, ResolutionError, ProgramError, SpecError: as for `resolve_project`.
    """
    free = project_on(given, project, replacing=given.pins)
    resolved = resolve_project(free, preferences={**preferences, **given.versions}, folders=folders)
    if isinstance(resolved, (Refused, Disagreement)):
        return ()
    versions = {package.name: package.version for packages in resolved.values() for package in packages}
    return tuple(
        item
        for item in replaced_by(given, free, versions, folders=folders, look_up=True)
        if item.package not in replacing
    )


def replaced_by(
    given: GivenPackages,
    project: Project,
    versions: Mapping[str, str],
    *,
    folders: tuple[WheelFolder, ...],
    look_up: bool = False,
) -> tuple[Replaced, ...]:
    """Return the packages of a resolution whose version is another one than the parents have.

    Args:
        given: what the parents have.
        project: the project that was resolved.
        versions: the resolution's, by package.
        folders: wheels beside the indexes.
        look_up: look whether the index has the parents' versions.

    Raises:
        IndexAccessError, ResolutionError, ProgramError: as for `factory.lock.uv.resolve`.
    """
    known = given.versions
    differing = sorted(name for name in versions.keys() & known.keys() if versions[name] != known[name])
    if not differing:
        return ()
    request = request_for(project, preferences=versions, folders=folders)
    graph = requirers(request)
    asked = {} if isinstance(graph, NoSolution) else {name: tuple(item.by) for name, item in graph.items()}
    return tuple(
        Replaced(
            package=name,
            owner=given.owners[name],
            given_version=known[name],
            version=versions[name],
            wanted_by=tuple(dict.fromkeys(asked.get(name, ()))),
            unavailable=look_up
            and isinstance(
                resolve(
                    replace(request, requirements=(f"{name}=={known[name]}",), constraints=(), preferences={})
                ),
                NoSolution,
            ),
        )
        for name in differing
    )


def broken_by(
    given: GivenPackages,
    project: Project,
    replaced: Sequence[Replaced],
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
) -> str:
    """Return why the parents' other packages do not go with what a project replaces; empty if they do.

    A lock is made for the project's own requirements: nobody asked for those of the parents' packages.

    Raises:
        IndexAccessError, ResolutionError, ProgramError, SpecError: as for `resolve_project`.
    """
    if not replaced:
        return ""
    names = {item.package for item in replaced}
    others = tuple(name for name in given.pins if name not in names)
    whole = replace(project, dependencies=(*project.dependencies, *others))
    answer = resolve_project(
        project_on(given, whole, replacing=names), preferences=preferences, folders=folders
    )
    return "" if isinstance(answer, dict) else answer.explanation


def refusal_of(conflicts: Sequence[Replaced]) -> ReplacesParentError:
    """Return the error of a resolution that needs other versions than the parents have."""
    lines = "".join(f"\n  - {item}" for item in conflicts)
    one = len(conflicts) == 1
    gone = any(item.unavailable for item in conflicts)
    first = "Give the wheels that the index lacks with --find-links, or name their index. " if gone else ""
    return ReplacesParentError(
        f"what is asked for does not go with {'a package' if one else plural(len(conflicts), 'package')} of "
        f"{' and '.join(dict.fromkeys(item.owner for item in conflicts))}, which it is built on:{lines}",
        solution=f"{first}Ask for versions that go with the parent's, or change the parent and lock both. "
        "If this image is to install its own over the parent's, give --allow-replacing.",
    )
