"""Who requires what an index lacks, in their own words where the index tells them (PEP 658)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from factory.index.client import IndexClient
from factory.lock.uv import NoSolution, Request, requirers


@dataclass
class _Memory:
    """A download that is kept in memory."""

    content: bytearray = field(default_factory=bytearray)

    @property
    def received(self) -> int:
        return len(self.content)

    def expect(self, total: int) -> None:
        """Metadata is small."""

    def restart(self) -> None:
        self.content.clear()

    def write(self, chunk: bytes) -> None:
        self.content += chunk


def owners_of(
    packages: Iterable[str], request: Request, platforms: Iterable[str], client: IndexClient
) -> dict[str, dict[str, tuple[Requirement, ...]]] | NoSolution:
    """Who requires packages in a resolution that ends well, on any of the platforms.

    Returns:
        Of each package that something requires: the name of who requires it (``pyproject.toml`` for
        the project) and how, empty where the index does not tell. Or why there is no resolution.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    wanted = set(packages)
    found: dict[str, dict[str, tuple[Requirement, ...]]] = {}
    stated: dict[tuple[str, str], tuple[Requirement, ...]] = {}
    for platform in platforms:
        graph = requirers(replace(request, platform=platform))
        if isinstance(graph, NoSolution):
            return graph
        for package in sorted(wanted & graph.keys()):
            owners = found.setdefault(package, {})
            for owner in graph[package].by:
                pinned = graph.get(owner)
                if pinned is None:
                    owners.setdefault(owner, ())
                    continue
                key = (owner, pinned.version)
                if key not in stated:
                    stated[key] = _stated(client, *key)
                owners[owner] = tuple(item for item in stated[key] if canonicalize_name(item.name) == package)
    return found


def in_words(owners: Mapping[str, tuple[Requirement, ...]]) -> tuple[str, ...]:
    """Each owner with its requirement, without markers."""
    return tuple(
        f"{owner} ({' and '.join(dict.fromkeys(_plain(item) for item in items))})" if items else owner
        for owner, items in owners.items()
    )


def _plain(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _stated(client: IndexClient, name: str, version: str) -> tuple[Requirement, ...]:
    """The requirements of a version; none where the index does not serve metadata beside its wheels."""
    for file in client.project(name) or ():
        if file.metadata_url is not None and _version_of(file.file_name) == Version(version):
            memory = _Memory()
            if not client.fetch(file.metadata_url, memory):
                return ()
            raw, _ = parse_email(bytes(memory.content))
            return tuple(_requirements(raw.get("requires_dist", [])))
    return ()


def _version_of(file_name: str) -> Version | None:
    try:
        return parse_wheel_filename(file_name)[1]
    except InvalidWheelFilename:
        return None


def _requirements(lines: Iterable[str]) -> Iterable[Requirement]:
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue
