"""Every requirement that an index lacks, found in one run.

uv stops at the first. So what is found to be lacking is replaced by an empty stand-in, and the
resolution goes on until it ends well, or fails for a reason that is no gap. What a package that is
not there would itself require, nobody can know.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from factory.errors import FactoryError, IndexGapError
from factory.flavor.project import Project
from factory.index.client import IndexClient
from factory.lock.availability import Offer, describe_lack, has_wheel
from factory.lock.blame import PROJECT, Need, read_blame
from factory.lock.conflict import conflict_error
from factory.lock.contradiction import contradicted
from factory.lock.find_links import WheelFolder, write_stand_in
from factory.lock.narrow import tag_ranks
from factory.lock.needs import needs_of
from factory.lock.owners import in_words, owners_of
from factory.lock.resolution import Disagreement, Refused, package_of, request_for, resolve_project
from factory.lock.uv import NoSolution

_CONNECTIONS = 8
_VERSIONS = re.compile(r"[<>=!~].*")
_NAME = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that the index lacks: for which platforms, what it has instead, and who needs it.

    ``needed_by`` are requirements' owners, each with its requirement where it is known.
    """

    package: str
    requirement: str
    platforms: tuple[str, ...]
    found: str
    needed_by: tuple[str, ...]


class _Shelf:
    """What the index and the folders offer, each project looked up once."""

    def __init__(self, client: IndexClient, folders: tuple[WheelFolder, ...]) -> None:
        self._client = client
        self._folders = folders
        self._known: dict[str, tuple[Offer, ...]] = {}

    def look_up(self, names: set[str]) -> None:
        wanted = sorted(names - self._known.keys())
        with ThreadPoolExecutor(max_workers=_CONNECTIONS) as pool:
            self._known |= zip(wanted, pool.map(self._offers, wanted), strict=True)

    def offers(self, name: str) -> tuple[Offer, ...]:
        return self._known[name]

    @property
    def is_empty(self) -> bool:
        """Whether nothing that was looked up is there, as where the URL is that of no index."""
        return not any(self._known.values())

    def tell_python(self, requirement: Requirement, python: str) -> None:
        """What uv read in the metadata, where the project's page does not tell it."""
        name = canonicalize_name(requirement.name)
        self._known[name] = tuple(
            replace(offer, requires_python=python)
            if offer.requires_python is None and offer.satisfies(requirement.specifier)
            else offer
            for offer in self._known.get(name, ())
        )

    def _offers(self, name: str) -> tuple[Offer, ...]:
        listed = tuple(
            Offer(file_name=file.file_name, yanked=file.yanked, requires_python=file.requires_python)
            for file in self._client.project(name) or ()
        )
        local = tuple(
            Offer(file_name=path.name)
            for folder in self._folders
            for path in folder.shown.glob("*.whl")
            if canonicalize_name(path.name.partition("-")[0]) == name
        )
        return listed + local


def explain(
    project: Project,
    refused: Refused | Disagreement,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
) -> FactoryError:
    """The error for a resolution that failed: every gap of the index, and the conflict where there is one.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    # As for uv, which reads none of pip's variables.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    with (
        IndexClient(project.spec.index_url, environment=environment) as client,
        tempfile.TemporaryDirectory() as name,
    ):
        shelf = _Shelf(client, folders)
        every = (*folders, WheelFolder(source=Path(name), shown=Path(name)))
        stubbed = project
        gaps: dict[str, Gap] = {}
        conflict: Refused | Disagreement | None = refused
        while isinstance(conflict, Refused):
            new = [gap for gap in _gaps(project, conflict, shelf) if gap.package not in gaps]
            if not new:
                break
            gaps |= {gap.package: gap for gap in new}
            for gap in new:
                write_stand_in(Path(name), gap.package)
            stubbed = _with_stand_ins(project, frozenset(gaps))
            answer = resolve_project(stubbed, preferences=preferences, folders=every)
            conflict = None if isinstance(answer, dict) else answer
        found = tuple(gaps.values())
        if conflict is None:
            request = request_for(stubbed, preferences=preferences, folders=every)
            found = _with_owners(found, owners_of(gaps, request, project.spec.platforms, client))
    told = None if conflict is None else conflict_error(stubbed, conflict)
    if told is not None and not found:
        return told
    error = _error(found, told, index=project.spec.index_url or "the public index")
    if found and shelf.is_empty:
        error.solution = f"Look first whether this is an index: it has nothing of all this. {error.solution}"
    return error


def _with_owners(
    gaps: tuple[Gap, ...], owners: Mapping[str, Mapping[str, tuple[Requirement, ...]]] | NoSolution
) -> tuple[Gap, ...]:
    """The gaps that the final resolution runs into, without those that uv only considered on its way."""
    if isinstance(owners, NoSolution):
        return gaps
    return tuple(_owned(gap, owners[gap.package]) for gap in gaps if gap.package in owners) or gaps


def _gaps(project: Project, refused: Refused, shelf: _Shelf) -> list[Gap]:
    """What is lacking among the direct requirements and those that uv's explanation goes through."""
    blame = read_blame(refused.explanation)
    by_package: dict[str, list[Need]] = {}
    for need in needs_of(project, refused, blame):
        by_package.setdefault(need.package, []).append(need)
    shelf.look_up(set(by_package))
    for requirement, python in blame.pythons:
        shelf.tell_python(requirement, python)
    gaps = [_gap(project, name, of_package, shelf) for name, of_package in sorted(by_package.items())]
    return [gap for gap in gaps if gap is not None]


def _gap(project: Project, name: str, needs: list[Need], shelf: _Shelf) -> Gap | None:
    spec = project.spec
    offers = shelf.offers(name)
    lacking: dict[Need, tuple[str, ...]] = {}
    for need in needs:
        if contradicted(need, needs):
            continue  # the index could not help
        platforms = tuple(
            platform
            for platform in spec.platforms
            if not any(
                has_wheel(
                    offers,
                    requirement.specifier,
                    python=spec.python,
                    ranks=tag_ranks(python=spec.python, platform=platform, glibc=spec.glibc),
                )
                for requirement in need.requirements
            )
        )
        if platforms:
            lacking[need] = platforms
    if not lacking:
        return None
    specifier = _tightest(lacking)
    return Gap(
        package=name,
        requirement=f"{name}{specifier}",
        platforms=tuple(p for p in spec.platforms if any(p in found for found in lacking.values())),
        found=describe_lack(offers, specifier, python=spec.python),
        needed_by=tuple(dict.fromkeys(_who(need) for need in lacking if need.by != "")),
    )


def _tightest(lacking: Mapping[Need, object]) -> SpecifierSet:
    """What would satisfy every need at once, where none of them is a choice."""
    specifier = SpecifierSet()
    for need in lacking:
        if len(need.requirements) == 1:
            specifier &= need.requirements[0].specifier
    return specifier


def _with_stand_ins(project: Project, packages: frozenset[str]) -> Project:
    overrides = [line for line in project.overrides if package_of(line) not in packages]
    return replace(
        project,
        # An override replaces every requirement on the package, a constraint would still hold.
        overrides=(*overrides, *(f"{name}==0+missing" for name in sorted(packages))),
        constraints=tuple(line for line in project.constraints if package_of(line) not in packages),
    )


def _owned(gap: Gap, owners: Mapping[str, tuple[Requirement, ...]]) -> Gap:
    """A gap with everybody who needs it: as uv's explanation tells them, then the others."""
    told = {canonicalize_name(_NAME.split(text, maxsplit=1)[0]) for text in gap.needed_by}
    others = {name: items for name, items in owners.items() if canonicalize_name(name) not in told}
    specifier = Requirement(gap.requirement).specifier
    for items in others.values():
        for item in items:
            specifier &= item.specifier
    return replace(
        gap, requirement=f"{gap.package}{specifier}", needed_by=(*gap.needed_by, *in_words(others))
    )


def _who(need: Need) -> str:
    # Without the versions that uv went through: a dozen of one package would say the same.
    by = PROJECT if need.by is None else _VERSIONS.sub("", need.by)
    return f"{by} ({' or '.join(str(requirement) for requirement in need.requirements)})"


def _error(gaps: tuple[Gap, ...], conflict: FactoryError | None, *, index: str) -> FactoryError:
    lines = [f"{index} lacks {len(gaps)} requirement{'s' if len(gaps) > 1 else ''}"]
    for gap in gaps:
        lines.append(f"  {gap.requirement} for {', '.join(gap.platforms)}: {gap.found}")
        lines += [f"    needed by {who}" for who in gap.needed_by]
    if conflict is not None:
        lines += ["and, those aside,", conflict.reason]
    return IndexGapError(
        "\n".join(lines),
        solution="Give the owners of the index this list. Until they have it, lower the requirement, or "
        "record it with a reason under [[tool.factory.missing]] in pyproject.toml.",
        gaps=gaps,
    )
