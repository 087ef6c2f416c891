"""Find every requirement that an index lacks, in one run.

uv stops at the first. So each missing package is replaced by a stub wheel, and the resolution runs again
until it succeeds, or fails for a reason that is not a gap. A stub wheel requires what the package would, as
far as some index says it (`factory.gaps.stub_wheels`), so that the gaps behind a gap are found as well.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from factory.console import plural
from factory.errors import FactoryError, IndexContentError, IndexGapError, ResolutionError
from factory.files import scratch_folder
from factory.flavor.project import Project, asked
from factory.flavor.spec import Spec
from factory.gaps.needs import (
    PROJECT,
    Need,
    Requirer,
    contradicted,
    disjoint,
    needs_of,
    owner_name,
    read_blame,
    requirers_of,
    wanted_in_all,
    who_wants,
    without_marker,
)
from factory.gaps.stub_wheels import Assumed, StubWheels
from factory.index.metadata import Metadata
from factory.lock.find_links import WheelFolder
from factory.lock.package_finder import PackageFinder, in_order, lack_of, open_package_finder
from factory.lock.resolution import Disagreement, Refused, package_of, request_for, resolve_project
from factory.lock.uv import NoSolution, Package

_VERSIONS = re.compile(r"[<>=!~].*")
_Answer = dict[str, tuple[Package, ...]] | Refused | Disagreement


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that an index lacks: for which platforms, what it has instead, and who needs it.

    ``kind`` is one of `factory.lock.package_finder.KINDS`; ``would_do`` says which versions would satisfy.
    ``needed_by`` are the owners of requirements, each with its requirement if it is known, and ``paths`` the
    shortest chains to owners from the project's own requirements, if they are known.
    """

    package: str
    requirement: str
    kind: str
    index: str
    python: str
    platforms: tuple[str, ...]
    found: str
    would_do: str
    needed_by: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...] = ()
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Everything that is missing; empty if the project can be resolved.

    ``conflict`` is the contradiction that remains once the gaps are set aside. ``assumed`` says what each
    missing package was assumed to require. ``nothing_there``: the indexes had nothing of all that was looked
    up, as for a wrong URL.
    """

    gaps: tuple[Gap, ...] = ()
    conflict: FactoryError | None = None
    assumed: tuple[Assumed, ...] = ()
    nothing_there: bool = False


def find_gaps(
    project: Project,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
    present: Spec | None = None,
    public_metadata: bool = False,
    refused: Refused | Disagreement | None = None,
) -> Gaps:
    """Return everything that the project's indexes lack, gap behind gap.

    Args:
        project: what to resolve; its spec names the indexes.
        preferences: versions (by normalized name) that are kept if they are valid.
        folders: wheels beside the indexes.
        present: the flavor's current spec, if ``project`` names another index: the current index
            may say what a missing package requires.
        public_metadata: whether the public index may be asked what a package requires, if none of the
            flavor's own indexes has any version of it. Nothing else is ever asked there.
        refused: how the project's resolution failed, if that is known already.

    Raises:
        IndexAccessError: an index did not answer, or refused.
        SpecError, ResolutionError, ProgramError: as for `factory.lock.resolution.resolve_project`.
    """
    answer: _Answer = refused or resolve_project(project, preferences=preferences, folders=folders)
    if isinstance(answer, dict):
        return Gaps()
    with open_package_finder(project.spec, folders) as finder, scratch_folder() as folder:
        stub_wheels = StubWheels(
            folder=folder,
            spec=project.spec,
            finder=finder,
            present=present or project.spec,
            public=public_metadata,
        )
        search = _Search(project=project, preferences=preferences, folders=folders, stub_wheels=stub_wheels)
        return search.go_on(answer)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """One search: the request, and the stub wheels for what was found to be missing.

    ``freed`` are packages whose requirements no version can meet, each as the override that any version
    meets; ``conflicts`` name those requirements.
    """

    project: Project
    preferences: Mapping[str, str]
    folders: tuple[WheelFolder, ...]
    stub_wheels: StubWheels
    freed: dict[str, str] = field(default_factory=dict)
    conflicts: list[ResolutionError] = field(default_factory=list)

    def go_on(self, answer: _Answer) -> Gaps:
        """Set gaps and contradictions aside until a resolution succeeds, or a conflict remains."""
        found: dict[str, Gap] = {}
        while True:
            if isinstance(answer, dict):
                owned = self._with_owners(found)
                if owned is not None:
                    return self._gaps(owned)
            elif not self._set_aside(answer, found) and not self._free(answer):
                return self._gaps(tuple(found.values()))
            answer = self._resolve()

    @property
    def _asked(self) -> Project:
        """Return the project for uv: without contradictions, and with stub wheels."""
        return self.stub_wheels.instead_of(_without(self.project, self.freed))

    def _resolve(self) -> _Answer:
        return resolve_project(
            self._asked,
            preferences=self.preferences,
            folders=self.folders,
            stub_wheels=self.stub_wheels.overrides,
        )

    def _free(self, answer: Refused | Disagreement) -> bool:
        """Record a conflict and allow any version of its package; return whether it is new."""
        self.conflicts.append(conflict_error(self._asked, answer))
        if isinstance(answer, Disagreement):
            return False
        new = {need.package for need in at_odds(self._asked, answer)} - self.freed.keys()
        for package in new:
            extras = {
                extra
                for item in asked(self.project)
                if item.name == package
                for extra in item.requirement.extras
            }
            self.freed[package] = f"{package}[{','.join(sorted(extras))}]" if extras else package
        return bool(new)

    def _set_aside(self, answer: Refused | Disagreement, found: dict[str, Gap]) -> bool:
        """Add stub wheels for what an answer shows to be missing; return whether anything changed."""
        if isinstance(answer, Disagreement):
            return False
        project = _without(self.project, self.freed)
        new = [gap for gap in _lacking(project, answer, self.stub_wheels.finder) if gap.package not in found]
        for gap in new:
            self.stub_wheels.put(Requirement(gap.requirement), gap.extras)
        found |= {gap.package: gap for gap in new}
        if new:
            return True
        # A stub wheel's requirements may be another version's: they must not contradict real packages.
        blame = read_blame(answer.explanation)
        return self.stub_wheels.loosen(owner_name(need.by) for need in blame.needs if need.by)

    def _with_owners(self, found: Mapping[str, Gap]) -> tuple[Gap, ...] | None:
        """Return the gaps of the resolution with all who need them; None if it must run again.

        Skips gaps that uv only considered on its way.
        """
        if not found:
            return ()
        request = request_for(
            self._asked,
            preferences=self.preferences,
            folders=self.folders,
            stub_wheels=self.stub_wheels.overrides,
        )
        owners = requirers_of(found, request, self.project.spec.platforms, self._metadata)
        if isinstance(owners, NoSolution):
            return tuple(found.values())
        widened = [
            self.stub_wheels.widen(package, [extra for item in owner.requirements for extra in item.extras])
            for package, of_package in owners.items()
            for owner in of_package
        ]
        if any(widened):
            return None
        needed = [gap for gap in found.values() if gap.package in owners]
        finder, owned = self.stub_wheels.finder, []
        for item in needed:
            # Contradictions that were set aside are reported already.
            conflicts = [] if item.package in self.freed else self.conflicts
            gap = _owned(item, owners[item.package], self.project, finder, conflicts)
            owned += [] if gap is None else [gap]
        return tuple(owned) if needed else tuple(found.values())

    def _metadata(self, name: str, version: str | None) -> Metadata | None:
        if version is None:
            return self.stub_wheels.metadata(name)
        try:
            return self.stub_wheels.finder.metadata(name, version)
        except IndexContentError:
            return None  # the requirement's owner stays known, its wording does not

    def _gaps(self, found: tuple[Gap, ...]) -> Gaps:
        packages = {gap.package for gap in found}
        return Gaps(
            gaps=tuple(sorted(found, key=lambda gap: gap.package)),
            conflict=one_error(self.conflicts),
            assumed=tuple(item for item in self.stub_wheels.assumed if item.package in packages),
            nothing_there=bool(found) and self.stub_wheels.finder.is_empty,
        )


def _without(project: Project, freed: Mapping[str, str]) -> Project:
    """Return the project with overrides that allow any version of some packages."""
    if not freed:
        return project
    return replace(
        project,
        overrides=(
            *(line for line in project.overrides if package_of(line) not in freed),
            *freed.values(),
        ),
        constraints=tuple(line for line in project.constraints if package_of(line) not in freed),
    )


def gap_error(found: Gaps) -> FactoryError:
    """Return gaps as the error of work that cannot continue without the missing packages."""
    gaps = found.gaps
    indexes = dict.fromkeys(gap.index for gap in gaps)
    lines = [f"{' and '.join(indexes) or 'the index'} lacks {plural(len(gaps), 'requirement')}"]
    for gap in gaps:
        lines.append(f"  {gap.requirement} for {', '.join(gap.platforms)}: {gap.found}")
        lines += [f"    needed by {who}" for who in gap.needed_by]
    if found.conflict is not None:
        lines += ["and, those aside,", found.conflict.reason]
    doubt = "Look first whether this is an index: it has nothing of all this. " if found.nothing_there else ""
    return IndexGapError(
        "\n".join(lines),
        solution=f"{doubt}Give the owners of the index this list. Until they have it, lower the requirement, "
        "or record it with a reason under [[tool.factory.missing]] in pyproject.toml.",
        gaps=gaps,
    )


def _lacking(project: Project, refused: Refused, finder: PackageFinder) -> list[Gap]:
    """Return what is missing among direct requirements and those in uv's explanation."""
    blame = read_blame(refused.explanation)
    by_package: dict[str, list[Need]] = {}
    for need in needs_of(project, refused, blame):
        if need.requirements[0].url is None:  # otherwise it is a stub wheel
            by_package.setdefault(need.package, []).append(need)
    finder.look_up(by_package)
    for requirement, python in blame.pythons:
        finder.tell_python(requirement, python)
    gaps = [_gap(project.spec, name, needs, finder) for name, needs in sorted(by_package.items())]
    return [gap for gap in gaps if gap is not None]


