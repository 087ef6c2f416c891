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

from factory.errors import FactoryError, IndexGapError, ResolutionError
from factory.flavor.project import Project
from factory.flavor.references import PLATFORMS
from factory.lock.availability import Offer, describe_lack, has_wheel
from factory.lock.blame import Blame, Need, read_blame
from factory.lock.find_links import WheelFolder, write_stand_in
from factory.lock.index import IndexClient
from factory.lock.narrow import tag_ranks
from factory.lock.resolution import Refused, package_of, request_for, resolve_project
from factory.lock.uv import Request, requirers

_MOST_ROUNDS = 30
_CONNECTIONS = 8
_PROJECT = "pyproject.toml"
_CONSTRAINTS = "the constraints in pyproject.toml"


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
    project: Project, refused: Refused, *, preferences: Mapping[str, str], folders: tuple[WheelFolder, ...]
) -> FactoryError:
    """The error for a resolution that failed: every gap of the index, and the conflict where there is one.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    gaps: dict[str, Gap] = {}
    conflict: Refused | None = refused
    # As for uv, which reads none of pip's variables.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    with (
        IndexClient(project.spec.index_url, environment=environment) as client,
        tempfile.TemporaryDirectory() as name,
    ):
        shelf = _Shelf(client, folders)
        stand_ins = Path(name)
        stubbed = project
        every = (*folders, WheelFolder(source=stand_ins, shown=stand_ins))
        for _ in range(_MOST_ROUNDS):
            if conflict is None:
                break
            new = {gap.package: gap for gap in _gaps(project, conflict, shelf) if gap.package not in gaps}
            if not new:
                break
            gaps |= new
            for package in new:
                write_stand_in(stand_ins, package)
            stubbed = _with_stand_ins(project, frozenset(gaps))
            answer = resolve_project(stubbed, preferences=preferences, folders=every)
            conflict = answer if isinstance(answer, Refused) else None
        found = tuple(gaps.values())
        if found and conflict is None:
            found = _needed(found, stubbed, every)
    return _error(found, conflict, index=project.spec.index_url or "the public index")


def _gaps(project: Project, refused: Refused, shelf: _Shelf) -> list[Gap]:
    """What is lacking among the direct requirements and those that uv's explanation goes through."""
    blame = read_blame(refused.explanation)
    constraints = _constraints(project, refused, blame)
    # uv folds a constraint into the requirements that it meets: those are not their owners' own words.
    needs = _direct_needs(project, refused) + constraints
    needs += [need for need in blame.needs if not any(_includes(need, part) for part in constraints)]
    by_package: dict[str, list[Need]] = {}
    for need in needs:
        by_package.setdefault(need.package, []).append(need)
    for name in blame.absent - by_package.keys():
        by_package[name] = [Need(by=None, requirements=(Requirement(name),))]
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
        needed_by=tuple(dict.fromkeys(_who(need) for need in lacking)),
    )


def _tightest(lacking: Mapping[Need, object]) -> SpecifierSet:
    """What would satisfy every need at once, where none of them is a choice."""
    specifier = SpecifierSet()
    for need in lacking:
        if len(need.requirements) == 1:
            specifier &= need.requirements[0].specifier
    return specifier


def _marker_environment(request: Request) -> dict[str, str]:
    """What markers see on a platform (PEP 508)."""
    python, machine = request.python, PLATFORMS[request.platform]
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": machine,
        "extra": "",
    }


def _constraints(project: Project, refused: Refused, blame: Blame) -> list[Need]:
    """The constraints on what is asked for: a floor there may be what the index lacks, as for a CVE's fix."""
    named = {package_of(line) for line in refused.request.requirements}
    named |= blame.absent | {need.package for need in blame.needs}
    constraints = [Requirement(line) for line in project.constraints if package_of(line) in named]
    environment = _marker_environment(refused.request)
    return [
        Need(by=_CONSTRAINTS, requirements=(item,))
        for item in constraints
        if item.marker is None or item.marker.evaluate(environment)
    ]


def _includes(need: Need, constraint: Need) -> bool:
    clauses = set(constraint.requirements[0].specifier)
    return need.package == constraint.package and all(
        clauses <= set(item.specifier) for item in need.requirements
    )


def _direct_needs(project: Project, refused: Refused) -> list[Need]:
    """The requirements given to uv, as its overrides change them and where their markers hold."""
    environment = _marker_environment(refused.request)
    overrides = [Requirement(line) for line in refused.request.overrides]
    overridden = {canonicalize_name(requirement.name) for requirement in overrides}
    direct = [Requirement(line) for line in refused.request.requirements]
    direct_names = {canonicalize_name(requirement.name) for requirement in direct}
    wanted = [item for item in direct if canonicalize_name(item.name) not in overridden]
    wanted += [item for item in overrides if canonicalize_name(item.name) in direct_names]
    own = {*map(Requirement, (*project.dependencies, *project.overrides))}
    pins = f"the version locked for {project.spec.platforms[0]}"
    return [
        Need(by=None if item in own else pins, requirements=(item,))
        for item in wanted
        if item.marker is None or item.marker.evaluate(environment)
    ]


def _with_stand_ins(project: Project, packages: frozenset[str]) -> Project:
    overrides = [line for line in project.overrides if package_of(line) not in packages]
    return replace(
        project,
        # An override replaces every requirement on the package, a constraint would still hold.
        overrides=(*overrides, *(f"{name}==0+missing" for name in sorted(packages))),
        constraints=tuple(line for line in project.constraints if package_of(line) not in packages),
    )


def _needed(gaps: tuple[Gap, ...], stubbed: Project, folders: tuple[WheelFolder, ...]) -> tuple[Gap, ...]:
    """The gaps that the final resolution runs into, each with everybody who needs it."""
    base = request_for(stubbed, preferences={}, folders=folders)
    who: dict[str, tuple[str, ...]] = {}
    for platform in stubbed.spec.platforms:
        for name, names in requirers(replace(base, platform=platform)).items():
            who[name] = tuple(dict.fromkeys((*who.get(name, ()), *names)))
    return tuple(
        replace(gap, needed_by=_merged(gap.needed_by, who[gap.package])) for gap in gaps if gap.package in who
    )


def _merged(known: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Who needs a gap, with the requirement where uv's explanation gave it."""
    told = {re.match(r"[A-Za-z0-9._-]*", text)[0] for text in known}  # type: ignore[index]
    return (*known, *(name for name in names if name not in told))


def _who(need: Need) -> str:
    by = _PROJECT if need.by is None else need.by
    return f"{by} ({' or '.join(str(requirement) for requirement in need.requirements)})"


def _error(gaps: tuple[Gap, ...], conflict: Refused | None, *, index: str) -> FactoryError:
    told = "" if conflict is None else _conflict(conflict)
    if not gaps:
        return ResolutionError(told, solution="Change what contradicts in pyproject.toml, and lock again.")
    lines = [f"{index} lacks {len(gaps)} requirement{'s' if len(gaps) > 1 else ''}"]
    for gap in gaps:
        lines.append(f"  {gap.requirement} for {', '.join(gap.platforms)}: {gap.found}")
        lines += [f"    needed by {who}" for who in gap.needed_by]
    if told:
        lines += ["and, those aside,", told]
    return IndexGapError(
        "\n".join(lines),
        solution="Give the owners of the index this list. Until they have it, lower the requirement, or "
        "record it with a reason under [[tool.factory.missing]] in pyproject.toml.",
        gaps=gaps,
    )


def _conflict(refused: Refused) -> str:
    return f"the requirements have no solution for {refused.request.platform}:\n{refused.explanation}"
