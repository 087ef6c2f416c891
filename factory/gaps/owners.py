"""Who requires what an index lacks, in their own words where the index tells them, and by which way."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.flavor.project import marker_environment
from factory.gaps.blame import PROJECT
from factory.index.metadata import Metadata
from factory.lock.package_finder import in_order
from factory.lock.uv import NoSolution, Request, Required, requirers

# What a package says of itself, by name and version; a version of None is that of a stand-in.
Told = Callable[[str, str | None], Metadata | None]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who requires a package: its requirements on it, none where nobody tells, and the way to it.

    ``path`` begins with what the project requires itself and ends with the owner; it is empty for the
    project.
    """

    name: str
    requirements: tuple[Requirement, ...]
    path: tuple[str, ...]


def owners_of(
    packages: Iterable[str], request: Request, platforms: Iterable[str], told: Told
) -> dict[str, tuple[Owner, ...]] | NoSolution:
    """Who requires packages in a resolution that ends well, on any of the platforms.

    Returns:
        The owners of each package that something requires. Or why there is no resolution.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    wanted = set(packages)
    found: dict[str, dict[str, Owner]] = {}
    for platform in platforms:
        graph = requirers(replace(request, platform=platform))
        if isinstance(graph, NoSolution):
            return graph
        environment = marker_environment(request.python, platform)
        for package in sorted(wanted & graph.keys()):
            for name in graph[package].by:
                metadata = told(name, graph[name].version) if name in graph else None
                owner = Owner(
                    name=name,
                    requirements=() if metadata is None else _on(package, metadata, environment),
                    path=path_to(name, graph),
                )
                known = found.setdefault(package, {})
                if not (name in known and known[name].requirements):
                    known[name] = owner
    return {package: tuple(owners.values()) for package, owners in found.items()}


def path_to(name: str, graph: Mapping[str, Required]) -> tuple[str, ...]:
    """The shortest way to a package from what the project requires, which comes first."""
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


def in_words(owner: Owner) -> str:
    """An owner with its requirements, without markers."""
    if not owner.requirements:
        return owner.name
    return f"{owner.name} ({' and '.join(dict.fromkeys(plain(item) for item in owner.requirements))})"


def plain(requirement: Requirement) -> str:
    """A requirement without its marker."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{in_order(requirement.specifier)}"


def _on(package: str, metadata: Metadata, environment: Mapping[str, str]) -> tuple[Requirement, ...]:
    """A package's requirements on another, which may be those of any of its extras: nobody tells which."""
    return tuple(
        item
        for item in metadata.requires
        if canonicalize_name(item.name) == package
        and (
            item.marker is None
            or any(item.marker.evaluate({**environment, "extra": extra}) for extra in ("", *metadata.extras))
        )
    )