def _gap(spec: Spec, name: str, needs: list[Need], finder: PackageFinder) -> Gap | None:
    lacking: dict[Need, tuple[str, ...]] = {}
    for need in needs:
        if contradicted(need, needs):
            continue  # no index could satisfy a contradiction
        without = [finder.platforms_without(requirement) for requirement in need.requirements]
        platforms = tuple(item for item in spec.platforms if all(item in found for found in without))
        if platforms:
            lacking[need] = platforms
    if not lacking:
        return None
    platforms = tuple(item for item in spec.platforms if any(item in found for found in lacking.values()))
    gap = Gap(
        package=name,
        requirement=name,
        kind="",
        index=finder.url(name),
        python=spec.python,
        platforms=platforms,
        found="",
        would_do="",
        needed_by=tuple(dict.fromkeys(_who(need) for need in lacking if need.by != "")),
        extras=tuple(
            sorted({extra for need in lacking for item in need.requirements for extra in item.extras})
        ),
    )
    return _with_lack(gap, _tightest(lacking), spec, finder)


def _with_lack(gap: Gap, specifier: SpecifierSet, spec: Spec, finder: PackageFinder) -> Gap:
    """Return a gap with what exists in place of the wanted versions."""
    lack = lack_of(
        finder.offers(gap.package), specifier, python=spec.python, glibc=spec.glibc, platforms=gap.platforms
    )
    return replace(
        gap,
        requirement=f"{gap.package}{in_order(specifier)}",
        kind=lack.kind,
        found=lack.found,
        would_do=lack.would_do,
    )


def _tightest(lacking: Mapping[Need, object]) -> SpecifierSet:
    """Return a specifier that meets every need at once, if none of them is a choice."""
    specifier = SpecifierSet()
    for need in lacking:
        if len(need.requirements) == 1:
            specifier &= need.requirements[0].specifier
    return specifier


def _owned(
    gap: Gap,
    owners: tuple[Requirer, ...],
    project: Project,
    finder: PackageFinder,
    conflicts: list[ResolutionError],
) -> Gap | None:
    """Return a gap with all who need it: those in uv's explanation, other packages, the project.

    If no version could meet them all, that is one of the ``conflicts``, and a gap only if the index has
    nothing of the package.
    """
    own = [item for item in asked(project) if item.name == gap.package]
    words = who_wants(gap.needed_by, owners, own)
    specifier = wanted_in_all(Requirement(gap.requirement), gap.needed_by, owners, own)
    if disjoint(specifier, SpecifierSet()):
        conflicts.append(apart_error(gap.package, words))
        specifier = SpecifierSet()
        gap = replace(gap, platforms=finder.platforms_without(Requirement(gap.package)))
        if not gap.platforms:
            return None
    paths = tuple(dict.fromkeys(owner.path for owner in owners if owner.path))
    return _with_lack(replace(gap, needed_by=words, paths=paths), specifier, project.spec, finder)


def _who(need: Need) -> str:
    # Without the versions that uv tried: a dozen of one package would say the same.
    by = PROJECT if need.by is None else _VERSIONS.sub("", need.by)
    return f"{by} ({' or '.join(without_marker(requirement) for requirement in need.requirements)})"


SOLUTION = f"Change what contradicts in {PROJECT}."


def conflict_error(project: Project, conflict: Refused | Disagreement) -> ResolutionError:
    """Return a conflict in uv's words, with the contradicting needs if they are known."""
    if isinstance(conflict, Disagreement):
        return _disagreement(conflict)
    lines = [f"the requirements have no solution for {conflict.request.platform}:", conflict.explanation]
    wanted = dict.fromkeys(_wanted(need) for need in at_odds(project, conflict))
    if wanted:
        lines += ["no version could meet all of these:", *wanted]
    return ResolutionError("\n".join(lines), solution=SOLUTION)


def at_odds(project: Project, conflict: Refused) -> tuple[Need, ...]:
    """Return the needs of a failed resolution that no version of their package meets together."""
    needs = needs_of(project, conflict, read_blame(conflict.explanation))
    found: dict[Need, None] = {}
    for need in needs:
        if others := contradicted(need, needs):
            found |= dict.fromkeys((need, *others))
    return tuple(found)


def apart_error(package: str, wanted: Iterable[str]) -> ResolutionError:
    """Return a conflict about a package that the index lacks as well; ``wanted`` names the needs."""
    lines = (f"no version of {package} could meet all of these:", *(f"  {who}" for who in wanted))
    return ResolutionError("\n".join(lines), solution=SOLUTION)


def one_error(errors: Sequence[ResolutionError]) -> ResolutionError | None:
    """Return several conflicts as one error; None without any."""
    reasons = dict.fromkeys(error.reason for error in errors)
    solutions = dict.fromkeys(error.solution for error in errors)
    if not errors:
        return None
    return ResolutionError("\nand\n".join(reasons), solution=" ".join(solutions))


def _wanted(need: Need) -> str:
    requirements = " or ".join(str(requirement) for requirement in need.requirements)
    return f"  {requirements}: wanted by {PROJECT if need.by is None else need.by}"


def _disagreement(conflict: Disagreement) -> ResolutionError:
    """Return the error about platforms' different versions, which a lock without markers cannot hold."""
    blame = read_blame(conflict.explanation)
    blamed = blame.absent | {need.package for need in blame.needs}
    differing = conflict.differing()
    shown = {name: found for name, found in differing.items() if name in blamed} or differing
    lines = ["the platforms need what cannot stand in one lock, since a lock has no markers:"]
    for name, found in shown.items():
        versions = ", ".join(f"{version} on {platform}" for platform, version in found.items())
        if without := [platform for platform in conflict.versions if platform not in found]:
            only = " and ".join(f"{platform} needs it ({version})" for platform, version in found.items())
            lines.append(f"  {name}: only {only}, and it is not to be had on {', '.join(without)}")
        else:
            lines.append(f"  {name}: {versions}, and no version that serves them all was found")
    lines += [f"uv's words for {conflict.platform}:", conflict.explanation]
    return ResolutionError(
        "\n".join(lines),
        solution="Ask the owners of the index to build it for the other platform, constrain the versions, "
        "or make a flavor for each platform.",
    )


def explain_failure(
    project: Project,
    refused: Refused | Disagreement,
    *,
    preferences: Mapping[str, str],
    folders: tuple[WheelFolder, ...],
) -> FactoryError:
    """Return the error of a failed resolution: the gaps, and the conflict if one remains.

    Raises:
        IndexAccessError: the index did not answer, or refused.
    """
    # Imported after a failed resolution only: the index client is slow to import.

    found = find_gaps(project, preferences=preferences, folders=folders, refused=refused)
    if found.conflict is not None and not found.gaps:
        return found.conflict
    return gap_error(found)
